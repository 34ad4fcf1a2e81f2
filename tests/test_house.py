"""Imports run one way, and light commands stay light."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmark", "methods", "pipelines")
FORBIDDEN = {"methods": {"benchmark", "pipelines"}, "pipelines": {"benchmark", "methods"}, "benchmark": set()}
METHODS_NEED = {"torch", *sys.stdlib_module_names}
HEAVY = ("torch", "pandas", "numpy", "optuna", "matplotlib", "scipy")
LIGHT = [
    ["--help"],
    ["run", "--help"],
    ["methods"],
    ["methods", "--json"],
    ["data", "list"],
    ["leaderboard"],
]


def imported(path: Path) -> set[str]:
    """Top-level modules a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        tops = {name.partition(".")[0] for name in imported(path)}
        inside = {name.split(".")[1] for name in imported(path) if name.startswith("negbench.")}
        assert not inside & FORBIDDEN[package], path
        if package == "methods":
            assert tops <= METHODS_NEED, path


def test_only_the_command_line_imports_the_command_line() -> None:
    for path in (ROOT / "benchmark").rglob("*.py"):
        if "cli" not in path.relative_to(ROOT).parts:
            assert not any(name.startswith("negbench.benchmark.cli") for name in imported(path)), path
    for bottom in ("config", "errors", "records", "seeds"):
        inside = {name for name in imported(ROOT / "benchmark" / f"{bottom}.py") if name.startswith("benchmark")}
        assert inside <= {
            "negbench.benchmark.recipe.schema",
            "negbench.benchmark.errors",
            "negbench.benchmark.recipe.seeds",
        }, bottom


def test_dvc_runs_a_cell_again_when_any_file_of_its_method_changed() -> None:
    from ruamel.yaml import YAML

    from negbench import methods
    from negbench.methods.registry import files_of

    for path, stage, item in (("dvc.yaml", "run", "item.method"), ("pipelines/dvc.yaml", "tune", "tune.method")):
        deps = YAML(typ="safe").load((ROOT / path).read_text())["stages"][stage]["deps"]
        for name in methods.names():
            named = {dep.replace("${" + item + "}", name.replace("-", "_")) for dep in deps}
            needed = {file.relative_to(ROOT).as_posix() for file in files_of(methods.get(name))}
            assert all(any(file == dep or file.startswith(f"{dep}/") for dep in named) for file in needed), name


def test_the_code_of_a_method_is_all_it_is_made_of() -> None:
    from negbench import methods
    from negbench.methods.registry import files_of

    found = {path.name for path in files_of(methods.get("fne-info-nce"))}
    interface = {path.name for path in (ROOT / "methods" / "interface").glob("*.py")} - {"__init__.py"}
    assert found == {"base.py", "fne.py", "fne_info_nce.py", "info_nce.py"} | interface


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
