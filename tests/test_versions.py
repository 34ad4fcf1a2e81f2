"""DVC versions a project: a second clone pulls the same numbers, and a changed caption runs again what it decides."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from negbench.pipelines.files import read_yaml

ROOT = Path(__file__).parents[1]
COPIED = ("benchmark", "methods", "pipelines", "src", "dvc.yaml", "params.yaml", ".gitignore", ".dvcignore")
RECIPE = {"epochs": 2, "batch": 16, "memory": 0, "dim": 8}


def run(folder: Path, *words: str) -> str:
    """A command as a person types it; its stdout."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(paths), "GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1"}
    env["PYTHONPATH"] = str(folder / "src")  # the code is that of the folder
    if words[0] == "dvc":
        words = (sys.executable, "-m", *words)
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "--quiet", "-m", message)


def facts(folder: Path) -> dict[str, object]:
    """Hashes of manifests and features as their files state them, and the leaderboard."""
    hashes = {
        path.relative_to(folder).as_posix(): json.loads(path.read_text())["hash"]
        for pattern in ("data/*/dataset.json", "features/*/*/features.json")
        for path in folder.glob(pattern)
    }
    return {**hashes, "board": json.loads(run(folder, "bench", "leaderboard", "--format", "json"))}


def written(folder: Path, pattern: str) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.glob(pattern)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two small datasets, ``scenes`` and ``my`` (from an archive), run once, committed and pushed."""
    folder = tmp_path_factory.mktemp("versions") / "first"
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        skip = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skip, symlinks=True)  # src/ links to the folders beside it
        else:
            shutil.copy(source, folder / name)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params.update({"methods": ["hardest", "random+memory=8"], "seeds": [0]})
    params["recipe"].update(RECIPE)
    yaml.dump(params, folder / "params.yaml")
    (folder / "data").mkdir()
    scenes = {"format": "scenes", "encoder": "hog+ngrams", "settings": {"seed": 0, "train": 40, "val": 10, "test": 10}}
    yaml.dump(scenes, folder / "data" / "scenes.yaml")
    plain = folder.parent / "plain"
    plain.mkdir()
    for part, images in (("train", 40), ("dev", 10), ("test", 10)):
        np.save(plain / f"{part}_ims.npy", np.random.default_rng(images).normal(size=(images, 6)).astype(np.float32))
        (plain / f"{part}_caps.txt").write_text("".join(f"the {part} caption {k}\n" for k in range(images)))
    archive = shutil.make_archive(str(folder.parent / "my"), "zip", plain)
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "init", "--quiet")
    run(folder, "dvc", "remote", "add", "--default", "store", str(folder.parent / "store"))
    run(folder, "bench", "data", "add", "my", "--from", archive)
    for name in ("my", "scenes"):
        run(folder, "bench", "features", "--dataset", name)
    run(folder, "bench", "sweep", "--methods", "hardest,random+memory=8,sum", "--datasets", "my,scenes", "--seeds", "1")
    assert running(run(folder, "dvc", "repro")) == {"leaderboard"}  # all else was made by the commands above
    assert running(run(folder, "dvc", "repro")) == set()
    commit(folder, "Run all")
    run(folder, "dvc", "push", "--quiet", *targets(folder))
    return folder


def running(said: str) -> set[str]:
    """Stages that DVC ran."""
    return set(re.findall(r"Running stage '([^']+)'", said))


def targets(folder: Path) -> list[str]:
    """What to push and pull: all by name, for DVC alone may leave ``raw/`` behind."""
    return ["dvc.yaml", *run(folder, "git", "ls-files", "*.dvc").split()]


def test_git_holds_no_data(project: Path) -> None:
    tracked = run(project, "git", "ls-files").split()
    assert {"dvc.lock", "data/my.yaml", "raw/my.dvc", "params.yaml", ".dvc/config"} <= set(tracked)
    assert not [name for name in tracked if name.endswith((".npy", ".parquet", ".safetensors", "_caps.txt"))]


def test_a_second_clone_pulls_the_same_numbers(project: Path) -> None:
    second = project.parent / "second"
    run(project.parent, "git", "clone", "--quiet", str(project), str(second))
    assert not list(second.glob("runs/**/run.json"))
    run(second, "dvc", "pull", "--allow-missing", *targets(second))
    assert facts(second) == facts(project)
    assert [name for name in targets(second) if "/own/" in name]
    assert json.loads(run(second, "dvc", "status", "--json", *targets(second))) == {}
    # nothing is encoded or trained again, and what was unpacked is there to encode in another way
    before = written(second, "runs/**/run.json") | written(second, "features/**/features.json")
    run(second, "bench", "run", "--dataset", "my", "--method", "hardest")
    assert running(run(second, "dvc", "repro")) == set()
    assert written(second, "runs/**/run.json") | written(second, "features/**/features.json") == before
    assert json.loads(run(second, "bench", "data", "check", "my", "--json"))["errors"] == []


def test_what_dvc_does_not_know_of_is_found_and_not_made_again(project: Path) -> None:
    """As after a kill before a commit. And a record of one's own serves the stage that comes to list its cell."""
    third = project.parent / "third"
    shutil.copytree(project, third, symlinks=True)
    (third / "dvc.lock").unlink()
    params = third / "params.yaml"
    params.write_text(params.read_text().replace("  - hardest\n", "  - hardest\n  - sum\n"))
    before = written(third, "runs/**/run.json") | written(third, "features/my/**/*")
    said = run(third, "dvc", "repro", "run@my-sum-0")
    assert running(said) == {"params", "features@my", "run@my-sum-0"}  # DVC has the manifest in its run cache
    (own,) = third.glob("runs/my/own/*/seed-0/run.json")
    listed = third / "runs/my/sum/seed-0/run.json"
    assert listed.read_bytes() == own.read_bytes()
    after = written(third, "runs/**/run.json") | written(third, "features/my/**/*")
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"runs/my/sum/seed-0/run.json"}


def test_the_plots_are_those_of_every_dataset(project: Path) -> None:
    assert read_yaml(project / "dvc.yaml")["plots"] == ["leaderboard/plots"]
    drawn = {path.name for path in (project / "leaderboard" / "plots").iterdir()}
    assert {f"curves-{name}.png" for name in ("my", "scenes")} <= drawn
    assert {path.partition(".")[2] for path in drawn} == {"png"}


def test_the_manifest_s_hash_travels_to_the_end(project: Path) -> None:
    for name in ("my", "scenes"):
        manifest = json.loads((project / f"data/{name}/dataset.json").read_text())["hash"]
        pointer = json.loads((project / f"features/{name}.json").read_text())
        store = json.loads((project / f"features/{name}/{pointer['encoder']}/features.json").read_text())
        record = json.loads((project / f"runs/{name}/hardest/seed-0/run.json").read_text())
        assert {pointer["manifest"], store["manifest"], record["manifest_hash"]} == {manifest}
        assert {pointer["hash"], store["hash"]} == {record["features_hash"]}


def test_code_runs_again_what_it_decides_and_nothing_else(project: Path) -> None:
    """``bench params`` looks at the code; nothing else runs for a docstring, or for a file that no stage needs."""
    method = project / "methods" / "random.py"
    before = method.read_text()
    (project / "pipelines" / "encoders" / "x.py").write_text('"""An encoder."""\n')
    method.write_text(before.replace('"""', '"""Well: ', 1))
    assert running(run(project, "dvc", "repro")) == {"params"}
    method.write_text(before + "\n\nMORE = 1\n")
    cells = {f"run@{name}-random+memory=8-0" for name in ("my", "scenes")}
    assert running(run(project, "dvc", "repro")) == {"params", *cells, "leaderboard"}


def test_a_changed_caption_runs_again_only_what_depends_on_it(project: Path) -> None:
    """Last: it changes the project."""
    others = ("data/scenes/*", "features/scenes/**/*", "runs/scenes/**/*")
    before = {pattern: written(project, pattern) for pattern in others}
    hashes = facts(project)
    captions = project / "raw" / "my" / "train_caps.txt"
    lines = captions.read_text().splitlines()
    captions.unlink()  # DVC may have linked it
    captions.write_text("\n".join([*lines[:3], "another caption", *lines[4:]]) + "\n")
    run(project, "bench", "data", "add", "my", "--from", "raw/my", "--replace")
    run(project, "dvc", "repro", "--quiet")
    assert {pattern: written(project, pattern) for pattern in others} == before
    after = facts(project)
    changed = {key for key in hashes if key != "board" and hashes[key] != after[key]}
    assert changed == {"data/my/dataset.json", "features/my/precomputed+ngrams/features.json"}
