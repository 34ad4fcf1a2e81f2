"""``bench data diff``: what changed in a dataset since a git revision, in words."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import bench
from negbench.pipelines.diff import changes
from negbench.pipelines.manifest import Manifest, table

DVC = [sys.executable, "-m", "dvc"]
PIPELINE = (
    "stages:\n  prepare:\n    foreach: ${encoders}\n    do:\n      cmd: bench data prepare ${key}\n"
    "      deps:\n        - data/${key}.yaml\n      outs:\n        - data/${key}\n"
)
OLD = Manifest(
    "my",
    table(
        "images", [(i, s, f"{i}.jpg", -1, i) for i, s in zip("abcdef", ["train"] * 4 + ["val", "test"], strict=True)]
    ),
    table("captions", [(f"{i}#{k}", i, f"text {k} of {i}") for i in "abcdef" for k in range(2)]),
    table("judgements", [("e", "f#0", 0.5, "crowd"), ("f", "e#0", 1.0, "crowd")]),
)


def told(new: Manifest) -> list[str]:
    return [f"{one.count} {one.table} {one.what}: {', '.join(one.examples)}" for one in changes(OLD, new)]


def test_nothing_changed() -> None:
    assert changes(OLD, OLD) == []


def test_every_kind_of_change() -> None:
    images = OLD.images.copy()
    images.loc[0, "split"] = "test"  # a moves
    images.loc[1, "content"] = "other"  # b is another picture
    images.loc[2, "file"] = "new/c.jpg"
    images.loc[3, "image_id"] = "g"  # d goes, g comes
    captions = OLD.captions.copy()
    captions.loc[0, "text"] = "another text"
    captions.loc[1, "image_id"] = "b"
    captions = captions[captions["image_id"] != "d"].reset_index(drop=True)
    judged = table("judgements", [("e", "f#0", 0.75, "crowd"), ("f", "e#1", 1.0, "expert")])
    assert told(replace(OLD, images=images, captions=captions, judgements=judged)) == [
        "1 images added in train: g",
        "1 images removed from train: d",
        "1 images moved from train to test: a",
        "1 images with other content: b",
        "1 images in another file, same content: c.jpg → new/c.jpg",
        "2 captions removed: d#0: 'text 0 of d', d#1: 'text 1 of d'",
        "1 captions with another text: a#0: 'text 0 of a' → 'another text'",
        "1 captions moved to another image: a#1: a → b",
        "1 judgements added: f with e#1 (expert)",
        "1 judgements removed: f with e#0 (crowd)",
        "1 judgements that say something else: e with f#0 (crowd): 0.50 → 0.75",
    ]


def test_another_order_alone_is_told() -> None:
    assert told(replace(OLD, images=OLD.images.iloc[::-1].reset_index(drop=True))) == [
        "6 images rows in another order, nothing else: "
    ]


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def commit() -> None:
    run("git", "add", "-A")
    run("git", "-c", "user.name=n", "-c", "user.email=n@n", "commit", "-q", "-m", "data")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git and DVC repository with dataset ``my`` in its first commit."""
    monkeypatch.chdir(tmp_path)
    run("git", "init", "-q")
    run(*DVC, "init", "--quiet")
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text("datasets: []\nencoders: {}\n")
    Path(".gitignore").write_text("/data/*/\n")
    Path("raw").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.random.default_rng(len(part)).normal(size=(4, 3)).astype(np.float32))
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(8)))
    assert "DVC tracks data/my" in bench("data", "add", "my", "--from", "raw").stderr
    commit()
    return tmp_path


def test_versions_of_a_dataset(project: Path) -> None:
    same = bench("data", "diff", "my")
    assert (same.exit_code, same.stdout[:21]) == (0, "my: the same as at HE"), same.output
    captions = Path("raw/train_caps.txt")
    captions.write_text(captions.read_text().replace("train caption 0\n", "a dog\n"))
    assert bench("data", "add", "my", "--from", "raw", "--replace").exit_code == 0
    commit()
    done = bench("data", "diff", "my", "HEAD~1")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1:] == [
        "1 caption with another text",
        "  train-0#0: 'train caption 0' → 'a dog'",
    ]
    (change,) = json.loads(bench("data", "diff", "my", "HEAD~1", "--json").stdout)["changes"]
    assert (change["table"], change["change"], change["count"]) == ("captions", "changed", 1)

    unknown = bench("data", "diff", "my", "nope")
    assert (unknown.exit_code, unknown.stderr[:36]) == (2, "error: unknown git revision 'nope'; ")
    assert bench("data", "add", "other", "--from", "raw").exit_code == 0
    uncommitted = bench("data", "diff", "other")
    assert uncommitted.exit_code == 2
    assert uncommitted.stderr.startswith("error: data/other is not recorded at HEAD: dvc.lock has no stage")
    absent = bench("data", "diff", "absent")
    assert (absent.exit_code, len(absent.stderr.splitlines())) == (3, 1)

    shutil.rmtree(".dvc/cache")
    gone = bench("data", "diff", "my", "HEAD~1")
    assert gone.exit_code == 3
    assert gone.stderr.startswith(
        "error: data/my of HEAD~1 is neither in DVC's cache nor in its remote; run: dvc fetch"
    )
    assert len(gone.stderr.splitlines()) == 1


def test_without_git(project: Path) -> None:
    shutil.rmtree(".git")
    done = bench("data", "diff", "my")
    assert done.exit_code == 2
    assert done.stderr == "error: no git repository here: versions of data are those of its commits\n"
