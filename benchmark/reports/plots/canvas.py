"""What all pictures share: the style, the heading, and files that are the same every time."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from negbench.benchmark.reports.plots.lettering import fold, points
from negbench.benchmark.reports.plots.looks import GREY
from negbench.benchmark.reports.plots.page import SCREEN, Page
from negbench.pipelines.text import short

NO_DATE: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What a file says of itself by format: no date and no version, so that it is the same every time."""
STYLE: Any = {
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "#404040",
    "ytick.color": "#404040",
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "svg.hashsalt": "negbench",  # or else the names inside change with every file
    "pdf.fonttype": 42,  # whole TrueType fonts, as publishers ask for
    "text.parse_math": False,  # a dollar sign in a name is one
}


@dataclass(frozen=True)
class Drawn:
    """A picture, and what is told beside it."""

    figure: Figure
    missing: list[str]
    """What it does not show, and why: a line each."""
    table: str = ""
    """Its figures in Markdown, where they are too many to read off."""


@contextmanager
def styled(page: Page = SCREEN) -> Iterator[None]:
    """The suite's look, whatever the user's own matplotlibrc says."""
    sizes: Any = dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), page.font)
    with matplotlib.style.context("default"), rc_context(STYLE | sizes | {"figure.dpi": page.dpi}):
        yield


def heading(figure: Figure, page: Page, *lines: str, missing: Sequence[str] = ()) -> None:
    """What the numbers are of and what is not shown, small, above the picture, which grows by it.

    Lines are as long as the picture is wide. Nothing where the page has no heading.
    """
    if not page.headed:
        return
    size, room = points(8), 0.97 * figure.get_figwidth() - INDENT
    told = [*filter(None, lines), *(f"not shown: {line}" for line in missing)]
    parts = ["\n    ".join(fold(short(line, LONGEST), room, size)) for line in told]
    text = "\n".join(parts)
    figure.suptitle(text, x=0.01, ha="left", fontsize=size, color="#404040", linespacing=SPACING)
    figure.set_figheight(figure.get_figheight() + (text.count("\n") + 1) * SPACING * size / 72)


INDENT = 0.2
"""Inches, of what follows the first line of a sentence in a heading."""
SPACING = 1.4
LONGEST = 2000
"""Characters of a line of a heading, before it is broken."""


def grid(axes: Axes) -> None:
    axes.grid(lw=0.8)
    axes.tick_params(length=3)


def save(figure: Figure, path: Path, formats: Sequence[str], dpi: int) -> list[Path]:
    """Write ``path.png`` and the like, one for each format."""
    files = [path.with_name(f"{path.name}.{kind}") for kind in formats]
    for file in files:
        write(figure, file, dpi)
    return files


def write(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a picture in one step, in the format of its ending; the same bytes for the same picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        picture = Path(scratch) / path.name
        figure.savefig(picture, dpi=dpi, metadata=NO_DATE[path.suffix[1:]])
        picture.replace(path)
