"""The leaderboard on the screen and in files for programs."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from boards import F8K, bench_board, board, lines, record, save, two_rows
from negbench.benchmark.reports.leaderboard_folder import metrics
from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.reports.tables.terminal import show
from negbench.benchmark.results.published import FILE
from negbench.benchmark.results.records import Cost


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return two_rows(tmp_path / "runs")


def test_says_that_a_method_never_beat_the_warm_up(runs: Path) -> None:
    save(runs / "more", record("hardest", 3, 20, best_epoch=0), record("hardest", 4, 20, best_epoch=1))
    text = bench_board(runs, "--format", "md").stdout
    assert "`hardest` (1 of 5 warm-up‡)" in text
    assert "‡ No epoch of the method beat the warm-up on validation, so the warm-up's weights were tested." in text


def test_json_has_plain_numbers(runs: Path) -> None:
    fne, hardest = json.loads(bench_board(runs, "--format", "json").stdout)
    assert (fne["method"], fne["memory"], fne["momentum"], fne["seeds"], fne["n"]) == ("fne", 4096, 0.995, [0, 1, 2], 3)
    assert (hardest["method"], hardest["memory"], hardest["momentum"]) == ("hardest", 0, None)
    assert hardest["i2t_r1_mean"] == pytest.approx(32)
    assert hardest["baseline"] == "hardest (in batch)"
    assert hardest["source"] is hardest["mark_p"] is None
    assert fne["mark_significant"] is True
    assert hardest["i2t_r1_std"] == pytest.approx(2)  # of a sample: sqrt((4 + 0 + 4) / 2)
    assert hardest["rsum_std"] == pytest.approx(12)
    assert fne["step_ratio_mean"] == pytest.approx(1.5)
    assert fne["false_negative_percent_mean"] == pytest.approx(5)
    assert (fne["protocol"], fne["images"], fne["captions"]) == ("f8k-1k", 1000, 5000)


def test_csv_holds_the_same_as_json(runs: Path) -> None:
    save(runs / "more", record("random", 0, 10, cost=None))
    lines = list(csv.DictReader(io.StringIO(bench_board(runs, "--format", "csv").stdout)))
    objects = json.loads(bench_board(runs, "--format", "json").stdout)
    assert [line["method"] for line in lines] == ["fne", "hardest", "random"]
    assert lines[2]["rsum_std"] == lines[2]["step_ms_mean"] == ""
    for line, row in zip(lines, objects, strict=True):
        row["seeds"] = " ".join(map(str, row["seeds"]))
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}


def test_markdown(runs: Path) -> None:
    text = bench_board(runs, "--format", "md").stdout
    assert "**f8k · f8k-1k (1,000 images, 5,000 captions)**" in text
    assert "encoder effnet · 10 epochs · batch 128 · seeds 0–2" in text
    header, alignment, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:5]] == ["method", "memory", "n", "i2t R@1"]
    assert set(alignment) <= set("|:-")
    fne, hardest = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert fne[:4] == ["`fne`", "4,096", "3", "**41.0 ±1.0**"]
    assert fne[-4:] == ["**246.0 ±6.0** ↑", ".002", "**5.0**", "30.0 (1.5×)"]
    assert hardest[:4] == ["`hardest`", "in batch", "3", "32.0 ±2.0"]
    assert hardest[-4:] == ["192.0 ±12.0", "base", "20.0", "**12.0 (1.5×)**"]


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_terminal(runs: Path, width: int) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, color_system="standard", _environ={})
    with screen.capture() as capture:
        show(board(runs), screen)
    styled = capture.get()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert all(len(line) <= width for line in plain.splitlines())
    assert re.search(r"\x1b\[1;32m246.0 ±6.0\x1b\[0m↑", styled)
    legend = " ".join(plain.split())
    assert ("Mean ± sample standard deviation over n seeds" in legend) == ("41.0 ±1.0" in plain)
    assert ("Mean over n seeds, of rSum ± sample standard deviation" in legend) == ("41.0 ±1.0" not in plain)
    assert re.search(r"\x1b\[1;32m12.0 \(1.5×\)", styled)
    assert "192.0 ±12.0" in plain
    assert ("32.0 ±2.0" in plain) == (width == 160)
    assert len(re.findall("^hardest ", plain, flags=re.M)) == (2 if width == 80 else 1)


def test_piped_text_is_plain_and_whole(runs: Path, tmp_path: Path) -> None:
    text = bench_board(runs).stdout
    assert "\x1b" not in text
    assert re.search(r"fne +4,096 +3 +41.0 ±1.0 .* 246.0 ±6.0↑ +\.002 +5.0 +30.0 \(1.5×\)", text)
    assert bench_board(runs, "--output", str(tmp_path / "board.txt")).stdout == ""
    assert (tmp_path / "board.txt").read_text() == text


@pytest.mark.parametrize("layout", ["md", "latex", "csv", "html", "json"])
def test_output_goes_to_a_file(runs: Path, tmp_path: Path, layout: str) -> None:
    file = tmp_path / "board"
    assert bench_board(runs, "--format", layout, "--output", str(file)).stdout == ""
    assert file.read_text() == bench_board(runs, "--format", layout).stdout
    refused = bench_board(runs, "--format", layout, "--output", str(tmp_path))
    assert refused.exit_code == 2
    assert str(tmp_path) in refused.stderr.replace("\n", "")


def test_one_seed_has_no_deviation_and_alone_nothing_is_best(tmp_path: Path) -> None:
    text = markdown(board(save(tmp_path, record("fne", 0, 40))))
    assert "| 40.0 |" in re.sub(" +", " ", text)
    row = next(line for line in text.splitlines() if line.startswith("| `fne`"))
    assert "**" not in row
    assert "seed 0" in text


def test_rows_with_other_seeds_are_said_not_to_be_paired(runs: Path) -> None:
    assert "not paired" not in markdown(board(runs))
    save(runs / "more", record("random", 5, 10))
    text = markdown(board(runs))
    expected = "not paired. seed 5: random (in batch); seeds 0–2: all others."
    assert expected in text


def test_nothing_published_is_said(runs: Path) -> None:
    save(runs / "more", record("fne", 0, 10, dataset="my", protocol=F8K.model_copy(update={"name": "my"})))
    done = bench_board(runs, "--with-published", "--format", "md")
    assert done.exit_code == 0
    known = {line.split(",")[0] for line in FILE.read_text().splitlines()}
    names = ", ".join(name for name in ("f8k", "my") if name not in known)
    assert done.stderr == f"nothing is published that we know of for: {names}\n"
    assert bench_board(runs, "--format", "md").stderr == ""


def test_wrong_format_is_wrong_usage(runs: Path) -> None:
    assert bench_board(runs, "--format", "pdf").exit_code == 2


@pytest.mark.parametrize("layout", ["rich", "md", "latex", "csv", "html", "json"])
def test_torch_is_never_imported(tmp_path: Path, layout: str) -> None:
    """Numpy is: recalls are computed again from the ranks, and rows are tested."""
    save(tmp_path, *(record(name, seed, 30 + seed) for name in ("hardest", "fne") for seed in range(3)))
    code = f"""
import sys
from negbench.benchmark.cli.main import app
app(["leaderboard", "--runs", {str(tmp_path)!r}, "--format", {layout!r}], standalone_mode=False)
heavy = {{"torch", "pandas", "matplotlib", "optuna", "dvc"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_recall_under_true_positives_stands_where_it_is_known(tmp_path: Path) -> None:
    known = [record("fne", seed, 40 + seed) for seed in range(2)]
    known = [
        each.model_copy(update={"metrics": each.metrics | {"true_rsum": 300.0 + seed}})
        for seed, each in enumerate(known)
    ]
    save(tmp_path / "known", *known, record("hardest", 0, 30))
    save(tmp_path / "unknown", record("hardest", 0, 30))
    page = markdown(board(tmp_path / "known"))
    assert "true rSum" in page.splitlines()[3]
    assert " 300.5 " in page  # the mean, without a deviation
    assert "true rSum |" not in markdown(board(tmp_path / "unknown"))


def test_the_second_is_underlined_where_there_are_three(tmp_path: Path) -> None:
    save(tmp_path, record("fne", 0, 40), record("sum", 0, 30), record("mean", 0, 20))
    rows = lines(markdown(board(tmp_path)))
    assert "| **40.0** |" in rows["fne"]
    assert "| <ins>30.0</ins> |" in rows["sum"]
    assert "| 20.0 |" in rows["mean"]
    save(tmp_path / "more", record("hcl", 0, 40))
    rows = lines(markdown(board(tmp_path)))
    assert "| **40.0** |" in rows["hcl"]  # as good as the best, so best
    assert "| **40.0** |" in rows["fne"]
    assert "| <ins>30.0</ins> |" in rows["sum"]


def test_a_collapsed_row_is_never_best(tmp_path: Path) -> None:
    fast = Cost(wall_s=60, step_ms=1, product_ms=1, peak_mb=500)
    save(tmp_path, record("fne", 0, 40), record("sum", 0, 30), record("sct", 0, 1, status="collapsed", cost=fast))
    rows = lines(markdown(board(tmp_path)))
    assert "1.0 (1.0×) |" in rows["sct"]
    assert "**" not in rows["sct"]
    assert "**12.0 (1.5×)**" in rows["fne"]


def test_a_column_stands_where_it_says_something(tmp_path: Path) -> None:
    save(tmp_path / "same", record("fne", 0, 40, metrics=record("fne", 0, 40).metrics | {"extended_rsum": 240.0}))
    save(tmp_path / "more", record("fne", 0, 40, metrics=record("fne", 0, 40).metrics | {"extended_rsum": 250.0}))
    eccv = {"eccv_i2t_map_at_r": 30.0, "eccv_t2i_map_at_r": 40.0}
    save(tmp_path / "eccv", record("fne", 0, 40, metrics=record("fne", 0, 40).metrics | eccv))
    same, more, verified = (markdown(board(tmp_path / name)) for name in ("same", "more", "eccv"))
    assert "ext. rSum" not in same
    assert "| 250.0 |" in lines(more)["fne"]
    assert "ext. rSum: candidates judged" in more
    assert "| 35.0 |" in lines(verified)["fne"]
    assert "false %" not in same + more + verified


def test_where_chooses_the_records_of_the_tables_and_so_the_family(tmp_path: Path) -> None:
    methods = {"hardest": 30, "fne": 40, "semi-hard": 35}
    save(tmp_path, *(record(name, seed, value + seed) for name, value in methods.items() for seed in range(3)))
    words = ("--format", "json", "--where")
    rows = json.loads(bench_board(tmp_path, *words, "method=hardest,semi-hard seed=0-2").stdout)
    assert {row["method"] for row in rows} == {"hardest", "semi-hard"}
    assert {row["family"] for row in rows} == {1}
    done = bench_board(tmp_path, *words, "method=fne seed=7")
    assert (done.exit_code, done.stderr) == (3, "error: --where: none of 9 records has method=fne seed=7\n")
    assert "did you mean 'method'?" in bench_board(tmp_path, *words, "methods=fne").stderr


def test_dvc_is_given_a_short_list_of_figures(tmp_path: Path) -> None:
    cells = [record(name, seed, 30 + seed) for name in ("hardest", "fne") for seed in range(3)]
    found = metrics(board(save(tmp_path, *cells)))
    assert found == {"f8k": {f"{name}, in batch": {"rsum": 186.0} for name in ("hardest", "fne")}}
