"""Pictures of records written by hand: every row is drawn where it stands, or named as one that is not."""

import os
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.path import Path as Line
from matplotlib.text import Text

from commands import bench
from negbench import methods
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.plots import ambiguity
from negbench.benchmark.reports.plots import looks as method_looks
from negbench.benchmark.reports.plots.canvas import Drawn
from negbench.benchmark.reports.plots.looks import LOOKS, OTHERS, forms, looks
from negbench.benchmark.reports.plots.scatter import Spot, cross, name_points, scatter
from negbench.benchmark.reports.plots.selection import Wanted
from negbench.benchmark.reports.table_names import table_names
from negbench.benchmark.results.leaderboard import load
from negbench.benchmark.results.records import Cost, RunRecord
from negbench.benchmark.results.rows import Stat
from recorded import write_record

REACH = {"effective": 3.0, "hardness": -0.1}
"""Of what a record pushes."""


def record(method: str, dataset: str, seed: int = 0, **changes: Any) -> RunRecord:
    """A cell whose true rSum is ``rsum``, and whose push is ``pushed`` percent false in both directions."""
    rsum, pushed = changes.pop("rsum", 300.0), changes.pop("pushed", 10.0)
    config = RunConfig(
        method=method, dataset=dataset, encoder="made+up", seed=seed, epochs=3, memory=changes.pop("memory", 0)
    )
    parts = {"": pushed / 100, "_low": 0.0, "_high": 1.0, "_base": 0.01, "_judged": 50.0, "_anchors": 80.0}
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
        "audit": {f"pushed_{way}{part}": value for way in ("i2t", "t2i") for part, value in parts.items()}
        | {f"{name}_{way}": value for way in ("i2t", "t2i") for name, value in REACH.items()},
        "cost": Cost(wall_s=60, step_ms=12, product_ms=8, peak_mb=500),
    }
    if changes.get("status") == "failed":
        values |= {"metrics": {}, "audit": {}, "cost": None}
    return RunRecord(**values | changes)


def save(*records: RunRecord) -> Path:
    for each in records:
        assert each.config is not None
        folder = Path("runs", each.dataset, f"{each.method_id}+{each.config.memory}", f"seed-{each.seed}")
        write_record(folder, each)
        (folder / "history.csv").write_text("epoch,val_rsum\n1,100.0\n2,200.0\n")
    return Path("runs")


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def texts(figure: Figure) -> str:
    """All that is written outside and inside the axes."""
    own = [figure.get_suptitle()]
    for axes in figure.axes:
        own += [axes.get_title(), *(text.get_text() for text in axes.texts)]
    return "\n".join(own)


@pytest.mark.parametrize("name", ["picks", "reach", "curves", "cost"])
def test_a_row_of_the_warm_up_s_weights_says_so_and_one_seed_has_no_deviation(name: str) -> None:
    runs = save(record("fne", "easy", best_epoch=0), record("hardest", "easy", best_epoch=2))
    picture = import_module(f"negbench.benchmark.reports.plots.{name}")
    (table,) = picture.subjects(Wanted(runs))
    said = texts(picture.draw(table, Wanted(runs)).figure)
    assert "fne (warm-up's weights)" in said
    assert "hardest (" not in said
    assert "deviation over seeds" not in said
    assert "lowest to highest" not in said


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
    code, out, err = bench("plot", *AMBIGUITY)
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
    question = Wanted(save(*two), ("easy", "hard"))
    (family,) = ambiguity.subjects(question)
    figure = ambiguity.draw(family, question).figure
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["fne", "hardest", "sum", "random"]
    drawn = {
        name: [
            (np.asarray(line.get_xdata())[0], np.asarray(line.get_ydata())[0])
            for line in axes.lines
            if line.get_marker() != "None"
        ]
        for name, axes in panels.items()
    }
    assert drawn["hardest"] == [(1.0, 501.0), (21.0, 382.0)]
    assert drawn["sum"] == [(10.0, 480.0)]  # alone, and still there
    assert [text.get_text() for text in panels["sum"].texts] == ["no hard"]
    assert [text.get_text() for text in panels["hardest"].texts] == ["n = 3"]


def test_ambiguity_says_under_what_it_was_measured(two: list[RunRecord]) -> None:
    question = Wanted(save(*two), ("easy", "hard"))
    (family,) = ambiguity.subjects(question)
    told = " ".join(ambiguity.draw(family, question).figure.get_suptitle().split())
    assert "easy (500 images, 2,500 captions) → hard (500 images, 2,500 captions)" in told
    assert "encoder made+up · 3 epochs · batch 128 · seeds 0–2" in told


def test_ambiguity_without_known_truth_is_refused(two: list[RunRecord]) -> None:
    save(*(each.model_copy(update={"audit": {}}) for each in two))
    code, _, err = bench("plot", *AMBIGUITY)
    assert (code, "the truth must be known" in err) == (3, True)
    assert not Path("plots").exists()


def drawn(name: str, root: Path) -> Drawn:
    picture = import_module(f"negbench.benchmark.reports.plots.{name}")
    question = Wanted(root)
    (subject,) = picture.subjects(question)
    found = picture.draw(subject, question)
    assert isinstance(found, Drawn)
    return found


@pytest.mark.parametrize("name", ["picks", "reach", "cost", "curves"])
def test_the_number_of_seeds_is_told(name: str) -> None:
    some = [record(method, "easy", seed) for method in ("hardest", "fne", "sum") for seed in (0, 1)]
    told = texts(drawn(name, save(*some)).figure)
    assert "n = 2 ·" in told
    assert told.count("n = ") == 1  # equal for all: once
    save(record("fne", "easy", 2), record("sum", "easy", memory=64))
    lines = texts(drawn(name, Path("runs")).figure).splitlines()
    assert any("n = 2 where no other stands" in line for line in lines)
    assert {"fne (n = 3)", "sum +64 (n = 1)", "hardest", "sum"} <= set(lines)


@pytest.mark.parametrize("name", ["picks", "reach", "cost", "curves"])
def test_a_row_with_a_failed_seed_is_not_drawn_but_named(name: str) -> None:
    save(*(record(method, "easy", seed) for method in ("hardest", "fne") for seed in (0, 1)))
    save(record("fne", "easy", 2, status="failed", error="OSError: no"), record("sct", "easy", status="collapsed"))
    found = drawn(name, Path("runs"))
    assert found.missing == ["fne (a seed failed)"]
    told = texts(found.figure).splitlines()
    assert "not shown: fne (a seed failed)" in told
    assert {"hardest", "sct (collapsed, n = 1)"} <= set(told)
    assert "fne" not in told
    code, _, err = bench("plot", name)
    assert (code, "not drawn: easy: fne (a seed failed)" in err) == (0, True)


def test_a_row_without_an_audit_is_named() -> None:
    save(record("hardest", "easy"), record("debiased", "easy", audit={}))
    assert drawn("picks", Path("runs")).missing == ["debiased (no audit)"]


@pytest.mark.parametrize("name", ["picks", "reach", "cost", "curves"])
def test_where_every_row_has_a_failed_seed_nothing_is_drawn(name: str) -> None:
    save(record("fne", "easy"), record("fne", "easy", 1, status="failed", error="OSError: no"))
    code, _, err = bench("plot", name)
    assert (code, "easy: " in err) == (3, True)
    assert not Path("plots").exists()


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_are_clear_of_crosses_points_and_each_other(scale: str) -> None:
    spots = [Spot(Stat(x, 4.0 if x < 20 else None), Stat(y, 3.0)) for x, y in product((3.0, 15.0, 30.0), (10, 14, 30))]
    names = [f"method-{number} +2,048" for number in range(len(spots))]
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    some = forms([(name, 0) for name in names])
    scatter(axes, spots, some)
    axes.set_xscale(scale)
    name_points(axes, spots, names, some)
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    assert set(boxes) == set(names)
    for name, box in boxes.items():
        for spot in spots:
            for bar in cross(axes, spot):
                assert not Line(axes.transData.transform(bar)).intersects_bbox(box, filled=False), name
            assert not box.contains(*axes.transData.transform((spot.x.mean, spot.y.mean))), name
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name), name


def test_a_method_looks_the_same_in_every_picture() -> None:
    assert set(LOOKS) <= set(methods.names())  # none that is gone
    for name in ("hardest", "fne", "somebody-else's", "fne[tau_false=5]"):
        alone, with_memory = forms([(name, 0), (name, 2048)])
        assert (alone.colour, alone.marker, alone.line) == (with_memory.colour, with_memory.marker, with_memory.line)
        assert alone.face != with_memory.face
    save(record("hardest", "easy"), record("fne", "easy"), record("fne", "other"), record("sum", "other", rsum=400))
    for name, dataset in product(("picks", "reach", "cost", "curves"), ("easy", "other")):
        picture = import_module(f"negbench.benchmark.reports.plots.{name}")
        question = Wanted(Path("runs"), (dataset,))
        (table,) = picture.subjects(question)
        (axes, *_) = picture.draw(table, question).figure.axes
        (colour,) = {text.get_color() for text in axes.texts if text.get_text() == "fne"}
        drawn = {(line.get_color(), line.get_markeredgecolor(), line.get_marker()) for line in axes.lines}
        assert colour == LOOKS["fne"].colour
        assert any(colour in each and LOOKS["fne"].marker in each for each in drawn)


def test_no_two_methods_share_colour_and_marker_whoever_else_is_there() -> None:
    """All that are registered; in one picture with them, as many of other packages and with settings of their own."""
    own = looks(methods.names())
    assert len({(look.colour, look.marker) for look in own.values()}) == len(own) >= 47
    others = [f"fne[prior={number}]" for number in range(len(OTHERS) - 5)] + [f"guest-{number}" for number in range(5)]
    together = looks([*methods.names(), *others])
    assert len({(look.colour, look.marker) for look in together.values()}) == len(own) + len(others)
    assert {name: together[name] for name in own} == own
    assert looks([*others, *methods.names()][::-1]) == together
    crowd = looks([f"guest-{number}" for number in range(4 * len(OTHERS))])  # by colour, marker and line
    assert len({*crowd.values()}) == len(crowd)


def test_an_installed_method_of_another_package_has_one_look_in_all_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    guests = [f"guest-{number}" for number in range(20)]
    alone = [looks([name])[name] for name in guests]
    assert len({(look.colour, look.marker) for look in alone}) < len(guests)  # by the name alone some are alike
    monkeypatch.setattr(method_looks, "registered", lambda: [*methods.names(), *guests])
    together = looks(guests)
    assert all(looks([name])[name] == together[name] for name in guests)
    assert len({(look.colour, look.marker) for look in (together[name] for name in guests)}) == len(guests)


@pytest.mark.parametrize("kind", ["cut off", "pipe"])
def test_a_record_without_a_history_is_left_out_of_the_curves(kind: str) -> None:
    save(record("hardest", "easy"), record("hardest", "easy", 1), record("fne", "easy"))
    (broken,) = Path("runs").glob("easy/hardest+0/seed-1/history.csv")
    broken.unlink()
    if kind == "pipe":
        os.mkfifo(broken)
    else:
        broken.write_text("epoch,val_")
    figure = drawn("curves", Path("runs"))
    assert [line.split(":")[0] for line in figure.missing if "/" in line] == [str(broken)]
    assert "fne" in texts(figure.figure)
    for path in Path("runs").rglob("history.csv"):
        path.unlink()
    assert bench("plot", "curves")[0] == 3


def test_tables_that_differ_in_anything_have_names_of_their_own() -> None:
    """The same recipe on other features, and held against another threshold: a picture and a key for each."""
    first = record("hardest", "easy")
    harder = first.about.model_copy(update={"seed": 1, "crowd_match": 0.9})
    changed = {"config": harder, "config_hash": harder.hash, "recipe_hash": harder.recipe_hash}
    save(first, first.model_copy(update=changed))
    write_record(Path("runs/other/seed-0"), record("hardest", "easy", features_hash="f2"))
    groups = load(Path("runs")).groups
    names = table_names(groups)
    start = f"easy-{first.recipe_hash}"
    assert len({*names}) == len(groups) == 3
    assert all(name.startswith(f"{start}-{group.features_hash[:8]}") for name, group in zip(names, groups, strict=True))
    assert [name[-8:] for name in names if "0.6-" in name] == ["-0.6-0.5", "-0.6-0.9"]
    assert table_names(groups[:1]) == ["easy"]
    done = bench("plot", "cost")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.split()) == 2 * 3
