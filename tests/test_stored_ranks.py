"""The file of ranks: it comes back whole, or one line says what is wrong with it."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.ranks import Ranks
from negbench.benchmark.results.ranks_file import read_ranks, write_ranks

RANKS = Ranks(i2t=torch.tensor([1.0, 1.5]), t2i=torch.tensor([1.0, 10.0, 11.0]))
IDS = (["a", "ü"], ["a#0", "ü#0", "ü#1"], ["a", "ü", "ü"])
ARRAYS: dict[str, Any] = {
    "i2t": np.array([1, 1.5], dtype=np.float32),
    "t2i": np.array([1, 10, 11], dtype=np.float32),
    **{key: np.array(ids) for key, ids in zip(("i2t_ids", "t2i_ids", "t2i_images"), IDS, strict=True)},
}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_comes_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "ranks.npz", tmp_path / "again.npz"
    digest = write_ranks(first, RANKS, *IDS)
    assert digest == write_ranks(second, RANKS, *IDS) == sha256(first)
    assert first.read_bytes() == second.read_bytes()
    stored = read_ranks(first, digest)
    assert stored.i2t.tolist() == RANKS.i2t.tolist()
    assert stored.t2i.tolist() == RANKS.t2i.tolist()
    assert stored.t2i.dtype == np.float32
    assert tuple(array.tolist() for array in stored[2:]) == IDS


def test_what_does_not_fit_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ranks.npz"
    with pytest.raises(ValueError, match="t2i: 3 ranks, but 1 ids"):
        write_ranks(path, RANKS, IDS[0], ["a#0"], IDS[2])
    with pytest.raises(ValueError, match="the images of the captions are not those that are queries"):
        write_ranks(path, RANKS, IDS[0], IDS[1], ["a", "a", "a"])
    assert not path.exists()


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ranks.npz"
    digest = write_ranks(path, RANKS, *IDS)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    damaged += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 5)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(NoDataError) as caught:
            read_ranks(path, digest)
        assert str(caught.value) == (
            f"{path}: cut off or edited, it is not the file that run.json tells of; run the cell again with --force"
        )


def test_a_missing_file_and_a_record_without_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "ranks.npz"
    with pytest.raises(NoDataError, match="No such file or directory; run the cell again"):
        read_ranks(path, "00")
    write_ranks(path, RANKS, *IDS)
    assert read_ranks(path, "").t2i_ids.tolist() == IDS[1]  # an older record: its numbers are checked by the ranks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t2i_images": None}, "t2i_images is not a file in the archive"),
        ({"i2t": np.ones(3, dtype=np.float32)}, "i2t: 3 ranks, but 2 ids"),
        ({"i2t": np.ones((2, 1), dtype=np.float32)}, "i2t: 2 x 1 ranks, but 2 ids"),
        ({"i2t": np.array([0, 1], dtype=np.float32)}, "i2t: not all are positions of 1 or more"),
        ({"i2t": np.array([np.nan, 1], dtype=np.float32)}, "i2t: not all are positions of 1 or more"),
        ({"i2t": np.array([1, 2])}, "i2t: not all are positions of 1 or more"),
        ({"t2i_ids": np.array(["a#0", "a#0", "b"])}, "t2i: an id stands twice"),
        ({"t2i_images": np.array(["a"])}, "t2i: 3 ranks, but 1 image ids"),
        ({"t2i_images": np.array(["a", "b", "b"])}, "the images of the captions are not those that are queries"),
        ({"i2t_ids": np.array(["a", None], dtype=object)}, "no file of ranks"),
    ],
)
def test_a_file_made_otherwise_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "ranks.npz"
    np.savez(path, **{key: array for key, array in (ARRAYS | changes).items() if array is not None})
    with pytest.raises(NoDataError) as caught:
        read_ranks(path, sha256(path))
    assert str(caught.value) == f"{path}: {message}; run the cell again with --force"


def test_reading_needs_no_torch() -> None:
    code = "import sys, negbench.benchmark.results.marks; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
