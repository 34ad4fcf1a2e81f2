"""``bench demo``: the tour, in commands that anyone can run by hand."""

import shlex

import typer

from negbench.benchmark.reports.screen import log

TOUR = (
    ("a project, where there is none", "init"),
    ("pictures whose every caption is known to be true or false, and their features", "features --dataset scenes"),
    (
        "two methods on the same batches, from the same weights",
        "sweep --methods hardest,fne --datasets scenes --seeds 3 --jobs 2",
    ),
    ("recall, cost, and how often each picked a false negative", "leaderboard --dataset scenes --baseline hardest"),
    ("the same queries, one by one", "compare fne hardest --dataset scenes --queries 2"),
)
"""What each step shows, and its command."""


def demo() -> None:
    """The tour, about two minutes: a project, data, features, trainings and a leaderboard, with every command shown."""
    from negbench.benchmark.sweeps.processes import Children

    children = Children()
    try:
        for number, (about, words) in enumerate(TOUR, start=1):
            log().print(f"\n[{number}/{len(TOUR)}] {about}\n$ bench {words}", style="bold")
            if code := children.start(shlex.split(words), {}).wait():
                raise typer.Exit(1 if code < 0 else code)
    finally:
        children.end()
        children.close()
    log().print("\nnext: bench methods, bench data where, bench doctor; all is in runs/ and features/")
