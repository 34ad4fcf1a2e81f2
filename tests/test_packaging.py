"""What is built and installed: the wheel, the source distribution, and ``negbench.methods`` with torch alone."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from commands import Done

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmark", "methods", "pipelines")
OF_THE_CHECKOUT = {"pipelines/dvc.yaml"}
"""Files of a package's folder that belong to the project, not to the package."""
STEP = """
import torch
from torch.nn.functional import normalize

image, text = (normalize(torch.randn(6, 4), dim=1).requires_grad_() for _ in range(2))
loss = get("fne")().loss(image, text, torch.arange(6))
loss.backward()
assert image.grad.abs().sum() > 0
"""
"""A step of a trainer."""
BENCH = "import sys; from negbench.benchmark.cli.__main__ import main; sys.argv[0] = 'bench'; main()"
"""What the script ``bench`` does."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source distribution, as ``pip wheel`` and ``python -m build`` make them."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGES, "src", "tests"):
        unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    script = "from setuptools.build_meta import build_sdist, build_wheel; build_sdist('dist'); build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def site(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed without what it requires."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def torch_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment's packages where nothing is installed but torch and what it requires."""
    folder = tmp_path_factory.mktemp("torch")
    todo, seen = ["torch"], set[str]()
    while todo:
        name = todo.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:  # of another system
            continue
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(package.locate_file(top))))
        seen.add(name)
        wanted = [requirement for requirement in package.requires or [] if "extra ==" not in requirement]
        todo += {re.split(r"[^\w.-]", each)[0] for each in wanted} - seen
    return folder


def python(code: str, *words: str, paths: list[Path], cwd: Path) -> Done:
    """Run code where nothing can be imported but the standard library and what lies in ``paths``."""
    code = f"import sys; sys.path += {[str(path) for path in paths]!r}\n{code}"
    command = [sys.executable, "-I", "-S", "-c", code, *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_wheel_has_every_file_of_the_packages_once_and_nothing_else(built: Path) -> None:
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    wanted = {f"negbench/{name}" for name in wanted - OF_THE_CHECKOUT | {"__init__.py", "py.typed"}}
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = Counter(archive.namelist())
    assert {name for name in found if ".dist-info/" not in name} == wanted
    assert set(found.values()) == {1}


def test_the_source_distribution_builds_the_same_and_has_no_tests(built: Path, site: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    assert not [name for name in names if name.startswith("tests")]
    inside = [name.removeprefix("src/") for name in names if name.startswith("src/negbench/")]
    assert sorted(inside) == sorted(
        path.relative_to(site).as_posix() for path in site.joinpath("negbench").rglob("*") if path.is_file()
    )


def test_the_samplers_need_torch_alone(site: Path, torch_alone: Path, tmp_path: Path) -> None:
    code = f"from negbench.methods import get\n{STEP}\nassert 'negbench.benchmark' not in sys.modules"
    assert python(code, paths=[site, torch_alone], cwd=tmp_path).exit_code == 0
    done = python(BENCH, "methods", paths=[site, torch_alone], cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: bench needs more than the samplers do; run: pip install '")
    wanted = {re.split(r"[^\w.-]", word.strip("'"))[0] for word in line.partition("install ")[2].split()}
    assert {"typer", "pydantic", "ruamel.yaml"} <= wanted
    assert not wanted & {"torch", "transformers"}


def test_an_installed_wheel_works_as_a_checkout_does(site: Path, tmp_path: Path) -> None:
    done = python(BENCH, "methods", paths=[site, Path(pytest.__file__).parents[1]], cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "semi-hard" in done.stdout


def test_the_folder_of_methods_may_be_copied_under_another_name(torch_alone: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "methods", tmp_path / "samplers")
    code = f"from samplers import get\n{STEP}\nassert not [name for name in sys.modules if 'negbench' in name]"
    done = python(code, paths=[tmp_path, torch_alone], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr


def test_packages_of_the_same_names_stand_beside(site: Path, torch_alone: Path, tmp_path: Path) -> None:
    """A trainer's own ``methods``, ``benchmark`` and ``pipelines`` are its own, before and after ours."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    code = f"import methods\nfrom negbench.methods import get\n{STEP}\nimport benchmark, pipelines\n"
    code += "assert methods.MINE and benchmark.MINE and pipelines.MINE"
    for paths in ([tmp_path, site, torch_alone], [site, torch_alone, tmp_path]):
        done = python(code, paths=paths, cwd=tmp_path)
        assert done.exit_code == 0, done.stderr
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "negbench.benchmark.cli", "methods"]  # of the current folder's path, too
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
