"""How a method is drawn: a colour, marker and line of its own, the same in all pictures.

Colours by Okabe and Ito, told apart by the colour-blind; forms differ too, for grey print.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from zlib import crc32

from negbench.benchmark.reports.plots.selection import Series
from negbench.methods.registry import names as registered

BLUE, ORANGE, GREEN, VERMILLION, GREY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676", "#000000"
COLOURS = (BLUE, VERMILLION, GREEN, "#B85C90", "#A87200", "#3C8DBC", BLACK)
"""Okabe and Ito's, the light ones darker so that text in them can be read."""
LINES = ("-", "--", "-.", ":")
KINDS = {
    "o": "hardest positive-aware semi-hard top-k distance-weighted softmax-sampled –",  # one negative
    "s": "– fne fne-paper – fne-info-nce – –",
    "D": "siglip decoupled multi-positive info-nce cyclip momentum-distilled sdm",  # all, by similarity
    "^": "gist fnc-elimination glofnd unime fnc-attraction sacl pseudo-positives",  # false ones left out, or targets
    "v": "hcl debiased fnac bcl dcmc cusa language-guidance",  # false negatives weighted down
    "P": "sct tags selhn polyloss tal hal gamma-margin",  # the hardest, changed
    "X": "– – – – sum mean random",  # every negative alike
    "*": "sogclr isogclr crcl multi-similarity circle rince hn-nce",  # weights by anchor or pair
}
"""A marker for each kind of methods; in its line a method per colour, in the order of ``COLOURS``."""
MARKERS = "<>phd"
"""Of all other methods: none of ``KINDS`` has one of these."""


@dataclass(frozen=True)
class MethodLook:
    """What of a drawing is its method's."""

    colour: str
    marker: str
    line: str


LOOKS = {
    name: MethodLook(COLOURS[column], marker, LINES[(row + column) % len(LINES)])
    for row, (marker, names) in enumerate(KINDS.items())
    for column, name in enumerate(names.split())
    if name != "–"
}
OTHERS = tuple(product(COLOURS, MARKERS))


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


def forms(keys: Sequence[tuple[str, int]]) -> list[Form]:
    """Of the rows of one picture, by method id and memory (0: in the batch)."""
    found = looks({method for method, _ in keys})
    return [
        Form(found[method].colour, found[method].marker, found[method].line, filled=not memory)
        for method, memory in keys
    ]


def forms_of(series: Iterable[Series]) -> list[Form]:
    return forms([(one.row.method, one.row.memory) for one in series])


def looks(methods: Collection[str]) -> dict[str, MethodLook]:
    """Of the methods of one picture: no two share both colour and marker.

    Those of ``KINDS`` have their place there. Others, which are methods of other packages and ids with settings, have
    one by their name, or the next that is free: first come the packages that are installed, whether the picture has
    them or not. Of more than ``OTHERS`` some differ by their line alone.
    """
    others = {*methods} - {*LOOKS}
    packages = {*registered()} - {*LOOKS} if others else set()
    found, free = dict(LOOKS), list(range(len(OTHERS)))
    for number, name in enumerate([*sorted(packages), *sorted(others - packages)]):
        free = free or list(range(len(OTHERS)))
        wanted = crc32(name.encode(errors="replace"))
        place = min(free, key=lambda k: (k - wanted) % len(OTHERS))
        free.remove(place)
        found[name] = MethodLook(*OTHERS[place], LINES[(place + number // len(OTHERS)) % len(LINES)])
    return found
