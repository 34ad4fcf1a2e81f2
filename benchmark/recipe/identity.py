"""Where a cell's numbers come from: the code that decides them, its commit, the versions of libraries."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from negbench.pipelines.code import ROOT, code_digest, files_of

PACKAGES = ("benchmark", "methods", "pipelines")
VERSIONS = ("negbench", "torch", "numpy", "pandas")
STARTS = ("training/loop.py", "evaluation/measures.py", "audit/figures.py")
"""Of ``benchmark``: what trains, measures and audits a cell."""


def files_of_a_cell(own: Iterable[Path]) -> set[Path]:
    """All code that decides a cell's numbers; ``own``: files of its method, its warm-up and its towers.

    The imports of ``pipelines`` are not followed: its work is known by the digests of what it made. Of it there are the
    files that the others import themselves.
    """
    starts = {ROOT / "benchmark" / start for start in STARTS} | {*own}
    return files_of(starts, ("benchmark", "methods"))


def code_of_a_cell(own: Iterable[Path]) -> str:
    """Digest of it."""
    return code_digest(files_of_a_cell(own))


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a training computes with."""
    found = {"python": platform.python_version()}
    for package in VERSIONS:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "source"
    return found


def commit() -> dict[str, Any]:
    """The commit of the code and whether the three packages differ from it; nothing outside their own repository.

    Another repository, around an environment, tells nothing of the code; what it would run is not run.
    """
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(ROOT), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", *(f"{package}/__init__.py" for package in PACKAGES))
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return {"commit": None, "dirty": None}
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *PACKAGES))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
