"""Every small file that the project reads, damaged in many ways: a result or one line, and nothing else changed."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands import bench
from negbench.pipelines import sources
from negbench.pipelines.files import file_digest

RECIPE = ["--epochs", "2", "--memory", "0", "--set", "hidden=8", "--set", "dim=8", "--set", "batch=32"]
RUN = ["run", "--method", "fne", "--dataset", "small", *RECIPE]
TUNE = ["tune", "--method", "fne", "--dataset", "small", "--trials", "2", "--fresh-seeds", "0", *RECIPE]
COMMANDS = {
    "run": [*RUN, "--config", "config.yaml"],
    "leaderboard": ["leaderboard"],
    "list": ["data", "list"],
    "check": ["data", "check", "small"],
    "tune": [*TUNE, "--config", "config.yaml"],
}
MAY_CHANGE = {
    "run": ("data/small/", "features/small", "runs/small/", ".bench/"),
    "tune": ("data/small/", "features/small", "studies/small/", ".bench/"),
}
"""What a command may make anew. The others may change nothing."""
EXAMPLES = 60
"""For each of the five commands."""
NASTY: list[Any] = [
    None, True, -1, 0, 2**63, 10**400, 1e308, float("inf"), float("nan"), "", " ", "x", "a\x00b", "a\nb", "\ud800",
    "../../evil", "/etc/passwd", "x" * 10_000, "\x1b[2J", "=1+1", [], {}, [[]], [None], {"raw": 3}, ["a", 3],
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with all that a small one has: a dataset, features, a record, a study, and somebody's own files."""
    folder, before = tmp_path_factory.mktemp("project"), Path.cwd()
    os.chdir(folder)
    given_settings = {"seed": 0, "train": 60, "val": 20, "test": 20, "ambiguity": 0.5}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=given_settings))
    Path("params.yaml").write_text(
        "# mine\ndatasets: [small]\nencoders:\n  small: hog+ngrams\nmethods: [hardest, fne]\nseeds: [0]\n"
        "recipe:\n  epochs: 2\n  dropout: 0.1\nsettings:\n  fne:\n    tau_false: 2.0\n"
    )
    Path("config.yaml").write_text("seed: 0\nlearning_rate: 0.001\nsettings:\n  margin: 0.25\n")
    Path("thesis.tex").write_text("years of work")
    for folder_of_others in ("runs/mine", "studies/mine", "data/mine", "features/mine"):
        Path(folder_of_others).mkdir(parents=True)
        (Path(folder_of_others) / "notes.txt").write_text("mine")
    for words in (COMMANDS["run"], COMMANDS["tune"]):
        assert bench(*words).exit_code == 0, bench(*words)
    yield folder
    os.chdir(before)


def files() -> list[Path]:
    return sorted(path for path in Path().rglob("*") if path.is_file() and path.stat().st_size < 10**5)


def contents() -> dict[str, str]:
    return {path.as_posix(): file_digest(path) for path in Path().rglob("*") if path.is_file()}


def cut(data: bytes, lot: random.Random) -> bytes:
    return data[: lot.randrange(len(data) + 1)]


def flip(data: bytes, lot: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(min(len(found), lot.choice([1, 3, 30]))):
        found[lot.randrange(len(found))] ^= lot.randrange(1, 256)
    return bytes(found)


def empty(data: bytes, lot: random.Random) -> bytes:
    return lot.choice([b"", b"\n", b"{}", b"[]", b"null", b"---\n...\n", b'"text"'])


def recode(data: bytes, lot: random.Random) -> bytes:
    text = data.decode("latin-1")
    return lot.choice([text.encode("utf-16"), ("é" + text).encode("latin-1"), b"\xef\xbb\xbf" + data, b"\x00" + data])


def nest(data: bytes, lot: random.Random) -> bytes:
    deep = lot.choice([b"[" * 100_000, b'{"a":' * 50_000, b"- " * 5_000 + b"1", b"9" * 5_000, b"a: &a [*a, *a]"])
    place = lot.choice([0, lot.randrange(len(data) + 1), len(data)])
    return data[:place] + deep + data[place:]


def twice(data: bytes, lot: random.Random) -> bytes:
    """A line once more: a duplicate key, mostly."""
    rows = data.splitlines(keepends=True)
    return b"".join([*rows, lot.choice(rows)]) if rows else data


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        yield (*path, key)
        yield from places(inside, (*path, key))


def change(data: bytes, lot: random.Random) -> bytes:
    """JSON with one value of another type, or one key fewer; other files are cut."""
    try:
        value = json.loads(data)
        *above, last = lot.choice(list(places(value)))
    except (ValueError, IndexError):
        return cut(data, lot)
    inside = value
    for key in above:
        inside = inside[key]
    if lot.random() < 0.3:
        del inside[last]
    else:
        inside[last] = lot.choice(NASTY)
    return json.dumps(value).encode()


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, flip, empty, recode, nest, twice, change, change)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_file_gives_a_result_or_one_line_and_changes_nothing_else(
    command: str, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("damaged")

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(damage=st.sampled_from(DAMAGES), seed=st.integers(0, 2**32))
    def damaged(damage: Callable[[bytes, random.Random], bytes], seed: int) -> None:
        lot = random.Random(seed)
        copy = place / "project"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(project, copy)
        os.chdir(copy)
        path = lot.choice(files())
        path.write_bytes(damage(path.read_bytes(), lot))
        before = contents()
        code, _, said = bench(*COMMANDS[command])
        assert code in (0, 2, 3), (path, code, said)
        assert "Traceback" not in said
        if code:
            (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
            assert said.splitlines()[-1] == line
            assert not [sign for sign in line if ord(sign) < 32 or 127 <= ord(sign) < 160]
        after = contents()
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert not [name for name in changed if not name.startswith(MAY_CHANGE.get(command, ()) or "\0")], path
        assert not [name for name in after if ".bench-" in name]

    damaged()
