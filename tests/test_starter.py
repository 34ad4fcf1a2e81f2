"""A project without a clone: what ``bench init`` writes and leaves alone, and that an installed wheel works in it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands import bench, bench_process
from negbench.benchmark.cli.demo import TOUR
from negbench.benchmark.recipe import starter
from negbench.benchmark.recipe.params import check_params
from negbench.benchmark.results import records
from test_packaging import built

__all__ = ["built"]

ROOT = Path(__file__).parents[1]
SMALL = {
    "data/scenes.yaml": "format: scenes\nencoder: hog+ngrams\n"
    "settings: {seed: 0, train: 60, val: 20, test: 20, ambiguity: 0.5}\n",
    "params.yaml": "datasets: [scenes]\nencoders: {scenes: hog+ngrams}\nmethods: [hardest, fne]\nseeds: [0, 1, 2]\n"
    "recipe: {epochs: 2, batch: 32, memory: 0, dim: 8, hidden: 16}\nsettings: {}\n"
    "tune: {method: fne, dataset: scenes, trials: 2}\n",
}
"""Files of somebody's own project, which are kept."""


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return tmp_path / "empty"


def yaml(path: Path) -> dict[str, Any]:
    found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def begun(project: Path, files: dict[str, str] = SMALL) -> None:
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)


def files_of(project: Path) -> dict[str, str]:
    found = [path for path in project.rglob("*") if path.is_file() and not {".git", ".dvc"} & {*path.parts}]
    return {path.relative_to(project).as_posix(): path.read_text() for path in found}


def test_the_pipeline_is_the_repository_s_but_for_the_folders_of_code() -> None:
    ours, theirs = yaml(ROOT / "dvc.yaml"), yaml(starter.HERE / "pipeline.yaml")
    assert ours["stages"]["params"].pop("deps") == ["benchmark", "methods", "pipelines"]
    assert theirs["stages"]["params"].pop("always_changed") is True
    assert theirs == ours
    for name, source in (("pipelines/dvc.yaml", "study.yaml"), ("data/scenes.yaml", "scenes.yaml")):
        assert (starter.HERE / source).read_bytes() == (ROOT / name).read_bytes()
    ignored = (ROOT / ".gitignore").read_text().partition("# outputs")[2]
    assert (starter.HERE / "gitignore").read_text().partition("# outputs")[2] == ignored


def test_init_writes_a_project_that_is_good(empty: Path) -> None:
    done = bench("init")
    assert (done.exit_code, done.stdout) == (0, "")
    assert files_of(empty).keys() == starter.FILES.keys()
    assert check_params().datasets == ["scenes"]
    assert bench("params").exit_code == 0


def test_init_leaves_alone_what_is_there(empty: Path) -> None:
    begun(empty, {**SMALL, ".gitignore": "mine\n"})
    (empty / "dvc.yaml").symlink_to("nowhere")  # a link to nothing is somebody's, too
    done = bench("init")
    assert done.exit_code == 0
    assert "kept  params.yaml\nkept  dvc.yaml\nwrote pipelines/dvc.yaml\nkept  data/scenes.yaml\n" in done.stderr
    found = files_of(empty)
    assert {name: found[name] for name in SMALL} == SMALL
    assert found[".gitignore"] == "mine\n"
    assert (empty / "dvc.yaml").is_symlink()
    before = files_of(empty)
    assert bench("init", ".").exit_code == 0
    assert files_of(empty) == before


def test_init_makes_a_folder_and_repositories(empty: Path) -> None:
    done = bench("init", "new/project", "--git", "--dvc")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[-3:-1] == ["git: made", "DVC: made"]
    project = empty / "new/project"
    assert (project / ".dvc/config").read_text() == starter.DVC_CONFIG
    assert (project / ".dvcignore").read_text() == (starter.HERE / "dvcignore").read_text()
    again = bench("init", "new/project", "--git", "--dvc")
    assert again.stderr.splitlines()[-3:-1] == ["git: there already", "DVC: there already"]
    for name, how in (("below", [".git"]), ("../alone", [])):  # in a repository of git, and in none
        assert bench("init", f"new/project/{name}", "--dvc").exit_code == 0
        assert (project / name / ".dvc/config").is_file()
        assert [path for path in how if (project / name / path).exists()] == []


def test_init_writes_nothing_where_it_cannot(empty: Path) -> None:
    (empty / "data").write_text("a file")
    done = bench("init")
    assert (done.exit_code, done.stderr) == (2, "error: data: not a folder\n")
    assert [path.name for path in empty.iterdir()] == ["data"]
    done = bench("init", "data")
    assert (done.exit_code, done.stderr) == (2, "error: data: not a folder\n")


def test_init_without_git_says_so(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty))
    done = bench("init", "--git")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == "error: git is not installed; leave --git out"


def test_the_demo_shows_its_commands_and_ends_where_one_fails(empty: Path) -> None:
    begun(empty, {"params.yaml": "recipe: {epoch: 1}\n"})
    done = bench_process("demo", cwd=empty)
    assert done.exit_code == 2
    asked = [line.removeprefix("$ bench ") for line in done.stderr.splitlines() if line.startswith("$ ")]
    assert asked == [words for _, words in TOUR][: len(asked)]
    assert done.stderr.splitlines()[-1].startswith("error: params.yaml: recipe: unknown key 'epoch'")


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> dict[str, str]:
    """Surroundings of a fresh environment with the wheel in it; what the wheel requires is that of this one."""
    pytest.importorskip("pip")
    place = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (wheel,) = built.glob("*.whl")
    command = [sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    packages.joinpath("others.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    (place / "bin/dvc").write_text(f'#!/bin/sh\nexec {place}/bin/python -P -m dvc "$@"\n')
    (place / "bin/dvc").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GIT_"))}
    return {**kept, "PATH": f"{place / 'bin'}:{os.defpath}"}


def ran(words: str, cwd: Path, env: dict[str, str]) -> str:
    """What a command of the fresh environment prints."""
    done = subprocess.run(words, shell=True, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_fresh_environment_has_a_leaderboard_after_three_commands(installed: dict[str, str], empty: Path) -> None:
    begun(empty)
    ran("bench init --git --dvc", empty, installed)
    where = ran("python -P -c 'import negbench; print(negbench.__file__)'", empty, installed)
    assert where.startswith(str(empty.parent / "fresh"))
    ran("dvc repro", empty, installed)
    assert "fne" in ran("bench leaderboard --baseline hardest", empty, installed)
    assert {path.parent.parent.name for path in empty.glob("runs/**/run.json")} == {"hardest", "fne"}
    assert records.read(empty / "runs/scenes/fne/seed-0").commit is None
    again = ran("dvc repro", empty, installed)  # the digests are the same, and nothing else runs
    assert [line for line in again.splitlines() if line.startswith("Running stage")] == ["Running stage 'params':"]
    assert not ran("git status --porcelain --ignored -- runs features data/scenes", empty, installed).startswith("?")


@pytest.mark.slow
def test_the_demo_of_an_installed_wheel_ends_with_a_leaderboard(installed: dict[str, str], empty: Path) -> None:
    begun(empty)
    said = ran("bench demo", empty, installed)
    assert all(f"$ bench {words}" in said for _, words in TOUR)
    assert "No significance marks" not in said
    assert len([*empty.glob("runs/**/run.json")]) == 6
