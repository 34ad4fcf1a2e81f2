"""``bench init``: a project in a folder, without a clone."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.reports.screen import log


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; made if it is not there.")] = Path(),
    git: Annotated[bool, typer.Option("--git", help="Make it a repository of git, too.")] = False,
    dvc: Annotated[bool, typer.Option("--dvc", help="Let DVC keep it: dvc repro runs all of params.yaml.")] = False,
) -> None:
    """Begin a project: params.yaml, dvc.yaml, the dataset scenes. What is there already is left as it is."""
    from negbench.benchmark.recipe import starter

    for name, written in starter.write(folder).items():
        log().print(f"{'wrote' if written else 'kept '} {folder / name}")
    if git:
        log().print(starter.begin_git(folder))
    if dvc:
        log().print(starter.begin_dvc(folder))
    here = "" if folder.resolve() == Path.cwd() else f"in {folder}: "
    more = ", or dvc repro for all of params.yaml" if (folder / ".dvc").exists() else ""
    log().print(f"next, {here}bench demo, or bench run --method fne --dataset scenes{more}")
