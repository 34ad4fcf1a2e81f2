"""``bench run --method M --dataset scenes --epochs 2`` for every registered method, on a small ``scenes``."""

import json
from pathlib import Path

import pytest

from commands import bench
from negbench import methods
from negbench.methods.base import Sampler
from negbench.pipelines import sources


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose ``scenes`` has 100 pictures to train on; manifest and features are made by the first run."""
    folder = tmp_path_factory.mktemp("project")
    settings = {"seed": 0, "train": 100, "val": 20, "test": 20, "ambiguity": 0.5}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sources.write("scenes", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    return folder


@pytest.mark.parametrize("memory", [pytest.param("0", marks=pytest.mark.thorough), "256"])
@pytest.mark.parametrize("name", methods.names())
def test_a_cell_of_every_method_ends_well(
    name: str, memory: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    words = ["run", "--method", name, "--dataset", "scenes", "--epochs", "2", "--memory", memory, "--json"]
    result = bench(*words)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["status"] == "done"
    assert record["metrics"]["true_rsum"] >= record["metrics"]["rsum"] > 0
    chooses = bool(record["false_negative_rate"])
    assert chooses == issubclass(methods.get(name), Sampler)
