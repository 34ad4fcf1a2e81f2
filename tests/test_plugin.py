"""Somebody else's package adds a method by an entry point: one file, nothing else touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

METHOD = '''"""Second hardest: the second most similar negative, a cheap guard against one bad neighbour."""

from dataclasses import dataclass

from torch import Tensor

from methods.base import Candidates, Choice, Sampler, TripletSettings, setting


@dataclass(frozen=True)
class SecondSettings(TripletSettings):
    place: int = setting(2, "which of the hardest, 1 is the hardest", low=1, search=Choice((1, 2, 3)))


class SecondHardest(Sampler):
    """The k-th largest s over negatives."""

    Settings = SecondSettings

    def choose(self, candidates: Candidates) -> Tensor:
        place = min(self.settings.place, candidates.similarity.shape[1])
        order = candidates.similarity.topk(place, dim=1)
        return order.indices[:, -1].where(order.values[:, -1] > -float("inf"), candidates.hardest)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """An installed package, as pip leaves it: a module and its metadata on the path."""
    site = tmp_path / "site"
    info = site / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "elsewhere.py").write_text(METHOD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[negbench.methods]\nsecond-hardest = elsewhere:SecondHardest\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def bench(environment: dict[str, str], *words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmark.cli", *words]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def test_is_listed_run_and_tuned_by_its_name(plugin: dict[str, str], tiny: object, tmp_path: Path) -> None:
    listed = bench(plugin, "methods", "--json", cwd=tmp_path)
    assert "second-hardest" in {method["name"] for method in json.loads(listed.stdout)}
    script = """
from benchmark.config import RunConfig
from benchmark.resolve import resolve
from benchmark.training import train
from pipelines.store import FeatureStore, read_info
from pathlib import Path
folder = Path("features/tiny/made+up")
store = FeatureStore(folder, read_info(folder)["manifest"])
config = resolve({"method": "second-hardest", "dataset": "tiny", "epochs": 2, "batch": 16, "memory": 32}, {"place": 3})
print(config.method_id, train(config, store, None).validation["rsum"] > 0)
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, env=plugin, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "second-hardest[place=3] True", ran.stderr


def test_a_taken_name_is_an_error_that_names_the_module(plugin: dict[str, str], tmp_path: Path) -> None:
    entry = tmp_path / "site" / "elsewhere-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[negbench.methods]\nhardest = elsewhere:SecondHardest\n")
    ran = bench(plugin, "methods", cwd=tmp_path)
    assert ran.returncode == 2
    assert "error: method 'hardest' of elsewhere:SecondHardest is already taken" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise RuntimeError('no')", "method 'second-hardest' cannot be imported: RuntimeError: no"),
        ("SecondHardest = 3", "its entry point is no class derived from methods.base.Method"),
    ],
)
def test_a_broken_plugin_is_one_line(plugin: dict[str, str], tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "site" / "elsewhere.py").write_text(content)
    ran = bench(plugin, "methods", "second-hardest", cwd=tmp_path)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("content", "listed", "told"),
    [
        ("def broken(", "broken: line 1", "SyntaxError"),
        ('"""None."""', "None.", "one class derived from Method is needed, found none"),
        (METHOD.replace("SecondHardest(", "Two(") + METHOD, "Second hardest", "found SecondHardest, Two"),
    ],
)
def test_a_broken_method_file_is_one_line(
    content: str, listed: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import methods
    from methods import registry

    name = f"broken_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert registry.summaries()[name.replace("_", "-")].startswith(listed)
    with pytest.raises(registry.RegistryError, match=told):
        registry.get(name)
