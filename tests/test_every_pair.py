"""Every two rows at once: the figures that ``compare`` and ``marks`` give one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards import record
from negbench.benchmark.evaluation.ranks import Ranks
from negbench.benchmark.results.compare import comparison, significance_of
from negbench.benchmark.results.every_pair import every_pair, marks_by_baseline
from negbench.benchmark.results.marks import marks, pair
from negbench.benchmark.results.ranks_file import write_ranks
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import Key, group_of, rows_of

IMAGES, CAPTIONS = 40, 200


def cells(root: Path) -> list[Recorded]:
    """Rows of three, four and three seeds, of which the last has one of its own, and one that failed."""
    import torch

    stream = torch.Generator().manual_seed(0)
    found = []
    for method, seeds in (("hardest", 3), ("fne", 4), ("info-nce", 3), ("sum", 1)):
        for seed in range(seeds):
            folder = root / method / str(seed)
            folder.mkdir(parents=True)
            size = 8 if method == "fne" else 14
            ranks = Ranks(*(torch.randint(1, size, (n,), generator=stream).float() for n in (IMAGES, CAPTIONS)))
            names = [f"im{k}" for k in range(IMAGES)], [f"c{k}" for k in range(CAPTIONS)]
            write_ranks(folder / "ranks.npz", ranks, *names, [f"im{k // 5}" for k in range(CAPTIONS)])
            changes = {"seed": 9} if (method, seed) == ("info-nce", 2) else {}
            status: dict[str, Any] = {"status": "failed", "metrics": {}} if method == "sum" else {}
            found.append(Recorded(folder, record(method, changes.get("seed", seed), 10, **status)))
    return found


def test_every_pair_is_what_compare_says_of_it(tmp_path: Path) -> None:
    table = cells(tmp_path)
    rows = rows_of(table)
    found = every_pair(table, [row.key for row in group_of(table).rows])
    assert [(each.a.method, each.b.method, each.seeds) for each in found] == [
        ("fne", "hardest", (0, 1, 2)),
        ("fne", "info-nce", (0, 1)),
        ("hardest", "info-nce", (0, 1)),
    ]
    keys = [row.key for row in group_of(table).rows]
    assert every_pair(table, keys, against=keys[-1]) == []
    assert every_pair(table, keys, against=found[0].a) == found[:2]
    for each in found:
        alone = pair(rows[each.a], rows[each.b])
        one = comparison((each.a, rows[each.a]), (each.b, rows[each.b]), alone, significance_of(alone), 3)
        assert (each.won, each.lost, each.over_seeds, each.images) == (one.won, one.lost, one.over_seeds, one.images)
        assert len(each.won) == 3
        for line, expected in zip(each.lines, one.lines, strict=True):
            for name, value in vars(expected).items():
                assert getattr(line, name) == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value)


def test_marks_against_any_baseline_are_those_of_the_leaderboard(tmp_path: Path) -> None:
    table = [cell for cell in cells(tmp_path) if cell.record.seed != 9]
    table += [Recorded(cell.folder, record("info-nce", 2, 10)) for cell in table if cell.record.method_id == "fne"][:1]
    group, rows = group_of(table), rows_of(table)
    found = marks_by_baseline(group, table)
    assert {key.method for key in found} == {"hardest", "fne", "info-nce"}  # not the row that failed
    for baseline, tested in found.items():
        expected = marks(rows, baseline)
        assert tested.keys() == expected.keys()
        for key, mark in expected.items():
            assert np.allclose([*vars(tested[key]).values()][:5], [*vars(mark).values()][:5], atol=1e-9)
            assert tested[key].significant == mark.significant


def test_rows_of_other_queries_are_left_out(tmp_path: Path) -> None:
    table = cells(tmp_path)
    alone = [cell for cell in table if cell.record.method_id == "hardest"]
    for cell in alone:
        held = cell.ranks
        vars(cell)["ranks"] = held._replace(t2i_ids=np.char.add(held.t2i_ids, "x"))
    group = group_of(table)
    keys = [row.key for row in group.rows]
    assert [(each.a.method, each.b.method) for each in every_pair(table, keys)] == [("fne", "info-nce")]
    assert Key("hardest", 0, None) not in marks_by_baseline(group, table)
