"""Pictures of records written by hand: every row is drawn where it stands, or named as one that is not."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.config import RunConfig
from benchmark.plots import ambiguity
from benchmark.plots.selection import Question
from benchmark.records import Cost, Protocol, RunRecord

RUNNER = CliRunner()


def record(method: str, dataset: str, seed: int = 0, **changes: Any) -> RunRecord:
    """A cell whose true rSum is ``rsum``, and whose push is ``pushed`` percent false in both directions."""
    rsum, pushed = changes.pop("rsum", 300.0), changes.pop("pushed", 10.0)
    config = RunConfig(
        method=method, dataset=dataset, encoder="made+up", seed=seed, epochs=3, memory=changes.pop("memory", 0)
    )
    parts = {"": pushed / 100, "_low": 0.0, "_high": 1.0, "_base": 0.01, "_judged": 50.0}
    values: dict[str, Any] = {
        "status": "done",
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": "m1",
        "features_hash": "f1",
        "protocol": Protocol(name=dataset, images=500, captions=2500),
        "metrics": {"rsum": rsum - 20, "true_rsum": rsum},
        "audit": {f"pushed_{way}{part}": value for way in ("i2t", "t2i") for part, value in parts.items()},
        "cost": Cost(wall_s=60, step_ms=12, product_ms=8, peak_mb=500),
    }
    if changes.get("status") == "failed":
        values |= {"metrics": {}, "audit": {}, "cost": None}
    return RunRecord(**values | changes)


def save(*records: RunRecord) -> Path:
    for each in records:
        folder = Path("runs", each.config.dataset, f"{each.method_id}+{each.config.memory}", f"seed-{each.config.seed}")
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(each.model_dump_json())
        (folder / "history.csv").write_text("epoch,val_rsum\n1,100.0\n2,200.0\n")
    return Path("runs")


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bench(*words: str) -> tuple[int, str, str]:
    done = RUNNER.invoke(app, ["plot", *words])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def texts(figure: Figure) -> str:
    """All that is written outside and inside the axes."""
    own = [figure.get_suptitle()]
    for axes in figure.axes:
        own += [axes.get_title(), *(text.get_text() for text in axes.texts)]
    return "\n".join(own)


AMBIGUITY = ("ambiguity", "--dataset", "easy", "--dataset", "hard")


@pytest.fixture
def two() -> list[RunRecord]:
    """Two datasets. ``hardest`` has three seeds on both, ``sum`` is missing on ``hard``, ``random`` failed there."""
    seeds = (0, 1, 2)
    return [
        *(record("hardest", "easy", seed, rsum=500.0 + seed, pushed=1.0) for seed in seeds),
        *(record("hardest", "hard", seed, rsum=380.0 + 2 * seed, pushed=20.0 + seed) for seed in seeds),
        record("fne", "easy", rsum=490, memory=64),
        record("fne", "hard", rsum=400, memory=64, pushed=7.0),
        record("sum", "easy", rsum=480),
        *(record("random", name, seed, rsum=300) for name, seed in (("easy", 0), ("easy", 1), ("hard", 0))),
        record("random", "hard", 1, status="failed", error="OSError: no"),
    ]


def test_ambiguity_writes_its_figures_beside_the_picture(two: list[RunRecord]) -> None:
    save(*two)
    code, out, err = bench(*AMBIGUITY)
    assert (code, out.split()) == (0, [f"plots/ambiguity-easy-hard.{kind}" for kind in ("png", "svg", "md")])
    assert "on hard: sum (not run)" in err
    assert "on hard: random (a seed failed)" in err
    lines = Path("plots/ambiguity-easy-hard.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[2:] == [  # by true recall on the last dataset, those without it last
        ["`fne`", "64", "1", "10.0", "490.0", "7.0", "400.0"],
        ["`hardest`", "in batch", "3", "1.0 ±0.0", "501.0 ±1.0", "21.0 ±1.0", "382.0 ±2.0"],
        ["`sum`", "in batch", "1", "10.0", "480.0", "–", "–"],
        ["`random`", "in batch", "2, 1", "10.0 ±0.0", "300.0 ±0.0", "–", "–"],
    ]


def test_ambiguity_draws_what_there_is(two: list[RunRecord]) -> None:
    question = Question(save(*two), ("easy", "hard"))
    (family,) = ambiguity.subjects(question)
    figure = ambiguity.draw(family, question).figure
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["fne", "hardest", "sum", "random"]
    drawn = {
        name: [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() != "None"]
        for name, axes in panels.items()
    }
    assert drawn["hardest"] == [(1.0, 501.0), (21.0, 382.0)]
    assert drawn["sum"] == [(10.0, 480.0)]  # alone, and still there
    assert [text.get_text() for text in panels["sum"].texts] == ["no hard"]
    assert [text.get_text() for text in panels["hardest"].texts] == ["n = 3"]


def test_ambiguity_says_under_what_it_was_measured(two: list[RunRecord]) -> None:
    question = Question(save(*two), ("easy", "hard"))
    (family,) = ambiguity.subjects(question)
    told = " ".join(ambiguity.draw(family, question).figure.get_suptitle().split())
    assert "easy (500 images, 2,500 captions) → hard (500 images, 2,500 captions)" in told
    assert "encoder made+up · 3 epochs · batch 128 · seeds 0–2" in told


def test_ambiguity_without_known_truth_is_refused(two: list[RunRecord]) -> None:
    save(*(each.model_copy(update={"audit": {}}) for each in two))
    code, _, err = bench(*AMBIGUITY)
    assert (code, "the truth must be known" in err) == (3, True)
    assert not Path("plots").exists()
