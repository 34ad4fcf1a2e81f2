"""What a command is told to write goes where nothing else is kept: no source, record, dataset or project file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import bench
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports import destinations
from negbench.benchmark.results.records import KIND, RUNS, RunRecord
from negbench.benchmark.training import checkpoint
from negbench.pipelines import sources
from negbench.pipelines.encoding import How
from negbench.pipelines.errors import RequestError
from negbench.pipelines.features import Maker
from negbench.pipelines.manifest import Manifest
from recorded import write_record

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
    Path("params.yaml").write_text("datasets: []\n")
    Path("link").symlink_to("src")
    Path("pics.link").symlink_to("src/pics/0.jpg")
    Path("../far").mkdir(exist_ok=True)
    Path("src/far").symlink_to(Path("../far").resolve())
    sources.write("my", sources.Source(format="table", path="src", encoder="hog+ngrams"))
    config = RunConfig(method="hardest", dataset="tiny", encoder="made+up", epochs=2)
    protocol = Protocol(name="tiny", images=10, captions=30)
    hashes: dict[str, Any] = {"config_hash": config.hash, "recipe_hash": config.recipe_hash}
    hashes |= {"manifest_hash": "0", "features_hash": "0"}
    record = RunRecord(status="done", method_id=config.method_id, config=config, protocol=protocol, **hashes)
    for folder in (RR, f"{OUTSIDE}/record"):
        write_record(Path(folder), record)
    Path(OUTSIDE, "record", "notes.txt").write_text("mine")
    yield Path.cwd()
    os.chdir("..")


def everything() -> dict[str, bytes | None]:
    """All here and beside, with the bytes of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path("..").rglob("*")}


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
        destinations.check_file("--output", Path(place))
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
    words = ["run", "--method", "hardest", "--dataset", "tiny", "--encoder", "hog+ngrams", "--out"]
    for place in (*INSIDE, "runs"):
        assert f"--out {Path(place)}: " in refused(*words, place)
    for place in (".", "/"):
        assert "is not a run record that bench may replace; name another place" in refused(*words, place)


@pytest.mark.parametrize(
    "command", ["leaderboard --folder", "plot curves --out", "report --out", "speed --data --scale coco --folder"]
)
def test_no_folder_of_results_is_made_inside_what_is_kept(project: Path, command: str) -> None:
    for place in (*INSIDE, "runs", "runs/x", RR, ".git"):
        assert f"{command.split()[-1]} {Path(place)}: " in refused(*command.split(), place)


@pytest.mark.parametrize("place", ["runs/anything/else", RR, f"{OUTSIDE}/new", f"{OUTSIDE}/a/b", "new", "src.new"])
def test_a_record_may_lie_among_records_and_elsewhere(project: Path, place: str) -> None:
    destinations.check_folder("--out", Path(place), KIND, RUNS)


def test_records_may_lie_behind_a_link_that_leads_to_where_other_places_are(project: Path) -> None:
    Path("disk").mkdir()
    Path("features").rename("disk/features")
    Path("runs").rename("disk/runs")
    Path("features").symlink_to("disk")
    Path("runs").symlink_to("disk/runs")
    destinations.check_folder("--out", Path("runs/new"), KIND, RUNS)
    words = ["run", "--method", "hardest", "--dataset", "tiny", "--encoder", "hog+ngrams"]
    assert "features is the project's own" in refused(*words, "--out", "features/new")


# What is left beside a record


def test_a_lock_beside_a_record_is_gone_afterwards(project: Path) -> None:
    folder = project.parent / "out" / "rec"
    with checkpoint.alone(folder, print):
        assert [path.name for path in folder.parent.iterdir()] == [".rec.lock"]
    with pytest.raises(RuntimeError), checkpoint.alone(folder, print):
        raise RuntimeError
    assert list(folder.parent.iterdir()) == []
    with checkpoint.alone(Path(RR), print):
        pass
    assert list(Path(".bench/locks").iterdir())


COUNTER = """
import sys
from pathlib import Path
from negbench.pipelines.locks import alone
for _ in range(200):
    with alone(Path("lock"), lambda holder: None, stays=False):
        number = int(Path("number").read_text())
        Path("number").write_text(str(number + 1))
"""


def test_a_lock_that_is_removed_keeps_all_others_out(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    running = [subprocess.Popen([sys.executable, "-c", COUNTER], cwd=tmp_path) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert (tmp_path / "number").read_text() == "800"
    assert not (tmp_path / "lock").exists()


# Links to another dataset, and sources among our own


@pytest.mark.parametrize(
    ("link", "to"),
    [
        *(("data/foo", "my"), ("features/foo", "tiny"), ("data/foo", "../raw/my"), ("data/foo", "../features/tiny")),
        *(("data/foo.yaml", "my.yaml"), ("features/foo", "tiny/made+up")),
    ],
)
@pytest.mark.parametrize("words", ["--format scenes --replace", "--precomp ../plain --replace"])
def test_no_link_makes_one_dataset_another(project: Path, link: str, to: str, words: str) -> None:
    Path("../plain").mkdir()
    Path(link).symlink_to(to)
    assert Path(link).exists()
    before = everything()
    code, _, err = bench("data", "add", "foo", *words.split())
    assert code == 2
    assert f"{link} leads to " in err
    assert {name: data for name, data in everything().items() if ".bench" not in name} == before


def test_features_are_not_made_through_a_link_to_others(project: Path) -> None:
    sources.write("foo", sources.read("tiny"))
    Path("data/foo").mkdir()
    manifest = Manifest.read(Path("data/tiny"))
    replace(manifest, name="foo").write(Path("data/foo"))
    Path("features/foo").mkdir()
    Path("features/foo/hog+ngrams").symlink_to("../tiny/made+up")
    maker = Maker(replace(manifest, name="foo"), sources.read("foo"), "hog+ngrams", How(), "float32")
    before = everything()
    with pytest.raises(RequestError, match=r"features/foo/hog\+ngrams leads to features/tiny of dataset 'tiny'"):
        maker.make(lambda *_: None, print, force=True)
    assert everything() == before


def test_a_folder_of_one_s_own_elsewhere_may_be_linked(project: Path) -> None:
    Path("../disk").mkdir()
    Path("data/foo").symlink_to("../../disk")
    sources.check_apart("foo", Path("../plain"), "--from ../plain")


def test_no_source_lies_in_the_suite_s_own_features(project: Path) -> None:
    Path("features/pc").mkdir()
    code, _, err = bench("data", "add", "z", "--precomp", "features/pc")
    assert code == 2
    assert err.startswith("error: --precomp features/pc: bench writes features/, so no source may lie in it")
