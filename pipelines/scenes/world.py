"""What a scene is, and how one is drawn by lot.

A scene is one to five things in the cells of a 3 x 3 grid before a background. Kinds, colours and backgrounds
follow Zipf's law, and things of one scene tend to resemble each other, so that a few descriptions fit many
scenes and most fit one.
"""

from typing import NamedTuple

import numpy as np

KINDS = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond", "moon", "flower", "drop")
COLOURS = ("red", "blue", "green", "yellow", "purple", "orange", "pink", "brown", "grey", "turquoise")
SIZES = ("small", "medium", "large")
BACKGROUNDS = ("grass", "sky", "sand", "night", "snow")
GRID = 3
MOST_THINGS = 5
ROLES = {"things": 0, "picture": 1, "captions": 2}

_NUMBER = (0.08, 0.25, 0.31, 0.23, 0.13)  # chance of 1 ... MOST_THINGS things
_ZIPF = 0.6  # exponent of Zipf's law; 0 makes all names equally likely
_RESEMBLE = 0.3  # chance that a thing takes the kind of the thing before, and the same for its colour


class Thing(NamedTuple):
    """One object. ``row`` 0 is the top, ``column`` 0 the left."""

    kind: str
    colour: str
    size: str
    row: int
    column: int


class Scene(NamedTuple):
    """A background and the things before it."""

    background: str
    things: tuple[Thing, ...]


def generator(seed: int, split: int, index: int, role: str) -> np.random.Generator:
    """The random stream of one role of one scene; no scene's stream depends on another scene."""
    return np.random.default_rng([seed, split, index, ROLES[role]])


def scene(seed: int, split: int, index: int) -> Scene:
    """Scene ``index`` of a split (0 train, 1 val, 2 test): the same whatever the sizes of the splits."""
    lot = generator(seed, split, index, "things")
    number = 1 + _pick(lot, _NUMBER)
    things: list[Thing] = []
    for cell in lot.permutation(GRID * GRID)[:number].tolist():
        kind, colour = _zipf(lot, KINDS), _zipf(lot, COLOURS)
        same_kind, same_colour = lot.random(2) < _RESEMBLE
        if things:
            kind = things[-1].kind if same_kind else kind
            colour = things[-1].colour if same_colour else colour
        things.append(Thing(kind, colour, SIZES[lot.integers(len(SIZES))], *divmod(cell, GRID)))
    return Scene(_zipf(lot, BACKGROUNDS), tuple(things))


def _zipf(lot: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[_pick(lot, tuple(rank**-_ZIPF for rank in range(1, len(names) + 1)))]


def _pick(lot: np.random.Generator, weights: tuple[float, ...]) -> int:
    """An index, each with a chance in proportion to its weight."""
    point = lot.random() * sum(weights)
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return len(weights) - 1
