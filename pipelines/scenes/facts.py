"""Facts that a caption asserts, and which scenes they hold in."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.scenes.world import COLOURS, KINDS, MOST_THINGS, SIZES, Scene, Thing

PLACES: dict[str, tuple[int | None, int | None]] = {
    "left": (None, 0),
    "right": (None, 2),
    "top": (0, None),
    "bottom": (2, None),
    "middle": (1, 1),
    "top left": (0, 0),
    "top right": (0, 2),
    "bottom left": (2, 0),
    "bottom right": (2, 2),
}
"""Place names: the row and the column they ask for; None asks for nothing."""
RELATIONS = ("above", "left", "beside")
"""``above``: in a higher row; ``left``: in a column further left; ``beside``: neighbours in one row."""


def stands(thing: Thing, place: str) -> bool:
    """Whether a thing stands at a place of ``PLACES``."""
    row, column = PLACES[place]
    return row in (None, thing.row) and column in (None, thing.column)


class Like(NamedTuple):
    """A pattern of things; None matches any."""

    kind: str | None = None
    colour: str | None = None
    size: str | None = None
    place: str | None = None

    def fits(self, thing: Thing) -> bool:
        """Whether ``thing`` is like this."""
        return (
            self.kind in (None, thing.kind)
            and self.colour in (None, thing.colour)
            and self.size in (None, thing.size)
            and (self.place is None or stands(thing, self.place))
        )


class Some(NamedTuple):
    """At least one thing is like this."""

    like: Like


class Exactly(NamedTuple):
    """So many things, no more and no fewer, are like this."""

    number: int
    like: Like


class Related(NamedTuple):
    """Two things, like this and like that, stand in a relation of ``RELATIONS``."""

    relation: str
    one: Like
    other: Like


class Before(NamedTuple):
    """The scene has this background."""

    background: str


Fact = Some | Exactly | Related | Before
Bits = NDArray[np.uint8]
"""``[scenes]``: bit i says something about thing i."""


def table(scenes: Sequence[Scene], facts: Sequence[Fact]) -> NDArray[np.bool_]:
    """Which facts hold in which scenes: ``[scenes, facts]``.

    The things of a scene are bits of a byte, so that a fact takes a few operations on ``[scenes]`` bytes.
    """
    kinds, colours, sizes, rows, columns = _codes(scenes)
    number_of = {"kind": (kinds, KINDS), "colour": (colours, COLOURS), "size": (sizes, SIZES)}
    higher = (rows[:, :, None] < rows[:, None, :]) & (rows[:, :, None] >= 0)
    lefter = (columns[:, :, None] < columns[:, None, :]) & (columns[:, :, None] >= 0)
    same_row = (rows[:, :, None] == rows[:, None, :]) & (rows[:, :, None] >= 0)
    adjacent = abs(columns[:, :, None] - columns[:, None, :]) == 1
    # reach[relation][:, i]: the things that thing i is above, left of or beside.
    reach = {"above": _bits(higher), "left": _bits(lefter), "beside": _bits(same_row & adjacent)}
    background = np.array([scene.background for scene in scenes])

    @cache
    def matching(like: Like) -> Bits:
        fits = rows >= 0
        for name, (codes, names) in number_of.items():
            if (wanted := getattr(like, name)) is not None:
                fits = fits & (codes == names.index(wanted))
        if like.place is not None:
            for wanted_cell, cells in zip(PLACES[like.place], (rows, columns), strict=True):
                if wanted_cell is not None:
                    fits = fits & (cells == wanted_cell)
        return _bits(fits)

    @cache
    def related_to(relation: str, other: Like) -> Bits:
        return _bits((reach[relation] & matching(other)[:, None]) != 0)

    def holds(fact: Fact) -> NDArray[np.bool_]:
        match fact:
            case Some(like):
                return np.asarray(matching(like) != 0)
            case Exactly(number, like):
                return np.asarray(np.bitwise_count(matching(like)) == number)
            case Related(relation, one, other):
                return np.asarray((matching(one) & related_to(relation, other)) != 0)
            case Before(name):
                return np.asarray(background == name)

    held = np.zeros((len(facts), len(scenes)), dtype=bool)
    for row, fact in enumerate(facts):
        held[row] = holds(fact)
    return np.ascontiguousarray(held.T)


def _codes(scenes: Sequence[Scene]) -> NDArray[np.int8]:
    """Kind, colour, size, row and column of every thing as numbers ``[5, scenes, MOST_THINGS]``; -1: no such thing."""
    codes = np.full((len(scenes), MOST_THINGS, 5), -1, dtype=np.int8)
    for row, scene in enumerate(scenes):
        for place, (kind, colour, size, *cell) in enumerate(scene.things):
            codes[row, place] = (KINDS.index(kind), COLOURS.index(colour), SIZES.index(size), *cell)
    return np.ascontiguousarray(codes.transpose(2, 0, 1))


def _bits(flags: NDArray[np.bool_]) -> Bits:
    """The last axis, ``MOST_THINGS`` long, packed into a byte."""
    return np.packbits(flags, axis=-1, bitorder="little")[..., 0]
