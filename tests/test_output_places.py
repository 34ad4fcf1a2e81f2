"""What is written takes no place of anything else, and a project that cannot be written is read."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import BENCH, bench
from small_scenes import SMALL


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ["leaderboard", "--folder", "runs"],
        ["leaderboard", "--folder", "."],
        ["leaderboard", "--folder", "data"],
        ["leaderboard", "--folder", "results"],
        ["leaderboard", "--folder", "runs/small/fne/seed-0"],
        ["leaderboard", "--folder", "results/thesis.tex"],
        ["run", "--method", "fne", "--dataset", "small", *SMALL, "--out", "results"],
        ["run", "--method", "fne", "--dataset", "small", *SMALL, "--out", "."],
        ["run", "--method", "fne", "--dataset", "small", *SMALL, "--out", "runs", "--force"],
        ["run", "--method", "fne", "--dataset", "small", *SMALL, "--out", "features/small/hog+ngrams", "--force"],
    ],
    ids=" ".join,
)
def test_no_output_takes_the_place_of_somebody_elses_folder(small_project: Path, words: list[str]) -> None:
    Path("results").mkdir()
    Path("results/thesis.tex").write_text("years of work")
    before = contents(Path())
    code, _, err = bench(*words)
    assert code == 2
    assert err.splitlines()[-1].startswith("error: ")
    after = contents(Path())
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name not in before and not name.startswith(".bench/")]


def test_a_leaderboard_is_written_through_links_and_devices(small_project: Path) -> None:
    Path("board.md").write_text("old")
    Path("link.md").symlink_to("board.md")
    assert bench("leaderboard", "--format", "md", "--output", "link.md")[0] == 0
    assert Path("link.md").is_symlink()
    assert "fne" in Path("board.md").read_text()
    assert bench("leaderboard", "--format", "md", "--output", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()
    assert bench("leaderboard", "--folder", "board")[0] == 0
    assert bench("leaderboard", "--folder", "board")[0] == 0
    Path("board/mine.txt").write_text("mine")
    assert bench("leaderboard", "--folder", "board")[0] == 2
    assert Path("board/mine.txt").read_text() == "mine"


@pytest.fixture
def sealed(small_project: Path) -> Iterator[list[str]]:
    """The project without permission to write, and the words before a command that must mind it."""
    mind: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root minds no permissions, and there is no setpriv to take that right away")
        mind = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"]
    folders = [small_project, *(path for path in small_project.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield mind
    for folder in folders:
        folder.chmod(0o755)


def test_a_project_that_cannot_be_written_can_be_evaluated(
    small_project: Path, sealed: list[str], tmp_path: Path
) -> None:
    before = contents(small_project)
    probe = subprocess.run([*sealed, "touch", "new"], check=False, capture_output=True)
    assert probe.returncode != 0  # it really is sealed
    for words in (
        ["run", "--method", "hardest", "--dataset", "small", *SMALL, "--out", str(tmp_path / "out")],
        ["leaderboard"],
        ["leaderboard", "--folder", str(tmp_path / "board")],
        ["inspect", "runs/small/fne/seed-0"],
        ["plot", "curves", "--out", str(tmp_path / "plots")],
        ["data", "check", "small"],
        ["features", "--dataset", "small"],
    ):
        done = subprocess.run([*sealed, *BENCH, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
    assert (tmp_path / "out/run.json").exists()
    assert (tmp_path / "board/leaderboard.md").exists()
    assert contents(small_project) == before
