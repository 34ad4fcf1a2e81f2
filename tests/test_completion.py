"""What Tab offers, and that it does not wait for anything heavy."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from commands import BENCH
from negbench import methods
from negbench.benchmark.recipe import presets, words
from negbench.benchmark.recipe.schema import Execution, Judging, Recipe
from negbench.pipelines import encoders

LIMIT_S = 0.15
"""Of a processor that has nothing else to do, which a test is not promised: so the best of some is taken, in its own
time, not the wall's."""
TRIES = 20
HEAVY = ("torch", "numpy", "pandas", "pydantic", "ruamel.yaml", "wandb", "mlflow")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "features/mine/hog+ngrams", "runs/mine/fne/seed-0", "runs/mine/hardest/seed-1"):
        Path(folder).mkdir(parents=True)
    for name in ("mine", "scenes", "a\x1b[31m"):
        Path(f"data/{name}.yaml").touch()
    for path in Path("runs").glob("*/*/*"):
        (path / "run.json").touch()
    return tmp_path


def tab(line: str) -> list[str]:
    """What bash is offered where the cursor stands at the end."""
    typed = line.split(" ")
    asked = {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(typed) - 1)}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as a user's
    done = subprocess.run(BENCH, env={**kept, **asked}, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bench leader", ["leaderboard"]),
        ("bench run --met", ["--method"]),
        ("bench run --method semi", ["semi-hard"]),
        ("bench run --dataset ", ["mine", "scenes"]),
        ("bench run --method fne --set tau_", ["tau_close=", "tau_false="]),
        ("bench run --set epo", ["epochs="]),
        ("bench run --recipe vse", ["vse-inf", "vse-inf-gru"]),
        ("bench run --encoder hog", ["hog+ngrams", "hog"]),
        ("bench run --encoder hog+ng", ["hog+ngrams"]),
        ("bench run --image-tower conv", ["convolution"]),
        ("bench run --track ten", ["tensorboard"]),
        ("bench sweep --methods hardest,fnac,semi", ["hardest,fnac,semi-hard"]),
        ("bench sweep --methods hcl,fne --set bet", ["beta="]),
        ("bench tune --method fne --dataset mi", ["mine"]),
        ("bench data check mi", ["mine"]),
        ("bench methods semi", ["semi-hard"]),
        ("bench audit runs/mine/fne", ["runs/mine/fne/seed-0"]),
        ("bench inspect runs/mine/h", ["runs/mine/hardest/seed-1"]),
    ],
)
def test_tab_offers(project: Path, line: str, offered: list[str]) -> None:
    assert tab(line) == offered


def test_settings_are_those_of_every_method() -> None:
    common = set(words.keys())
    assert {*Recipe.model_fields, *Execution.model_fields, *Judging.model_fields, "rate_factor"} == common
    for name in methods.names():
        assert set(words.keys(name)) == common | {entry.name for entry in fields(methods.get(name).Settings)}, name
    assert words.keys("fne")["prior"] == "a candidate matches once in this many"
    assert words.keys()["epochs"].startswith("Passes over the training captions")
    assert set(words.recipe_names()) == {*presets.names()}
    assert {name for name in words.encoder_names() if "+" not in name} == {*encoders.names()}


def test_a_tab_imports_nothing_heavy(project: Path) -> None:
    script = (
        "import json, sys\nfrom negbench.benchmark.cli.main import app\n"
        f"try: app(prog_name='bench')\nfinally: print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    )
    asked = {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": "bench run --method fne --set ", "COMP_CWORD": "5"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    *offered, heavy = done.stdout.splitlines()
    assert "prior=" in offered
    assert json.loads(heavy) == []
