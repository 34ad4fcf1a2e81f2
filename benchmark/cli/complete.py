"""What a shell completes on Tab, for the options and arguments of the commands; ``bench --install-completion`` once."""

from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from negbench.benchmark.recipe import words
from negbench.pipelines.text import clean


class Completing(TyperCommand):
    """A command that a Tab only looks at takes the words before it as they are: to convert them, as for a run, would
    import pydantic, which takes longer than a Tab may."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return _unread(self, ctx, args) if ctx.resilient_parsing else super().parse_args(ctx, args)


class CompletingGroup(TyperGroup):
    """The same of a group of commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return _unread(self, ctx, args) if ctx.resilient_parsing else super().parse_args(ctx, args)


def _unread(command: TyperCommand | TyperGroup, ctx: Any, args: list[str]) -> list[str]:
    parser = command.make_parser(ctx)
    values, rest, _ = parser.parse_args(args=args)
    ctx.params.update(values)
    ctx.args = rest
    ctx._opt_prefixes.update(parser._opt_prefixes)
    return rest


Completed = Callable[[typer.Context, str], list[tuple[str, str]]]


def _of(found: Callable[[], words.Words], listed: bool = False) -> Completed:
    """Words that go on from what is typed; where they are ``listed``, by commas, from what stands behind the last."""

    def completed(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        before, comma, last = incomplete.rpartition(",") if listed else ("", "", incomplete)
        return [*_going_on(found, last, before + comma)]

    return completed


def _going_on(found: Callable[[], words.Words], last: str, before: str = "") -> Iterator[tuple[str, str]]:
    """What cannot be read is no word: a Tab prints no error."""
    try:
        offered = found()
    except (OSError, SyntaxError, ValueError):
        return
    for word, about in offered.items():
        if word.startswith(last) and clean(word) == word and "\n" not in word:
            yield f"{before}{word}", about


def _encoder(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Behind a plus the other side."""
    image, plus, text = incomplete.partition("+")
    whole = dict(_going_on(words.encoder_names, incomplete))
    sides = dict(_going_on(words.encoder_names, text, image + plus)) if plus else {}
    return [*(sides | whole).items()]


def _key(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """``KEY=`` of the recipe, and of the method that is named before, or the first of several."""
    told: dict[str, Any] = ctx.params
    method = str(told.get("method") or told.get("methods") or "").partition(",")[0]
    return [(f"{key}=", about) for key, about in _going_on(lambda: words.keys(method), incomplete)]


method, methods = _of(words.method_names), _of(words.method_names, listed=True)
dataset, datasets = _of(words.dataset_names), _of(words.dataset_names, listed=True)
tower, recipe, run = _of(words.tower_names), _of(words.recipe_names), _of(words.run_folders)
encoder, key = _encoder, _key


def tracker(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    from negbench.benchmark.trackers import registry

    return [*_going_on(lambda: dict.fromkeys(registry.names(), ""), incomplete)]
