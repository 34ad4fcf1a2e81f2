"""Captions of a scene, from very specific to vague, with the facts they assert.

A caption is planned in full detail (a thing, its place, another thing in relation to it, how many things there
are, the background); then details are dropped by lot. The more vague, the more is dropped. What stays is worded,
and the wording carries exactly the facts: captions with equal text assert equal facts.
"""

from typing import NamedTuple

import numpy as np

from negbench.pipelines.scenes.facts import PLACES, RELATIONS, Before, Exactly, Fact, Like, Related, Some, stands
from negbench.pipelines.scenes.world import Scene, Thing

MOST_FACTS = 4  # of one caption: two about things, the total, the background

DROP = {
    "kind": 0.2, "colour": 0.4, "size": 0.9, "place": 1.0, "corner": 0.8, "partner": 0.7,
    "partner kind": 0.3, "partner colour": 0.6, "partner size": 1.0, "total": 2.5, "background": 1.0,
}  # fmt: skip
"""How easily each detail is dropped: its chance is this times the vagueness, at most 1."""
_LOTS = (*DROP, "form", "subject", "other", "relation", "side", "anything", "other anything", "words", "front")

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
PLURAL = {"cross": "crosses"}
BEFORE = {
    "grass": "on the grass",
    "sky": "in the sky",
    "sand": "on the sand",
    "night": "at night",
    "snow": "in the snow",
}
# For every relation the words for "one is so to the other" and for "the other is so to one".
_WORDS = {
    "above": (("above", "over"), ("below", "under")),
    "left": (("to the left of", "left of"), ("to the right of", "right of")),
    "beside": (("next to", "beside"), ("next to", "beside")),
}
_NOTHING_ELSE = (", nothing else", " and nothing else")


class Caption(NamedTuple):
    """A text and the facts it asserts, at most ``MOST_FACTS``."""

    text: str
    facts: tuple[Fact, ...]


class _Part(NamedTuple):
    """What is said about things: words, facts and how many things are mentioned."""

    words: str
    facts: tuple[Fact, ...]
    mentioned: int
    placed: bool


def caption(scene: Scene, lot: np.random.Generator, vagueness: float) -> Caption:
    """One caption that is true of ``scene``; nothing is dropped at vagueness 0."""
    draws = dict(zip(_LOTS, lot.random(len(_LOTS)).tolist(), strict=True))
    keep = {detail for detail, chance in DROP.items() if draws[detail] >= chance * vagueness}
    part = _things(scene, draws, keep)
    words, facts = part.words, list(part.facts)
    before = BEFORE[scene.background] if "background" in keep else ""
    if before:
        facts.append(Before(scene.background))
    if "total" in keep:
        facts.append(Exactly(len(scene.things), Like()))
        if part.mentioned < len(scene.things):
            shapes = f"{NUMBERS[len(scene.things)]} shapes {before}".rstrip()
            return _caption(f"{shapes}, among them {words}", facts)
    if before and not (part.placed or draws["front"] < 0.4):
        words, before = f"{words} {before}", ""
    if "total" in keep:
        words += _NOTHING_ELSE[draws["words"] < 0.5]
    return _caption(f"{before}, {words}" if before else words, facts)


def _caption(words: str, facts: list[Fact]) -> Caption:
    return Caption(words[0].upper() + words[1:], tuple(facts))


def _things(scene: Scene, draws: dict[str, float], keep: set[str]) -> _Part:
    """One thing or a group of alike things, perhaps with another thing."""
    subject, *others = _in_order(scene.things, draws["subject"])
    form = draws["form"]
    if form < 0.25:
        like, number = _group(scene, subject, keep)
    else:
        like, number = _like(subject, "", draws["anything"], keep), 1
        if "place" in keep:
            like = like._replace(place=_place(subject, "corner" in keep, draws["side"]))
    words = _name(like, number, draws["words"])
    fact: Fact = Some(like) if number == 1 else Exactly(number, like)
    alone = _Part(words, (fact,), number, like.place is not None)
    if "partner" not in keep or not others:
        return alone
    other = others[int(draws["other"] * len(others))]
    other_like = _like(other, "partner ", draws["other anything"], keep)
    other_words = _name(other_like, 1, draws["words"])
    if form >= 0.4:
        relations = [
            (relation, swapped)
            for relation in RELATIONS
            for swapped in (False, True)
            if _holds(relation, *((other, subject) if swapped else (subject, other)))
        ]
        relation, swapped = relations[int(draws["relation"] * len(relations))]
        between = _WORDS[relation][swapped][draws["words"] < 0.3]
        comma = "," if like.place else ""
        pair = (other_like, like) if swapped else (like, other_like)
        return _Part(f"{words}{comma} {between} {other_words}", (Related(relation, *pair),), 2, alone.placed)
    if _apart(like, other_like):
        return _Part(f"{words} and {other_words}", (fact, Some(other_like)), number + 1, alone.placed)
    return alone


def _in_order(things: tuple[Thing, ...], draw: float) -> tuple[Thing, ...]:
    """The things, beginning with the one that was drawn."""
    first = int(draw * len(things))
    return things[first:] + things[:first]


def _like(thing: Thing, prefix: str, draw: float, keep: set[str]) -> Like:
    """What is said of a thing's kind, colour and size: at least its kind or its colour."""
    kind, colour = f"{prefix}kind" in keep, f"{prefix}colour" in keep
    if not kind and not colour:
        kind, colour = draw < 0.5, draw >= 0.5
    size = f"{prefix}size" in keep and thing.size != "medium"  # no word for medium
    return Like(thing.kind if kind else None, thing.colour if colour else None, thing.size if size else None)


def _group(scene: Scene, thing: Thing, keep: set[str]) -> tuple[Like, int]:
    """All things of the thing's kind and colour, or else of its kind or colour, and their number."""
    exact, kind, colour = Like(thing.kind, thing.colour), Like(thing.kind), Like(colour=thing.colour)
    options = [exact, kind, colour] if {"kind", "colour"} <= keep else [kind, colour]
    numbers = [sum(like.fits(other) for other in scene.things) for like in options]
    for like, number in zip(options, numbers, strict=True):
        if number > 1:
            return like, number
    return options[0], 1


def _place(thing: Thing, exact: bool, draw: float) -> str | None:
    """The thing's place: its corner where ``exact``, else one of its sides; None where it has no name."""
    names = [name for name in PLACES if stands(thing, name)]
    sides = [name for name in names if " " not in name]
    if exact or not sides:
        return names[-1] if names else None  # corners come last
    return sides[int(draw * len(sides))]


def _holds(relation: str, one: Thing, other: Thing) -> bool:
    match relation:
        case "above":
            return one.row < other.row
        case "left":
            return one.column < other.column
        case _:
            return one.row == other.row and abs(one.column - other.column) == 1


def _apart(one: Like, other: Like) -> bool:
    """Whether no thing can be like both."""
    return any(a is not None and b is not None and a != b for a, b in zip(one[:3], other[:3], strict=True))


def _name(like: Like, number: int, draw: float) -> str:
    """``a small red circle at the top``, ``two red shapes``, ``something red``."""
    size = {"small": ("small", "little"), "large": ("large", "big")}.get(like.size or "", ("", ""))[draw < 0.3]
    if number > 1:
        noun = PLURAL.get(like.kind, f"{like.kind}s") if like.kind else "shapes"
        words = [NUMBERS[number], size, like.colour, noun]
    elif like.kind is None and draw < 0.5:
        words = ["something", size, like.colour]
    else:
        first = size or like.colour or like.kind or ""
        words = ["an" if first[0] in "aeiou" else "a", size, like.colour, like.kind or "shape"]
    return " ".join([*filter(None, words), *([_PLACE_WORDS[like.place][draw < 0.2]] if like.place else [])])


_PLACE_WORDS = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top", "near the top"),
    "bottom": ("at the bottom", "near the bottom"),
    "middle": ("in the middle", "in the centre"),
    "top left": ("in the top left corner", "in the upper left corner"),
    "top right": ("in the top right corner", "in the upper right corner"),
    "bottom left": ("in the bottom left corner", "in the lower left corner"),
    "bottom right": ("in the bottom right corner", "in the lower right corner"),
}
