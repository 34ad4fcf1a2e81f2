"""What a command is told to write goes where nothing else is kept: no source, record, dataset or project file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import write_record
from typer.testing import CliRunner

from benchmark import places
from benchmark.cli.main import app
from benchmark.config import RunConfig
from benchmark.records import KIND, Protocol, RunRecord
from pipelines import sources

RR = "runs/tiny/hardest+epochs=2/seed-0"
OUTSIDE = "../elsewhere"
FILES = (
    *("params.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", ".git/description", "data/my.yaml", "data/my/new"),
    *("data/tiny/captions.parquet", "features/tiny/made+up/features.json", "features/tiny.json", "raw/my/x"),
    *("src/c.csv", "src/pics/0.jpg", "link/c.csv", "src/new", "pics.link", "src/far/1.jpg"),
    *(f"{RR}/run.json", f"{RR}/ranks.npz", f"{RR}/new", f"{OUTSIDE}/record/run.json", "pipelines/x.py", "../.git/HEAD"),
)
"""No file that a command writes may take one of these places."""


@pytest.fixture
def project(tiny: object) -> Iterator[Path]:
    """A project with datasets ``tiny`` and ``my``, which is read from ``src``, and a record here and elsewhere."""
    here = Path("project")
    here.mkdir()
    for name in ("data", "features"):
        Path(name).rename(here / name)
    os.chdir(here)
    for name in FILES:
        path = Path(name)
        if not name.startswith(("runs", OUTSIDE, "link", "pics.link", "src/far")) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("kept")
    Path("link").symlink_to("src")
    Path("pics.link").symlink_to("src/pics/0.jpg")
    Path("../far").mkdir(exist_ok=True)
    Path("src/far").symlink_to(Path("../far").resolve())
    sources.write("my", sources.Source(format="table", path="src", encoder="hog+ngrams"))
    config = RunConfig(method="hardest", dataset="tiny", encoder="made+up", epochs=2)
    protocol = Protocol(name="tiny", images=10, captions=30)
    hashes = {"config_hash": config.hash, "recipe_hash": config.recipe_hash, "manifest_hash": "0", "features_hash": "0"}
    record = RunRecord(status="done", method_id=config.method_id, config=config, protocol=protocol, **hashes)
    for folder in (RR, f"{OUTSIDE}/record"):
        write_record(Path(folder), record)
    Path(OUTSIDE, "record", "notes.txt").write_text("mine")
    yield Path.cwd()
    os.chdir("..")


def everything() -> dict[str, bytes | None]:
    """All here and beside, with the bytes of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path("..").rglob("*")}


def bench(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.stdout, done.stderr


def refused(*words: str, code: int = 2) -> str:
    """The one line of a command that changes nothing."""
    before = everything()
    found, out, err = bench(*words)
    assert (found, out, len(err.splitlines())) == (code, "", 1), err
    assert err.startswith("error: ")
    assert everything() == before
    return err


@pytest.mark.parametrize("command", ["leaderboard --output", f"inspect {RR} --html"])
def test_no_file_takes_the_place_of_what_is_kept(project: Path, command: str) -> None:
    for place in (*FILES, str(project / "src/c.csv"), "./runs/../src/c.csv", "data", "src", ".", ""):
        assert f"{command.split()[-1]} {Path(place)}: " in refused(*command.split(), place)


def test_an_ordinary_file_is_replaced_and_links_and_devices_written_through(project: Path) -> None:
    Path("board.md").write_text("old")
    Path("to").symlink_to("board.md")
    for place in ("board.md", "to", "src/../board.md", "/dev/null", f"{OUTSIDE}/board.md", "new.md"):
        places.check_file("--output", Path(place))
    assert bench("leaderboard", "--output", "to")[0] == 0
    assert Path("to").is_symlink()
    assert "hardest" in Path("board.md").read_text()


@pytest.mark.parametrize("command", ["leaderboard --output", f"inspect {RR} --html"])
def test_a_missing_folder_is_named_not_made(project: Path, command: str) -> None:
    assert "there is no folder absent/deep; make it first" in refused(*command.split(), "absent/deep/x")
    Path("dangling").symlink_to("gone/x")
    assert "there is no folder" in refused(*command.split(), "dangling")


INSIDE = (
    *("src", "src/new", "src/pics/new", "link/new", "./runs/../src/new", "src/far/new"),
    *("data/my", "data/my/new", "data/new", "features/tiny/made+up/new", "raw", "raw/new", "studies/new", ".bench/x"),
    *(f"{RR}/new", f"{OUTSIDE}/record/new", ".git/new", ".dvc/new", "../.git/new", "pipelines/new", "params.yaml/new"),
)
"""No folder that a command makes may lie here."""


def test_no_record_is_made_inside_what_is_kept(project: Path) -> None:
    for place in (*INSIDE, "runs", ".", "/"):
        refused("run", "--method", "hardest", "--dataset", "tiny", "--out", place)


@pytest.mark.parametrize("command", ["leaderboard --folder", "plot curves --out", "speed --data --scale coco --folder"])
def test_no_folder_of_results_is_made_inside_what_is_kept(project: Path, command: str) -> None:
    for place in (*INSIDE, "runs", "runs/x", RR, ".git"):
        assert f"{command.split()[-1]} {Path(place)}: " in refused(*command.split(), place)


@pytest.mark.parametrize("place", ["runs/anything/else", RR, f"{OUTSIDE}/new", f"{OUTSIDE}/a/b", "new", "src.new"])
def test_a_record_may_lie_among_records_and_elsewhere(project: Path, place: str) -> None:
    places.check_folder("--out", Path(place), KIND, places.RUNS)


def test_records_may_lie_behind_a_link_that_leads_to_where_other_places_are(project: Path) -> None:
    Path("disk").mkdir()
    Path("features").rename("disk/features")
    Path("runs").rename("disk/runs")
    Path("features").symlink_to("disk")
    Path("runs").symlink_to("disk/runs")
    places.check_folder("--out", Path("runs/new"), KIND, places.RUNS)
    refused("run", "--method", "hardest", "--dataset", "tiny", "--out", "features/new")
