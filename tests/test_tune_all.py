"""Studies of many methods by one rule: ``bench tune --all``, tuned rows, and what tuning gained."""

import csv
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from boards import record, save
from commands import bench, bench_process
from negbench.benchmark.recipe.flags import resolve
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.gains import gains
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.results.significance import t_interval
from negbench.benchmark.sweeps.search_space import space_of
from negbench.benchmark.sweeps.studies import Budget, folder_of
from negbench.benchmark.sweeps.tune_all import Rule, plan
from negbench.benchmark.training.trainer import rate_at
from negbench.methods.base import Choice, Range
from test_tuning import Scripted, Tiny, scripted, search, task_of  # noqa: F401  # a fixture among them

SMALL = ["--epochs", "3", "--set", "batch=32", "--set", "hidden=8", "--set", "dim=8", "--memory", "0,64"]
FOUND = {"margin": 0.3, "rate_factor": 2.0}


def test_the_factor_of_a_method_leaves_the_warm_up_alone() -> None:
    config = RunConfig(method="fne", dataset="tiny", encoder="made+up", epochs=4, warmup_epochs=1)
    faster = config.model_copy(update={"rate_factor": 3.0})
    rates, others = ([rate_at(each, step, 10) for step in range(40)] for each in (config, faster))
    assert others[:10] == rates[:10]
    assert others[10:] == pytest.approx([3 * rate for rate in rates[10:]])
    assert (faster.hash, faster.recipe_hash) != (config.hash, config.recipe_hash)
    assert faster.recipe_hash == config.recipe_hash  # so that the two share a table


def test_a_tuned_row_is_called_by_its_settings_and_stands_beside_its_defaults(tmp_path: Path) -> None:
    own: dict[str, Any] = {"settings": {"margin": 0.3}, "rate_factor": 2.0, "tuned": True}
    save(
        tmp_path,
        *(record("fne", seed, 30 + seed) for seed in (1, 2, 3)),
        *(record("fne", seed, 32 + 2 * seed, **own) for seed in (1, 2, 3)),
    )
    done = bench("leaderboard", "--runs", str(tmp_path), "--baseline", "fne", "--format", "json")
    rows = json.loads(done.stdout)
    assert len(rows) == 2
    tuned = next(row["method"] for row in rows if row["method"] != "fne")
    assert tuned.startswith("fne[tuned-")
    assert "margin 0.3, rate_factor 2" in bench("leaderboard", "--runs", str(tmp_path)).output
    other = record("fne", 1, 30.0, **own | {"rate_factor": 2.5})
    assert other.method_id != tuned


def cells(recalls: dict[int, float], **own: Any) -> list[RunRecord]:
    return [record("fne", seed, recall, validation={"rsum": 5 * recall}, **own) for seed, recall in recalls.items()]


def test_gains_are_paired_by_seed() -> None:
    own: dict[str, Any] = {"settings": {"margin": 0.3}, "rate_factor": 2.0, "tuned": True}
    records = [*cells({1: 30, 2: 31, 3: 35}), *cells({1: 31, 2: 33, 4: 90}, **own), *cells({1: 40}, memory=4096)]
    first, second = gains(records)
    assert (first.memory, first.n, first.default, first.tuned, first.gain) == (0, 2, 6 * 30.5, 6 * 32, 9.0)
    assert (first.low, first.high) == t_interval([6, 12])
    assert first.low is not None
    assert first.low < 0 < 9 < (first.high or 0)
    assert (first.validation_gain, first.found) == (7.5, FOUND)
    assert (second.memory, second.default, second.tuned, second.gain, second.low) == (4096, 240, None, None, None)


def test_several_seeds_of_a_trial_count_by_their_mean(tiny: Tiny, scripted: Scripted) -> None:  # noqa: F811
    task = task_of(tiny)
    one = search(task, 3)
    many = type(task)(task.config, task.space, task.manifest_hash, task.store, None, trial_seeds=3)
    three = search(many, 3, fresh=2)
    assert many.name != task.name
    assert [row.rsum for row in three.rows] == [pytest.approx((row.rsum or 0) + fmean((0, 1, 2))) for row in one.rows]
    assert [run.seed for run in three.default.fresh] == [3, 4]
    assert three.rows[0].epochs == task.config.epochs


def test_every_method_has_the_same_budget_and_the_same_fresh_seeds() -> None:
    rule = Rule("tiny", 5, Budget(7, trial_seeds=2, fresh_seeds=3), ("epochs=3",))
    studies = plan(["hardest", "fne"], [0, None], rule)
    assert [(study.method, study.memory) for study in studies] == [
        ("hardest", 0),
        ("fne", 0),
        ("hardest", None),
        ("fne", None),
    ]
    assert {*rule.fresh_seeds} == {7, 8, 9}
    words = " ".join(studies[0].command)
    assert "--trials 7 --seed 5 --trial-seeds 2 --fresh-seeds 0 --memory 0 --set epochs=3" in words


def test_trackers_are_told_of_what_is_recorded_not_of_trials(small_project: Path) -> None:
    (study,) = plan(["hardest"], [0], Rule("small", 0, Budget(2, fresh_seeds=2)))
    folder = folder_of(study.config)
    folder.mkdir(parents=True)
    (folder / "study.json").write_text('{"best_is_default": false}')
    (folder / "best.json").write_text('{"method": "hardest", "settings": {}}')
    cells = study.cells(("mlflow", "wandb"))
    assert len(cells) == 4
    assert all(" ".join(cell.command).endswith(" --track mlflow --track wandb") for cell in cells)
    assert "--track" not in study.command


def test_all_tunes_records_and_says_what_was_gained(small_project: Path) -> None:
    words = ["tune", "--all", "--methods", "hardest,siglip", "--dataset", "small", "--trials", "3", "--jobs", "2"]
    done = bench_process(*words, "--fresh-seeds", "2", *SMALL)
    assert done.exit_code == 0, done.stderr
    assert {path.parent.name for path in Path("studies/small").glob("*/study.json")} == {
        "hardest+memory=0",
        "hardest+memory=64",
        "siglip+memory=0",
        "siglip+memory=64",
    }
    lines = list(csv.DictReader(Path("studies/small/gains.csv").read_text().splitlines()))
    assert [(line["memory"], line["n"]) for line in lines] == [("0", "2"), ("0", "2"), ("64", "2"), ("64", "2")]
    assert any(float(line["tuned"] or 0) for line in lines)
    records = [json.loads(path.read_text()) for path in Path("runs/small").rglob("seed-[12]/run.json")]
    assert {each["config"]["tuned"] for each in records} == {True, False}
    for line in lines:
        folder = Path("studies/small", f"{line['method']}+memory={line['memory']}")
        study = json.loads((folder / "study.json").read_text())
        assert study["trials"]["complete"] + study["trials"]["pruned"] == 3
        assert (line["tuned"] == "") == study["best_is_default"]
        if not study["best_is_default"]:
            best = resolve({"dataset": "small"}, file=folder / "best.json").own
            assert line["found"] == " ".join(f"{key}={value}" for key, value in sorted(best.items()))
    again = bench_process(*words, "--fresh-seeds", "2", *SMALL)
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert {each["created"] for each in records} == {
        json.loads(path.read_text())["created"] for path in Path("runs/small").rglob("seed-[12]/run.json")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--all", "--method", "fne"), "use --methods"),
        (("--methods", "fne"), "--methods and several memories go with --all"),
        (("--method", "fne", "--memory", "0,64"), "go with --all"),
        (("--method", "fne", "--track", "wandb"), "and a single study makes none; use --all"),
        (("--all", "--track", "wandbb"), "did you mean 'wandb'?"),
        (("--all", "--methods", "fnee"), "did you mean 'fne'?"),
        (("--all", "--memory", "some"), "some is not a list of numbers"),
        (("--all", "--set", "dropout=0.1", "--search", "dropout=0.1,0.2"), "--search dropout: --set holds it"),
    ],
)
def test_wrong_words_are_told_before_anything_runs(small_project: Path, words: tuple[str, ...], message: str) -> None:
    done = bench("tune", "--dataset", "small", *words)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not Path("studies").exists()


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("learning_rate=1e-4:1e-2:log", "learning_rate", Range(1e-4, 1e-2, log=True)),
        ("batch=64:256", "batch", Range(64, 256)),
        ("batch=64,128", "batch", Choice((64, 128))),
        ("schedule=steps,cosine", "schedule", Choice(("steps", "cosine"))),
        ("margin=0.1:0.3", "margin", Range(0.1, 0.3)),
        ("text.layers=1,2", "text.layers", Choice((1, 2))),
    ],
)
def test_keys_of_the_recipe_and_of_towers_can_be_searched(word: str, name: str, expected: Range | Choice) -> None:
    config = RunConfig(method="fne", dataset="tiny", encoder="made+up", text_tower="bigru")
    space = space_of(config, asked=[word])
    assert space[name] == expected
    assert "rate_factor" in space
    values = expected.options if isinstance(expected, Choice) else (expected.low, expected.high)
    assert any(config.with_found({name: value}) != config for value in values)
    assert config.with_found({}) == config


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("learning_rate", "write it as key=low:high"),
        ("learning_rte=1e-4:1e-2", "did you mean 'learning_rate'?"),
        ("learning_rate=1e-2:1e-4", "low below high"),
        ("learning_rate=0:1e-2:log", "all is above 0"),
        ("learning_rate=1e-3:1e-2", "the first trial has the default, 0.0005"),
        ("batch=64,256", "the first trial has the default, 128"),
        ("dropout=0:2", "dropout"),
        ("image.depth=1,2", "image.depth"),
        ("learning_rate=1e-4:1e-2:lin", "low below high"),
    ],
)
def test_what_cannot_be_searched_is_told_in_a_line(small_project: Path, word: str, said: str) -> None:
    done = bench("tune", "--method", "fne", "--dataset", "small", "--search", word)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert not Path("studies").exists()


def test_a_study_of_recipe_keys_is_a_configuration(small_project: Path) -> None:
    words = ["--epochs", "3", "--set", "batch=32", "--set", "hidden=8", "--set", "dim=8", "--memory", "0"]
    searched = ["--search", "learning_rate=1e-4:1e-1:log", "--search", "schedule=steps,cosine"]
    done = bench(
        "tune", "--method", "siglip", "--dataset", "small", "--trials", "4", "--fresh-seeds", "0", *words, *searched
    )
    assert done.exit_code == 0, done.stderr
    folder = Path("studies/small/siglip+memory=0")
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert (float(rows[0]["learning_rate"]), rows[0]["schedule"]) == (5e-4, "steps")
    assert len({row["learning_rate"] for row in rows}) == 4
    best = max(rows, key=lambda row: float(row["rsum"] or 0) * (row["state"] == "complete"))
    config = resolve({"dataset": "small"}, file=folder / "best.json")
    assert (config.learning_rate, config.schedule) == (float(best["learning_rate"]), best["schedule"])


def test_who_lacks_a_tuned_row_is_told_what_makes_one(small_project: Path) -> None:
    done = bench("leaderboard", "--dataset", "small", "--baseline", "fne[tuned-3fa2]")
    assert done.exit_code == 2
    assert done.stderr.endswith("make some with: bench tune --all --methods fne --dataset small\n")
