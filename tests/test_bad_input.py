"""What every registered method makes of inputs and settings that are wrong or extreme."""

import math
import re
from collections.abc import Callable
from dataclasses import Field, fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.methods.base import Extras, Guide, Memory, Method, SettingError, Words

NAMES = methods.names()
EVERY = pytest.mark.parametrize("name", NAMES)
ROWS, MEMORY, DIM = 6, 20, 8
MakeExtras = Callable[[int, int, int], Extras]
NO_MEMORY_AND_MEMORY: list[dict[str, Any]] = [{}, {"memory": {}}]


def unit(rows: int, seed: int) -> Tensor:
    return normalize(torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def step(method: Method, extras: MakeExtras, **changes: Any) -> Tensor:
    """The loss of a good batch, but for ``changes``; ``memory`` is the memory's own changes, or ``{}``."""
    batch: dict[str, Any] = {"image": unit(ROWS, 0), "text": unit(ROWS, 1), "ids": torch.arange(ROWS)}
    batch |= {"generator": torch.Generator().manual_seed(2)} | changes
    if "memory" in changes:
        good = {"image": unit(MEMORY, 3), "text": unit(MEMORY, 4), "ids": torch.arange(MEMORY)}
        batch["memory"] = Memory(**(good | changes["memory"]))
    return method.loss(**batch, extras=extras(ROWS, MEMORY if "memory" in changes else ROWS, DIM))


@EVERY
def test_the_good_batch_is_taken(name: str, extras: MakeExtras) -> None:
    for changes in NO_MEMORY_AND_MEMORY:
        assert step(methods.get(name)(), extras, **changes).isfinite()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "empty batch": (
        {"image": torch.zeros(0, DIM), "text": torch.zeros(0, DIM), "ids": torch.zeros(0, dtype=torch.int64)},
        "^image: the batch is empty$",
    ),
    "one feature": ({"image": unit(ROWS, 0)[0]}, "^image: expected "),
    "whole-number image": ({"image": torch.ones(ROWS, DIM, dtype=torch.int64)}, "^image: expected .* got .*int64$"),
    "fewer ids": ({"ids": torch.arange(ROWS - 1)}, "ids differ in length: 6, 6, 5$"),
    "more ids": ({"ids": torch.arange(ROWS + 1)}, "ids differ in length: 6, 6, 7$"),
    "ids of floats": ({"ids": torch.arange(ROWS).double()}, "^ids: expected .* got .*float64$"),
    "ids of pairs": ({"ids": torch.zeros(ROWS, 2, dtype=torch.int64)}, r"^ids: expected .* got \[6, 2\]"),
    "fewer texts": ({"text": unit(ROWS - 1, 1)}, "^image, text and ids differ in length: 6, 5, 6$"),
    "narrower texts": ({"text": unit(ROWS, 1)[:, :-1]}, r"^text: \[6, 7\] .* is not the \[6, 8\]"),
    "text in double": ({"text": unit(ROWS, 1).double()}, "^text: .*float64 is not the .*float32 of image$"),
    "text in half": ({"text": unit(ROWS, 1).half()}, "^text: .*float16 is not the .*float32 of image$"),
    "short memory": (
        {"memory": {"image": unit(5, 3), "text": unit(5, 4), "ids": torch.arange(5)}},
        r"^memory: \[5, 8\] does not begin with the \[6, 8\] of the batch$",
    ),
    "narrow memory": (
        {"memory": {"image": unit(MEMORY, 3)[:, :-1], "text": unit(MEMORY, 4)[:, :-1]}},
        r"^memory: \[20, 7\] does not begin with",
    ),
    "narrow memory of texts": ({"memory": {"text": unit(MEMORY, 4)[:, :-1]}}, "^memory: image .* and text .* differ$"),
    "memory with fewer images": ({"memory": {"image": unit(19, 3)}}, "^memory: .* differ in length: 19, 20, 20$"),
    "memory with fewer texts": ({"memory": {"text": unit(19, 4)}}, "^memory: .* differ in length: 20, 19, 20$"),
    "memory with more ids": ({"memory": {"ids": torch.arange(21)}}, "^memory: .* differ in length: 20, 20, 21$"),
    "text elsewhere": ({"text": unit(ROWS, 1).to("meta")}, "^text: on meta, but image is on cpu$"),
    "ids elsewhere": ({"ids": torch.arange(ROWS).to("meta")}, "^ids: on meta, but image is on cpu$"),
    "generator elsewhere": (
        {"image": unit(ROWS, 0).to("meta"), "text": unit(ROWS, 1).to("meta"), "ids": torch.arange(ROWS).to("meta")},
        "^generator: on cpu, but image is on meta$",
    ),
}


@EVERY
def test_an_argument_that_does_not_fit_is_named(name: str, extras: MakeExtras) -> None:
    method = methods.get(name)()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    for changes, message in WRONG.values():
        with pytest.raises(ValueError, match=message):
            step(method, extras, **changes)
    after = method.state_dict()  # nothing was learnt from it
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@EVERY
def test_what_a_method_needs_is_named(name: str) -> None:
    method = methods.get(name)()
    for need in method.needs:
        with pytest.raises(ValueError, match=rf"^extras: \w+ needs extras\.{need}$"):
            method.loss(unit(ROWS, 0), unit(ROWS, 1), torch.arange(ROWS))


SETTINGS = [(name, entry) for name in NAMES for entry in fields(methods.get(name).Settings)]


def bad_values(entry: "Field[Any]") -> list[Any]:
    low, high, choices = (entry.metadata[key] for key in ("low", "high", "choices"))
    default: Any = entry.default
    kind = type(default)
    values: list[Any] = [None, [default], b"1"]
    if kind is bool:
        return [*values, 0, 1.0, "yes"]
    if kind is str:
        assert choices, "a text of any kind?"
        return [*values, 1, True, "", choices[0] + " ", choices[0].upper()]
    outside: list[Any] = [] if low is None else [math.nextafter(low, -math.inf), low - 1]
    outside += [] if high is None else [math.nextafter(high, math.inf), high + 1]
    if kind is int:
        values += [2.5, float(default)]
        outside = [int(end) for end in outside if end == int(end)]
    return [*values, *outside, "1", True, math.nan, math.inf, -math.inf, 1j]


@pytest.mark.parametrize("name,entry", SETTINGS, ids=[f"{name}-{entry.name}" for name, entry in SETTINGS])
def test_a_setting_out_of_range_is_named(name: str, entry: "Field[Any]") -> None:
    kind = methods.get(name)
    for value in bad_values(entry):
        with pytest.raises(SettingError, match=rf"^{entry.name}: ") as caught:
            kind(**{entry.name: value})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name,entry", SETTINGS, ids=[f"{name}-{entry.name}" for name, entry in SETTINGS])
def test_a_setting_at_the_end_of_its_range_works(name: str, entry: "Field[Any]", extras: MakeExtras) -> None:
    low, high, choices = (entry.metadata[key] for key in ("low", "high", "choices"))
    kind = type(entry.default)
    ends = list(choices or [])
    if kind in (int, float):
        ends += [kind(end) for end in (low, high) if end is not None]
    maker = methods.get(name)
    for value in ends:
        method = maker(**{entry.name: value})
        assert getattr(method.settings, entry.name) == value
        assert step(method, extras, memory={}).isfinite(), value


def in_precision(extras: Extras, kind: torch.dtype) -> Extras:
    """As a text encoder of that precision would give them."""
    words = extras.words
    assert words is not None
    return replace(extras, words=Words(words.captions, lambda lines: words.encode(lines).to(kind)))


@EVERY
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_extreme_similarities_in_any_precision_give_no_nan(name: str, kind: torch.dtype, extras: MakeExtras) -> None:
    """All similarities are -1 or 1 exactly: of all pairs the same, of half of them, or of partners the opposite."""
    axis = torch.eye(DIM)[:1].expand(ROWS, -1)
    signs = torch.tensor([1.0, 1, -1, -1, 1, -1])[:, None]
    method = methods.get(name)()
    for image, text in (
        (axis, axis),
        (axis * signs, axis),
        (axis * signs, -axis * signs),
        (unit(ROWS, 0), unit(ROWS, 1)),
    ):
        for ids, with_memory in ((torch.arange(ROWS), False), (torch.tensor([0, 0, 1, 1, 2, 3]), True)):
            batch = [side.to(kind, copy=True).requires_grad_() for side in (image, text)]
            queue = [torch.cat([side, side.flip(0), -side]).to(kind) for side in (image, text)]
            memory = Memory(queue[0], queue[1], torch.cat([ids, ids + 2, ids + 9])) if with_memory else None
            more = in_precision(extras(ROWS, 3 * ROWS if with_memory else ROWS, DIM), kind)
            loss = method.loss(batch[0], batch[1], ids, memory, torch.Generator().manual_seed(0), more)
            torch.autograd.backward(loss)
            assert loss.isfinite()
            for weight in (*batch, *method.parameters()):
                assert weight.grad is None or weight.grad.isfinite().all()


def with_value(features: Tensor, row: int, value: float, column: int = 3) -> Tensor:
    features[row, column] = value
    return features


@EVERY
@pytest.mark.parametrize("argument", ["image", "text"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_of_the_batch_that_is_not_finite_is_named(
    name: str, argument: str, value: float, extras: MakeExtras
) -> None:
    for row in (0, ROWS - 1):
        bad = with_value(unit(ROWS, ["image", "text"].index(argument)), row, value)
        for more in NO_MEMORY_AND_MEMORY:
            with pytest.raises(ValueError, match=rf"^{argument}: row {row} holds NaN or infinity$"):
                step(methods.get(name)(), extras, **{argument: bad}, **more)


@EVERY
@pytest.mark.parametrize("argument", ["image", "text"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_of_the_memory_that_is_not_finite_is_named(
    name: str, argument: str, value: float, extras: MakeExtras
) -> None:
    for row in (0, ROWS - 1, ROWS, MEMORY - 1):
        bad = with_value(unit(MEMORY, 3 + ["image", "text"].index(argument)), row, value)
        with pytest.raises(ValueError, match=rf"^memory.{argument}: row {row} holds NaN or infinity$"):
            step(methods.get(name)(), extras, memory={argument: bad})


def bad_extras(name: str, part: str, value: object) -> Callable[[], Tensor]:
    """A step of a method with all extras right but one; ``part`` is a path such as ``guide.text``."""
    text = unit(ROWS, 5)
    good = Extras(
        torch.arange(ROWS),
        Guide(unit(ROWS, 6), text, torch.stack([text, unit(ROWS, 7)], dim=1)),
        Words([["a red dog"], ["a blue dog"]] * (ROWS // 2), lambda sentences: unit(len(sentences), 8)),
    )
    head, _, tail = part.partition(".")
    wrong: dict[str, Any] = {tail or head: value}
    if not tail:
        bad = replace(good, **wrong)
    elif head == "words":
        assert good.words is not None
        bad = replace(good, words=good.words._replace(**wrong))
    else:
        assert good.guide is not None
        bad = replace(good, guide=replace(good.guide, **wrong))
    batch = unit(ROWS, 0), unit(ROWS, 1), torch.arange(ROWS)
    return lambda: methods.get(name)().loss(*batch, generator=torch.Generator().manual_seed(0), extras=bad)


def mask(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.bool)


@pytest.mark.parametrize(
    ("name", "part", "value", "message"),
    [
        ("gist", "guide", None, "guide"),
        ("gist", "guide.text", unit(3, 0), "guide.text: expected [6, 8], got [3, 8]"),
        ("sacl", "guide.image", torch.full((ROWS, 8), math.nan), "guide: holds NaN or infinity"),
        ("gist", "guide.support", unit(6, 0)[None], "guide.support: expected [6, 6, 8], got [1, 6, 8]"),
        ("fnc-elimination", "guide.support", unit(ROWS, 0), "guide.support: expected [6, 8, 8], got [6, 8]"),
        ("glofnd", "captions", torch.arange(2), "captions: expected [6], got [2]"),
        ("glofnd", "captions", torch.zeros(ROWS), "captions: expected whole numbers, got torch.float32"),
        ("tags", "words.captions", ["a red dog"] * ROWS, "words.captions: expected a list of texts for each of 6"),
        ("tags", "words.captions", [["a red dog"]], "words.captions: expected a list of texts for each of 6"),
        ("tags", "words.encode", lambda sentences: unit(1, 0), "words.encode: expected [6, 8], got [1, 8]"),
        ("hardest", "known", {"i2t": mask(ROWS, ROWS)}, "known: no mask for t2i"),
        ("hardest", "known", {k: mask(ROWS, 2) for k in ("i2t", "t2i")}, "known[i2t]: expected [6, 6], got [6, 2]"),
        ("hardest", "known", {k: torch.zeros(6, 6) for k in ("i2t", "t2i")}, "known[i2t]: expected a mask of booleans"),
    ],
)  # fmt: skip
def test_extras_that_do_not_fit_are_named(name: str, part: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"extras.{message}")):
        bad_extras(name, part, value)()


@EVERY
def test_a_memory_that_does_not_begin_with_the_batch_is_refused(name: str, extras: MakeExtras) -> None:
    with pytest.raises(ValueError, match="memory: its first rows must be the batch"):
        step(methods.get(name)(), extras, memory={"ids": torch.arange(MEMORY) + 100})


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_small_whole_numbers_are_ids_too(kind: torch.dtype, extras: MakeExtras) -> None:
    for name in NAMES:
        assert step(methods.get(name)(), extras, ids=torch.arange(ROWS, dtype=kind)).isfinite()
    method = methods.get("glofnd")()
    more = replace(extras(ROWS, ROWS, DIM), captions=torch.arange(ROWS, dtype=kind))
    ids = torch.arange(ROWS, dtype=kind)
    assert method.loss(unit(ROWS, 0), unit(ROWS, 1), ids, extras=more).isfinite()
