"""What all pictures share: the look, colours and forms per series, and files that are the same every time.

Colours by Okabe and Ito, told apart by the colour-blind; forms differ too, for grey print.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from textwrap import wrap
from typing import Any
from zlib import crc32

import matplotlib.style
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from negbench.benchmark.reports.plots.selection import Series
from negbench.pipelines.text import short

BLUE, ORANGE, GREEN, VERMILLION, GREY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676", "#000000"
COLOURS = (BLUE, VERMILLION, GREEN, "#B85C90", "#A87200", "#3C8DBC", BLACK)
"""Okabe and Ito's, the light ones darker so that text in them can be read."""
MARKERS = "osD^vPXd"
LINES = ("-", "--", "-.", ":")
KINDS = (
    "hardest semi-hard positive-aware distance-weighted top-k softmax-sampled",  # one hard negative
    "fne fne-paper fne-info-nce",
    "info-nce multi-positive siglip momentum-distilled",
    "fnc-elimination fnc-attraction sacl gist glofnd",  # false negatives left out, or made targets
    "hcl debiased fnac dcmc",  # false negatives weighted down
    "selhn sct tags",  # the hardest, changed
    "random sum mean",  # every negative alike
)
"""Kinds of methods, a marker each, in the order of ``MARKERS``; those of a kind differ by colour and line."""
LOOKS = {
    name: (COLOURS[(kind + number) % len(COLOURS)], MARKERS[kind], LINES[number % len(LINES)])
    for kind, names in enumerate(KINDS)
    for number, name in enumerate(names.split())
}
EVERY = tuple(product(COLOURS, MARKERS, LINES))
"""What other methods choose from, by their name."""
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
    "text.parse_math": False,  # a dollar sign in a name is one
}


@dataclass(frozen=True)
class Form:
    """How a series is drawn: all but the filling is its method's."""

    colour: str
    marker: str
    line: str
    filled: bool
    """In the batch; hollow with a memory."""

    @property
    def face(self) -> str:
        return self.colour if self.filled else "white"


def forms(series: Iterable[Series]) -> list[Form]:
    return [form(one.row.method, one.row.memory) for one in series]


def form(method: str, memory: int) -> Form:
    """A method's colour, marker and line, the same in all pictures; those not in ``KINDS`` have one by their name.

    Args:
        method: method id.
        memory: its size; 0: in the batch.
    """
    colour, marker, line = LOOKS.get(method) or EVERY[crc32(method.encode(errors="replace")) % len(EVERY)]
    return Form(colour, marker, line, filled=not memory)


@dataclass(frozen=True)
class Drawn:
    """A picture, and what is told beside it."""

    figure: Figure
    missing: list[str]
    """What it does not show, and why: a line each."""
    table: str = ""
    """Its figures in Markdown, where they are too many to read off."""


@contextmanager
def styled() -> Iterator[None]:
    """The suite's look, whatever the user's own matplotlibrc says."""
    with matplotlib.style.context("default"), rc_context(STYLE):
        yield


def heading(figure: Figure, *lines: str, missing: Sequence[str] = ()) -> None:
    """What the numbers are of and what is not shown, small, above the picture; lines as long as it is wide."""
    width = int(LETTERS * figure.get_figwidth())
    told = [*filter(None, lines), *(f"not shown: {line}" for line in missing)]
    parts = [part for line in told for part in wrap(short(line, LONGEST), width, subsequent_indent="    ")]
    figure.suptitle("\n".join(parts), x=0.01, ha="left", fontsize=8, color="#404040", linespacing=1.4)


LETTERS = 16
"""Of a heading in an inch."""
LONGEST = 2000
"""Characters of a line of a heading, before it is broken."""


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
