"""How far a ranking carries: Kendall's tau of orders of methods, and ``bench rankings``."""

import csv
import io
import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from boards import F8K, record, save
from commands import bench
from negbench.benchmark.results.leaderboard import untested
from negbench.benchmark.results.rankings import AGAIN, Agreement, agreements, tau

METHODS = ("hardest", "semi_hard", "random", "fne", "info_nce", "siglip", "gist")
OTHER = F8K.model_copy(update={"name": "other"})
RECALLS = {method: 30 + place for place, method in enumerate(METHODS)}


def signs(values: Any) -> Any:
    array = np.array(values, dtype=float)
    return np.sign(array[:, None] - array[None, :])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=9))
def test_tau_is_scipy_s_also_where_methods_count_several_times(rows: list[tuple[int, int, int]]) -> None:
    one, two, times = (np.array(column) for column in zip(*rows, strict=True))
    assume(times.sum() > 1)
    found = tau(signs(one), signs(two), times[None, :].astype(float))[0]
    # pairs of a method with itself are ties in both, which tau-b leaves out
    expected = kendalltau(np.repeat(one, times), np.repeat(two, times)).statistic
    assert found == pytest.approx(0.0 if np.isnan(expected) else expected)


def a_board(root: Path, **others: Mapping[str, float]) -> list[Agreement]:
    """``other`` in the order of ``RECALLS``, and what is given by dataset."""
    tables: dict[str, Mapping[str, float]] = {"other": RECALLS} | others
    cells = [
        record(method, seed, value + seed / 10, dataset, protocol=OTHER if dataset == "other" else F8K)
        for dataset, values in tables.items()
        for method, value in values.items()
        for seed in range(3)
    ]
    return agreements(untested(save(root, *cells)))


def test_an_order_is_held_against_its_own_by_other_seeds(tmp_path: Path) -> None:
    lot = np.random.default_rng(0)
    recalls = {(method, seed): float(lot.uniform(20, 40)) for method in METHODS for seed in range(3)}
    save(tmp_path, *(record(method, seed, value) for (method, seed), value in recalls.items()))
    (found,) = agreements(untested(tmp_path))
    pairs = [([recalls[m, a] for m in METHODS], [recalls[m, b] for m in METHODS]) for a, b in combinations(range(3), 2)]
    assert (found.value, found.a, found.methods) == (AGAIN, found.b, 7)
    assert found.tau == pytest.approx(fmean(kendalltau(*pair).statistic for pair in pairs))
    assert -1 <= found.low < found.tau < found.high <= 1


def test_the_reverse_order_is_told_and_few_methods_make_none(tmp_path: Path) -> None:
    reverse = {method: -value + 90 for method, value in RECALLS.items()}
    between = [line for line in a_board(tmp_path / "a", f8k=reverse) if line.a != line.b]
    assert [(line.tau, line.low, line.high, line.methods) for line in between] == [(-1, -1, -1, 7)]
    few = {method: RECALLS[method] for method in METHODS[:4]}
    assert all(line.a == line.b for line in a_board(tmp_path / "b", f8k=few))


def test_a_tuned_order_takes_the_defaults_where_nothing_better_was_found(tmp_path: Path) -> None:
    best = record("hardest", 0, 50, "other", settings={"margin": 0.3}, tuned=True, protocol=OTHER)
    save(tmp_path, *(record(method, 0, value, "other", protocol=OTHER) for method, value in RECALLS.items()), best)
    (found,) = agreements(untested(tmp_path))
    assert (found.a.tuned, found.b.tuned, found.methods) == (False, True, 7)
    last_first = [100, *range(1, 7)]
    assert found.tau == pytest.approx(kendalltau(range(7), last_first).statistic)


def test_memories_are_compared_within_a_table_and_other_values_within_a_part(tmp_path: Path) -> None:
    for memory in (0, 2048):
        cells = [record(method, 0, value, "other", memory=memory, protocol=OTHER) for method, value in RECALLS.items()]
        cells = [
            cell.model_copy(update={"metrics": cell.metrics | {"true_rsum": 600.0 - cell.metrics["rsum"]}})
            for cell in cells
        ]
        save(tmp_path / str(memory), *cells)
    found = {(line.a.memory, line.b.memory, line.value): line.tau for line in agreements(untested(tmp_path))}
    assert found == {(0, 0, "true_rsum"): -1, (2048, 2048, "true_rsum"): -1, (0, 2048, "rsum"): 1}


def test_the_command_writes_a_table_markdown_csv_and_json(tmp_path: Path) -> None:
    count = len(a_board(tmp_path, f8k=dict(zip(METHODS, (30, 31, 33, 32, 34, 36, 35), strict=True))))
    words = ["rankings", "--runs", str(tmp_path)]
    done = bench(*words)
    assert done.exit_code == 0, done.stderr
    assert "f8k, in batch" in done.stdout
    assert "+0.81" in done.stdout  # two of 21 pairs the other way round
    assert bench(*words, "--format", "md").stdout.startswith("| rSum of ")
    rows = json.loads(bench(*words, "--format", "json").stdout)
    lines = list(csv.DictReader(io.StringIO(bench(*words, "--format", "csv").stdout)))
    assert len(rows) == len(lines) == count
    assert (rows[-1]["a_table"], rows[-1]["b_table"], float(lines[-1]["tau"])) == ("f8k", "other", rows[-1]["tau"])


def test_where_there_is_no_order_one_line_says_so(tmp_path: Path) -> None:
    save(tmp_path, record("hardest", 0, 30), record("fne", 0, 31))
    done = bench("rankings", "--runs", str(tmp_path))
    assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert "no two orders of 5 methods" in done.stderr
