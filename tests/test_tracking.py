"""Which stages a command commits: those whose outputs are what they would make now, and no others."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from commands import bench
from negbench.benchmark.recipe import stages
from negbench.benchmark.recipe.flags import resolve
from negbench.benchmark.results import records
from negbench.benchmark.sweeps import cell, tracking
from negbench.pipelines import current, datasets, features, project, sources
from negbench.pipelines.project import Tracked

ROOT = Path(__file__).parents[1]
PARAMS = {"datasets": ["small"], "encoders": {"small": "hog+ngrams"}, "methods": ["random"], "seeds": [0]}
PARAMS |= {"recipe": {"epochs": 2, "batch": 16, "memory": 0, "dim": 8, "warmup": "hardest"}}
PARAMS |= {"tune": {"method": "fne", "dataset": "small", "trials": 4}}
RUN = ["run", "--method", "random", "--dataset", "small"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small dataset and the pipeline, in what passes for a repository of DVC."""
    monkeypatch.chdir(tmp_path)
    settings = {"seed": 0, "train": 20, "val": 10, "test": 10}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    write()
    Path(".dvc").mkdir()
    for name in ("dvc.yaml", "pipelines/dvc.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, name)


@pytest.fixture
def told(small: None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What DVC is told, in the place of DVC."""
    said: list[list[str]] = []

    def dvc(what: str, where: str, say: object, *words: str) -> Tracked:
        said.append([*words])
        return Tracked(what)

    monkeypatch.setattr(project, "_dvc", dvc)
    return said


def write(**changes: object) -> None:
    Path("params.yaml").write_text(json.dumps(PARAMS | changes))


def committed(told: Sequence[Sequence[str]]) -> list[str]:
    """The stages of the one commit."""
    (words,) = (words for words in told if words[0] == "commit")
    return [*words[2:]]


def test_a_command_commits_what_is_made_in_one_call(told: list[list[str]]) -> None:
    assert bench("features", "--dataset", "small").exit_code == 0
    assert committed(told) == ["params", "prepare@small", "features@small"]
    told.clear()
    assert bench(*RUN).exit_code == 0
    assert told == [["commit", "--force", "params", "prepare@small", "features@small", "run@small-random-0"]]
    told.clear()
    assert bench(*RUN, "--seed", "5").exit_code == 0
    own = "runs/small/own/random+epochs=2+batch=16+memory=0+warmup=hardest+dim=8/seed-5"
    assert told[1:] == [["add", own]]
    assert Path(own, "run.json").exists()


def test_where_dvc_runs_a_stage_or_is_not_there_nothing_is_told(
    told: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DVC_STAGE", "BENCH_UNTRACKED"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "features@small")
            assert bench("features", "--dataset", "small").exit_code == 0
    shutil.rmtree(".dvc")
    done = bench("features", "--dataset", "small")
    assert (done.exit_code, told, "DVC" in done.output) == (0, [], False)


def test_what_dvc_does_not_take_is_one_line_and_no_failure(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["first", "second"])
    monkeypatch.setattr(project, "_dvc", lambda *words: Tracked(next(lines), done=False))
    done = bench("features", "--dataset", "small")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "first")
    write(datasets=["absent"])
    done = bench("features", "--dataset", "small")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1].startswith("DVC tracks nothing of it: params.yaml: datasets: unknown dataset")


def test_only_what_the_code_of_now_would_make_counts_as_made(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert current.made("small", "hog+ngrams") == []
    folder = features.make("small")
    assert current.made("small", "hog+ngrams") == ["prepare", "features"]
    assert json.loads(Path("data/small/dataset.json").read_text())["code"] == datasets.code_of("scenes")
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "code_of", lambda name: "another reader")
        assert current.made("small", "hog+ngrams") == ["features"]
    with monkeypatch.context() as patch:
        patch.setattr(current, "code_of", lambda names: "another encoder")
        assert current.made("small", "hog+ngrams") == ["prepare"]
    assert current.made("small", "hog+other") == ["prepare"]
    Path("features/small.json").write_text("{}")
    assert current.made("small", "hog+ngrams") == ["prepare"]
    shutil.rmtree(folder)
    assert current.made("small", "hog+ngrams") == ["prepare"]
    source = sources.read("small")
    sources.write("small", source.model_copy(update={"settings": source.settings | {"seed": 1}}))
    assert current.made("small", "hog+ngrams") == []


def test_the_pointer_is_at_the_encoder_of_the_pipeline(told: list[list[str]]) -> None:
    """Before, a dataset with another encoder in params.yaml than in its registration had none, and the stage failed."""
    source = sources.read("small")
    sources.write("small", source.model_copy(update={"encoder": "hog+minilm"}))
    assert bench("features", "--dataset", "small").exit_code == 0
    assert json.loads(Path("features/small.json").read_text())["encoder"] == "hog+ngrams"
    assert committed(told) == ["params", "prepare@small", "features@small"]


def test_a_cell_keeps_its_training_when_params_list_it_and_when_they_do_not(told: list[list[str]]) -> None:
    """A folder of a stage is never one that a .dvc file names: DVC would do nothing any more."""
    own = cell.folder_of(resolve({"method": "random", "dataset": "small", "seed": 1}))
    assert own.is_relative_to("runs/small/own")
    assert bench(*RUN, "--seed", "1").exit_code == 0
    record = records.read(own)
    write(seeds=[0, 1])
    listed = Path("runs/small/random/seed-1")
    done = bench(*RUN, "--seed", "1")
    assert f"copied from {own}, recorded in {listed}" in done.stderr
    assert committed(told[-1:])[-1] == "run@small-random-1"
    assert records.read(listed) == records.read(own) == record
    shutil.rmtree(own)
    write(seeds=[0])
    done = bench(*RUN, "--seed", "1")
    assert f"copied from {listed}, recorded in {own}" in done.stderr
    assert told[-1] == ["add", str(own)]
    assert records.read(own) == record
    told.clear()
    own.with_name("seed-1.dvc").touch()
    assert bench(*RUN, "--seed", "1").exit_code == 0
    assert told == []
    assert bench(*RUN, "--seed", "1", "--force").exit_code == 0
    assert told[-1] == ["add", str(own)]
    assert records.read(own).created >= record.created


def test_a_record_of_a_dataset_outside_the_pipeline_stays_outside(told: list[list[str]]) -> None:
    write(datasets=[], encoders={})
    assert bench(*RUN).exit_code == 0
    assert [*Path("runs/small").iterdir()] == [
        Path("runs/small/random+epochs=2+batch=16+memory=0+warmup=hardest+dim=8")
    ]
    assert told == [["commit", "--force", "params"]]


def test_an_entry_s_own_warmup_is_its_code(small: None) -> None:
    plain, own, other = (stages.code_of_entry(f"random{end}", {}) for end in ("", "+warmup=mean", "+warmup=sum"))
    assert plain == own != other
    assert other == stages.code_of_entry("random", {"warmup": "sum"})
    config = resolve({"method": "random+warmup=sum", "dataset": "small"})
    assert other == cell.code_hash(config)


def test_the_study_that_params_ask_for_is_committed(told: list[list[str]]) -> None:
    asked = resolve({"method": "fne", "dataset": "small"})
    other = resolve({"method": "fne", "dataset": "small", "memory": 64})
    for config, trials in ((asked, 3), (other, 4)):
        assert [*tracking.track_study(config, trials, print)] == []
        assert told == []
    assert [*tracking.track_study(asked, 4, print)] == []
    assert committed(told)[-1] == "pipelines/dvc.yaml:tune"


def test_a_record_of_a_stage_is_audited_as_params_mean_and_committed(
    told: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, DVC ran the stage again and locked a record that was judged by other thresholds than its own."""
    assert bench(*RUN).exit_code == 0
    folder = Path("runs/small/random/seed-0")
    before = (folder / "run.json").read_bytes()
    told.clear()
    done = bench("audit", str(folder), "--expert-match", "0.2")
    assert (done.exit_code, len(done.stderr.splitlines()), told) == (2, 1, [])
    assert "is of the stage run@small-random-0, and params.yaml means expert_match 0.6, not 0.2" in done.stderr
    assert (folder / "run.json").read_bytes() == before
    assert bench("audit", str(folder.absolute())).exit_code == 0
    assert committed(told)[-1] == "run@small-random-0"
    told.clear()
    shutil.copytree(folder, "copy")
    assert bench("audit", "copy", "--expert-match", "0.2").exit_code == 0
    assert records.read(Path("copy")).config.expert_match == 0.2
    assert "run@small-random-0" not in committed(told)
    told.clear()
    write(recipe={**PARAMS["recipe"], "expert_match": 0.2})  # type: ignore[dict-item]
    assert bench("audit", str(folder), "--expert-match", "0.2").exit_code == 0
    assert committed(told)[-1] == "run@small-random-0"
    told.clear()
    monkeypatch.setattr(tracking, "code_hash", lambda config: "another")  # the stage is stale, and stays so
    assert bench("audit", str(folder)).exit_code == 0
    assert told == []
