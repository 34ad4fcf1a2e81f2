"""The configuration of a cell, as it was resolved."""

from textwrap import wrap

from rich.console import Console

from negbench.benchmark.recipe.schema import RunConfig

LINE = 79
"""Characters of a line."""


def show(config: RunConfig, screen: Console) -> None:
    """In full, a few keys per line."""
    screen.print(f"{config.method_id} on {config.dataset}, seed {config.seed}", style="bold")
    content = config.model_dump(exclude={"method", "dataset", "seed", "settings"})
    text = "  ".join(f"{key}={value}" for key, value in content.items())
    for line in wrap(text, LINE, break_long_words=False, break_on_hyphens=False):
        screen.print(line, style="dim")
