"""``methods`` in other people's trainers: with torch alone, copied, and beside packages of the same names."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STEP = """
import torch
from {package} import get
image, text = (torch.nn.functional.normalize(torch.randn(8, 4), dim=1).requires_grad_() for _ in range(2))
for name in ("hardest", "fne", "info-nce"):
    get(name)().loss(image, text, torch.arange(8)).backward()
print("stepped", image.grad.isfinite().all().item())
"""
ALONE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Missing())
"""
MISSING = ("typer", "rich", "pandas", "pydantic", "numpy", "scipy", "dvc", "optuna", "safetensors", "pyarrow", "ruamel")


def ran(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def test_methods_need_torch_alone(tmp_path: Path) -> None:
    without = tuple(name for name in MISSING if name != "numpy")  # torch looks for it, and does without
    done = ran(ALONE.format(missing=without) + STEP.format(package="negbench.methods"), tmp_path)
    assert (done.stdout, done.returncode) == ("stepped True\n", 0), done.stderr


def test_bench_says_in_one_line_what_it_lacks(tmp_path: Path) -> None:
    script = ALONE.format(missing=MISSING) + "from negbench.benchmark.cli.__main__ import main\nmain()\n"
    done = ran(script, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: bench needs more than negbench.methods: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_folder_works_under_another_name(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "methods", tmp_path / "samplers", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        STEP.format(package="samplers") + "import sys\nprint([name for name in sys.modules if 'negbench' in name])\n"
    )
    done = ran(script, tmp_path)
    assert done.stdout == "stepped True\n[]\n", done.stderr


@pytest.mark.parametrize("name", ["methods", "benchmark", "pipelines"])
def test_a_package_of_the_same_name_is_no_hindrance(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("MINE = 1\n")
    done = ran(f"from {name} import MINE\n" + STEP.format(package="negbench.methods"), tmp_path)
    assert done.stdout == "stepped True\n", done.stderr
