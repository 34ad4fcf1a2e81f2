"""Nothing vanishes: of every reader, captions seen = kept + left out by reason, whatever is wrong with its rows.

What is seen is counted here, from what was written: a caption each, and one for a row that cannot be read.
"""

import gzip
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from format_samples import PICTURES, SAMPLES
from negbench.pipelines import prepare
from negbench.pipelines.errors import DataError

BAD_LINES = [b"\xff\xfe no text", b"\x00\x01", b"neither one nor the other", b"../out.jpg,../out", b"{}", b"[1]", b"3"]
NO_OBJECT: list[Any] = [None, 3, "x", [], {}, {"image": 3}, {"id": "x"}]

Damage = Callable[[Path, random.Random], int]
"""Damages some of a sample's rows; how many captions, and rows without, are there to be seen."""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("accounts")
    for sample, (_, make) in SAMPLES.items():
        make(root / sample)
    return root


def some(count: int, lot: random.Random) -> list[int]:
    return lot.sample(range(count), lot.randrange(4))


def lines(file: str, each: int = 1, header: int = 0, blank: int = 0) -> Damage:
    """Lines that hold ``each`` captions made bad, doubled, or blank; a blank one is seen ``blank`` times."""

    def damage(root: Path, lot: random.Random) -> int:
        seen = 0
        for path in sorted(root.glob(file)):
            rows = path.read_bytes().splitlines()
            head, rows = rows[:header], rows[header:]
            seen += each * len(rows)
            for number in some(len(rows), lot):
                change = lot.randrange(3)
                if change == 0:
                    rows[number] = lot.choice(BAD_LINES)
                    seen += 1 - each
                elif change == 1:
                    rows.append(rows[number])
                    seen += each
                else:
                    rows[number] = b""
                    seen += blank - each
            path.write_bytes(b"\n".join([*head, *rows]) + b"\n")
        return seen

    return damage


def lines_of_precomp(root: Path, lot: random.Random) -> int:
    seen = 0
    for path in sorted(root.glob("*_caps.txt")):
        rows = path.read_bytes().splitlines()
        for number in some(len(rows), lot):
            rows[number] = lot.choice([b"\xff", b"\x00", b" ", b""])
        path.write_bytes(b"\n".join(rows) + b"\n")
        seen += len(rows)
    return seen


def karpathy(root: Path, lot: random.Random) -> int:
    path = root / "dataset_flickr30k.json"
    whole = json.loads(path.read_text())
    images, seen = whole["images"], 2 * len(whole["images"])
    for number in some(len(images), lot):
        change = lot.randrange(5)
        if change == 0:
            images[number] = lot.choice(NO_OBJECT)
        elif change == 1:
            images[number]["split"] = "nowhere"
        elif change == 2:
            images[number]["sentences"] = lot.choice([[], 3, None])
        elif change == 3:
            images[number]["sentences"][1] = lot.choice([*NO_OBJECT, {"raw": " "}])
        else:
            images[number]["filename"] = "../x.jpg"
        seen -= change < 3
    path.write_text(json.dumps(whole))
    return seen


def albef(root: Path, lot: random.Random) -> int:
    seen = 0
    for path in sorted(root.glob("*.json")):
        rows = json.loads(path.read_text())
        each = 1 if "train" in path.name else 2
        seen += each * len(rows)
        for number in some(len(rows), lot):
            rows[number] = lot.choice(
                [*NO_OBJECT, rows[number] | {"caption": []}, rows[number] | {"caption": [3, "a"]}]
            )
            seen += 1 - each
        path.write_text(json.dumps(rows))
    return seen


def coco(root: Path, lot: random.Random) -> int:
    """An image of a file that cannot be read is a row, too; so are its captions, which have none."""
    seen = 0
    for path in sorted(root.glob("annotations/*.json")):
        whole = json.loads(path.read_text())
        for number in some(len(whole["annotations"]), lot):
            whole["annotations"][number] = lot.choice([*NO_OBJECT, {"id": 1, "image_id": 999, "caption": "a"}])
        for number in some(len(whole["images"]), lot)[:1]:
            whole["images"][number] = lot.choice(NO_OBJECT)
            seen += 1
        seen += len(whole["annotations"])
        path.write_text(json.dumps(whole))
    return seen


def parquet(file: str, each: int, **values: list[Any]) -> Damage:
    def damage(root: Path, lot: random.Random) -> int:
        seen = 0
        for path in sorted(root.glob(file)):
            table = pq.read_table(path)
            rows = table.to_pylist()
            seen += each * len(rows)
            for number in some(len(rows), lot):
                column = lot.choice(list(values))
                rows[number][column] = lot.choice(values[column])
                seen += 1 - each
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
        return seen

    return damage


def shards(root: Path, lot: random.Random) -> int:
    seen = 0
    for path in sorted(root.rglob("*.tar")):
        with tarfile.open(path) as tar:
            members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
        pictures = [name for name in members if name.endswith(".jpg")]
        seen += 2 * len(pictures) + ("failed.json" in members)
        for number in some(len(pictures), lot):
            key = pictures[number].removesuffix(".jpg")
            change = lot.randrange(3)
            if change == 0:
                del members[f"{key}.jpg"]
            elif f"{key}.json" in members:
                members[f"{key}.json"] = lot.choice([b"{", b"[]", b'{"captions": []}', b'{"captions": [3]}'])
            else:
                members[f"{key}.txt"] = lot.choice([b"\xff", b"", b" "])
            seen -= 1
        with tarfile.open(path, "w") as tar:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return seen


def rows_of_json(file: str, captions: str) -> Damage:
    """Rows of a list, or values of an object, made bad, or one of their two captions."""

    def damage(root: Path, lot: random.Random) -> int:
        path = root / file
        whole = json.loads(path.read_text())
        keys = list(whole) if isinstance(whole, dict) else list(range(len(whole)))
        seen = 2 * len(keys)
        for number in some(len(keys), lot):
            key, row = keys[number], whole[keys[number]]
            change = lot.randrange(3)
            if change == 0:
                whole[key] = lot.choice([None, 3, [], {}])
            elif isinstance(row, list):
                whole[key] = [row[0], " "] if change == 1 else [row[0], 3]
            else:
                whole[key] = row | {captions: [row[captions][0], " "] if change == 1 else 3}
            seen -= change != 1
        path.write_text(json.dumps(whole))
        return seen

    return damage


def lines_of_vse_inf(root: Path, lot: random.Random) -> int:
    return lines_of_precomp(root / "precomp", lot)


def multi30k(root: Path, lot: random.Random) -> int:
    """Sentences of both languages; only the English ones are read closely."""
    seen = 0
    for path in sorted(root.glob("raw/*.gz")):
        rows = gzip.decompress(path.read_bytes()).splitlines()
        for number in some(len(rows), lot):
            rows[number] = lot.choice([b"\xff", b"\x00", b" ", b""])
        path.write_bytes(gzip.compress(b"\n".join(rows) + b"\n"))
        seen += len(rows)
    return seen


BYTES: list[Any] = [{"bytes": None, "path": None}, {"bytes": b"no picture", "path": None}, None]
DAMAGES: dict[str, Damage] = {
    "flickr8k": lines("Flickr8k.token.txt", blank=1),
    "tokens": lines("*.token", blank=1),
    "tokens_csv": lines("captions.txt", header=1),
    "tokens_bars": lines("results.csv", header=1, blank=1),
    "karpathy": karpathy,
    "albef": albef,
    "coco": coco,
    "coco_ids": coco,
    "coco_numbers": coco,
    "precomp": lines_of_precomp,
    "arrays_npz": lines("captions.jsonl", each=2),
    "arrays_hdf5": lines("captions.jsonl", each=2),
    "table_csv": lines("mine.csv", header=1),
    "table_jsonl": lines("*/metadata.jsonl", each=2),
    "table_parquet": parquet("*.parquet", 2, Image=[None, "../x.jpg"], caption_0=[None], split=["nowhere"]),
    "hub": parquet("data/*.parquet", 2, image=BYTES, caption=[None, []]),
    "hub_rows": parquet("*.parquet", 1, image=BYTES, text=[None, " "], split=["nowhere"]),
    "shards": shards,
    "shards_json": shards,
    "reid": rows_of_json("reid_raw.json", "captions"),
    "reid_img_path": rows_of_json("data_captions.json", "captions"),
    "vse_inf": lines_of_vse_inf,
    "multi30k": multi30k,
    "entities": lines("*.token", blank=1),
    "headerless": lines("mine.csv"),
    "keyed": rows_of_json("captions.json", ""),
    "keyed_by_number": rows_of_json("all.json", "captions"),
}


@contextmanager
def restored(folder: Path) -> Iterator[None]:
    """Every file of the sample is as before, at the end; the current folder is the one above."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    here = Path.cwd()
    os.chdir(folder.parent)
    try:
        yield
    finally:
        os.chdir(here)
        for path, data in before.items():
            path.write_bytes(data)


def test_there_is_damage_for_every_sample() -> None:
    assert DAMAGES.keys() == SAMPLES.keys()


@settings(max_examples=520, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(sample=st.sampled_from(sorted(DAMAGES)), seed=st.integers(0, 2**32), lost=st.booleans())
def test_what_is_seen_is_kept_or_left_out(trees: Path, sample: str, seed: int, lost: bool) -> None:
    lot = random.Random(seed)
    with restored(trees / sample):
        seen = DAMAGES[sample](Path(sample), lot)
        files = sorted(path for path in Path(sample).rglob("*") if path.name in PICTURES)
        if lost and files:
            lot.choice(files).write_bytes(b"no picture")
        try:
            manifest = prepare.add("my", Path(sample), settings={"skip_bad": True}, replace=True)
        except DataError as error:
            if "fault of the reader" in str(error):
                raise
            return
        rows = manifest.info["rows"]
        assert rows["kept"] == len(manifest.captions)
        assert rows["seen"] == rows["kept"] + sum(rows["left out"].values())
        assert rows["seen"] == seen
        assert rows["left out"].get("bad rows", 0) <= len(manifest.info["bad"]) or len(manifest.info["bad"]) == 20
