"""``bench audit``: audit recorded cells again."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.cli.tracked import tell_dvc
from negbench.benchmark.reports.screen import log


def audit(
    runs: Annotated[
        list[Path],
        typer.Argument(autocompletion=complete.run, help="Folders of records, such as runs/scenes/fne/seed-0."),
    ],
    expert_match: Annotated[
        float | None, typer.Option(min=0, max=1, help="A pair judged by experts matches from here on.")
    ] = None,
    crowd_match: Annotated[
        float | None, typer.Option(min=0, max=1, help="The same for the crowd's share of yes.")
    ] = None,
) -> None:
    """Audit recorded cells again, without training: with this version, or from where on judged pairs match."""
    from negbench.benchmark.reports.terminal.audit import show
    from negbench.benchmark.sweeps.audit import audit_again
    from negbench.benchmark.sweeps.tracking import check_judging, is_current

    said = {"expert_match": expert_match, "crowd_match": crowd_match}
    judging = {name: value for name, value in said.items() if value is not None}
    here = Path.cwd()
    for given in runs:
        folder = given.relative_to(here) if given.is_relative_to(here) else given
        check_judging(folder, judging)
        record = audit_again(folder, judging)
        show(folder, record, log())
        if record.config is not None and is_current(folder, record.config, record):
            tell_dvc([(record.config, folder)])
