"""``bench runs``: records are listed, chosen and removed."""

import json
from pathlib import Path
from typing import Any

import pytest

from boards import record, save
from commands import Done, bench
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.external import External, Member
from negbench.benchmark.training import checkpoint

MINE = Protocol(name="mine", images=1000, captions=5000)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save(
        tmp_path / "runs",
        *(record("fne", seed, 40 + seed, memory=2048) for seed in range(3)),
        *(record("hardest", seed, 30 + seed) for seed in range(2)),
        record("fne", 0, 50, settings={"prior": 500.0}, learning_rate=0.001),
        record("semi-hard", 1, 35, dataset="mine", protocol=MINE),
    )


def listed(*words: str) -> list[dict[str, Any]]:
    done = bench("runs", *words, "--json")
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("", 7),
        ("method=fne", 4),
        ("method=fne memory=2048", 3),
        ("method=fne[prior=500.0]", 1),
        ("method=semi_hard", 1),
        ("method=fne,hardest seed=1-2", 3),
        ("seed=0,2 memory=2048", 2),
        ("dataset=mine", 1),
        ("learning_rate=1e-3", 1),
        ("status=failed", 0),
        ("learning-rate=0.001 memory=0", 1),
    ],
)
def test_words_choose(root: Path, where: str, count: int) -> None:
    assert len(listed("--where", where)) == count


def test_they_are_shown_with_what_they_are(root: Path) -> None:
    done = bench("runs", "--where", "method=fne memory=2048 seed=1")
    assert done.exit_code == 0
    assert "246.0" in done.stdout  # six recalls of 41
    assert "2,048" in done.stdout
    assert "1 of 7 records in runs" in done.stderr
    (cell,) = listed("--where", "method=fne memory=2048 seed=1")
    assert (cell["method"], cell["seed"], cell["status"], cell["rsum"]) == ("fne", 1, "done", 246.0)
    assert (Path(cell["folder"]) / "run.json").exists()


@pytest.mark.parametrize(
    ("where", "said"),
    [("methd=fne", "did you mean 'method'?"), ("fne", "write it as key=value"), ("settings=3", "--where")],
)
def test_words_that_are_none_are_refused(root: Path, where: str, said: str) -> None:
    done = bench("runs", "--where", where)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def remove(*words: str) -> Done:
    return bench("runs", *words, "--remove", "--yes")


def test_chosen_ones_are_removed_with_their_checkpoints_and_no_other(root: Path) -> None:
    kept = {cell["folder"] for cell in listed() if not cell["folder"].startswith("runs/f8k/hardest/")}
    (gone,) = listed("--where", "method=hardest seed=1")
    place = checkpoint.place(Path(gone["folder"]))
    place.mkdir(parents=True)
    (place / "checkpoint.json").write_text("{}")
    done = remove("--where", "method=hardest")
    assert done.exit_code == 0, done.stderr
    assert "removed 2 records" in done.stderr
    assert {cell["folder"] for cell in listed()} == kept
    assert not place.exists()
    assert not (root / "f8k" / "hardest").exists()


def test_nothing_is_removed_without_a_choice_or_a_yes(root: Path) -> None:
    assert "say which with --where" in remove().stderr
    done = bench("runs", "--where", "method=fne", "--remove")
    assert (done.exit_code, "--yes removes without asking" in done.stderr) == (2, True)
    assert len(listed()) == 7


def test_a_file_of_a_person_stops_it_all(root: Path) -> None:
    cells = listed("--where", "method=fne memory=2048")
    (Path(cells[-1]["folder"]) / "notes.txt").write_text("mine")
    done = remove("--where", "method=fne memory=2048")
    assert (done.exit_code, done.stderr.count("holds 'notes.txt'")) == (2, 1)
    assert len(listed()) == 7


def test_a_link_to_elsewhere_is_not_followed(root: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "elsewhere", record("random", 0, 20))
    (root / "linked").symlink_to(other / "f8k")
    done = remove("--where", "method=random")
    assert (done.exit_code, "remove it there" in done.stderr) == (2, True)
    assert len(listed("--where", "method=random")) == 1


def test_an_ensemble_goes_with_its_member(root: Path) -> None:
    first, second = (record("fne", seed, 40 + seed, memory=2048) for seed in (0, 1))
    members = tuple(Member(method_id="fne", seed=each.seed, config_hash=each.config_hash) for each in (first, second))
    external = External(method="both", dataset="f8k", seed=0, given="ensemble", members=members)
    both = first.model_copy(
        update={
            "config": None,
            "external": external,
            "method_id": external.method_id,
            "config_hash": external.hash,
            "recipe_hash": external.recipe_hash,
            "features_hash": "",
            "cost": None,
        }
    )
    folder = root / "f8k" / "both" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(both.model_dump_json(exclude={"files"}))
    (folder / "ranks.npz").write_bytes((root / "f8k/fne/0/ranks.npz").read_bytes())
    before = len(listed())
    done = remove("--where", "method=fne memory=2048 seed=1")
    assert done.exit_code == 0, done.stderr
    if before == 8:  # it could be read
        assert "an ensemble of them goes too: runs/f8k/both/seed-0" in done.stderr
        assert len(listed()) == 6
