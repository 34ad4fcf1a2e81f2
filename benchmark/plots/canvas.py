"""What all pictures share: the look, colours and forms per series, and files that are the same every time.

Colours by Okabe and Ito, told apart by the colour-blind; forms differ too, for grey print.
"""

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

from benchmark.plots.selection import Series

BLUE, ORANGE, GREEN, VERMILLION, GREY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676", "#000000"
COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#B07800", "#3C8DBC", BLACK)
"""Okabe and Ito's, the light ones darker so that text in them can be read."""
MARKERS = "osD^vPXd"
LINES = ("-", "--", "-.", ":")
STYLE: Any = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "#404040",
    "ytick.color": "#404040",
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "svg.hashsalt": "negbench",  # or else the names inside change with every file
}


@dataclass(frozen=True)
class Form:
    """How a series is drawn: colour and marker are its method's, the line its memory's."""

    colour: str
    marker: str
    line: str
    filled: bool
    """In the batch; hollow with a memory."""

    @property
    def face(self) -> str:
        return self.colour if self.filled else "white"


def forms(series: Sequence[Series]) -> list[Form]:
    """The same method has the same colour in every picture of the same methods."""
    methods = sorted({one.key[0] for one in series})
    memories = sorted({one.key[1:] for one in series}, key=lambda key: (key[0], key[1] or 0.0))
    return [
        Form(
            COLOURS[methods.index(one.key[0]) % len(COLOURS)],
            MARKERS[methods.index(one.key[0]) % len(MARKERS)],
            LINES[memories.index(one.key[1:]) % len(LINES)],
            one.key[1] == 0,
        )
        for one in series
    ]


@contextmanager
def styled() -> Iterator[None]:
    """The suite's look, whatever the user's own matplotlibrc says."""
    with matplotlib.style.context("default"), rc_context(STYLE):
        yield


def heading(figure: Figure, first: str, *more: str) -> None:
    """What the numbers are of, small, above the picture."""
    lines = [line for line in (first, *more) if line]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8, color="#404040", linespacing=1.4)


def grid(axes: Axes) -> None:
    axes.grid(lw=0.8)
    axes.tick_params(length=3)


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path.png`` and ``path.svg``."""
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in files:
        write(figure, file)
    return files


def write(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG in one step; the same bytes for the same picture, as no date and no version stands in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        picture = Path(scratch) / path.name
        figure.savefig(picture, dpi=150, metadata=metadata)
        picture.replace(path)
