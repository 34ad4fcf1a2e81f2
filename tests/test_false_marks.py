"""A method that is unstable is no other method: its trainings are seldom marked against each other."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import Done, bench
from negbench.benchmark.evaluation.metrics import metrics
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.evaluation.ranks import Ranks
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.comparison_words import explain
from negbench.benchmark.results import integrity
from negbench.benchmark.results.compare import compare
from negbench.benchmark.results.false_marks import rates
from negbench.benchmark.results.leaderboard import load
from negbench.benchmark.results.marks import METRICS, pair, parts_of_rsum
from negbench.benchmark.results.ranks_file import write_ranks
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.results.rows import Key, RowChoice, rows_of

IMAGES, CAPTIONS = 60, 120
SWINGS = [0.0, 0.9, -0.7, 0.5, -0.4, 0.8, -0.9, 0.3, -0.2, 0.6]
"""How much easier each training of an unstable method finds every query."""
Save = Callable[[str, list[float]], None]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a record per seed of a method: the same images, ranks lower by what the seed's training gained."""

    def saved(method: str, skills: list[float]) -> None:
        images = np.random.default_rng(0).normal(size=IMAGES)
        for seed, skill in enumerate(skills):
            noise = np.random.default_rng([seed, *method.encode()])
            sides = [images, np.resize(images, CAPTIONS)]
            logs = [1.5 + 0.8 * (side - skill + noise.normal(0, 0.6, len(side))) for side in sides]
            ranks = Ranks(*(torch.from_numpy(np.ceil(np.exp(log))).float() for log in logs))
            config = RunConfig(method=method, dataset="toy", encoder="e", seed=seed, memory=0)
            folder = tmp_path / "runs" / "toy" / method / f"seed-{seed}"
            folder.mkdir(parents=True)
            owners = [f"im{k % IMAGES}" for k in range(CAPTIONS)]
            digest = write_ranks(
                folder / "ranks.npz",
                ranks,
                [f"im{k}" for k in range(IMAGES)],
                [f"c{k}" for k in range(CAPTIONS)],
                owners,
            )
            record = RunRecord(
                status="done",
                method_id=method,
                config=config,
                config_hash=config.hash,
                recipe_hash=config.recipe_hash,
                manifest_hash="1" * 32,
                features_hash="2" * 32,
                protocol=Protocol(name="toy", images=IMAGES, captions=CAPTIONS),
                metrics=metrics(ranks),
                ranks_sha256=digest,
            )
            (folder / "run.json").write_text(record.model_dump_json(exclude={"files"}))

    return saved


def bench_runs(tmp_path: Path, *words: str) -> Done:
    return bench(*words, "--runs", str(tmp_path / "runs"))


def test_an_instability_is_no_mark(tmp_path: Path, save: Save) -> None:
    """The seeds' mean is ahead on these images, beyond all doubt; another training may well be behind."""
    save("fne", [1.5, 0.9, -0.3])
    save("hardest", [0.0, 0.1, -0.1])
    (group,) = load(tmp_path / "runs").groups
    mark = next(row.mark for row in group.rows if row.mark)
    assert mark.p_holm < 0.001
    assert mark.p_both_holm > 0.05
    assert not mark.significant
    found = compare(RowChoice("fne"), RowChoice("hardest"), root=tmp_path / "runs")
    assert not found.lines[-1].significant
    images, _, over_both = explain(found)
    assert "fne (in batch) stands" in images
    assert "more than the choice of test images explains" in images
    assert over_both.startswith("The lead is no more than trainings and test images together explain (p = 0.")


def test_a_steady_lead_is_a_mark(tmp_path: Path, save: Save) -> None:
    save("fne", [0.9, 1.0, 1.1])
    save("hardest", [0.0, 0.1, -0.1])
    (group,) = load(tmp_path / "runs").groups
    assert [row.mark.significant for row in group.rows if row.mark] == [True]
    found = compare(RowChoice("fne"), RowChoice("hardest"), root=tmp_path / "runs")
    assert "fne (in batch) beats hardest (in batch)" in explain(found)[0]


def test_two_seeds_are_too_few_for_both(tmp_path: Path, save: Save) -> None:
    save("fne", [0.9, 1.0])
    save("hardest", [0.0, 0.1])
    found = compare(RowChoice("fne"), RowChoice("hardest"), root=tmp_path / "runs")
    assert found.lines[-1].p_both is None
    assert not any(line.significant for line in found.lines)
    assert explain(found)[2] == "Whether new trainings on new images would agree takes 3 common seeds to say."
    assert " – " in bench_runs(tmp_path, "compare", "fne", "hardest").stdout


def test_what_the_images_of_one_side_add_up_to(tmp_path: Path, save: Save) -> None:
    save("fne", SWINGS[:3])
    save("hardest", [0.0] * 3)
    rows = rows_of(integrity.survey(tmp_path / "runs")[0])
    fne, hardest = rows[Key("fne", 0, None)], rows[Key("hardest", 0, None)]
    both = pair(fne, hardest).parts_by_seed[:, :, METRICS.index("rsum")]
    assert parts_of_rsum(fne) - parts_of_rsum(hardest) == pytest.approx(both)
    assert parts_of_rsum(fne).sum(axis=1) == pytest.approx([fne[seed].record.metrics["rsum"] for seed in range(3)])


def test_splits_of_an_unstable_method(tmp_path: Path, save: Save) -> None:
    save("hardest", SWINGS)
    save("sum", [0.0] * 6)
    unstable, wide, stable = rates(tmp_path / "runs", splits=150)
    assert [(each.row.method, each.side, each.seeds) for each in (unstable, wide, stable)] == [
        ("hardest", 3, 10), ("hardest", 5, 10), ("sum", 3, 6),
    ]  # fmt: skip
    assert unstable.mark <= unstable.both < 0.2 < 0.5 < unstable.images  # of ten seeds: the splits are much alike
    assert stable.mark <= 0.1
    assert rates(tmp_path / "runs", splits=150) == [unstable, wide, stable]


def test_the_command(tmp_path: Path, save: Save) -> None:
    save("hardest", SWINGS)
    shown = bench_runs(tmp_path, "false-marks", "--side", "3", "--splits", "20")
    assert shown.exit_code == 0
    assert "hardest (in batch)" in shown.stdout
    (row,) = json.loads(bench_runs(tmp_path, "false-marks", "--side", "5", "--splits", "20", "--json").stdout)
    assert (row["row"]["method"], row["side"], row["seeds"], row["splits"]) == ("hardest", 5, 10, 20)
    few = bench_runs(tmp_path, "false-marks", "--side", "6")
    assert few.exit_code == 3
    assert "has 12 seeds or more, which two groups of 6 need" in few.stderr
    assert bench_runs(tmp_path, "false-marks", "--side", "2").exit_code == 2
