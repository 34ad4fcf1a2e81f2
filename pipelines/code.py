"""Which code decides something, found by following imports, and its digest."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""What ``negbench`` lies in: the three packages."""
NAME = "negbench"


def code_digest(files: Iterable[Path]) -> str:
    """Digest of what files say; comments and docstrings, their places and their order have no part in it."""
    digest = hashlib.blake2b(digest_size=8)
    for said in sorted(map(_said, files)):
        digest.update(said.encode())
    return digest.hexdigest()


def files_of(starts: Iterable[Path], rooms: Iterable[str]) -> set[Path]:
    """Files, and what they import of the suite when they run, and what that imports, and so on.

    Of files outside ``rooms``, folders below the root, the imports are not followed. What is imported for its types
    alone is not there, nor are files that do nothing.
    """
    inside = [ROOT / room for room in rooms]
    todo, found = [path.resolve() for path in starts], set[Path]()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        if any(path.is_relative_to(room) for room in inside):
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
