"""``bench params``: is the project's file good?"""

import json
from typing import Annotated

import typer

from negbench.benchmark.reports.screen import out


def params(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Check params.yaml: its keys, every name in it, and its cells. The stages of dvc.yaml wait for this."""
    from negbench.benchmark.recipe.params import check_params
    from negbench.benchmark.recipe.stages import check_cells, mark_params

    check_cells(check_params())
    project = mark_params()
    if as_json:
        typer.echo(json.dumps(project.model_dump(), indent=2))
        return
    sizes = (("dataset", project.datasets), ("method", project.methods), ("seed", project.seeds))
    said = ", ".join(f"{len(some):,} {what}{'s' * (len(some) != 1)}" for what, some in sizes)
    out().print(f"params.yaml is good: {said}")
