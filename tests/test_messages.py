"""What a command says when it cannot go on: one line in our own words, and the exit code."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import BENCH, bench, bench_process
from negbench.benchmark.evaluation.metrics import CUTOFFS
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.records import RunRecord
from negbench.pipelines.errors import unknown
from negbench.pipelines.manifest import FEWEST
from recorded import write_record


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--wrong", "no such option: --wrong; did you mean --version? (see bench --help)"),
        ("runn", "no such command 'runn'; did you mean 'run', 'runs'? (see bench --help)"),
        ("run --seed", "option '--seed' requires an argument"),
        ("run --epochs x", "--epochs: expected a whole number, got 'x' (see bench run --help)"),
        ("data add my --noise-ratio 3", "--noise-ratio: '3' must be at most 1.0 (see bench data add --help)"),
        ("data addd", "no such command 'addd'; did you mean 'add'? (see bench data --help)"),
        ("inspect x --top 0", "--top: '0' must be at least 1 (see bench inspect --help)"),
        ("inspect x --direction up", "--direction: 'up' is not one of 'i2t', 't2i', 'both' (see bench inspect --help)"),
        ("compare fne", "missing argument 'b' (see bench compare --help)"),
        ("leaderboard x", "got unexpected extra argument(s) (x) (see bench leaderboard --help)"),
    ],
)
def test_wrong_words_are_one_line_and_2(words: str, said: str) -> None:
    assert bench(*words.split()) == (2, "", f"error: {said}\n")


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_a_command_the_help_is_shown(words: list[str]) -> None:
    code, out, err = bench(*words)
    assert (code, err) == (2, "")
    assert "Usage: bench" in out


@pytest.mark.parametrize("module", ["typer", "rich", "pydantic"])
def test_an_interrupt_while_it_loads_is_one_line_and_130(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = bench_process("methods", env=environment)
    assert done == (130, "", "interrupted\n")


def test_an_interrupt_while_a_command_loads_is_one_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = bench_process("speed", "--method", "fne", env=environment)
    assert done == (130, "", "interrupted\n")


def test_a_reader_that_had_enough_ends_the_command_quietly() -> None:
    with subprocess.Popen([*BENCH, "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (1, "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with a folder ``raw`` of precomputed features."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("datasets: []\nencoders: {}\n")
    Path("raw").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(24)))
    return tmp_path


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("part", [0.3, 0.6])
def test_an_archive_that_is_cut_off_is_said_to_be(project: Path, kind: str, part: float) -> None:
    path = Path(shutil.make_archive("my", kind, "raw"))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    code, out, err = bench("data", "add", "my", "--from", str(path))
    assert (code, out) == (3, "")
    said = rf"error: {path}: cannot be unpacked: cut off or damaged( after [\d,]+ bytes)?; get (the file|it) again"
    assert re.fullmatch(said, err.splitlines()[-1])
    assert not Path("data/my.yaml").exists()
    assert not list(Path("raw").glob("my*"))


@pytest.mark.parametrize("file", ["images.parquet", "captions.parquet", "dataset.json"])
def test_a_damaged_manifest_names_the_file_and_the_command(project: Path, file: str) -> None:
    assert bench("data", "add", "my", "--from", "raw")[0] == 0
    path = Path("data/my", file)
    path.write_bytes(path.read_bytes()[:-30])
    code, _, err = bench("data", "check", "my")
    assert code == 3
    said = r":\d+: not JSON \(column \d+\)" if file.endswith("json") else ": cut off or damaged"
    assert re.fullmatch(rf"error: {path}{said}; make it again with: bench data prepare my", err.splitlines()[-1])


@pytest.mark.parametrize("words", [["leaderboard", "--baseline", "random"], ["compare", "fne", "random"]])
def test_a_method_without_records_is_told_apart_from_one_that_does_not_exist(
    tmp_path: Path, tiny: object, words: list[str]
) -> None:
    config = RunConfig(method="fne", dataset="tiny", encoder="made+up", settings={"prior": 7.0})
    protocol = Protocol(name="tiny", images=10, captions=30)
    for one in (config, config.model_copy(update={"settings": {}})):
        hashes: dict[str, Any] = {"config_hash": one.hash, "recipe_hash": one.recipe_hash}
        hashes |= {"manifest_hash": "0", "features_hash": "0"}
        record = RunRecord(status="done", method_id=one.method_id, config=one, protocol=protocol, **hashes)
        write_record(Path("runs", one.method_id), record)
    where = "--baseline: " if words[0] == "leaderboard" else ""

    def said() -> str:
        code, out, err = bench(*words)
        assert (code, out) == (2, "")
        return err.removeprefix(f"error: {where}")

    assert said() == "no records of random on tiny; make some with: bench run --method random --dataset tiny\n"
    words[-1] = "fne[prior=8.0]"
    command = "bench run --method fne --set prior=8.0 --dataset tiny"
    assert said() == (
        f"no records of fne[prior=8.0] on tiny (it has: fne, fne[prior=7.0]); make some with: {command}\n"
    )
    Path("data/tiny.yaml").unlink()
    assert "make some with" not in said()
    words[-1] = "fen"
    assert said() == "unknown method 'fen'; did you mean 'fne'?\n"


@pytest.mark.parametrize("words", [["leaderboard"], ["compare", "fne", "random"]])
def test_without_records_the_command_named_is_for_a_dataset_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for there, dataset in (((), "NAME (bench data list)"), (("my", "other"), "my"), (("scenes",), "scenes")):
        for name in there:
            Path("data", f"{name}.yaml").touch()
        code, _, err = bench(*words)
        make = f"make some with: bench run --method hardest --dataset {dataset}"
        assert (code, err) == (3, f"error: no records in runs; {make}\n")
    code, _, err = bench(*words, "--dataset", "coco")
    assert (code, "--dataset coco" in err) == (3, False)


def test_the_fewest_images_are_those_of_the_recalls() -> None:
    assert max(CUTOFFS) == FEWEST


def test_adding_splits_that_cannot_be_ranked_warns(project: Path) -> None:
    for part in ("dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.load(f"raw/{part}_ims.npy")[: 9 if part == "dev" else 10])
        path = Path(f"raw/{part}_caps.txt")
        path.write_text("".join(f"{part} {k}\n" for k in range(18 if part == "dev" else 20)))
    code, _, err = bench("data", "add", "my", "--from", "raw")
    assert code == 0
    assert [line for line in err.splitlines() if "warning" in line] == ["warning: val has 9 images, bench run needs 10"]
    assert bench("run", "--dataset", "my", "--method", "random")[0] == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\xff\xfe", "captions.csv:3: not UTF-8 (byte 0xff)"),
        (b"0.jpg,", "captions.csv:3: caption 0.jpg#1 is empty"),
        (b"../0.jpg,out", "captions.csv:3.image: image '../0.jpg' leads out of the folder"),
        (b"0.jpg,one,two", "captions.csv:3: 3 fields, expected 2"),
    ],
)
def test_a_bad_row_names_the_flag_that_leaves_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    names = [f"{number}.jpg" for number in range(30)]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(Path("raw", name))
    rows = [b"image,caption", b"0.jpg,good", line, *(f"{name},a".encode() for name in names[1:])]
    Path("raw/captions.csv").write_bytes(b"\n".join(rows))
    code, _, err = bench("data", "add", "my", "--from", "raw")
    assert code == 3
    (told,) = [each for each in err.splitlines() if each.startswith("error: ")]
    assert said in told
    assert told.count("; bench data add --skip-bad leaves out what is bad") == 1
    code, _, err = bench("data", "add", "my", "--from", "raw", "--skip-bad")
    assert code == 0
    assert "left out: 1 bad row" in err
    assert "--skip-bad" not in err


def test_epochs_without_room_after_the_warm_up_say_what_to_set(tiny: object) -> None:
    code, _, err = bench("run", "--dataset", "tiny", "--method", "fne", "--epochs", "2", "--set", "warmup_epochs=3")
    use = "use --epochs 4 or more, or --set warmup_epochs=1"
    assert (code, err) == (2, f"error: epochs: 2 leave nothing after 3 of warm-up; {use}\n")


def test_a_file_laid_out_like_the_projects_is_told_apart(tiny: object) -> None:
    Path("cell.yaml").write_text("method: fne\nrecipe: {epochs: 5}\n")
    code, _, err = bench("run", "--dataset", "tiny", "--config", "cell.yaml")
    said = "cell.yaml: recipe: stands in params.yaml alone; here write its keys at the top, as epochs: 5"
    assert (code, err) == (2, f"error: {said}\n")


def test_a_run_tells_its_configuration_in_short_lines_and_once_where_it_is(
    tiny: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("negbench.benchmark.cli.features.ensure_with_progress", lambda dataset, encoder: tiny)
    words = ["run", "--dataset", "tiny", "--method", "random", "--epochs", "2", "--batch", "16", "--memory", "0"]
    for said in ("recorded in runs/tiny", "already recorded in runs/tiny"):
        code, out, err = bench(*words)
        assert code == 0, err
        assert (out + err).count("recorded in") == 1
        assert said in err
        assert max(map(len, err.splitlines())) < 100
        assert "epochs=2" in err


def test_the_list_of_datasets_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = bench("data", "list")
    assert (code, err) == (0, "how to get f8k, f30k, coco, f30k-entities, stamps: bench data where NAME\n")
    assert max(map(len, out.splitlines())) > 100
    monkeypatch.setenv("COLUMNS", "70")
    assert max(map(len, bench("data", "list")[1].splitlines())) <= 70


def test_an_unknown_dataset_is_3_everywhere(tiny: object) -> None:
    for words in (
        ["run", "--method", "random", "--dataset"],
        ["sweep", "--methods", "random", "--datasets"],
        ["tune", "--method", "fne", "--dataset"],
        ["features", "--dataset"],
        ["leaderboard", "--dataset"],
        ["plot", "curves", "--dataset"],
        ["data", "check"],
        ["data", "prepare"],
        ["data", "diff"],
        ["data", "where"],
    ):
        assert bench(*words, "nothing-like-it")[0] == 3, words


def test_a_longer_list_of_valid_names_is_cut() -> None:
    assert unknown("run", "zzz", map(str, range(100))).endswith(" and 70 more")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("speed --data --folder nonexist", 2, "nonexist: there is no such folder; name another with --folder"),
        ("features --dataset tiny --device tpu", 2, "device 'tpu' cannot be used here; cpu always can"),
        ("false-marks --dataset nope", 3, "unknown dataset 'nope'; valid: tiny"),
        ("plot similarities --run nope", 3, "--run nope: there is no such folder"),
    ],
)
def test_what_is_not_there_is_told_as_such(tiny: object, words: str, code: int, said: str) -> None:
    config = RunConfig(method="fne", dataset="tiny", encoder="made+up")
    made = {"config": config, "config_hash": config.hash, "recipe_hash": config.recipe_hash}
    hashes = {"manifest_hash": "m1", "features_hash": "f1", "metrics": {"rsum": 300.0}}
    protocol = Protocol(name="tiny", images=500, captions=2500)
    record = RunRecord(status="done", method_id="fne", protocol=protocol, **made, **hashes)  # type: ignore[arg-type]
    write_record(Path("runs/tiny/fne/seed-0"), record)
    done = bench(*words.split())
    assert done.exit_code == code, done.output
    assert done.stderr.splitlines()[-1].startswith(f"error: {said}")
    assert not Path("nonexist").exists()
