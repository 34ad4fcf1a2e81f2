"""Imports run one way and in no circle, and light commands stay light."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"benchmark": {"methods", "pipelines"}, "methods": set[str](), "pipelines": set[str]()}
"""Each package, and the others that it may import."""
ROOMS = (
    "cli",
    "trackers",
    "reports",
    "inspection",
    "exchange",
    "sweeps",
    "speed",
    "training",
    "audit",
    "results",
    "evaluation",
    "recipe",
    "models",
    "errors",
)
"""Of ``benchmark``, from the top down: a room imports none that stands above it."""
METHODS_NEED = {"torch", *sys.stdlib_module_names}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
"""Lines."""
HEAVY = ("torch", "pandas", "numpy", "optuna", "matplotlib", "scipy", "distributed")
LIGHT = [
    ["--help"],
    ["run", "--help"],
    ["sweep", "--help"],
    ["methods"],
    ["methods", "--json"],
    ["init"],
    ["data", "list"],
    ["leaderboard"],
]

Graph = Mapping[str, set[str]]
"""Modules, and what each of them imports anywhere in it, for its types alone included."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """What a file imports: modules of the suite by their names without ``negbench``, others by their first word."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            package = list(path.relative_to(ROOT).parts[: -node.level]) if node.level else []
            words = [*package, *(node.module or "").split(".")] if node.module else package
            if words[0] == "negbench":
                words = words[1:]
            elif not node.level:
                yield words[0]
                continue
            for name in node.names:
                whole = ".".join([*words, name.name])
                yield whole if whole in FILES else ".".join(words)


GRAPH: Graph = {module: set(imported(path)) - {module} for module, path in FILES.items()}


def faults(graph: Graph) -> list[str]:
    """Imports that go up, and circles."""
    found = []
    for module, others in graph.items():
        here, *inside = module.split(".")
        for package, *rest in (other.split(".") for other in others):
            if package in PACKAGES and package != here and package not in PACKAGES[here]:
                found.append(f"{module} imports {package}")
            if here == package == "benchmark" and inside and rest and ROOMS.index(rest[0]) < ROOMS.index(inside[0]):
                found.append(f"{module} imports {rest[0]}, which stands above it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"a circle: {' -> '.join(error.args[1])}")
    return found


def test_imports_run_one_way_and_in_no_circle() -> None:
    assert faults(GRAPH) == []


@pytest.mark.parametrize(
    ("module", "other", "told"),
    [
        ("benchmark.recipe.seeds", "benchmark.training.loop", "stands above it"),
        ("benchmark.results.records", "benchmark.reports.screen", "stands above it"),
        ("methods.base", "pipelines.store", "methods.base imports pipelines"),
        ("pipelines.errors", "pipelines.store", "a circle: "),
    ],
)
def test_an_import_that_goes_up_or_round_is_found(module: str, other: str, told: str) -> None:
    assert module in GRAPH
    assert other in GRAPH
    assert any(told in fault for fault in faults({**GRAPH, module: GRAPH[module] | {other}}))


def test_methods_need_torch_alone_and_import_relatively() -> None:
    for module, others in GRAPH.items():
        if module.startswith("methods"):
            assert {other.partition(".")[0] for other in others} <= METHODS_NEED | {"methods"}, module
            assert "negbench" not in FILES[module].read_text(encoding="utf-8").replace("negbench.methods", ""), module


def test_files_and_functions_are_short() -> None:
    for path in FILES.values():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"


def test_no_two_classes_of_a_package_share_a_name() -> None:
    for package in PACKAGES:
        seen: dict[str, str] = {}
        for module, path in FILES.items():
            if module.split(".")[0] == package:
                for node in ast.parse(path.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                        assert node.name not in seen, f"{node.name}: {seen[node.name]} and {module}"
                        seen[node.name] = module


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_light_commands_import_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    """``leaderboard`` without records ends with 3; it must not have loaded torch to find that out."""
    script = (
        "import json, sys\n"
        "from negbench.benchmark.cli.main import app\n"
        f"code = app({words!r}, standalone_mode=False)\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('HEAVY', json.dumps(heavy))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    line = [line for line in ran.stdout.splitlines() if line.startswith("HEAVY")]
    if words == ["leaderboard"]:
        assert "no records" in ran.stderr
        return
    assert ran.returncode == 0, ran.stderr
    assert json.loads(line[0].removeprefix("HEAVY")) == []
