"""Rows of a table against a baseline."""

from pathlib import Path

import pytest

from boards import bench_board, board, lines, record, save, two_rows
from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.reports.tables.programs import flat
from negbench.benchmark.results import ranks_file
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.marks import marks
from negbench.benchmark.results.rows import RowChoice, rows_of


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return two_rows(tmp_path / "runs")


def test_marks_are_those_of_paired(tmp_path: Path) -> None:
    """A better one, one no different, one with too few seeds in common, one with a failed seed."""
    save(
        tmp_path,
        *(record("hardest", seed, 30 + seed) for seed in range(3)),
        *(record("fne", seed, 40 + seed) for seed in range(3)),
        *(record("sum", seed, 30.1 + seed) for seed in range(3)),
        *(record("random", seed, 10) for seed in range(3)),
        *(record("mean", seed, 10) for seed in range(2)),
        *(record("semi-hard", seed, 10) for seed in range(3)),
        record("semi-hard", 3, 0, status="failed", error="boom", metrics={}, cost=None),
    )
    (group,) = board(tmp_path)
    cells, _ = survey(tmp_path)
    rows = rows_of(cell for cell in cells if cell.record.method_id in ("hardest", "fne", "sum", "random"))
    expected = marks(rows, next(row for row in rows if row.method == "hardest"))
    assert {row.key: row.mark for row in group.rows if row.mark} == expected
    text = markdown([group])
    found = lines(text)
    assert "246.0 ±6.0** ↑ | <.001 |" in found["fne"]  # each seed is 60 ahead: trainings add nothing to the doubt
    assert "60.0 ±0.0 ↓ | <.001 |" in found["random"]
    assert "↑" not in found["sum"]
    assert "| base |" in found["hardest"]
    assert not {"↑", "↓"} & {*found["mean"], *found["semi-hard"]}
    family = "the 3 row(s) tested against hardest (in batch) (fne (in batch), sum (in batch), random (in batch))"
    assert f"each Holm-corrected over this family: {family}" in text
    assert {row["family"] for row in flat([group])} == {3}
    assert "a failed one: mean (in batch), semi-hard (in batch)." in text


def test_ranks_are_read_once_to_be_believed_and_to_be_tested(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    ids: list[int] = []

    def counted(path: Path, sha256: str) -> ranks_file.StoredRanks:
        read.append(path)
        stored = plain(path, sha256)
        ids.append(id(stored.t2i_ids))
        return stored

    plain = ranks_file.read_ranks
    monkeypatch.setattr(ranks_file, "read_ranks", counted)
    (group,) = board(runs)
    assert any(row.mark for row in group.rows)
    assert sorted(read) == sorted(runs.rglob("ranks.npz"))
    assert len({*ids}) == 1  # ids of the same test are kept once


def test_baseline_can_be_chosen(runs: Path) -> None:
    other = bench_board(runs, "--baseline", "fne,4096", "--format", "md").stdout
    assert "| base |" in lines(other)["fne"]
    assert "192.0 ±12.0 ↓" in lines(other)["hardest"]
    assert "rSum above, below fne (4,096)" in other
    assert bench_board(runs, "--baseline", "fne", "--format", "md").stdout == other
    for name, says in (
        ("fnee", "unknown method 'fnee'; did you mean 'fne'?"),
        ("fne,7", "no table has fne with memory 7"),
        ("fne,4096@x", "write it as 0, 2048 or 2048@0.95"),
    ):
        wrong = bench_board(runs, "--baseline", name)
        assert wrong.exit_code == 2
        assert says in wrong.stderr.replace("\n", " ")
    save(runs / "more", record("fne", 0, 20, memory=1024))
    several = bench_board(runs, "--baseline", "fne")
    assert several.exit_code == 2
    assert "fne,MEMORY of: 4096@0.995, 1024@0.995" in several.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "text, method, memory",
    [
        ("fne", "fne", None),
        ("fne,0", "fne", "0"),
        ("fne[a=1,b=2]", "fne[a=1,b=2]", None),
        ("a[b=1,c=2],9", "a[b=1,c=2]", "9"),
    ],
)
def test_a_baseline_is_a_method_and_perhaps_a_memory(text: str, method: str, memory: str | None) -> None:
    assert RowChoice.parse(text) == RowChoice(method, memory)


def test_a_table_without_marks_says_why(tmp_path: Path) -> None:
    save(tmp_path / "a", record("fne", 0, 40), record("sum", 0, 30))
    said = "No significance marks: there is no row of hardest (in batch); choose another with --baseline "
    assert f"{said}sum." in markdown(board(tmp_path / "a"))
    save(tmp_path / "a" / "more", record("hardest", 0, 40, memory=2048))
    assert f"{said}hardest,2048." in markdown(board(tmp_path / "a"))
    save(tmp_path / "a" / "most", record("hardest", 0, 41, memory=2048, momentum=0.9))
    assert f"{said}hardest,2048@0.9." in markdown(board(tmp_path / "a"))
    assert bench_board(tmp_path / "a", "--baseline", "hardest,2048@0.9").exit_code == 0
    save(tmp_path / "b", record("fne", 0, 40), record("hardest", 0, 30))
    few = markdown(board(tmp_path / "b"))
    assert "No significance marks: no row has 3 seeds in common with hardest (in batch)." in few
    save(tmp_path / "c", record("fne", 0, 40))
    assert "marks" not in markdown(board(tmp_path / "c"))
