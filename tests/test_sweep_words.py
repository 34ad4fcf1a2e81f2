"""What the words of ``bench sweep`` stand for, ``bench recipes --keys``, ``bench --version``."""

import importlib.metadata
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import bench, bench_process
from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import Execution, Judging, Recipe
from negbench.benchmark.sweeps.sweep import cells
from negbench.benchmark.sweeps.words import family_of, grid_of, methods_of, parts, seeds_of


def test_methods_are_named_as_the_leaderboard_prints_them() -> None:
    assert methods_of("fne[tau_false=5,prior=100], semi_hard,fne+memory=0,semi-hard") == [
        ("fne", ("tau_false=5", "prior=100")),
        ("semi-hard", ()),
        ("fne+memory=0", ()),
    ]
    assert [name for name, _ in methods_of("all")] == methods.names()
    families = {name: family_of(name) for name in methods.names()}
    assert {families[name] for name in ("hardest", "fne", "tags")} == {"sampler"}
    assert {families[name] for name in ("info-nce", "gist", "tal")} == {"softmax"}
    assert [name for name, _ in methods_of("family:sampler")] == [
        name for name, family in families.items() if family == "sampler"
    ]
    with pytest.raises(BenchError, match="did you mean 'softmax'"):
        methods_of("family:softmex")
    with pytest.raises(BenchError, match="a study found its settings"):
        methods_of("fne[tuned-3fa2]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [0, 1, 2]), ("3,4", [3, 4]), ("0-4", [0, 1, 2, 3, 4]), ("7,", [7]), ("1,0-2", [1, 0, 2]), (" 2 ", [0, 1])],
)
def test_seeds_are_how_many_or_which(text: str, expected: list[int]) -> None:
    assert seeds_of(text) == expected


@pytest.mark.parametrize("text", ["", "0", "x", "-1", "1-x", "4-3", "0-9999999", "2147483648,", "1.5"])
def test_what_are_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="--seeds"):
        seeds_of(text)


def test_several_values_are_a_grid_and_lists_are_one() -> None:
    ways = list(grid_of(["learning_rate=1e-3,1e-4", "decays=[5,8]", "batch=16,32"]))
    assert len(ways) == 4
    assert ways[1] == ("learning_rate=1e-3", "decays=[5,8]", "batch=32")
    assert list(grid_of([])) == [()]
    plan = cells("fne[prior=50],hardest", ["scenes"], [3], [None], ["epochs=3,4", "batch=16"])
    assert [cell.name for cell in plan] == [
        "scenes fne epochs=3 prior=50 seed 3",
        "scenes hardest epochs=3 seed 3",
        "scenes fne epochs=4 prior=50 seed 3",
        "scenes hardest epochs=4 seed 3",
    ]
    assert len({cell.log for cell in plan}) == 4
    assert plan[0].command[-6:] == ["--set", "epochs=3", "--set", "batch=16", "--set", "prior=50"]


@given(st.lists(st.text("abc[](){}=1 ", min_size=1, max_size=8), max_size=5))
def test_parts_lose_nothing_but_commas_and_space(words: list[str]) -> None:
    text = ",".join(words)
    assert "".join(parts(text)).replace(",", "").replace(" ", "") == text.replace(",", "").replace(" ", "")


def test_a_sweep_says_recall_and_where_the_log_of_a_failure_is(small_project: Path) -> None:
    small = ["--set", "batch=32", "--set", "hidden=8", "--set", "dim=8", "--memory", "0"]
    words = ["sweep", "--methods", "hardest,siglip", "--datasets", "small", "--seeds", "4,"]
    done = bench_process(*words, "--epochs", "2", "--set", "learning_rate=0.01,1e30", *small)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("    ok  ", "failed  "))]
    assert len(lines) == 4, done.stderr
    good = [line for line in lines if line.startswith("    ok  ")]
    assert all(" seed 4  rSum " in line and "recorded in runs/small/" in line for line in good)
    assert {"learning_rate=0.01" in line for line in good} >= {True}
    bad = [line for line in lines if line.startswith("failed")]
    assert bad
    assert all(line.endswith(".log)") for line in bad)
    for line in bad:
        assert Path(line.rpartition("(log: ")[2].removesuffix(")")).exists()


def test_the_version_is_that_of_the_package() -> None:
    assert bench("--version").stdout == f"bench {importlib.metadata.version('negbench')}\n"


def test_every_key_is_listed_with_its_range_and_meaning() -> None:
    found = {key["name"]: key for key in json.loads(bench("recipes", "--keys", "--json").stdout)}
    assert {*found} == {*Recipe.model_fields, *Execution.model_fields, *Judging.model_fields, "rate_factor"}
    assert found["momentum"]["default"] == 0.95
    assert found["momentum"]["may_be"] == ">= 0, < 1"
    assert found["schedule"]["may_be"] == "steps, cosine"
    assert all(key["meaning"] for key in found.values())
    of_fne = {key["name"]: key for key in json.loads(bench("recipes", "fne", "--keys", "--json").stdout)}
    assert of_fne["momentum"]["default"] != 0.95
    assert "AdamW's" in bench("recipes", "--keys").stdout
    assert bench("recipes", "no", "--keys").exit_code == 2
