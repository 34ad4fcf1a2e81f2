"""The record of a model that was trained elsewhere, and what a test asks of it."""

from pathlib import Path

import numpy as np

from commands import bench
from negbench.benchmark.results import integrity
from negbench.benchmark.results.ranks_file import StoredRanks, read_ranks
from negbench.benchmark.results.records import RunRecord

RUN = Path("runs/small/fne/seed-0")
PLACE = Path("runs/small/external/SGRAF/seed-0")
SIDES = ("--images", "im.npy", "--captions", "ca.npy")
MATRIX = ("--similarity", "sim.npy")


def recorded(*words: str) -> RunRecord:
    done = bench("record", "--method", "SGRAF", "--dataset", "small", *words)
    assert done.exit_code == 0, done.stderr
    return integrity.read(PLACE)


def ranks_of(folder: Path) -> StoredRanks:
    return read_ranks(folder / "ranks.npz", integrity.read(folder).ranks_sha256)


def check_same(folder: Path, other: Path = RUN) -> None:
    """The very ranks and metrics of another record."""
    for one, another in zip(ranks_of(folder), ranks_of(other), strict=True):
        assert np.array_equal(one, another)
    found, trained = integrity.read(folder), integrity.read(other)
    shared = found.metrics.keys() & trained.metrics.keys()
    assert {"rsum", "t2i_r5", "true_rsum", "true_i2t_map_at_r", "i2t_medr"} <= shared
    assert found.metrics == {key: trained.metrics[key] for key in found.metrics}
