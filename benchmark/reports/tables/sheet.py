"""What stands in the tables of a leaderboard, whatever the format: columns, cells, headings, notes, legend."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from negbench.benchmark.recipe import presets
from negbench.benchmark.recipe.external import AUDIT_BATCH, AUDIT_METHOD
from negbench.benchmark.recipe.schema import PLAIN, Recipe
from negbench.benchmark.reports.numbers import MISSING, p_value
from negbench.benchmark.results.plausibility import RECALLS
from negbench.benchmark.results.published import Published
from negbench.benchmark.results.rows import EXTERNAL, SEEDS_TO_MARK, Group, Key, Row, describe, differences
from negbench.benchmark.results.values import ECCV, EXTENDED, PICKED, PUSHED, TRUE

BASE = f"{PUSHED}_base"
BETTER, WORSE = "↑", "↓"
NAMES = ("method", "memory", "n")
ACCURACY = (*RECALLS, "rsum")
EVIDENCE = ("p_mark", TRUE, EXTENDED, ECCV, PICKED, PUSHED, "step_ms")
NARROW = (tuple(key for key in EVIDENCE if key != PUSHED), (PUSHED,))
"""``EVIDENCE`` where there is little room."""
NAMED = 8
"""Rows a note names; of more it tells the number."""
LITERATURE = ("published", "features", *RECALLS, "rsum", "source")


@dataclass(frozen=True)
class Column:
    """A column's header in two lines, and what its figures mean."""

    above: str
    name: str
    means: str = ""
    left: bool = False


COLUMNS = {
    "method": Column("", "method", left=True),
    "memory": Column("", "memory", left=True),
    "n": Column("", "n"),
    **{key: Column(key[:3], f"R@{key[5:]}") for key in RECALLS},
    "rsum": Column("", "rSum"),
    "p_mark": Column("p", "(Holm)"),
    TRUE: Column("true", "rSum", "true rSum: any candidate that is true of the query counts as found."),
    EXTENDED: Column(
        "ext.", "rSum", "ext. rSum: candidates judged to match the query, or equal to such, count as found."
    ),
    ECCV: Column("ECCV", "mAP@R", "ECCV mAP@R: of ECCV Caption's verified positives, mean of both directions."),
    PICKED: Column(
        "picked", "false %", "picked false %: share of the negatives chosen in training that are true of their anchor."
    ),
    PUSHED: Column(
        "pushed false %",
        "[95 %] of judged",
        "pushed false %: on test pairs of known truth, share of the push (the slope of the loss) that is on true ones,"
        " both directions; [mean interval of a seed], of so many judged anchors' worth of push.",
    ),
    "step_ms": Column(
        "step ms",
        "(ratio)",
        "step ms: a training step, and in brackets its ratio to the two bare similarity products.",
    ),
    "published": Column("", "published", left=True),
    "features": Column("", "features", left=True),
    "source": Column("", "source", left=True),
}


@dataclass(frozen=True)
class Field:
    """What stands in one place of a table."""

    text: str
    place: int = 0
    """1 for the best of its column, 2 for the second."""
    mark: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table before it has a format."""

    keys: tuple[str, ...]
    """Of ``COLUMNS``."""
    body: list[list[Field]]

    @property
    def columns(self) -> list[Column]:
        return [COLUMNS[key] for key in self.keys]

    @property
    def above(self) -> list[tuple[str, int]]:
        """The first line of the header: text, and how many columns it spans."""
        return [(text, len(list(some))) for text, some in groupby(column.above for column in self.columns)]


def whole(group: Group, spread: tuple[str, ...] = ACCURACY) -> Sheet:
    """Everything in one table; the columns in ``spread`` have their standard deviation."""
    return sheet(group, (*NAMES, *ACCURACY, *EVIDENCE), spread)


def stacked(
    group: Group, spread: tuple[str, ...] = ACCURACY, more: tuple[tuple[str, ...], ...] = (EVIDENCE,)
) -> list[Sheet]:
    """Recall, and in tables of their own ``more`` columns, where there is something."""
    sheets = [sheet(group, (*NAMES, *ACCURACY), spread), *(sheet(group, (*NAMES[:2], *keys)) for keys in more)]
    return [each for each in sheets if len(each.keys) > 2]


def sheet(group: Group, keys: tuple[str, ...], spread: tuple[str, ...] = ()) -> Sheet:
    """The given columns of a table, without those in which no row has anything."""
    keys = tuple(key for key in keys if key not in EVIDENCE or _has(group, key))
    return Sheet(keys, [[_cell(group, row, key, key in spread) for key in keys] for row in group.rows])


def _has(group: Group, key: str) -> bool:
    if key == "p_mark":
        return any(row.mark for row in group.rows)
    if key == EXTENDED:  # without judgements or equal captions it is the plain one
        stats = [(row.stats[key].mean, row.stats["rsum"].mean) for row in group.rows if key in row.stats]
        return any(round(extended - plain, 1) > 0 for extended, plain in stats)
    return group.has(key)


def _cell(group: Group, row: Row, key: str, spread: bool) -> Field:
    if key == "method":
        return Field(row.method, remark=remark(row))
    if key == "memory":
        return Field(memory(group, row.key))
    if key == "n":
        return Field(str(len(row.seeds) - row.failed))
    if key == "p_mark":
        return Field(_p_of_mark(group, row))
    if key not in row.stats:
        return Field(MISSING)
    stat = row.stats[key]
    text = f"{stat.mean:.1f}" + (f" ±{stat.std:.1f}" if spread and stat.std is not None else "")
    if key == "step_ms" and "step_ratio" in row.stats:
        text += f" ({row.stats['step_ratio'].mean:.1f}×)"
    if key == PUSHED:
        low, high, judged = (row.stats[name].mean for name in (f"{PUSHED}_low", f"{PUSHED}_high", "pushed_judged"))
        text += f" [{low:.1f}, {high:.1f}] of {judged:,.0f}"
    mark = (BETTER if row.mark.difference > 0 else WORSE) if row.mark and row.mark.significant else ""
    return Field(text, group.place(row, key), mark if key == "rsum" else "")


def _p_of_mark(group: Group, row: Row) -> str:
    if row.key == group.baseline:
        return "base"
    return p_value(row.mark.p_mark if row.mark else None)


def literature(rows: Iterable[Published]) -> Sheet:
    """Rows of published papers."""
    return Sheet(
        LITERATURE,
        [
            [
                Field(row.method + "*" * row.ensemble),
                Field(row.features),
                *(Field(f"{row.recalls[key]:.1f}") for key in ACCURACY),
                Field(row.source),
            ]
            for row in rows
        ],
    )


def memory(group: Group, key: Key) -> str:
    """The size of a row's memory, with the momentum where the table has several."""
    if key.external:
        return EXTERNAL
    if key.momentum is None:
        return "in batch"
    several = len({row.momentum for row in group.rows if row.momentum is not None}) > 1
    return f"{key.memory:,}" + (f" @{key.momentum:g}" if several else "")


def remark(row: Row) -> str:
    """What a reader must know of a row before believing it."""
    parts = [(row.failed, "failed"), (row.collapsed, "collapsed†"), (row.warmup, "warm-up‡")]
    return ", ".join(f"{count} of {len(row.seeds)} {what}" for count, what in parts if count)


# --- Around a table ---------------------------------------------------------------------------------------------


FIELDS = Recipe.model_fields
SHOWN = {"epochs", "batch", "memory", "momentum"}
"""Keys of a recipe that a table shows in any case, by row or above it."""


def title(group: Group) -> str:
    """What the numbers of a table are of."""
    return f"{group.dataset} · {describe(group.protocol)}"


def setting(group: Group) -> str:
    """How the cells of a table were trained."""
    recipe = group.recipe
    if group.external:
        return f"trained elsewhere, by no common recipe or budget · {_seeds(group.seeds)}"
    shown = [f"encoder {recipe['encoder']}", f"{recipe['epochs']} epochs", f"batch {recipe['batch']}"]
    if recipe["preset"] != PLAIN:
        shown.insert(0, f"recipe {recipe['preset']}")
    changed = _changed(recipe)
    return " · ".join([*shown, *([f"changed: {', '.join(changed)}"] if changed else []), _seeds(group.seeds)])


def _changed(recipe: Mapping[str, Any]) -> list[str]:
    """What a recipe has otherwise than the preset that it began with, but for what is shown in any case."""
    begun = presets.load(recipe["preset"])
    usual = {name: begun.get(name, field.get_default(call_default_factory=True)) for name, field in FIELDS.items()}
    found = []
    for name, value in usual.items():
        if name in SHOWN or name not in recipe or recipe[name] == (tuple(value) if isinstance(value, list) else value):
            continue
        if isinstance(value, dict):
            side, now = name.partition("_")[0], {**dict.fromkeys(value, "default"), **recipe[name]}
            found += [f"{side}.{key} {now[key]}" for key in now if now[key] != value.get(key)]
        else:
            found.append(f"{name} {recipe[name]}")
    return found


def _seeds(seeds: tuple[int, ...]) -> str:
    whole = len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1))
    text = f"{seeds[0]}–{seeds[-1]}" if whole else ", ".join(map(str, seeds))
    return f"seed{'s' if len(seeds) > 1 else ''} {text}"


def notes(group: Group) -> Iterator[str]:
    """What must be said of a table: what its marks mean, and warnings."""
    yield from marks(group)
    tuned = [row for row in group.rows if row.said and not row.external]
    if len(tuned) <= NAMED:
        yield from (f"{row.method} ({memory(group, row.key)}): {'; '.join(row.said)}." for row in tuned)
    else:
        yield f"{len(tuned)} rows have settings that studies found: each record's run.json has them."
    yield from _external(group)
    bases = sorted(f"{row.stats[BASE].mean:.1f}" for row in group.rows if BASE in row.stats)
    if bases:
        alike = bases[0] if bases[0] == bases[-1] else f"{bases[0]} to {bases[-1]}"
        yield f"Pushing all judged pairs alike would give a pushed false % of {alike}."
    older = [f"{row.method} ({memory(group, row.key)})" for row in group.rows if row.older]
    if older:
        yield (
            f"No pushed false % of {_some(older)}: the audit is older and takes all picks for pushes"
            " (docs/audit.md); run the cells again with --force."
        )
    busy = [f"{row.method} ({memory(group, row.key)})" for row in group.rows if row.busy]
    if busy:
        yield f"No step time of {_some(busy)}: other work slowed the machine while they trained."
    if any(row.collapsed for row in group.rows):
        yield "† Collapsed: the model no longer tells positives from negatives. Averaged in, but never best or second."
    if any(row.warmup for row in group.rows):
        yield "‡ No epoch of the method beat the warm-up on validation, so the warm-up's weights were tested."
    if any(row.failed for row in group.rows):
        yield "A row with a failed seed has no means and no mark."
    yield from _unpaired(group)
    if group.repeated:
        yield f"{group.repeated} older record(s) of cells that were run again are left out."


def _external(group: Group) -> Iterator[str]:
    """What must be known of rows that were trained elsewhere, and what they tell of themselves."""
    guests = [row for row in group.rows if row.external]
    if guests and not group.external:
        names = [f"{row.method} ({EXTERNAL})" for row in guests]
        yield f"{_some(names)}: trained elsewhere, so no recipe and no budget is shared with the other rows."
    if any(PUSHED in row.stats for row in guests):
        yield (
            f"pushed false % of {EXTERNAL} rows: what {AUDIT_METHOD}, in batches of {AUDIT_BATCH}, would push on their"
            " embeddings; of how they were trained it says nothing."
        )
    yield from (f"{row.method} ({EXTERNAL}): {line}." for row in guests for line in row.said)


def _unpaired(group: Group) -> Iterator[str]:
    """Which rows have other seeds than most."""
    sets: dict[tuple[int, ...], list[str]] = {}
    for row in group.rows:
        sets.setdefault(row.seeds, []).append(f"{row.method} ({memory(group, row.key)})")
    if len(sets) > 1:
        most = max(sets, key=lambda seeds: len(sets[seeds]))
        which = "".join(f"{_seeds(seeds)}: {_some(rows)}; " for seeds, rows in sets.items() if seeds != most)
        yield f"The rows have different seeds, so their means are not paired. {which}{_seeds(most)}: all others."


def _some(rows: list[str]) -> str:
    return ", ".join(rows) if len(rows) <= NAMED else f"{len(rows)} rows"


def marks(group: Group) -> Iterator[str]:
    """What the marks of a table mean, or why it has none."""
    if group.split_by_id:
        yield (
            f"The split was made from the ids of {group.split_by_id:,} images, as nothing in the data says one: these"
            " figures compare with nobody else's."
        )
    if group.unmarked:
        yield f"No significance marks: {group.unmarked}."
    tested = [row for row in group.rows if row.mark]
    if not tested or group.baseline is None:
        return
    name = f"{group.baseline.method} ({memory(group, group.baseline)})"
    rows = [f"{row.method} ({memory(group, row.key)})" for row in tested]
    yield (
        f"{BETTER} {WORSE} rSum above, below {name}: p < 0.05 in two tests on the seeds in common. One speaks of other"
        " images and these trainings (sign flips by image), one of other images and other trainings (mixed model)."
        f" p is the larger of the two, each Holm-corrected over this family: the {len(tested)} row(s) tested against"
        f" {name} ({_some(rows)}). In another family the same row has another p."
    )
    others = [
        f"{row.method} ({memory(group, row.key)})" for row in group.rows if not row.mark and row.key != group.baseline
    ]
    if others:
        yield f"Not tested, with fewer than {SEEDS_TO_MARK} seeds in common or a failed one: {_some(others)}."


def legend(groups: Iterable[Group], spread: bool = True) -> str:
    """What the columns of some tables mean; without ``spread`` rSum alone has its deviation."""
    groups = list(groups)
    shown = {key for group in groups for key in whole(group).keys}
    deviation = "± sample standard deviation"
    mean = f"Mean {deviation} over n seeds" if spread else f"Mean over n seeds, of rSum {deviation}"
    parts = [
        f"{mean}; the best of a column is bold, the second underlined.",
        *(column.means for key, column in COLUMNS.items() if key in shown and column.means),
    ]
    if any(group.published for group in groups):
        parts.append(PUBLISHED)
    return " ".join(parts)


PUBLISHED = (
    "Published rows were measured by others, with other features, budgets and code: context, not competitors; no mark,"
    " best or second counts them. *: two models, similarities averaged."
)


FEW = 4
"""Tables of a dataset whose differences are told in one line."""


def by_dataset(groups: Iterable[Group]) -> Iterator[tuple[str, list[Group]]]:
    """The tables of each dataset, after a line that says in what they differ (empty where there is one)."""
    for dataset, some in groupby(groups, key=lambda group: group.dataset):
        tables = list(some)
        own = [group for group in tables if not group.external]
        unlike = differences(own) if own else {}
        parts = [f"{name}: {' | '.join(map(str, values))}" for name, values in unlike.items()]
        told = "; ".join(parts) if len(own) <= FEW else f"{', '.join(unlike)}; the line below each title says how"
        yield f"{dataset} has {len(own)} tables, which differ in {told}." if parts else "", tables
