"""``bench tune --all``: a study for each of many methods by one rule, and what each gained."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from negbench.benchmark.cli.sweep import names
from negbench.benchmark.cli.tracked import tell_dvc
from negbench.benchmark.reports.screen import log, out

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.engine.where import Where
    from negbench.benchmark.sweeps.studies import Budget
    from negbench.benchmark.sweeps.sweep import Done, Planned


def tune_all(
    methods: str | None,
    memories: Sequence[int | None],
    flags: Mapping[str, Any],
    words: tuple[Sequence[str], Sequence[str]],
    budget: "Budget",
    where: "Where",
    track: tuple[str, ...] = (),
) -> None:
    """Bring every study to its trials, record default and best with fresh seeds, and show what tuning gained.

    ``track``: trackers that are told of what is recorded; trials are told to nobody.
    """
    from negbench.benchmark.cli.features import ensure_for
    from negbench.benchmark.errors import BenchError, SweepFailedError
    from negbench.benchmark.recipe.flags import parse_changes
    from negbench.benchmark.recipe.params import params
    from negbench.benchmark.reports import gains_file
    from negbench.benchmark.reports.terminal.gains import show
    from negbench.benchmark.results import records
    from negbench.benchmark.results.gains import gains
    from negbench.benchmark.sweeps import sweep as sweeps
    from negbench.benchmark.sweeps import tune_all as plans
    from negbench.benchmark.sweeps.cell import folder_of
    from negbench.benchmark.sweeps.search_space import space_of
    from negbench.benchmark.sweeps.words import changes_of
    from negbench.methods.registry import names as every

    dataset = flags["dataset"] or params().tune.dataset
    if dataset is None:
        raise BenchError("no dataset; name one with --dataset (bench data list lists them)")
    changes, searched = words
    told = changes_of({key: flags[key] for key in ("preset", "encoder", "epochs")}, changes)
    rule = plans.Rule(dataset, flags["seed"] or 0, budget, told, tuple(searched))
    studies = plans.plan(names(methods) if methods else every(), memories, rule)
    for study in studies:
        space_of(study.config, parse_changes(told), searched)  # a wrong word is told before the first study begins
    ensure_for(studies[0].config)
    ended = _done(studies, where)
    good = [one.cell.name for one in ended if one.code == 0]
    cells = [cell for study in studies if study.name in good for cell in study.cells(track)]
    ended += _done(cells, where) if cells else []
    done = {one.cell.name for one in ended if one.code == 0}
    recorded = [(cell.config, folder_of(cell.config)) for cell in cells if cell.name in done]
    tell_dvc(recorded)
    found = gains(records.read(folder) for _, folder in recorded)
    if found:
        log().print(f"written to {gains_file.write(found, dataset)}", markup=False)
        show(found, out())
    if failed := len(ended) - len(done):
        raise SweepFailedError(f"{failed} of {len(ended)} studies and cells failed; their logs are in {sweeps.LOGS}")


def _done(plan: "Sequence[Planned]", where: "Where") -> "list[Done]":
    """Let workers do it, with a line for each."""
    from negbench.benchmark.reports.watch.sweep_screen import ShowSweep
    from negbench.benchmark.sweeps import sweep as sweeps

    screen = log()
    with (
        where.crew([planned.config for planned in plan], screen.print) as (crew, place),
        ShowSweep(screen, plan) as shown,
    ):
        return sweeps.run(plan, crew, place, shown.finished, shown.running)
