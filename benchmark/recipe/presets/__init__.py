"""Named recipes: each YAML file of this folder is one, flat data."""

from functools import cache
from pathlib import Path
from typing import Any

from negbench.benchmark.errors import BenchError
from negbench.pipelines.errors import unknown
from negbench.pipelines.files import read_yaml

FOLDER = Path(__file__).parent
ABOUT = "about"


def names() -> list[str]:
    """Of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def _read(name: str) -> dict[str, Any]:
    if name not in names():
        raise BenchError(unknown("recipe", name, names()))
    content = read_yaml(FOLDER / f"{name}.yaml")
    assert isinstance(content, dict)  # they are our own files
    return content


def load(name: str) -> dict[str, Any]:
    """Keys of a preset, where they differ from the defaults; ``BenchError`` for an unknown one."""
    return {key: value for key, value in _read(name).items() if key != ABOUT}


def about(name: str) -> str:
    """One line about a preset."""
    return str(_read(name)[ABOUT])
