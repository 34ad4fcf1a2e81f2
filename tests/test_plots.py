"""Pictures: what is drawn is what is recorded; the same records give the same bytes."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import bench
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.plots import PICTURES
from negbench.benchmark.reports.plots.curves import curve
from negbench.benchmark.reports.plots.labels import spread
from negbench.benchmark.reports.plots.scatter import place
from negbench.benchmark.reports.plots.selection import Wanted, tables
from negbench.benchmark.results.values import PUSHED
from negbench.benchmark.sweeps import cell
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

Tiny = tuple[Manifest, FeatureStore]


@pytest.fixture
def recorded(tiny: Tiny) -> Path:
    """Records of two methods and two seeds on ``tiny``, whose truth is known, in ``runs/``."""
    for method in ("fne", "info-nce"):
        for seed in (0, 1):
            config = RunConfig(
                method=method, dataset="tiny", encoder="made+up", seed=seed, epochs=3, batch=16, memory=8, dim=8
            )
            cell.run(config, Path("runs") / "tiny" / method / f"seed-{seed}", *tiny, Watcher())
    return Path("runs")


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
    st.floats(0.1, 20),
)
def test_spread_keeps_order_gap_and_ends(wanted: list[float], gap: float) -> None:
    places = spread(wanted, gap, 0, 100)
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    step = min(gap, 100 / max(len(wanted) - 1, 1))
    in_order = [places[k] for k in order]
    assert all(b - a >= step - 1e-6 for a, b in itertools.pairwise(in_order))
    assert in_order[0] >= -1e-6
    assert in_order[-1] <= 100 + 1e-6
    if all(wanted[b] - wanted[a] >= gap for a, b in itertools.pairwise(order)):
        assert places == pytest.approx(wanted)  # nothing touches: nothing moves


def test_a_curve_is_mean_and_extremes_as_far_as_all_seeds_go() -> None:
    found = curve([[1.0, 2.0, 9.0], [3.0, 6.0]])
    assert (found.mean, found.low, found.high) == ([2.0, 4.0], [1.0, 2.0], [3.0, 6.0])


def test_a_place_is_the_row_of_the_leaderboard(recorded: Path) -> None:
    (table,) = tables(Wanted(recorded))
    (row,) = (one.row for one in table.series if one.row.method == "fne")
    found = place(row, PUSHED, "rsum")
    records = [json.loads((recorded / f"tiny/fne/seed-{seed}/run.json").read_text()) for seed in (0, 1)]
    rsums = [record["metrics"]["rsum"] for record in records]
    shares = []
    for audit in (record["audit"] for record in records):
        push = {way: audit[f"pushed_{way}"] * audit[f"pushed_{way}_judged"] for way in ("i2t", "t2i")}
        shares.append(100 * sum(push.values()) / (audit["pushed_i2t_judged"] + audit["pushed_t2i_judged"]))
    assert found is not None
    assert found.x.mean == pytest.approx(sum(shares) / 2)
    assert found.y.mean == pytest.approx(sum(rsums) / 2)
    assert found.y.std == pytest.approx(abs(rsums[0] - rsums[1]) / 2**0.5)
    assert place(row, "nothing", "rsum") is None


def test_pictures_are_drawn_and_the_same_every_time(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("negbench.benchmark.results.records.BUSY", 0.0)  # whatever else runs here
    for name in ("curves", "similarities", "picks", "reach", "cost"):
        code, out, err = bench("plot", name, "--out", "first")
        assert code == 0, err
        assert out.split() == [f"first/{name}-tiny.png", f"first/{name}-tiny.svg"]
        assert bench("plot", name, "--out", "second")[0] == 0
        for kind in ("png", "svg"):
            file = f"{name}-tiny.{kind}"
            assert Path("first", file).read_bytes() == Path("second", file).read_bytes(), file
    drawn = Path("first", "picks-tiny.svg").read_text()
    assert "fne" in drawn
    assert "info-nce" in drawn
    assert "date" not in drawn.lower().replace("validate", "")


def test_one_run_and_its_epochs(recorded: Path) -> None:
    run = str(recorded / "tiny/fne/seed-1")
    code, out, _ = bench("plot", "similarities", "--run", run, "--epoch", "3")
    assert (code, len(out.split())) == (0, 2)
    code, _, err = bench("plot", "similarities", "--run", run, "--epoch", "4")
    assert (code, "--epoch 4: the run has epochs 1 to 3" in err) == (2, True)
    (recorded / "tiny/fne/seed-1/similarities.npz").unlink()
    code, _, err = bench("plot", "similarities", "--run", run)
    assert code == 3
    assert "similarities.npz: missing" in err


@pytest.mark.parametrize(
    "words, code, told",
    [
        (["curve"], 2, "did you mean 'curves'?"),
        (["ambiguity", "--dataset", "tiny"], 2, "ambiguity needs several datasets"),
        (["ambiguity", "--dataset", "tiny", "--dataset", "other"], 3, "no recipe was run on all of"),
        (["curves", "--dataset", "other"], 3, "no records on other"),
        (["curves", "--method", "hardest"], 3, "no records of hardest"),
        (["curves", "--run", "runs"], 2, "--run and --epoch are for the picture of one run"),
        (["similarities", "--run", "nowhere"], 3, "--run nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(recorded: Path, words: list[str], code: int, told: str) -> None:
    found, _, err = bench("plot", *words)
    assert found == code
    assert told in " ".join(err.split())
    assert "Traceback" not in err
    assert not Path("plots").exists()


def test_every_picture_has_a_line_that_says_what_it_shows() -> None:
    folder = Path(__file__).parents[1] / "benchmark" / "reports" / "plots"
    for name, about in PICTURES.items():
        assert (folder / f"{name}.py").exists()
        assert 20 < len(about) < 110
