"""Malformed files thrown at every reader: a manifest that holds together, or one line and nothing left behind."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from format_samples import NAMES, PICTURES, SAMPLES
from negbench.pipelines import prepare
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest

PICTURE_ENDS = {".jpg"}
NASTY: list[Any] = [
    None, True, -1, 0, 2**63, 10**400, 1e308, float("inf"), float("nan"), "", " ", "x", "\x00", "a\x00b", "a\nb",
    "\ud800", "\u2028", "../../x.jpg", "/etc/passwd", "C:\\x", "x" * 100_000, [], {}, [[]], [None], {"raw": 3},
    ["a", 3], "train", "restval", "nowhere", NAMES[0], NAMES[1], "[" * 20, [[[[[[[[[[]]]]]]]]]], b"\xff\xfe",
]  # fmt: skip
SNIPPETS = [
    b"\x00", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\t", b",", b"|", b'"', b"#", b"[", b"{",
    b"}", b"]", b"\\u", b"-", b"1e999", b"null", b"[" * 5000, b"9" * 5000, b"../", b"\xf0\x9f\x98\x80", b"PAR1",
    bytes(range(256)),
]  # fmt: skip

Mutation = Callable[[bytes, random.Random], bytes]


def cut(data: bytes, lot: random.Random) -> bytes:
    return data[: lot.randrange(len(data) + 1)]


def flip(data: bytes, lot: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(lot.choice([1, 1, 3, 30])):
        found[lot.randrange(len(found))] ^= lot.randrange(1, 256)
    return bytes(found)


def insert(data: bytes, lot: random.Random) -> bytes:
    place = lot.randrange(len(data) + 1)
    return data[:place] + lot.choice(SNIPPETS) + data[place:]


def remove(data: bytes, lot: random.Random) -> bytes:
    start = lot.randrange(len(data))
    return data[:start] + data[start + lot.choice([1, 2, 10, 200]) :]


def repeat(data: bytes, lot: random.Random) -> bytes:
    start = lot.randrange(len(data))
    end = start + lot.choice([1, 20, 300])
    return data[:end] + data[start:end] + data[end:]


def lines(data: bytes, lot: random.Random) -> bytes:
    found = data.split(b"\n")
    number = lot.randrange(len(found))
    change = lot.randrange(4)
    if change == 0:
        del found[number]
    elif change == 1:
        found.insert(number, lot.choice(found))
    elif change == 2:
        lot.shuffle(found)
    else:
        found[number] = lot.choice(SNIPPETS)
    return b"\n".join(found)


def nothing(data: bytes, lot: random.Random) -> bytes:
    return b"\n" * lot.randrange(3)


def values(data: bytes, lot: random.Random) -> bytes:
    """One value of a JSON or JSONL text replaced or taken away; other text is cut."""
    try:
        rows = [json.loads(line) for line in data.splitlines()] if data.count(b"\n") else [json.loads(data)]
    except ValueError:
        return cut(data, lot)
    _change(rows, lot)
    return "\n".join(json.dumps(row, default=str) for row in rows).encode("utf-8", "surrogatepass")


def _change(node: Any, lot: random.Random) -> None:
    while True:
        key = lot.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if isinstance(node[key], dict | list) and node[key] and lot.random() < 0.85:
            node = node[key]
            continue
        if lot.random() < 0.2:
            del node[key]
        else:
            value = lot.choice(NASTY)
            node[key] = str(value) if isinstance(value, bytes) else value
        return


def table(data: bytes, lot: random.Random) -> bytes:
    """Parquet with one column of other values; what is no Parquet is flipped."""
    try:
        rows = pq.read_table(pa.BufferReader(data)).to_pylist()
    except (pa.ArrowException, OSError):
        return flip(data, lot)
    column, value = lot.choice(list(rows[0])), lot.choice(NASTY)
    some = range(len(rows)) if lot.random() < 0.5 else [lot.randrange(len(rows))]
    for number in some:
        rows[number][column] = value
    try:
        made = pa.Table.from_pylist(rows)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError):
        made = pa.table({column: [None] * len(rows)})
    out = pa.BufferOutputStream()
    pq.write_table(made, out)
    return bytes(out.getvalue())


MUTATIONS: list[Mutation] = [cut, flip, insert, remove, repeat, lines, nothing, values, values, values, table]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per sample."""
    root = tmp_path_factory.mktemp("fuzz")
    for sample, (_, make) in SAMPLES.items():
        make(root / sample)
    return root


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def annotations(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in PICTURE_ENDS)


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    sample=st.sampled_from(sorted(SAMPLES)),
    which=st.integers(0, 1000),
    mutations=st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=2),
    seed=st.integers(0, 2**32),
    named=st.booleans(),
    skip_bad=st.booleans(),
)
def test_a_malformed_file_gives_a_manifest_or_one_line(
    trees: Path, sample: str, which: int, mutations: list[Mutation], seed: int, named: bool, skip_bad: bool
) -> None:
    folder = trees / sample
    files = annotations(folder)
    path, lot = files[which % len(files)], random.Random(seed)
    good = path.read_bytes()
    data = good
    for mutation in mutations:
        data = mutation(data or b"\n", lot)
    here = Path.cwd()
    os.chdir(trees)
    try:
        path.write_bytes(data)
        before = read_all(folder)
        try:
            manifest = prepare.add(
                "fuzz",
                Path(sample),
                file_format=SAMPLES[sample][0] if named else None,
                settings={"skip_bad": skip_bad},
                replace=True,
            )
        except DataError as error:
            said = str(error)
            left = list(Path("data").glob("*"))
        else:
            said, left = "", []
            assert Manifest.read(Path("data/fuzz")).hash == manifest.hash
            rows = manifest.info["rows"]
            assert rows["seen"] == len(manifest.captions) + sum(rows["left out"].values())
            assert all(row["images"] for row in manifest.counts().values())
            assert prepare.prepare("fuzz").hash == manifest.hash
            assert {p.name for p in Path("data").iterdir()} == {"fuzz", "fuzz.yaml"}
        assert left == []
        assert "\n" not in said
        assert read_all(folder) == before  # the source is only read
    finally:
        path.write_bytes(good)
        for path in sorted(Path("data").rglob("*"), reverse=True) if Path("data").exists() else []:
            path.rmdir() if path.is_dir() else path.unlink()
        os.chdir(here)


@pytest.mark.parametrize("depth", [900, 5000, 200_000])
def test_deep_nesting_is_one_line(trees: Path, monkeypatch: pytest.MonkeyPatch, depth: int) -> None:
    monkeypatch.chdir(trees)
    for sample, file in (("karpathy", "dataset_flickr30k.json"), ("table_jsonl", "test/metadata.jsonl")):
        path = trees / sample / file
        good = path.read_bytes()
        path.write_bytes(b'{"images":' + b"[" * depth + b"]" * depth + b"}")
        try:
            with pytest.raises(DataError) as error:
                prepare.add("deep", Path(sample), file_format=SAMPLES[sample][0])
        finally:
            path.write_bytes(good)
        assert len(str(error.value)) < 500


def test_an_object_array_is_never_loaded(trees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickle inside an array would run code."""
    monkeypatch.chdir(trees)
    path = trees / "arrays_npz" / "vit.npz"
    good = path.read_bytes()
    np.savez(path, features=np.array([[PICTURES]], dtype=object))
    try:
        with pytest.raises(DataError, match=r"vit\.npz"):
            prepare.add("object", Path("arrays_npz"))
    finally:
        path.write_bytes(good)
