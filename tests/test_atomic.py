"""What is written appears whole, and never in place of what the suite did not make."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from negbench.pipelines import atomic
from negbench.pipelines.atomic import Kind, move_into_place, new_file, new_folder, whole, write_text
from negbench.pipelines.errors import RequestError

KIND = Kind("sample", "mark.json", ("*.txt",))
STEPS = ("rename", "replace", "mkdir", "rmdir", "unlink", "open", "close", "fsync", "chmod", "scandir")
"""Calls of ``os`` that a replacement is made of, besides the exchange itself."""


def made(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mark.json", "a.txt", "b.txt"):
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def no_exchange(one: Path, other: Path) -> None:
    raise OSError(errno.ENOSYS, "no exchange here")


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let this process be killed at the ``step``-th call that changes the disk."""
    count = 0

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **more)

        return wrapper

    for name in STEPS:
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(atomic, "_exchange", counted(atomic._exchange))


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_killed_at_any_step_there_is_the_old_folder_or_the_new_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", no_exchange)
    seen = set()
    for step in range(1, 1000):
        target = made(tmp_path / str(step) / "target", "old")
        child = os.fork()
        if child == 0:
            try:
                kill_at(monkeypatch, step)
                with new_folder(target, KIND) as scratch:
                    made(scratch, "new")
            finally:
                os._exit(sys.exc_info()[0] is not None)
        ended = os.waitpid(child, 0)[1]
        there = content(whole(target))
        assert len(there) == 3, (step, there)
        assert len(set(there.values())) == 1, (step, there)
        seen.add(there["a.txt"])
        with new_folder(target, KIND) as scratch:  # the next writer removes what was left
            made(scratch, "next")
        assert [path.name for path in target.parent.iterdir()] == ["target"], step
        assert set(content(target).values()) == {"next"}
        if os.WIFEXITED(ended):
            assert step > 20  # the steps were really counted
            break
    assert seen == {"old", "new"}


@pytest.mark.parametrize("put", ["thesis.tex", "notes/page", "mark.json/deep"])
def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path: Path, put: str) -> None:
    target = tmp_path / "target"
    (target / put).parent.mkdir(parents=True)
    (target / put).write_text("mine")
    if put != "mark.json/deep":
        made(target, "old")
        with pytest.raises(RequestError, match=put.partition("/")[0]), new_folder(target, KIND):
            raise AssertionError
        assert (target / "a.txt").read_text() == "old"
    assert (target / put).read_text() == "mine"


def test_a_folder_without_the_mark_is_not_replaced_an_empty_one_is(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.txt").write_text("mine")
    with pytest.raises(RequestError, match=r"mark\.json"), new_folder(target, KIND):
        raise AssertionError
    assert content(target) == {"a.txt": "mine"}
    (target / "a.txt").unlink()
    with new_folder(target, KIND) as scratch:
        made(scratch, "new")
    assert set(content(target).values()) == {"new"}
    with pytest.raises(RequestError, match="a file"), new_folder(target / "a.txt", KIND):
        raise AssertionError


def test_what_came_into_the_folder_meanwhile_stays(tmp_path: Path) -> None:
    target = made(tmp_path / "target", "old")

    def meanwhile() -> None:
        with new_folder(target, KIND) as scratch:
            made(scratch, "new")
            (target / "mine.tex").write_text("mine")

    with pytest.raises(RequestError, match=r"mine\.tex"):
        meanwhile()
    assert content(target) == {"a.txt": "old", "b.txt": "old", "mark.json": "old", "mine.tex": "mine"}


def test_links_stay_links(tmp_path: Path) -> None:
    folder, file = made(tmp_path / "elsewhere" / "folder", "old"), tmp_path / "elsewhere" / "file"
    file.write_text("old")
    file.chmod(0o600)
    (tmp_path / "folder").symlink_to(folder)
    (tmp_path / "file").symlink_to(file)
    with new_folder(tmp_path / "folder", KIND) as scratch:
        made(scratch, "new")
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "file").is_symlink()
    assert set(content(folder).values()) == {file.read_text()} == {"new"}
    assert file.stat().st_mode & 0o777 == 0o600
    with new_file(file) as other:
        other.write_text("newer")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_is_written_in_a_folder_that_is_being_made(tmp_path: Path) -> None:
    with new_folder(tmp_path / "target", KIND) as scratch:
        write_text(made(scratch, "old") / "a.txt", "new")
    assert content(tmp_path / "target") == {"a.txt": "new", "b.txt": "old", "mark.json": "old"}


def test_a_device_is_written_through() -> None:
    write_text(Path("/dev/null"), "text")
    assert not Path("/dev/null").is_file()


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_where_the_last_step_fails_the_old_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = made(tmp_path / "target", "old")

    def full(one: Path, other: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(atomic, "_exchange", full)
    with pytest.raises(OSError, match="full"), new_folder(target, KIND) as scratch:
        made(scratch, "new")
    assert set(content(target).values()) == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_folder_is_moved_where_nothing_was(tmp_path: Path) -> None:
    move_into_place(made(tmp_path / "made", "new"), tmp_path / "deep" / "target")
    assert set(content(tmp_path / "deep" / "target").values()) == {"new"}
    assert not (tmp_path / "made").exists()


def test_files_are_written_inside_a_scratch_folder(tmp_path: Path) -> None:
    with new_folder(tmp_path / "target", KIND) as scratch:
        write_text(scratch / "mark.json", "new")
        with new_folder(scratch / "a.txt", KIND) as inside:
            write_text(inside / "mark.json", "newer")
    assert (tmp_path / "target" / "a.txt" / "mark.json").read_text() == "newer"
