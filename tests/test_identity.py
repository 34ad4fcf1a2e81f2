"""What makes a cell the same cell: no record is orphaned by a new key, another machine or another docstring."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from commands import bench
from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.measures import measured
from negbench.benchmark.models import registry
from negbench.benchmark.recipe import identity, presets, stages
from negbench.benchmark.recipe.flags import resolve
from negbench.benchmark.recipe.params import Params, StudyKeys
from negbench.benchmark.recipe.schema import Execution, Judging, Naming, Recipe, RunConfig, hashes_of_schema_1
from negbench.benchmark.results import integrity, leaderboard, records
from negbench.benchmark.sweeps import cell
from negbench.benchmark.sweeps.recorded_cell import load_state
from negbench.benchmark.sweeps.search_space import space_of
from negbench.benchmark.sweeps.tuning import TuningTask
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines import code, current, datasets, features, sources
from negbench.pipelines.files import read_yaml
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

Tiny = tuple[Manifest, FeatureStore]
ROOT = Path(__file__).parents[1]
OLD = Path(__file__).parent / "records_of_schema_1"
OF_A_HEAD = Path(__file__).parent / "records_of_schema_2" / "hardest"
"""A record from before there were towers: ``head: mlp``."""
ROOMS = ("benchmark", "methods")
RECIPE = {"epochs": 2, "batch": 16, "memory": 0, "dim": 8}


def config(**changes: Any) -> RunConfig:
    return RunConfig(**({"method": "hardest", "dataset": "tiny", "encoder": "made+up"} | RECIPE | changes))


def test_a_new_key_with_a_default_changes_no_digest() -> None:
    class Wider(RunConfig):
        width: int = Field(default=3)
        more: dict[str, int] = Field(default_factory=dict)

    for changes in ({}, {"epochs": 20, "settings": {"margin": 0.3}}, {"memory": 2048, "seed": 3, "guide": "own"}):
        old = config(**changes)
        new = Wider(**old.model_dump())
        assert (new.hash, new.recipe_hash) == (old.hash, old.recipe_hash)
    assert Wider(**config().model_dump(), width=4).hash != config().hash


def test_digests_are_what_they_were() -> None:
    """A change here orphans every record there is: give INTRODUCED the old default instead."""
    assert (config().hash, config().recipe_hash) == ("1db92117", "b598d8e3")
    default = RunConfig(method="fne", dataset="scenes", encoder="hog+ngrams")
    assert (default.hash, default.recipe_hash) == ("e062e9b9", "34909cb7")


@pytest.mark.parametrize(
    ("head", "digests"),
    [
        ("linear", ("1db92117", "b598d8e3")),
        ("mlp", ("963ecddb", "03e90fa1")),
        ("attention", ("6535f7b5", "f40e84d6")),
    ],
)
def test_digests_of_towers_that_one_key_named_are_what_they_were(head: str, digests: tuple[str, str]) -> None:
    old, new = config(head=head), config(image_tower=head, text_tower=head)
    assert old == new
    assert (new.hash, new.recipe_hash) == digests
    others = [config(image_tower=head, text_tower="gpo"), config(image_tower="gpo", text_tower=head)]
    assert len({digests[0], *(other.hash for other in others)}) == 3


def test_where_a_cell_runs_and_how_it_is_judged_is_no_part_of_it() -> None:
    changes: dict[str, Any] = {"threads": 8, "device": "cuda:3", "micro_batch": 4, "checkpoint_minutes": 1}
    changes |= {"expert_match": 0.9, "crowd_match": 0.1}
    elsewhere = config(**changes)
    assert {*Execution.model_fields, *Judging.model_fields} == {*changes}
    assert elsewhere.hash == config().hash
    assert elsewhere.recipe_hash == config().recipe_hash
    assert elsewhere.label("made+up") == config().label("made+up")


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_every_key_of_the_recipe_is_part_of_it(name: str) -> None:
    words: dict[str, Any] = {
        "memory_start": "random",
        "memory_precision": "float16",
        "positives": "oracle",
        "guide": "own",
    }
    words |= {
        "guide_encoder": "hog+ngrams",
        "warmup": "sum",
        "image_tower": "mlp",
        "text_tower": "mlp",
        "schedule": "cosine",
        "precision": "bfloat16",
    }
    words |= {"image_settings": {"drop": 0.1}, "text_settings": {"drop": 0.1}, "decays": (1,), "rise": 0.1}
    words |= {"compile": True}
    value = getattr(config(), name)
    changed = config(**{name: words.get(name) or (value / 2 if isinstance(value, float) else value + 1)})
    assert changed.hash != config().hash


def test_a_preset_is_no_part_of_a_cell_but_what_it_says_is(small_scenes: None) -> None:
    assert [*Naming.model_fields] == ["preset"]
    assert config(preset="pixels").hash == config().hash
    assert config(preset="pixels").recipe_hash == config().recipe_hash
    cell = {"method": "fne", "dataset": "small"}
    named, spelt = resolve({**cell, "preset": "pixels"}), resolve({**cell, **presets.load("pixels")})
    assert (named.preset, spelt.preset) == ("pixels", "heads")
    assert (named.hash, named.recipe_hash) == (spelt.hash, spelt.recipe_hash)
    assert named.hash != resolve(cell).hash


# --- Records of earlier schemas ---------------------------------------------------------------------------------------


def test_a_record_of_schema_1_stands_in_one_table_with_new_ones(tiny: Tiny) -> None:
    cell.run(config(method="random", device="cpu"), Path("runs/tiny/random/seed-0"), *tiny, Watcher())
    for name in ("hardest", "fne"):
        shutil.copytree(OLD / name, f"runs/tiny/{name}/seed-0")
        old = integrity.read(Path(f"runs/tiny/{name}/seed-0"))
        assert old.schema_version == 1
        assert (old.config_hash, old.recipe_hash) == (old.about.hash, old.about.recipe_hash)
    board = leaderboard.load(Path("runs"))
    assert not board.left_out
    assert len({table.recipe_hash for table in board.groups}) == 1
    tables = [{row.method for row in table.rows} for table in board.groups]
    assert sorted(tables, key=len) == [{"fne"}, {"hardest", "random"}]  # the first was judged by another threshold


def test_an_edited_record_of_schema_1_is_found_out(tmp_path: Path) -> None:
    shutil.copytree(OLD / "hardest", tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    content["config"]["learning_rate"] = 0.1
    path.write_text(json.dumps(content))
    assert any(fault.startswith("config_hash: ") for fault in integrity.faults(path.parent, records.read(path.parent)))
    content["schema_version"] = 4
    path.write_text(json.dumps(content))
    with pytest.raises(records.RecordError, match="schema version 4, not 1 to 3"):
        records.read(path.parent)


def test_the_digests_of_schema_1_are_those_of_its_records() -> None:
    for name in ("hardest", "fne"):
        content = json.loads((OLD / name / "run.json").read_text())
        told = hashes_of_schema_1(RunConfig(**content["config"]))
        assert told == {key: content[key] for key in ("config_hash", "recipe_hash")}


def test_the_towers_of_a_record_of_schema_2_live_and_rank_as_they_did(tiny: Tiny) -> None:
    folder = Path("runs/tiny/old/seed-0")
    shutil.copytree(OF_A_HEAD, folder)
    old = integrity.read(folder)
    assert old.schema_version == 2
    assert old.config is not None
    assert (old.config.image_tower, old.config.text_tower) == ("mlp", "mlp")
    assert (old.config_hash, old.recipe_hash) == (old.config.hash, old.config.recipe_hash)
    towers = towers_for(tiny[1], old.config)
    load_state(towers, folder, old, "model.safetensors")
    found, _ = measured(opened(tiny[1], "test", old.config, towers).gallery(towers))
    assert found == pytest.approx({name: old.metrics[name] for name in found}, abs=1e-5)
    new = old.config.model_copy(update={"method": "random"})
    cell.run(new, Path("runs/tiny/new/seed-0"), *tiny, Watcher())
    board = leaderboard.load(Path("runs"))
    assert not board.left_out
    assert [{row.method for row in table.rows} for table in board.groups] == [{"hardest", "random"}]


def test_a_recorded_cell_is_not_run_again_elsewhere(tiny: Tiny) -> None:
    cell.run(config(), Path("run"), *tiny, Watcher())
    assert cell.recorded(Path("run"), config(threads=2, expert_match=0.9), *tiny) is not None
    with pytest.raises(BenchError, match="other settings"):
        cell.recorded(Path("run"), config(epochs=3), *tiny)


# --- Code -------------------------------------------------------------------------------------------------------


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of a few files."""
    for name, text in {
        "methods/base.py": 'class Method:\n    """What it is."""\n    margin = 0.2\n',
        "methods/one.py": "from .base import Method\n\n\ndef loss() -> int:  # a comment\n    return 1\n",
        "benchmark/loop.py": "from typing import TYPE_CHECKING\nfrom negbench.pipelines.store import Store\n"
        "if TYPE_CHECKING:\n    from negbench.benchmark.schema import Schema\n",
        "benchmark/schema.py": "keys = 1\n",
        "benchmark/__init__.py": '"""A package."""\n',
        "pipelines/store.py": "from negbench.pipelines.files import read\nStore = 1\n",
        "pipelines/files.py": "read = 1\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def digest(*paths: Path) -> str:
    code._tree.cache_clear()
    code._said.cache_clear()
    return code.code_digest(code.files_of(paths, ROOMS))


def test_the_code_of_a_cell_is_what_it_imports_when_it_runs(suite: Path) -> None:
    found = code.files_of([suite / "methods/one.py", suite / "benchmark/loop.py"], ROOMS)
    names = {path.relative_to(suite).as_posix() for path in found}
    assert names == {"methods/one.py", "methods/base.py", "benchmark/loop.py", "pipelines/store.py"}


def test_comments_and_docstrings_are_no_code(suite: Path) -> None:
    one, base = suite / "methods/one.py", suite / "methods/base.py"
    before = digest(one)
    one.write_text('"""New."""\n\nfrom .base import Method\n\ndef loss() -> int:\n    """More."""\n    return 1\n')
    base.write_text('# another\nclass Method:\n    margin = 0.2\n    """Of the loss."""\n')
    assert digest(one) == before
    base.write_text("class Method:\n    margin = 0.3\n")
    assert digest(one) != before


def test_a_cell_has_the_code_of_its_method_and_of_no_other() -> None:
    folder = Path(str(methods.__file__)).parent
    files = {name: identity.files_of_a_cell([folder / f"{name}.py"]) for name in ("hardest", "fne")}
    assert any(path.name == "fne.py" for path in files["fne"])
    assert not any(path.name == "fne.py" for path in files["hardest"])
    hashes = {cell.code_hash(config(method=name)) for name in ("hardest", "fne", "random", "sum")}
    assert len(hashes) == 4
    assert cell.code_hash(config(method="fne", epochs=9)) == cell.code_hash(config(method="fne"))


def test_a_cell_has_the_code_of_its_towers_and_of_no_other() -> None:
    names = {path.name for path in identity.files_of_a_cell([registry.files()["gpo"]])}
    assert {"gpo.py", "base.py", "pooling.py"} <= names
    assert not {"linear.py", "bigru.py"} & names
    towers = [("linear", "linear"), ("gpo", "linear"), ("linear", "bigru"), ("gpo", "bigru")]
    assert len({cell.code_hash(config(image_tower=image, text_tower=text)) for image, text in towers}) == 4


def test_stages_depend_on_the_code_of_warm_up_and_towers_wherever_they_are_named() -> None:
    def of(entry: str, **recipe: Any) -> str:
        return stages.digests(Params(methods=[entry], recipe=recipe))[f"run-{entry}"]

    mixed = cell.code_hash(config(image_tower="mlp", warmup="sum"))
    assert of("hardest", image_tower="mlp", warmup="sum") == mixed
    assert of("hardest+image_tower=mlp", warmup="sum") == mixed
    whole = cell.code_hash(config(**presets.load("pixels")))
    assert of("hardest", preset="pixels") == of("hardest+preset=pixels") == whole
    assert of("hardest", preset="pixels", text_tower="linear") != whole != mixed


def test_a_study_of_other_code_is_another_study(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TuningTask(config(), space_of(config()), tiny[0].hash, tiny[1], None)
    before = task.name
    assert before == task.name
    monkeypatch.setattr("negbench.benchmark.sweeps.tuning.code_hash", lambda _: "another")
    assert task.name != before


def test_stages_depend_on_the_code_that_records_name(tiny: Tiny) -> None:
    """Of every method: the digest that DVC looks at is the one that decides whether a cell is trained again."""
    names = methods.names()
    project = Params(
        datasets=["tiny"], methods=[name.replace("-", "_") for name in names], tune=StudyKeys(method="fne")
    )
    digests = stages.digests(project)
    for name in names:
        assert digests[f"run-{name.replace('-', '_')}"] == cell.code_hash(config(method=name))
    assert digests["tune"] == digests["run-fne"]


def test_every_stage_waits_for_the_digest_of_its_code() -> None:
    pipeline = read_yaml(ROOT / "dvc.yaml")["stages"]
    deps = {name: (stage.get("do") or stage)["deps"] for name, stage in pipeline.items()}
    deps["tune"] = read_yaml(ROOT / "pipelines" / "dvc.yaml")["stages"]["tune"]["deps"]
    assert deps.pop("params") == ["benchmark", "methods", "pipelines"]
    wanted = {"prepare": "${key}", "features": "${key}", "run": "${item.method}"}
    for name, some in deps.items():
        assert f"checked/{name}" + (f"-{wanted[name]}" if name in wanted else "") in some
        assert not [dep for dep in some if dep.endswith(".py")]


def test_an_encoder_s_code_is_its_own(tmp_path: Path) -> None:
    digests = {name: current.code_of([name, "ngrams"]) for name in ("hog", "efficientnet-lite0")}
    assert len(set(digests.values())) == 2
    assert current.code_of(["ngrams", "hog"]) == digests["hog"]
    assert current.code_of(["hf:some/model"]) == current.code_of(["hf:other/model"])
    assert datasets.code_of("coco") != datasets.code_of("karpathy")


def test_a_store_by_other_code_is_made_again(small_scenes: None) -> None:
    features.make("small")
    info = json.loads(Path("features/small/hog+ngrams/features.json").read_text())
    assert info["code"] == current.code_of(["hog", "ngrams"])
    before = Path("features/small/hog+ngrams/features.json").stat().st_mtime_ns
    features.make("small")
    assert Path("features/small/hog+ngrams/features.json").stat().st_mtime_ns == before
    for changed, again in ((info | {"code": "other"}, True), ({k: v for k, v in info.items() if k != "code"}, False)):
        Path("features/small/hog+ngrams/features.json").write_text(json.dumps(changed))
        stamp = Path("features/small/hog+ngrams/features.json").stat().st_mtime_ns
        features.make("small")
        assert (Path("features/small/hog+ngrams/features.json").stat().st_mtime_ns != stamp) == again


@pytest.fixture
def small_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"seed": 0, "train": 20, "val": 10, "test": 10}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))


def test_a_method_with_changes_behind_it_is_that_cell(small_scenes: None) -> None:
    cells = [
        resolve({"method": "fne+memory=0+prior=100", "dataset": "small"}),
        resolve({"method": "fne", "dataset": "small", "memory": 0}, {"prior": 100}),
    ]
    assert cells[0] == cells[1]
    entry = resolve({"method": "fne+preset=pixels+epochs=3", "dataset": "small"})
    assert entry == resolve({"method": "fne", "dataset": "small", "preset": "pixels", "epochs": 3})
    with pytest.raises(BenchError, match="unknown key 'memry'"):
        resolve({"method": "fne+memry=0", "dataset": "small"})
    Path("params.yaml").write_text(json.dumps({"datasets": ["small"], "methods": ["fne+memory=0"], "seeds": [0]}))
    own = resolve({"method": "fne", "dataset": "small", "memory": 0})
    assert stages.stages_of([own, cells[0]]) == {
        own.hash: ("run@small-fne+memory=0-0", Path("runs/small/fne+memory=0/seed-0"))
    }
    assert cell.folder_of(own) == Path("runs/small/fne+memory=0/seed-0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fne+memory=0 --memory 5", "memory: 0 behind the method, but 5 of its own flag; give one of them"),
        ("fne+memory=0 --set memory=5", "memory: 0 behind the method, but 5 of --set; give one of them"),
        ("fne --epochs 3 --set epochs=4", "epochs: 4 of --set, but 3 of its own flag; give one of them"),
        ("fne+batch=16 --batch 32", "batch: 16 behind the method, but 32 of its own flag; give one of them"),
        ("fne --recipe heads --set preset=pixels", "preset: 'pixels' of --set, but 'heads' of its own flag"),
        ("fne --set memory=0 --set memory=5", "--set memory=5: memory is 0 already; give one of them"),
        ("fne+prior=9 --set prior=8", "prior: 9 behind the method, but 8 of --set; give one of them"),
    ],
)
def test_two_values_for_one_key_are_refused(small_scenes: None, words: str, said: str) -> None:
    done = bench("run", "--dataset", "small", "--method", *words.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert len(done.stderr.splitlines()) == 1


def test_one_value_said_twice_is_fine(small_scenes: None) -> None:
    twice = resolve({"method": "fne+memory=0", "dataset": "small", "memory": 0}, {"memory": 0})
    assert twice == resolve({"method": "fne", "dataset": "small", "memory": 0})
