"""Four processes with a part of the candidates each pick what one with all of them would."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import chi2
from torch import Tensor
from torch.nn.functional import one_hot

from draws_together import EDGES, candidates, fne, softmax
from negbench.benchmark.sweeps.launch import free_port

PROGRAM = Path(__file__).with_name("draws_together.py")
PROCESSES = len(EDGES) - 1
CHANCE = 1e-6
"""No right draw falls below it, whatever the generator makes of its seed; each wrong one does by far."""

Picks = dict[str, Tensor]


@pytest.fixture(scope="module")
def picks(tmp_path_factory: pytest.TempPathFactory) -> list[Picks]:
    """Of each process."""
    folder = tmp_path_factory.mktemp("picks")
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(PROCESSES)}
    started = [
        subprocess.Popen([sys.executable, str(PROGRAM), str(folder)], env={**os.environ, **where, "RANK": str(rank)})
        for rank in range(PROCESSES)
    ]
    assert [process.wait(120) for process in started] == [0] * PROCESSES
    return [load_file(folder / f"{rank}") for rank in range(PROCESSES)]


def exact(way: str) -> Tensor:
    """Probabilities ``[ANCHORS, N]`` of an unsharded draw, in double precision."""
    seen = candidates()
    similarity = seen.similarity.double()
    if way.startswith("softmax"):
        weights = (similarity / softmax().settings.temperature).exp()
    else:
        weights = fne().weigh(similarity, seen.positive_similarity.double()[:, None]).weights
        empty = weights.sum(dim=1, keepdim=True) == 0
        weights = torch.where(empty, one_hot(seen.hardest, EDGES[-1]), weights)
    probability: Tensor = weights / weights.sum(dim=1, keepdim=True)
    return probability


def chance(drawn: Tensor, probability: Tensor) -> float:
    """Of picks as far from ``probability [N]`` as ``drawn``, by chi-square; rare candidates count together."""
    counts, expected = torch.bincount(drawn, minlength=len(probability)), probability * len(drawn)
    if counts[probability == 0].any():
        return 0.0
    rare = expected < 10
    seen = torch.cat([counts[~rare], counts[rare].sum()[None]]).double()
    meant = torch.cat([expected[~rare], expected[rare].sum()[None]])
    distance = ((seen - meant).square() / meant.clamp_min(1e-9)).sum()
    return float(chi2.sf(float(distance), len(meant) - 1))


def chances(drawn: Tensor, way: str) -> list[float]:
    return [chance(drawn[:, :, anchor].flatten(), row) for anchor, row in enumerate(exact(way))]


def test_all_processes_pick_the_same(picks: list[Picks]) -> None:
    for other in picks[1:]:
        for way, index in picks[0].items():
            assert torch.equal(other[way], index), way


@pytest.mark.parametrize("way", ["fne", "softmax"])
def test_sharded_draws_have_the_distribution_of_unsharded_ones(way: str, picks: list[Picks]) -> None:
    found = chances(picks[0][way], way)
    assert min(found) > CHANCE, found


def test_the_hardest_is_that_of_all_processes(picks: list[Picks]) -> None:
    hardest = candidates().similarity.argmax(dim=1)
    assert (picks[0]["hardest"] == hardest).all()
    assert (picks[0]["fne"][:, :, -1] == hardest[-1]).all()  # all its candidates were cut


@pytest.mark.parametrize("way", ["fne, any process", "fne, equal clocks", "softmax, own scale"])
def test_wrong_ways_are_found(way: str, picks: list[Picks]) -> None:
    found = chances(picks[0][way], way)
    assert max(found[1:3]) < CHANCE**2, found


@pytest.mark.parametrize("way", ["fne", "softmax"])
def test_the_draws_of_two_anchors_are_spread(way: str) -> None:
    """Over candidates and processes, else the tests above would show nothing."""
    probability = exact(way)[1:3]
    shares = [probability[:, first:last].sum(dim=1) for first, last in pairwise(EDGES)]
    assert (torch.stack(shares) > 0.01).sum(dim=0).min() >= 3
    assert (1 / probability.square().sum(dim=1) > 20).all()
