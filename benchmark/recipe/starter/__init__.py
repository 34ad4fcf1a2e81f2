"""The files that a project begins with, for ``bench init``: the embedded dataset, a pipeline, and what it runs.

The pipeline is that of the suite's own repository, but for the dependency of its first stage: there it is the folders
of code, and here nothing in the project says which code is installed. So the stage runs at each ``dvc repro``; the
digests that it leaves are the same ones where the code is, and then no other stage runs again.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from negbench.benchmark.errors import BenchError, RunFailedError
from negbench.pipelines.atomic import write_text

HERE = Path(__file__).parent
FILES = {
    "params.yaml": "params.yaml",
    "dvc.yaml": "pipeline.yaml",
    "pipelines/dvc.yaml": "study.yaml",
    "data/scenes.yaml": "scenes.yaml",
    ".gitignore": "gitignore",
    ".dvcignore": "dvcignore",
}
"""Files of a project to those of this folder; no name here is one that git or DVC would obey."""
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
"""DVC asks nobody for anything unless it is told to."""


def write(project: Path) -> dict[str, bool]:
    """Write those files that are not there. File to whether it was written; ``BenchError`` where a folder cannot be."""
    for name in FILES:
        for place in (project, *map(project.joinpath, Path(name).parents)):
            if place.exists() and not place.is_dir():
                raise BenchError(f"{place}: not a folder")
    done = {}
    for name, source in FILES.items():
        path = project / name
        done[name] = not (path.exists() or path.is_symlink())
        if done[name]:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, (HERE / source).read_text(encoding="utf-8"))
    return done


def begin_git(project: Path) -> str:
    """Make the folder a repository of git, unless it lies in one; a line on it."""
    if inside_git(project):
        return "git: there already"
    _ran(["git", "init", "--quiet"], project)
    return "git: made"


def begin_dvc(project: Path) -> str:
    """The same for DVC: beside git, below it, or without."""
    if (project / ".dvc").exists():
        return "DVC: there already"
    how = ["--subdir"] if inside_git(project) and not (project / ".git").exists() else []
    how = how if inside_git(project) else ["--no-scm"]
    _ran([sys.executable, "-P", "-m", "dvc", "init", "--quiet", *how], project)
    if not (config := project / ".dvc" / "config").read_text(encoding="utf-8"):
        write_text(config, DVC_CONFIG)
    return "DVC: made"


def inside_git(project: Path) -> bool:
    """Whether the folder lies in a repository of git."""
    return any((place / ".git").exists() for place in (project.resolve(), *project.resolve().parents))


def _ran(command: Sequence[str], project: Path) -> None:
    what = "dvc init" if "dvc" in command else "git init"
    try:
        done = subprocess.run(
            command,
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise BenchError(f"{command[0]} is not installed; leave --{command[0]} out") from None
    if done.returncode:
        raise RunFailedError(f"{what} failed: {' '.join(done.stderr.split())[:300]}")
