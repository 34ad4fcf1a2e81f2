"""Pictures for papers: formats, a width, no heading; all that is written in them can be read, and is inside them."""

import os
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from commands import bench, bench_process
from negbench import methods
from negbench.benchmark.reports.plots.canvas import styled
from negbench.benchmark.reports.plots.lettering import fold, width_of
from negbench.benchmark.reports.plots.page import Page
from negbench.benchmark.reports.plots.selection import Wanted
from test_plots_rows import record, save
from test_plots_similarities import drawn as drawn_run

WIDTHS = (3.3, 7.0, None)
LONG = "a-method-of-a-name-that-is-as-long-as-names-may-be[with=settings,of=7]"
MANY = [*methods.names(), "guest", "fne[prior=5]", LONG]
"""Fifty."""


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def some_rows(number: int, *datasets: str) -> Wanted:
    """Rows of one seed, spread as those of a real table are: most of them close together."""
    stream = np.random.default_rng(0)
    for dataset, method in product(datasets, MANY[-number:]):
        rsum, pushed = stream.normal(400, 20), stream.uniform(1, 9)
        name, _, rest = method.partition("[")
        settings = dict(part.split("=") for part in rest[:-1].split(",") if part)
        cell = record("hardest", dataset, rsum=rsum, pushed=pushed)
        assert cell.config is not None
        config = cell.config.model_copy(update={"method": name, "settings": settings})
        hashes = {"config_hash": config.hash, "method_id": config.method_id}
        save(cell.model_copy(update={"config": config} | hashes))
    return Wanted(Path("runs"), datasets)


def inside(figure: Figure) -> None:
    """Every text and legend is in the picture, as it will be written, and none is smaller than 6 points."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    hidden = {label for axes in figure.axes for label in labels_of_no_tick(axes)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text not in hidden]
    boxes = [(str(text), Text.get_window_extent(text)) for text in texts if text.get_text().strip()]
    boxes += [("legend", legend.get_window_extent()) for legend in figure.legends]
    frame = figure.bbox
    for what, box in boxes:
        assert frame.x0 - 0.5 <= box.x0 < box.x1 <= frame.x1 + 0.5, (what, box.extents, frame.extents)
        assert frame.y0 - 0.5 <= box.y0 < box.y1 <= frame.y1 + 0.5, (what, box.extents, frame.extents)
    assert min(float(text.get_fontsize()) for text in texts) >= 6


def labels_of_no_tick(axes: Axes) -> Iterator[Artist]:
    """Those of ticks beyond the ends of an axis, which are not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not axes.axison or not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)
        if not axes.axison:
            yield from (axis.label, axis.offsetText)


def own_names(figure: Figure) -> set[str]:
    """Of methods, beside what they name or in a legend, whatever lines they are broken into."""
    texts = [text for axes in figure.axes for text in (*axes.texts, axes.title)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    return {text.get_text().replace("\n", "") for text in texts}


@pytest.mark.parametrize("rows", [1, 3, 12, 50])
@pytest.mark.parametrize("name", ["curves", "picks", "cost", "ambiguity"])
def test_all_that_is_written_is_inside_whatever_the_width(name: str, rows: int) -> None:
    picture = import_module(f"negbench.benchmark.reports.plots.{name}")
    question = some_rows(rows, *("easy", "hard")[: 1 + (name == "ambiguity")])
    (subject,) = picture.subjects(question)
    for width, headed in zip(WIDTHS, (True, False, True), strict=True):
        page = Page(width, headed)
        with styled(page):
            figure = picture.draw(subject, Wanted(page=page)).figure
            inside(figure)
        assert width is None or figure.get_figwidth() == width
        assert bool(figure.get_suptitle()) == headed
        assert len(own_names(figure) - {"warm-up", "uniform draw", ""}) >= rows


@pytest.mark.parametrize("epochs", [(2,), (2, 5), (1, 2, 3, 4, 5, 6, 7), ()], ids=str)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_picture_of_a_run_is_whole(tmp_path: Path, epochs: tuple[int, ...], width: float | None) -> None:
    page = Page(width)
    with styled(page):
        figure = drawn_run(tmp_path, epochs, 8, page)
        inside(figure)
    (legend,) = figure.legends
    boxes = [axes.get_tightbbox() for axes in figure.axes if axes.axison]
    assert legend.get_window_extent().y1 <= min(box.y0 for box in boxes if box is not None)
    assert len({axes.get_ylim() for axes in figure.axes if axes.axison}) == 2  # densities and weights
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len([title for title in titles if title]) == len(epochs or range(4))


@pytest.mark.parametrize("inches", [0.3, 1.0, 4.0])
def test_folded_text_is_all_there_and_no_line_is_too_wide(inches: float) -> None:
    text = f"not shown: {LONG}, fne[prior=10,000] (no audit)"
    lines = fold(text, inches, 8)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(width_of(line, 8) <= inches for line in lines)
    assert fold("one two", 9, 8) == ["one two"]


def test_formats_are_those_asked_for_and_the_bytes_are_the_same_in_any_process() -> None:
    some_rows(3, "easy")
    words = ("plot", "cost", "--format", "pdf,svg", "--format", "pdf", "--width", "3.3", "--no-title")
    assert bench(*words).stdout.split() == ["plots/cost-easy.pdf", "plots/cost-easy.svg"]
    assert {path.suffix for path in Path("plots").iterdir()} == {".pdf", ".svg"}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"}
        done = bench_process(*words, "--out", seed, env=environment)
        assert done.exit_code == 0, done.output
        for path in Path("plots").iterdir():
            assert Path(seed, path.name).read_bytes() == path.read_bytes(), path
    pdf = Path("plots/cost-easy.pdf").read_bytes()
    assert b"/CreationDate" not in pdf
    assert b"/Subtype /TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    (wide,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert float(wide) == pytest.approx(3.3 * 72, abs=0.1)


@pytest.mark.parametrize(
    "words, told",
    [
        (["--format", "pfd"], "unknown format 'pfd'; did you mean 'pdf'?"),
        (["--format", "png,"], "unknown format ''"),
        (["--width", "0.2"], "--width 0.2: give inches from 2 to 40"),
        (["--width", "nan"], "--width nan: give inches from 2 to 40"),
        (["--width", "wide"], "--width: expected a number, got 'wide'"),
    ],
)
def test_a_format_or_width_that_there_is_not_is_one_line(words: list[str], told: str) -> None:
    some_rows(1, "easy")
    code, _, err = bench("plot", "cost", *words)
    assert (code, len(err.splitlines())) == (2, 1)
    assert told in err
    assert not Path("plots").exists()
