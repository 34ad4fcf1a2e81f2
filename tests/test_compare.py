"""``bench compare`` and the marks of a table, from records on disk."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from commands import Done, bench
from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.metrics import metrics
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.evaluation.ranks import Ranks
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.comparison_words import explain
from negbench.benchmark.reports.terminal.comparison import show
from negbench.benchmark.results import integrity, records
from negbench.benchmark.results.compare import Comparison, compare
from negbench.benchmark.results.marks import marks, pair
from negbench.benchmark.results.ranks_file import write_ranks
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.results.rows import Key, RowChoice, rows_of
from negbench.benchmark.results.significance import holm
from negbench.pipelines import sources

IMAGES, CAPTIONS = 40, 80
OWNER = [f"im{k % IMAGES}" for k in range(CAPTIONS)]
Save = Callable[..., Path]


def ranks_of(method: str, seed: int, skill: float) -> Ranks:
    """Ranks that come from the images, the same for every method, and from the training; lower with more skill."""
    images = np.random.default_rng(0).normal(size=IMAGES)
    noise = np.random.default_rng([seed, *method.encode()])
    of_captions = np.array([images[k % IMAGES] for k in range(CAPTIONS)])
    i2t, t2i = (base - skill + noise.normal(0, 0.3, size=len(base)) for base in (images, of_captions))
    return Ranks(*(torch.from_numpy(np.ceil(np.exp(1.5 + 0.8 * side))).float() for side in (i2t, t2i)))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes the record of a cell with its ranks below ``tmp_path / "runs"`` and returns its folder."""

    def saved(method: str, seed: int, skill: float = 0.0, place: str = "", **changes: Any) -> Path:
        own = {key: changes.pop(key) for key in list(changes) if key in RunConfig.model_fields}
        base: dict[str, Any] = {"method": method, "dataset": "toy", "encoder": "e", "seed": seed, "memory": 0}
        config = RunConfig(**base | own)
        folder = tmp_path / "runs" / config.dataset / (place + config.label("e")) / f"seed-{seed}"
        folder.mkdir(parents=True)
        ranks, ids = ranks_of(method, seed, skill), [f"im{k}" for k in range(IMAGES)]
        digest = write_ranks(folder / "ranks.npz", ranks, ids, [f"c{k}" for k in range(CAPTIONS)], OWNER)
        values: dict[str, Any] = {
            "status": "done",
            "method_id": config.method_id,
            "config": config,
            "config_hash": config.hash,
            "recipe_hash": config.recipe_hash,
            "manifest_hash": "1" * 32,
            "features_hash": "2" * 32,
            "protocol": Protocol(name=config.dataset, images=IMAGES, captions=CAPTIONS),
            "metrics": metrics(ranks),
            "ranks_sha256": digest,
        }
        if changes.get("status") == "failed":
            values |= {"metrics": {}, "ranks_sha256": ""}
        (folder / "run.json").write_text(RunRecord(**values | changes).model_dump_json(exclude={"files"}))
        return folder

    return saved


def bench_compare(tmp_path: Path, *words: str) -> Done:
    return bench("compare", *words, "--runs", str(tmp_path / "runs"))


@pytest.fixture
def found(tmp_path: Path, save: Save) -> Comparison:
    for seed in range(3):
        save("fne", seed, skill=0.4)
        save("hardest", seed)
    return compare(RowChoice("fne"), RowChoice("hardest"), root=tmp_path / "runs")


# --- The numbers ------------------------------------------------------------------------------------------------


def test_every_number_of_a_line_in_plain_loops(found: Comparison) -> None:
    positions = {
        (method, seed): {side: getattr(ranks_of(method, seed, skill), side).tolist() for side in ("i2t", "t2i")}
        for method, skill in (("fne", 0.4), ("hardest", 0.0))
        for seed in range(3)
    }
    for line in found.lines[:6]:
        side, cutoff = line.metric[:3], int(line.metric[5:])
        won = lost = tied = 0
        total = 0.0
        for query in range(IMAGES if side == "i2t" else CAPTIONS):
            a, b = (
                sum(positions[method, seed][side][query] <= cutoff for seed in range(3))
                for method in ("fne", "hardest")
            )
            won, lost, tied = won + (a > b), lost + (a < b), tied + (a == b)
            total += (a - b) / 3
        assert (line.won, line.lost, line.tied) == (won, lost, tied)
        assert line.difference == pytest.approx(100 * total / (IMAGES if side == "i2t" else CAPTIONS))
        assert line.a.mean - line.b.mean == pytest.approx(line.difference)
        assert line.low <= line.difference <= line.high
    assert [line.p_holm for line in found.lines] == pytest.approx(holm([line.p for line in found.lines]).tolist())
    assert [line.p_both_holm for line in found.lines] == pytest.approx(
        holm([line.p_both or 0 for line in found.lines]).tolist()
    )
    assert found.lines[6].difference == pytest.approx(sum(line.difference for line in found.lines[:6]))


def test_the_values_are_those_of_the_records(tmp_path: Path, found: Comparison) -> None:
    for side, method in (("a", "fne"), ("b", "hardest")):
        recorded = [
            cell.record.metrics for cell in integrity.survey(tmp_path / "runs")[0] if cell.record.method_id == method
        ]
        for line in found.lines:
            values = [each[line.metric] for each in recorded]
            assert getattr(line, side).mean == pytest.approx(np.mean(values))
            assert getattr(line, side).std == pytest.approx(np.std(values, ddof=1))


def test_the_other_way_round_is_the_same_with_other_signs(tmp_path: Path, found: Comparison) -> None:
    back = compare(RowChoice("hardest"), RowChoice("fne"), root=tmp_path / "runs")
    for one, other in zip(found.lines, back.lines, strict=True):
        assert (one.p, one.won, one.lost) == (other.p, other.lost, other.won)
        assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert (found.won, found.lost) == tuple(
        [type(query)(query.direction, query.id, query.b, query.a) for query in side] for side in (back.lost, back.won)
    )
    assert explain(found) == explain(back)


def test_an_image_is_flipped_with_its_captions(tmp_path: Path, found: Comparison) -> None:
    sides = rows_of(integrity.survey(tmp_path / "runs")[0])
    both = pair(sides[Key("fne", 0, None)], sides[Key("hardest", 0, None)])
    assert both.queries.shape == (IMAGES, 6)
    assert (both.queries == [1, 1, 1, 2, 2, 2]).all()
    assert both.parts.sum(axis=0) == pytest.approx([line.difference for line in found.lines])


def test_the_queries_that_changed_most(found: Comparison) -> None:
    means = {
        (side, k): [
            np.mean([getattr(ranks_of(method, seed, skill), side)[k] for seed in range(3)])
            for method, skill in (("fne", 0.4), ("hardest", 0.0))
        ]
        for side, size in (("i2t", IMAGES), ("t2i", CAPTIONS))
        for k in range(size)
    }
    best = min(means, key=lambda key: means[key][0] / means[key][1])
    first = found.won[0]
    assert (first.a, first.b) == pytest.approx(means[best])
    assert len(found.won) == 5
    assert all(query.a < query.b for query in found.won)
    assert all(query.a > query.b for query in found.lost)


def test_marks_of_a_table(tmp_path: Path, save: Save, found: Comparison) -> None:
    for seed in range(3):
        save("random", seed, skill=-0.02)
    save("sum", 0)
    save("sum", 1)
    sides = rows_of(integrity.survey(tmp_path / "runs")[0])
    made = marks(sides, Key("hardest", 0, None))
    assert {row.method for row in made} == {"fne", "random"}  # two seeds make no mark
    fne, random = made[Key("fne", 0, None)], made[Key("random", 0, None)]
    assert fne.p == found.lines[-1].p  # a table and a comparison say the same
    assert fne.difference == pytest.approx(found.lines[-1].difference)
    assert fne.p_t == found.over_seeds.p_t
    assert fne.p_both == found.lines[-1].p_both
    assert [fne.p_holm, random.p_holm] == holm([fne.p, random.p]).tolist()
    assert [fne.p_both_holm, random.p_both_holm] == holm([fne.p_both, random.p_both]).tolist()
    assert fne.p_mark == max(fne.p_holm, fne.p_both_holm)
    assert (fne.significant, random.significant) == (True, False)
    assert marks({Key("hardest", 0, None): sides[Key("hardest", 0, None)]}, Key("hardest", 0, None)) == {}


# --- The words --------------------------------------------------------------------------------------------------


def test_three_sentences(found: Comparison) -> None:
    images, trainings, over_both = explain(found)
    line = found.lines[-1]
    assert images == (
        f"On toy (40 images, 80 captions), fne (in batch) beats hardest (in batch) by {line.difference:.1f} points of"
        f" rSum (95% interval {line.low:.1f} to {line.high:.1f}), more than the choice of test images explains"
        " (p < 0.001)."
    )
    assert re.fullmatch(
        r"It is ahead in 3 of 3 trainings with the same seeds \([\d.]+ ± [\d.]+, paired t: p [<=] [\d.]+\), and finds"
        r" \d+% of the queries better and \d+% worse\.",
        trainings,
    )
    p = f"{line.p_both:.3f}"
    assert over_both == f"The lead is more than trainings and test images together explain (p = {p})."


def test_one_seed_says_nothing_of_another_training(tmp_path: Path, save: Save) -> None:
    save("fne", 0, skill=0.02)
    save("hardest", 0)
    code, text, _ = bench_compare(tmp_path, "hardest", "fne")
    assert code == 0
    assert "no more than the choice of test images explains" in text
    assert "There is one common seed, which says nothing of another training" in text
    assert "Paired t: p –, needs 3 seeds. Wilcoxon: p –, needs 6 seeds. In deviations over seeds: –." in text


def test_json(tmp_path: Path, found: Comparison) -> None:
    code, text, _ = bench_compare(tmp_path, "fne", "hardest", "--json")
    assert code == 0
    content = json.loads(text)
    assert content["seeds"] == [0, 1, 2]
    assert content["a"] == {"method": "fne", "memory": 0, "momentum": None}
    assert content["lines"][6]["metric"] == "rsum"
    assert content["lines"][6]["p"] == found.lines[6].p
    assert text == bench_compare(tmp_path, "fne", "hardest", "--json")[1]


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_screen(found: Comparison, width: int) -> None:
    screen = Console(width=width, force_terminal=True, color_system=None, _environ={})
    with screen.capture() as capture:
        show(found, screen)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)


def test_a_collapsed_seed_is_named(tmp_path: Path, save: Save) -> None:
    save("fne", 0, status="collapsed")
    save("hardest", 0)
    assert "Collapsed, and counted in: fne (in batch): seeds 0." in bench_compare(tmp_path, "fne", "hardest")[1]


def test_a_repeated_cell_counts_once_and_the_newer(tmp_path: Path, save: Save) -> None:
    save("fne", 0, skill=5, place="old-", created="2025-01-01")
    save("fne", 0, skill=0, created="2025-01-02")
    save("hardest", 0)
    (seed,) = compare(RowChoice("fne"), RowChoice("hardest"), root=tmp_path / "runs").over_seeds.differences.values()
    newer = metrics(ranks_of("fne", 0, 0))["rsum"] - metrics(ranks_of("hardest", 0, 0))["rsum"]
    assert seed == pytest.approx(newer)


# --- Which records ----------------------------------------------------------------------------------------------


def test_memory_chooses_the_row(tmp_path: Path, save: Save) -> None:
    for memory, momentum in ((0, 0.95), (64, 0.95), (64, 0.5)):
        save("fne", 0, memory=memory, momentum=momentum)
    save("hardest", 0)
    code, text, _ = bench_compare(tmp_path, "fne", "hardest", "--memory", "64@0.5,0", "--json")
    assert code == 0
    assert json.loads(text)["a"] == {"method": "fne", "memory": 64, "momentum": 0.5}
    assert bench_compare(tmp_path, "fne", "fne", "--memory", "64@0.5,64@0.95")[0] == 0
    wrong = {
        (): "fne has several rows; choose with --memory (of both, or as A,B), it has: 0, 64@0.5, 64@0.95",
        ("--memory", "64,0"): "fne has several rows",
        ("--memory", "7,0"): "fne has no row with memory 7; it has: 0, 64@0.5, 64@0.95",
        ("--memory", "a,0"): "--memory a: write it as 0, 2048 or 2048@0.95",
        ("--memory", "1,2,3"): "--memory 1,2,3: one size, or two as A,B",
    }
    for words, message in wrong.items():
        code, _, err = bench_compare(tmp_path, "fne", "hardest", *words)
        assert code == 2
        assert err.splitlines()[-1].startswith(f"error: {message}")


def test_unknown_names(tmp_path: Path, found: Comparison, save: Save) -> None:
    code, _, err = bench_compare(tmp_path, "fen", "hardest")
    assert (code, err) == (2, "error: unknown method 'fen'; did you mean 'fne'?\n")
    code, _, err = bench_compare(tmp_path, "fne", "fne")
    assert code == 2
    assert "fne (in batch) stands on both sides" in err
    save("fne", 0, dataset="other")
    code, _, err = bench_compare(tmp_path, "fne", "hardest")
    assert code == 2
    assert "records of several datasets" in err
    assert "--dataset: other, toy" in err


def test_nothing_to_compare_ends_with_3(tmp_path: Path, save: Save) -> None:
    code, out, err = bench_compare(tmp_path, "fne", "hardest")
    assert (code, out) == (3, "")
    assert "no records in" in err
    save("fne", 0)
    save("hardest", 1)
    save("hardest", 0, status="failed")
    code, out, err = bench_compare(tmp_path, "fne", "hardest")
    assert (code, out) == (3, "")
    assert err.splitlines()[-1] == ("error: fne (in batch) and hardest (in batch) have no finished seed in common")
    assert re.search(r"hardest \(in batch\): seeds 0 +failed: no ranks", err)
    assert re.search(r"fne \(in batch\): seeds 0 +no such seed on the other side", err)
    code, _, err = bench_compare(tmp_path, "fne", "hardest", "--dataset", "coco")
    assert code == 3
    assert "no records of 'coco' in" in err


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"manifest_hash": "0123456789abcdef" * 2}, "manifest 01234567"),
        ({"features_hash": "f2" * 16}, "features f2f2f2f2"),
        ({"epochs": 9}, "epochs 9"),
        ({"positives": "oracle"}, "positives oracle"),
        ({"protocol": Protocol(name="toy", images=41, captions=80)}, "protocol toy (41 images, 80"),
    ],
)
def test_what_may_not_be_compared_is_refused_with_the_reason(
    tmp_path: Path, save: Save, changes: dict[str, Any], reason: str
) -> None:
    save("fne", 0)
    save("hardest", 0, **changes)
    code, out, err = bench_compare(tmp_path, "fne", "hardest")
    assert (code, out) == (3, "")
    (line,) = [line for line in err.splitlines() if line.startswith("hardest (in batch): seeds 0")]
    assert reason in line
    assert "stand together in no table: what they were measured on or trained with differs" in err.splitlines()[-1]


def test_a_broken_record_is_left_out_with_the_reason(tmp_path: Path, found: Comparison, save: Save) -> None:
    folder = save("sum", 0)
    (folder / "run.json").write_text('{"status": "done", ')
    code, out, _ = bench_compare(tmp_path, "fne", "hardest")
    assert code == 0
    assert re.search(rf"{re.escape(str(folder))} +line 1: not JSON \(column 20\); run the cell again", out)


def test_another_schema_version_is_left_out_with_the_reason(tmp_path: Path, found: Comparison, save: Save) -> None:
    folder = save("sum", 0)
    text = (folder / "run.json").read_text().replace('"schema_version":3', '"schema_version":4')
    (folder / "run.json").write_text(text)
    code, out, _ = bench_compare(tmp_path, "fne", "hardest")
    assert code == 0
    reason = "schema version 4, not 1 to 3; run the cell again with --force"
    assert re.search(rf"{re.escape(str(folder))} +{reason}", out)
    with pytest.raises(NoDataError, match=r"run.json: schema version 4, not 1 to 3; run the cell again with --force"):
        records.read(folder)


def test_two_tables_with_both_need_a_choice(tmp_path: Path, save: Save) -> None:
    for epochs in (5, 9):
        save("fne", 0, epochs=epochs)
        save("hardest", 0, epochs=epochs)
    code, _, err = bench_compare(tmp_path, "fne", "hardest")
    assert code == 3
    assert "stand in 2 tables; choose one with --hash" in err.splitlines()[-1]
    digests = dict(re.findall(r"epochs (\d) \[recipe (\w+)", err))
    code, out, _ = bench_compare(tmp_path, "fne", "hardest", "--hash", digests["9"][:5])
    assert code == 0
    assert re.search(r"fne \(in batch\): seeds 0; hardest \(in batch\): seeds 0 +epochs 5", out)
    assert "in no table with a hash of zz" in bench_compare(tmp_path, "fne", "hardest", "--hash", "zz")[2]


def test_damaged_ranks_are_one_line(tmp_path: Path, save: Save) -> None:
    folder = save("fne", 0)
    save("hardest", 0)
    path = folder / "ranks.npz"
    path.write_bytes(path.read_bytes()[:-10])
    code, out, err = bench_compare(tmp_path, "fne", "hardest")
    assert code == 3
    assert re.search(r"seed-0 +ranks.npz: cut off or edited, it is not the file that run.json tells of", out + err)
    assert err.splitlines()[-1].startswith("error: ")


def test_ranks_of_other_queries_are_refused(tmp_path: Path, save: Save) -> None:
    folder, other = save("fne", 0), save("hardest", 0)
    path = other / "ranks.npz"
    names = [f"x{k}" for k in range(CAPTIONS)]
    digest = write_ranks(path, ranks_of("hardest", 0, 0), [f"im{k}" for k in range(IMAGES)], names, OWNER)
    record = records.read(other).model_copy(update={"ranks_sha256": digest})
    (other / "run.json").write_text(record.model_dump_json(exclude={"files"}))
    _, _, err = bench_compare(tmp_path, "fne", "hardest")
    assert err == f"error: {other}: other queries than {folder}; run both again with --force\n"
    small = record.model_copy(update={"protocol": Protocol(name="toy", images=40, captions=81)})
    assert [*integrity.faults(other, small)][-1] == "ranks.npz: 40 images and 80 captions, but protocol says 40 and 81"


def test_a_choice_is_checked() -> None:
    for memory in ("", "-1", "2048@", "0@x", "0@1.2.3"):
        with pytest.raises(BenchError, match="write it as 0, 2048 or"):
            RowChoice("fne", memory)


# --- The real thing ---------------------------------------------------------------------------------------------


def test_cells_as_they_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"seed": 0, "train": 60, "val": 20, "test": 20, "ambiguity": 0.5}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    for method in ("hardest", "random"):
        words = ["run", "--method", method, "--dataset", "small", "--epochs", "2", "--batch", "32", "--memory", "64"]
        done = bench(*words, "--set", "dim=16")
        assert done.exit_code == 0, done.stderr
    done = bench("compare", "hardest", "random", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    recorded = {cell.record.method_id: cell.record.metrics for cell in integrity.survey()[0]}
    for line in found["lines"]:
        assert line["a"]["mean"] == pytest.approx(recorded["hardest"][line["metric"]])
        assert line["b"]["mean"] == pytest.approx(recorded["random"][line["metric"]])


def test_help_is_light() -> None:
    code = (
        "import sys; from negbench.benchmark.cli.main import app; app(['compare', '--help'], standalone_mode=False);"
        "sys.exit(bool({'torch', 'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_a_comparison_needs_no_torch(tmp_path: Path, found: Comparison) -> None:
    code = (
        "import sys; from negbench.benchmark.cli.main import app;"
        f"app(['compare', 'fne', 'hardest', '--runs', {str(tmp_path / 'runs')!r}], standalone_mode=False);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
