"""Where a cell's numbers come from: a digest of the code that decides them, its commit, the versions of libraries."""

import ast
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""What ``negbench`` lies in: the three packages."""
NAME = "negbench"
PACKAGES = ("benchmark", "methods", "pipelines")
VERSIONS = ("negbench", "torch", "numpy", "pandas")


def code_digest(starts: Iterable[Path]) -> str:
    """Digest of what files say, and of all that they import of the suite; comments and docstrings have no part in it.

    The place and the order of the files have none either.
    """
    digest = hashlib.blake2b(digest_size=8)
    for said in sorted(map(_said, files_of(starts))):
        digest.update(said.encode())
    return digest.hexdigest()


def files_of(starts: Iterable[Path]) -> set[Path]:
    """Files, and what they import of the suite, and what that imports, and so on.

    Not followed: what is imported for its types alone, and the imports of ``pipelines``, whose work is known by the
    digests of what it made. Of ``pipelines`` there are the files that the others import themselves.
    """
    todo, found = [path.resolve() for path in starts], set[Path]()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        if not path.is_relative_to(ROOT / "pipelines"):
            todo += [file for module in _imported(path) for file in _files(module)]
    return {path for path in found if _said(path)}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Modules that a file imports when it runs, as parts of their path below the root."""
    todo: list[ast.AST] = [_tree(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
        elif isinstance(node, ast.ImportFrom):
            before = _place(path, node.level) if node.level else ()
            whole = (*before, *(node.module or "").split(".")) if node.module else before
            for name in node.names:
                yield (*whole, name.name)
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield tuple(name.name.split("."))
        else:
            todo += ast.iter_child_nodes(node)


def _place(path: Path, level: int) -> tuple[str, ...]:
    """The package that a relative import of a file begins with."""
    folder = path.parents[level - 1]
    return (NAME, *folder.relative_to(ROOT).parts) if folder.is_relative_to(ROOT) else ()


def _files(module: tuple[str, ...]) -> Iterator[Path]:
    """The file of a module of the suite, or of what a name is imported from."""
    if module[0] != NAME or len(module) < 2:
        return
    for parts in (module[1:], module[1:-1]):
        place = ROOT.joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if parts and file.is_file():
                yield file
                return


@cache
def _said(path: Path) -> str:
    """A file as text that neither comments, docstrings nor Python's version change; empty if it does nothing."""
    return _told([node for node in _tree(path).body if not _is_text(node)]).removeprefix("[]")


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _told(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(_told(each) for each in value if not (isinstance(each, ast.AST) and _is_text(each)))}]"
    if isinstance(value, ast.Constant):
        return repr(value.value)
    if isinstance(value, ast.AST):
        fields = ((name, _told(field)) for name, field in ast.iter_fields(value) if field not in (None, []))
        return f"{type(value).__name__}({','.join(f'{name}={field}' for name, field in fields)})"
    return repr(value)


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
