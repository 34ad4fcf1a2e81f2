"""The audit of a cell: in its record, again with other thresholds, and what it must not cost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from audited import Tiny, config
from commands import bench
from negbench import methods
from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.figures import audit_test
from negbench.benchmark.errors import NoDataError, RunFailedError
from negbench.benchmark.evaluation.known_pairs import Exact, exact
from negbench.benchmark.evaluation.similarities import BINS, read_similarities
from negbench.benchmark.results import integrity, records
from negbench.benchmark.sweeps import cell
from negbench.benchmark.training import loop
from negbench.benchmark.training.extras import ExtrasOf, centred
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.loop import train
from negbench.benchmark.training.watcher import Watcher
from negbench.methods.base import View
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth
from recorded import forget_truth

# --- a cell


def test_the_audit_changes_no_digit_of_the_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """For methods with statistics, learnt parameters, thresholds and random draws."""
    truth = Truth.read(manifest_folder("tiny"))

    def digits(name: str) -> tuple[Any, ...]:
        trained = train(config(method=name, dropout=0.3), tiny[1], truth)
        apart = ("seconds", "pairs_per_s", "ms_", "val_pushed_i2t", "val_pushed_t2i")
        rows = [{key: value for key, value in row.items() if not key.startswith(apart)} for row in trained.history]
        return rows, {key: value.tolist() for key, value in trained.task.towers.state_dict().items()}

    names = ("fne", "info-nce", "glofnd", "momentum-distilled", "gist")
    with_audit = {name: digits(name) for name in names}
    monkeypatch.setattr(loop, "pushed_shares", lambda *_: {})
    monkeypatch.setattr(loop, "histograms", lambda *_: {})
    assert {name: digits(name) for name in names} == with_audit


def test_a_record_holds_the_audit(tiny: Tiny, tmp_path: Path) -> None:
    manifest, store = tiny
    one = cell.run(config(method="fne"), tmp_path / "one", manifest, store, Watcher())
    two = cell.run(config(method="fne"), tmp_path / "two", manifest, store, Watcher())
    assert one.audit == two.audit
    assert {"pushed_i2t", "pushed_t2i_low", "picked_i2t", "order_i2t", "order_t2i_start", "suspicion_i2t_auc"} <= set(
        one.audit
    )
    assert 0 < one.audit["pushed_i2t_base"] < 1
    assert (tmp_path / "one/similarities.npz").read_bytes() == (tmp_path / "two/similarities.npz").read_bytes()
    arrays = read_similarities(tmp_path / "one/similarities.npz")
    assert arrays["validation_false_negative"].shape == (3, BINS)
    assert arrays["validation_positive"].sum(axis=1).tolist() == [30, 30, 30]
    assert arrays["test_negative"].sum() == 10 * 30 - 30
    assert np.isnan(arrays["fitted"][0]).all()
    assert np.isfinite(arrays["fitted"][1:]).all()
    assert arrays["calibration_i2t"].shape == (10, 3)
    history = (tmp_path / "one/history.csv").read_text().splitlines()
    assert "val_pushed_i2t" in history[0]


def test_without_judgements_there_are_histograms_only(tiny: Tiny) -> None:
    trained = train(config(), tiny[1], None)
    task = trained.task
    data = opened(tiny[1], "test", config(), task.towers)
    examination = Examination.of(config(), data.gallery(task.towers), task.extras_of.of(data), "test")
    found = audit_test(task.method, examination, None, None)
    assert found.figures == {}
    assert set(found.arrays) == {"test_positive", "test_negative", "test_hardest"}
    assert not any(name.startswith("val_pushed") for name in trained.history[-1])


def test_judged_pairs_of_the_test_split_are_audited(tiny: Tiny, tmp_path: Path) -> None:
    manifest, store = tiny
    forget_truth(manifest_folder("tiny"))
    rows = [(f"test{i}", f"test{k}#{i % 3}", float((i + k) % 4 == 0), "crowd") for i in range(10) for k in range(10)]
    judged = Manifest("tiny", manifest.images, manifest.captions, table("judgements", rows))
    record = cell.run(config(), tmp_path / "out", judged, store, Watcher())
    assert 0 < record.audit["picked_i2t_judged"] < record.audit["picked_i2t_all"] == 16
    assert 0 < record.audit["pushed_i2t_judged"] < record.audit["pushed_i2t_all"] <= 16
    assert record.audit["order_i2t_anchors"] > 0


def with_suspicion(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every audit of ``hardest`` fails."""

    class Breaks(methods.get("hardest")):  # type: ignore[misc]
        def suspicion(self, view: View) -> Tensor:
            raise error

    monkeypatch.setattr(methods, "get", lambda name: Breaks if name == "hardest" else methods.registry.get(name))


def test_an_audit_that_fails_costs_its_figures_and_no_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listens(Watcher):
        lines: list[str] = []  # noqa: RUF012

        def said(self, line: str) -> None:
            self.lines.append(line)

    truth = Truth.read(manifest_folder("tiny"))
    whole = train(config(), tiny[1], truth)
    with_suspicion(monkeypatch, KeyError("no such thing"))
    found = train(config(), tiny[1], truth, Listens())
    (line,) = Listens.lines
    assert line.endswith("failed, its figures are missing: KeyError: 'no such thing'")
    pushed = [[any(name.startswith("val_pushed") for name in row) for row in one.history] for one in (whole, found)]
    assert pushed == [[False, True, True], [False] * 3]
    assert [row["loss"] for row in found.history] == [row["loss"] for row in whole.history]
    assert found.validation == whole.validation
    weights = found.task.towers.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.task.towers.state_dict().items())


def test_an_audit_without_memory_fails_the_run_in_one_line(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with_suspicion(monkeypatch, MemoryError())
    with pytest.raises(RunFailedError, match="the audit of epoch 1 failed: out of memory"):
        train(config(), tiny[1], Truth.read(manifest_folder("tiny")))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off", "ranks"])
def test_a_broken_file_of_similarities_is_told_in_one_line(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "similarities.npz"
    if content == "ranks":
        np.savez(path, i2t=np.arange(3))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(NoDataError, match=r"similarities\.npz: [^\n]+$"):
        read_similarities(path)


def test_the_guide_of_another_split_is_that_of_the_training(tiny: Tiny) -> None:
    model = towers_for(tiny[1], config())
    data, other = (opened(tiny[1], split, config(), model) for split in ("train", "test"))
    extras_of = ExtrasOf([methods.get("gist")()], data, model).of(other)
    captions = torch.arange(4)
    guide = extras_of(methods.get("gist")(), captions, other.caption_rows[captions], captions).guide
    assert guide is not None
    assert isinstance(data.captions, Tensor)
    assert isinstance(other.captions, Tensor)
    assert torch.equal(guide.text, centred(other.captions, data.captions.mean(dim=0))[:4])
    truth = Truth.read(manifest_folder("tiny"))
    assert isinstance(exact(truth, other.split.image_rows, other.split.caption_rows), Exact)


# --- again


def test_a_record_is_audited_again_without_a_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    cell.run(config(method="fne"), Path("run"), *tiny, Watcher())
    before, arrays = records.read(Path("run")), read_similarities(Path("run/similarities.npz"))
    weights = {name: Path("run", name).read_bytes() for name in ("model.safetensors", "ranks.npz", "history.csv")}
    monkeypatch.setattr(loop, "train", None)
    done = bench("audit", "run")
    assert done.exit_code == 0, done.output
    assert f"false among what it pushed: i2t {before.audit['pushed_i2t']:.1%} [" in done.stderr
    again = records.read(Path("run"))
    assert again.model_dump() == before.model_dump()
    found = read_similarities(Path("run/similarities.npz"))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name], equal_nan=True) for name in arrays)
    assert {name: Path("run", name).read_bytes() for name in weights} == weights


def test_other_thresholds_change_the_audit_and_nothing_else(tiny: Tiny) -> None:
    manifest, store = tiny
    forget_truth(manifest_folder("tiny"))
    rows = [(f"test{i}", f"test{k}#{i % 3}", (i + k) % 4 / 3, "crowd") for i in range(10) for k in range(10)]
    judged = Manifest("tiny", manifest.images, manifest.captions, table("judgements", rows))
    judged.write(manifest_folder("tiny"))
    store.info["manifest"] = judged.hash
    (store.folder / "features.json").write_text(json.dumps(store.info))
    cell.run(config(), Path("run"), judged, FeatureStore(store.folder, judged.hash), Watcher())
    before = records.read(Path("run"))
    assert bench("audit", "run", "--crowd-match", "0.9").exit_code == 0
    after = records.read(Path("run"))
    assert after.about.crowd_match == 0.9
    assert (after.config_hash, after.recipe_hash) == (before.config_hash, before.recipe_hash)
    assert after.audit["pushed_i2t_base"] < before.audit["pushed_i2t_base"]
    labelled = [name for name in before.metrics if not name.startswith("extended_")]
    assert {name: after.metrics[name] for name in labelled} == {name: before.metrics[name] for name in labelled}
    assert not any(integrity.faults(Path("run"), after))
    assert not any(key.endswith("_start") for key in after.audit)  # of towers that no record keeps


@pytest.mark.parametrize(
    "words, code, told", [(["nowhere"], 3, "no run.json"), (["run", "--crowd-match", "2"], 2, "2")]
)
def test_what_cannot_be_audited_is_told_in_one_line(
    tiny: Tiny, words: list[str], code: int, told: str, tmp_path: Path
) -> None:
    done = bench("audit", *words)
    assert done.exit_code == code
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
