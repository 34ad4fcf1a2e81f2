"""The commands as a person types them, on a small dataset of scenes: results, records and every exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import BENCH, bench, bench_process
from negbench.benchmark.results import records
from negbench.benchmark.training.trainer import Trainer
from negbench.pipelines import sources
from negbench.pipelines.manifest import Manifest

SMALL = ["--epochs", "2", "--batch", "32", "--memory", "64", "--set", "hidden=32", "--set", "dim=16"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the dataset ``small``: 60 scenes to train on."""
    monkeypatch.chdir(tmp_path)
    settings = {"seed": 0, "train": 60, "val": 20, "test": 20, "ambiguity": 0.5}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    return tmp_path


def one_line_error(stderr: str) -> str:
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert stderr.splitlines()[-1] == line
    assert "Traceback" not in stderr
    return line


def test_run_builds_what_is_missing_and_records_the_cell(small: Path) -> None:
    code, out, _ = bench("run", "--method", "fne", "--dataset", "small", *SMALL)
    assert code == 0
    assert "rSum" in out
    (folder,) = [path.parent for path in small.glob("runs/**/run.json")]
    assert folder == Path("runs/small/fne+epochs=2+batch=32+memory=64+hidden=32+dim=16/seed-0").absolute()
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "history.csv",
        "ranks.npz",
        "similarities.npz",
        "model.safetensors",
        "method.safetensors",
    }
    record = records.read(folder)
    assert record.status == "done"
    assert record.protocol.model_dump() == {"name": "small", "images": 20, "captions": 100, "folds": 1}
    assert record.features_hash
    assert record.manifest_hash
    assert 0 <= record.false_negative_rate["both"] < 1
    assert record.cost is not None
    assert record.cost.step_ms > 0
    lines = (folder / "history.csv").read_text().splitlines()
    assert len(lines) == 3
    assert {"val_rsum", "false_negative_both", "method_positive_mean"} <= set(lines[0].split(","))


def test_the_same_cell_twice_gives_the_same_digits(small: Path) -> None:
    for name in ("one", "two"):
        assert bench("run", "--method", "fne", "--dataset", "small", *SMALL, "--out", name)[0] == 0
    assert records.read(small / "one").metrics == records.read(small / "two").metrics
    for file in ("ranks.npz", "model.safetensors"):
        assert (small / "one" / file).read_bytes() == (small / "two" / file).read_bytes()
    with np.load(small / "one" / "ranks.npz", allow_pickle=False) as ranks:
        assert (ranks["i2t"].shape, ranks["t2i"].shape) == ((20,), (100,))


def test_a_recorded_cell_is_not_run_again_but_with_force(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "--method", "random", "--dataset", "small", *SMALL]
    assert bench(*words)[0] == 0

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr("negbench.benchmark.sweeps.cell.train", refuse)
        code, out, err = bench(*words, "--json")
        assert code == 0
        assert "already recorded" in err
        assert json.loads(out)["method_id"] == "random"
        code, _, err = bench(*words, "--force")
        assert (code, "trained again" in one_line_error(err)) == (1, True)
    code, _, err = bench("run", "--method", "hardest", "--dataset", "small", *SMALL, "--out", "runs/x")
    assert code == 0
    code, _, err = bench("run", "--method", "random", "--dataset", "small", *SMALL, "--out", "runs/x")
    assert code == 2
    assert "runs/x holds a run with other settings; use --replace" in one_line_error(err)


def test_settings_come_from_project_file_and_flags_in_that_order(small: Path) -> None:
    Path("params.yaml").write_text(
        "recipe: {epochs: 5, batch: 32, memory: 64}\nsettings: {fne: {tau_false: 3.0, prior: 7}}\n"
    )
    Path("cell.yaml").write_text("epochs: 4\nmethod: fne\nsettings: {prior: 8}\n")
    code, out, err = bench(
        "run",
        "--dataset",
        "small",
        "--config",
        "cell.yaml",
        "--epochs",
        "2",
        "--set",
        "bell=left",
        "--set",
        "dim=8",
        "--json",
    )
    assert code == 0, err
    config = json.loads(out)["config"]
    assert config["epochs"] == 2
    assert (config["batch"], config["memory"], config["dim"]) == (32, 64, 8)
    assert json.loads(out)["method_id"] == "fne[bell=left,prior=8.0,tau_false=3.0]"


HEAD = "'head' is two keys by now, image_tower and text_tower; bench models lists what they may be"
WRONG = {
    "no method": (["--dataset", "small"], "no method; name one with --method"),
    "unknown method": (["--method", "hardes"], "unknown method 'hardes'; did you mean 'hardest'?"),
    "unknown setting": (
        ["--method", "fne", "--set", "tau_flase=1"],
        "unknown key 'tau_flase'; did you mean 'tau_false'?",
    ),
    "unknown recipe key": (["--method", "fne", "--set", "epoch=1"], "unknown key 'epoch'; did you mean 'epochs'?"),
    "wrong type": (["--method", "fne", "--set", "prior=many"], "prior: 'many' is no float"),
    "out of range": (["--method", "hardest", "--epochs", "0"], "epochs: 0 must be at least 1"),
    "warm-up only": (["--method", "hardest", "--epochs", "1"], "epochs: 1 leave nothing after 1 of warm-up"),
    "batch too large": (
        ["--method", "hardest", "--batch", "512", "--memory", "0"],
        "batch: 512 is more than the 300 captions of the training split",
    ),
    "value is no YAML": (
        ["--method", "hardest", "--set", "epochs=["],
        "--set epochs=[: the value:1: not YAML (column 2)",
    ),
    "infinite": (["--method", "fne", "--set", "tau_false=.inf"], "tau_false: inf must be at least 0"),
    "seed": (["--method", "fne", "--seed", "99999999999"], "seed: 99999999999 must be below 2147483648"),
    "no pair": (["--method", "hardest", "--set", "epochs"], "--set epochs: write it as key=value"),
    "memory below zero": (["--method", "fne", "--memory", "-1"], "memory: -1 must be at least 0"),
    "memory start": (
        ["--method", "fne", "--set", "memory_start=full"],
        "memory_start: 'full' must be 'empty' or 'random'",
    ),
    "warm-up": (["--method", "fne", "--set", "warmup=men"], "unknown method 'men'; did you mean 'mean'?"),
    "one head for both sides": (["--method", "fne", "--set", "head=attention"], f"error: --set: {HEAD}"),
    "no sequences": (
        ["--method", "fne", "--set", "text_tower=attention"],
        "text_tower reads sequences, and features/small/hog+ngrams has no tokens; use the encoder minilm-tokens",
    ),
    "no file": (["--method", "fne", "--config", "none.yaml"], "none.yaml: No such file or directory"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_line_and_2(small: Path, name: str) -> None:
    words, message = WRONG[name]
    code, out, err = bench("run", "--dataset", "small", *[word for word in words if word not in ("--dataset", "small")])
    assert code == 2
    assert message in one_line_error(err)
    assert out == ""
    assert not Path("runs").exists()


def test_unknown_keys_in_files_name_the_file(small: Path) -> None:
    Path("params.yaml").write_text("recipe: {epoch: 5}\n")
    code, _, err = bench("run", "--dataset", "small", "--method", "fne")
    assert code == 2
    assert one_line_error(err) == "error: params.yaml: recipe: unknown key 'epoch'; did you mean 'epochs'?"
    Path("params.yaml").write_text("recipe: {head: mlp}\n")
    code, _, err = bench("run", "--dataset", "small", "--method", "fne")
    assert (code, one_line_error(err)) == (2, f"error: params.yaml: recipe: {HEAD}")
    Path("cell.yaml").write_text("head: mlp\n")
    Path("params.yaml").unlink()
    code, _, err = bench("run", "--dataset", "small", "--method", "fne", "--config", "cell.yaml")
    assert (code, one_line_error(err)) == (2, f"error: cell.yaml: {HEAD}")
    Path("params.yaml").write_text("recipe: [\n")
    assert one_line_error(bench("run", "--dataset", "small", "--method", "fne")[2]).startswith(
        "error: params.yaml:2: not YAML"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("recipe: 5", "params.yaml: recipe: expected keys and values, got 5"),
        ("settings: [1]", "params.yaml: settings: expected keys and values, got [1]"),
        ("settings: {hardst: {}}", "params.yaml: settings: unknown key 'hardst'; did you mean 'hardest'?"),
        ("settings: {hardest: 3}", "params.yaml: settings.hardest: expected keys and values, got 3"),
        ("encoders: [a]", "params.yaml: encoders: expected keys and values, got ['a']"),
        ("recipe: {epochs: five}", "epochs: expected a whole number, got 'five'"),
    ],
)
def test_wrong_types_in_the_project_file(small: Path, content: str, message: str) -> None:
    Path("params.yaml").write_text(content)
    code, _, err = bench("run", "--dataset", "small", "--method", "hardest")
    assert code == 2
    assert message in one_line_error(err)


@pytest.mark.parametrize(
    "content",
    [
        "recipe: {epochs: -1}",
        "recipe: {epochs: 1e999}",
        "settings: {fne: {nope: 1}}",
        "recipe: {image_settings: {nope: 1}}",
        "recipe: {image_tower: lineer}",
        "recipe: {preset: nope}",
        "methods: [fne+nope=1]",
        "recipe: {epochs: -1}\ndatasets: []",
    ],
)
def test_what_every_cell_would_refuse_is_refused_for_the_project(small: Path, content: str) -> None:
    listed = {"datasets": ["small"], "encoders": {"small": "hog+ngrams"}, "seeds": [0]}
    rest = {key: value for key, value in listed.items() if f"{key}:" not in content}
    method = "fne+nope=1" if "methods" in content else "fne"
    Path("params.yaml").write_text("\n".join([content, *(f"{key}: {json.dumps(rest[key])}" for key in rest)]))
    refused = bench("run", "--dataset", "small", "--method", method)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert bench("params") == refused
    assert not Path("checked").exists()


@pytest.mark.parametrize("content", ["method: 5", "settings: [1]\nmethod: fne", "dataset: [a]\nmethod: fne"])
def test_wrong_types_in_a_config_file(small: Path, content: str) -> None:
    Path("cell.yaml").write_text(content)
    flags = [] if "dataset" in content else ["--dataset", "small"]
    code, _, err = bench("run", *flags, "--config", "cell.yaml")
    assert code == 2
    assert "cell.yaml: " in one_line_error(err)


def test_changed_code_is_run_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "--method", "random", "--dataset", "small", *SMALL, "--out", "here"]
    assert bench(*words)[0] == 0
    first = records.read(Path("here"))
    monkeypatch.setattr("negbench.benchmark.sweeps.cell.code_hash", lambda config: "other")
    code, _, err = bench(*words)
    assert code == 0
    assert "already recorded" not in err
    assert (first.code_hash, records.read(Path("here")).code_hash) == (first.code_hash, "other")
    assert first.code_hash


def test_digest_of_the_code_is_the_same_in_every_process(small: Path) -> None:
    script = (
        "from negbench.benchmark.sweeps.cell import code_hash; from negbench.benchmark.recipe.flags import resolve\n"
        "print(code_hash(resolve({'method': 'fne', 'dataset': 'small'})))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2", "3")
    ]
    assert len(set(runs)) == 1


DAMAGE = {
    "features/small/hog+ngrams/val_images.npy": "changed after it was made",
    "features/small/hog+ngrams/captions.parquet": "captions.parquet",
    "features/small/hog+ngrams/features.json": "",
    "data/small/dataset.json": "",
    "data/small/truth.npz": "truth.npz",
    "data/small/captions.parquet": "captions.parquet",
}


@pytest.mark.parametrize("file", DAMAGE)
def test_damaged_files_are_mended_or_told_in_one_line(small: Path, file: str) -> None:
    words = ["run", "--method", "random", "--dataset", "small", *SMALL]
    assert bench(*words)[0] == 0
    path = Path(file)
    content = bytearray(path.read_bytes())
    content[-40:] = bytes(40)
    path.write_bytes(bytes(content) if path.suffix != ".json" else b"[]")
    code, _, err = bench(*words, "--force")
    if path.suffix == ".json":  # made again
        assert code == 0, err
    else:
        assert code == 3
        assert DAMAGE[file] in one_line_error(err)


def test_lost_truth_is_told(small: Path) -> None:
    words = ["run", "--method", "random", "--dataset", "small", *SMALL]
    assert bench(*words)[0] == 0
    Path("data/small/truth.npz").unlink()
    code, _, err = bench(*words, "--force")
    assert code == 3
    assert "truth.npz is missing; make it again with: bench data prepare small" in one_line_error(err)


def test_outside_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = bench("run", "--method", "random", "--dataset", "scenes")
    assert code == 3
    assert "run bench in the folder of the project" in one_line_error(err)


def test_an_empty_sweep_is_2(small: Path) -> None:
    code, _, err = bench("sweep", "--methods", "", "--datasets", "small")
    assert code == 2
    assert "nothing to run" in one_line_error(err)


def test_missing_data_is_one_line_and_3(small: Path) -> None:
    code, _, err = bench("run", "--method", "fne", "--dataset", "smal")
    assert code == 3
    assert "unknown dataset 'smal'; did you mean 'small'?" in one_line_error(err)
    code, _, err = bench("run", "--method", "fne", "--dataset", "f30k")
    assert code == 3
    assert "bench data add f30k" in one_line_error(err)
    assert not Path("runs").exists()


def test_a_failed_training_is_1_and_recorded_as_failed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "--method", "hardest", "--dataset", "small", *SMALL, "--set", "learning_rate=1e38"]
    code, _, err = bench(*words)
    assert code == 1
    assert one_line_error(err).startswith("error: epoch 0 failed: ")
    (path,) = small.glob("runs/**/run.json")
    record = records.read(path.parent)
    assert record.status == "failed"
    assert record.metrics == {}
    code, out, _ = bench("leaderboard", "--format", "md")
    assert code == 0
    assert "1 of 1 failed" in out


def test_whatever_a_method_does_wrong_is_one_line_and_recorded(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from negbench.methods.hardest import Hardest

    monkeypatch.setattr(Hardest, "choose", lambda self, candidates: candidates.hardest + 10**6)
    code, _, err = bench("run", "--method", "hardest", "--dataset", "small", *SMALL)
    assert code == 1
    assert one_line_error(err).startswith("error: epoch 1 failed: ")
    (path,) = small.glob("runs/**/run.json")
    assert records.read(path.parent).status == "failed"


@pytest.mark.parametrize("device", ["nonsense", "cuda:77"])
def test_a_device_that_is_not_there_is_one_line_and_2(small: Path, device: str) -> None:
    for words in (
        ["run", "--dataset", "small"],
        ["tune", "--dataset", "small", "--set", f"device={device}"],
        ["speed"],
    ):
        flags = [] if words[0] == "tune" else ["--device", device]
        code, _, err = bench(*words, "--method", "fne", *flags)
        assert code == 2
        assert f"device '{device}' cannot be used" in one_line_error(err)
    assert not Path("runs").exists()


def test_a_sweep_runs_all_cells_and_ends_with_4_when_some_failed(small: Path) -> None:
    words = ["sweep", "--methods", "random,semi-hard", "--datasets", "small", "--seeds", "2", "--jobs", "2"]
    plain = ["--set", "batch=32", "--set", "epochs=2", "--set", "hidden=8", "--set", "dim=4", "--memory", "0,64"]
    code, out, _ = bench(*words, *plain, "--dry-run")
    assert code == 0
    assert len(out.splitlines()) == 8
    ran = bench_process(*words, *plain)
    assert ran.exit_code == 0, ran.stderr
    assert len(list(small.glob("runs/**/run.json"))) == 8
    code, out, _ = bench("leaderboard", "--dataset", "small", "--format", "csv")
    assert code == 0
    assert len(out.splitlines()) == 5
    failing = [*plain[:-2], "--set", "learning_rate=1e38", "--memory", "0"]
    ran = bench_process(*words[:-2], *failing, "--seeds", "1")
    assert ran.exit_code == 4
    assert "error: 2 of 2 cells failed; their logs are in .bench/logs" in ran.stderr
    assert "epoch 0 failed: " in ran.stderr


def test_a_record_with_damaged_ranks_is_run_again(small: Path) -> None:
    assert bench("run", "--method", "random", "--dataset", "small", *SMALL)[0] == 0
    (path,) = small.glob("runs/**/ranks.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    code, _, err = bench("run", "--method", "random", "--dataset", "small", *SMALL)
    assert code == 0
    assert "already recorded" not in err
    assert path.read_bytes() == whole
    assert "already recorded" in bench("run", "--method", "random", "--dataset", "small", *SMALL)[2]


def test_an_interrupt_is_130_and_leaves_no_record(small: Path) -> None:
    words = ["run", "--method", "hardest", "--dataset", "small", "--epochs", "100000", "--batch", "32", "--memory", "0"]
    with subprocess.Popen(
        [*BENCH, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    last = rest.splitlines()[-1]
    assert last.startswith("interrupted; the training is kept in .bench/checkpoints/small-hardest+epochs=100000")
    assert last.endswith(": the same command goes on from there")
    assert not list(small.glob("runs/**/*.json"))
    assert not [path for path in small.glob("runs/**/*") if path.is_file()]


def test_the_test_split_is_opened_once_after_training(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from negbench.pipelines.store import FeatureStore

    order: list[str] = []
    plain_split, plain_epoch = FeatureStore.split, Trainer.epoch

    def split(store: FeatureStore, name: str) -> object:
        order.append(name)
        return plain_split(store, name)

    def epoch(*words: Any, **named: Any) -> object:
        order.append("epoch")
        return plain_epoch(*words, **named)

    monkeypatch.setattr(FeatureStore, "split", split)
    monkeypatch.setattr(Trainer, "epoch", epoch)
    assert bench("run", "--method", "random", "--dataset", "small", *SMALL)[0] == 0
    assert order == ["train", "val", "epoch", "epoch", "test"]


def test_speed_prints_the_keys_programs_read(small: Path) -> None:
    code, out, _ = bench("speed", "--method", "fne", "--batch", "16", "--memory", "512", "--dim", "32", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["ratio"] == pytest.approx(result["step_ms"] / result["product_ms"])
    assert result["extra"] is None or result["extra"] >= 0
    code, out, _ = bench("speed", "--evaluation", "--images", "64", "--captions", "320", "--dim", "16", "--json")
    assert code == 0
    assert {"step_ms", "product_ms", "ratio", "peak_mb"} <= set(json.loads(out))
    assert bench("speed")[0] == 2


def test_run_record_is_tied_to_the_code(small: Path) -> None:
    root = Path(__file__).parents[1]
    assert bench("run", "--method", "random", "--dataset", "small", *SMALL, "--out", "here")[0] == 0
    record = records.read(Path("here"))
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert record.commit == (head.stdout.strip() or None)
    assert record.versions["torch"]
    assert time.strptime(record.created[:19], "%Y-%m-%dT%H:%M:%S")
    assert record.config is not None
    assert os.sep not in record.config.label("hog+ngrams")


def test_the_oracle_picks_no_false_negative_and_needs_the_truth(small: Path) -> None:
    code, out, _ = bench(
        "run", "--method", "hardest", "--dataset", "small", *SMALL, "--set", "positives=oracle", "--json"
    )
    assert code == 0
    assert json.loads(out)["false_negative_rate"]["both"] == 0
    manifest = Manifest.read(Path("data/small"))
    Path("data/small/truth.npz").unlink()
    del manifest.info["truth"]
    manifest.write(Path("data/small"))
    code, _, err = bench("run", "--method", "random", "--dataset", "small", *SMALL, "--set", "positives=oracle")
    assert code == 2
    assert "the truth of every pair is not known for 'small'; use labelled" in one_line_error(err)


def test_run_says_when_no_epoch_beat_the_warm_up(small: Path) -> None:
    harmful = ("--set", "margin=2.0", "--set", "learning_rate=0.5")
    code, out, _ = bench("run", "--method", "hardest", "--dataset", "small", *SMALL, *harmful)
    assert code == 0
    (folder,) = [path.parent for path in small.glob("runs/**/run.json")]
    assert ("of the WARM-UP" in out) == (records.read(folder).best_epoch == 0)
    assert "true rSum" in out


def test_speed_beyond_the_memory_is_one_line() -> None:
    code, _, err = bench("speed", "--method", "hardest", "--memory", "100000000")
    assert code == 1
    assert "memory" in one_line_error(err)


def test_a_recorded_cell_says_by_which_thresholds_it_was_judged(small: Path) -> None:
    words = ["run", "--method", "random", "--dataset", "small", *SMALL, "--out", "here"]
    assert bench(*words)[0] == 0
    code, _, err = bench(*words, "--set", "expert_match=0.9")
    said = "already recorded in here, judged at expert_match 0.6; bench audit here --expert-match 0.9 judges it anew"
    assert (code, err.splitlines()[-1]) == (0, said)
    assert bench("audit", "here", "--expert-match", "0.9").exit_code == 0
    code, _, err = bench(*words, "--set", "expert_match=0.9")
    assert (code, err.splitlines()[-1]) == (0, "already recorded in here")


def test_an_unknown_placeholder_is_told_with_the_valid_ones(small: Path) -> None:
    code, _, err = bench("run", "--method", "random", "--dataset", "small", *SMALL, "--out", "there/{foo}/x")
    assert code == 2
    assert one_line_error(err) == "error: --out: unknown placeholder {foo}; valid: {dataset}, {method}, {seed}"
    assert not Path("there").exists()
