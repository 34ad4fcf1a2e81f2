"""What a reader could take for something it is not: read right, or refused with what was seen and what helps."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from commands import bench
from negbench.benchmark.reports.terminal.manifest import _odd as odd
from negbench.pipelines import checks, equal_texts, prepare
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest

HUNDRED = [f"{number}.jpg" for number in range(100)]


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the source, in the current one."""
    monkeypatch.chdir(tmp_path)
    folder = Path("raw")
    folder.mkdir()
    return folder


def pictures(names: Iterable[str] = HUNDRED, folder: str = "pics") -> None:
    for number, name in enumerate(names):
        path = Path("raw", folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 37 % 256, number * 101 % 256, number % 256)).save(path, "PNG")


def put(file: str, content: Any) -> None:
    """Bytes and text as they are, anything else as JSON."""
    path = Path("raw", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def add(**settings: Any) -> Manifest:
    return prepare.add("my", Path("raw"), settings=settings, replace=True)


def refused(**settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        add(**settings)
    said = str(caught.value)
    assert "\n" not in said
    return said


# Ids


def test_ids_that_floats_cannot_tell_apart_are_refused() -> None:
    ids = [2**53 + 2 * (number // 2) for number in range(100)]
    np.savez("raw/f.npz", features=np.random.default_rng(0).normal(size=(100, 8)))
    put("ids.txt", "".join(f"{number}\n" for number in ids[::2] + list(range(50))))
    put("c.jsonl", "\n".join(f'{{"image": {number}.0, "caption": "a thing"}}' for number in ids))
    assert "raw/c.jsonl:1.image: 9007199254740992.0 is a float beyond 2^53" in refused()


def persons(ids: Iterable[Any]) -> None:
    pictures()
    splits = ("train", "val", "test")
    put(
        "reid_raw.json",
        [
            {"split": splits[number // 2 % 3], "captions": [f"man {number}"], "file_path": f"{number}.jpg", "id": one}
            for number, one in enumerate(ids)
        ],
    )


def test_a_persons_number_may_be_text() -> None:
    persons(number // 2 if number % 2 else str(number // 2) for number in range(100))
    manifest = add()
    assert "50 persons in 100 pictures" in manifest.info["notes"][0]
    assert len(manifest.judgements) == 100


def test_rows_without_a_person_beside_rows_with_one_are_refused_or_counted() -> None:
    persons(None if number == 7 else number // 2 for number in range(100))
    assert "raw/reid_raw.json: [7].id: no person, but other rows have one" in refused()
    assert add(skip_bad=True).info["rows"] == {"seen": 100, "kept": 99, "left out": {"bad rows": 1}}


# Two files of one split


def pairs(numbers: Iterable[int]) -> list[dict[str, str]]:
    return [{"image": f"{number}.jpg", "caption": f"thing {number}"} for number in numbers]


@pytest.mark.parametrize(
    ("one", "other", "split"),
    [
        ("x_val.json", "x_dev.json", "val"),
        ("x_test.json", "x_test2.json", "test"),
        ("val.csv", "validation.csv", "val"),
        ("train.jsonl", "training.jsonl", "train"),
    ],
)
def test_two_files_of_one_split_are_refused_with_both_named(one: str, other: str, split: str) -> None:
    pictures()
    begin = one.partition("_")[0] + "_" if "_" in one else ""
    ranges = {
        f"{begin}{name}{Path(one).suffix}": range(60 + 10 * k, 70 + 10 * k) for k, name in enumerate(("val", "test"))
    }
    for file, numbers in ({f"{begin}train{Path(one).suffix}": range(60)} | ranges | {other: range(80, 90)}).items():
        rows = pairs(numbers)
        put(
            file,
            {
                ".json": json.dumps(rows),
                ".jsonl": "\n".join(map(json.dumps, rows)),
                ".csv": "image,caption\n" + "".join(f"{row['image']},{row['caption']}\n" for row in rows),
            }[Path(one).suffix],
        )
    said = refused()
    assert one in said
    assert other in said
    assert f"are both of the {split} split; move one out of the folder" in said
    Path("raw", other).unlink()
    assert add().info["rows"]["kept"] == 80


def test_parts_of_a_split_and_restval_are_one_dataset() -> None:
    pictures()
    for file, numbers in {
        "x_train_1.json": range(30),
        "x_train_2.json": range(30, 50),
        "x_restval.json": range(50, 60),
        "x_val.json": range(60, 80),
        "x_test.json": range(80, 100),
    }.items():
        put(file, pairs(numbers))
    assert add().info["rows"]["kept"] == 100


def multi30k() -> None:
    pictures()
    for part, numbers in {"train": range(60), "val": range(60, 80), "test_2016_flickr": range(80, 100)}.items():
        put(f"image_splits/{part}.txt", "".join(f"{number}.jpg\n" for number in numbers))
        for language in ("en", "de"):
            text = "".join(f"{language} {number}\n" for number in numbers)
            put(f"raw/{part}.{language}.gz", gzip.compress(text.encode()))


def test_sentences_packed_and_unpacked_are_one_where_they_are_the_same() -> None:
    multi30k()
    put("raw/val.en", gzip.decompress(Path("raw/raw/val.en.gz").read_bytes()))
    manifest = add()
    assert "raw/val.en is not read: the same as val.en.gz" in manifest.info["notes"]
    assert manifest.captions.groupby("image_id").size().tolist() == [1] * 100
    put("raw/val.en", "en\n" * 20)
    assert "raw/raw/val.en.gz and val.en differ" in refused()


def test_a_set_without_a_language_is_refused() -> None:
    multi30k()
    Path("raw/raw/val.de.gz").unlink()
    said = refused(languages="en,de")
    assert "raw/raw: no val.de.gz, the sentences of val; --languages takes en for it" in said
    assert len(add().captions) == 100


def test_two_lists_of_a_set_are_refused() -> None:
    multi30k()
    put("image_splits/dev.txt", Path("raw/image_splits/val.txt").read_bytes())
    assert "dev.txt and val.txt are both lists of val" in refused()


# Shards


def shard(more: dict[str, bytes]) -> None:
    pictures()
    with tarfile.open("raw/data.tar", "w") as tar:
        for number in range(100):
            data = Path(f"raw/pics/{number}.jpg").read_bytes()
            for end, content in ({".jpg": data, ".txt": b"a thing"} | more).items():
                member = tarfile.TarInfo(f"{number:03}{end}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_two_pictures_of_a_sample_are_refused() -> None:
    shard({".png": b"other"})
    assert "data.tar: 000.jpg or 000.png? a sample has one picture; leave the other out" in refused()


# Counts


def test_images_that_have_no_captions_are_among_the_numbers_that_are_told() -> None:
    pictures()
    put("c.csv", "image,caption\n" + "".join(f"{number}.jpg,thing {number}\n" * 2 for number in range(100)))
    manifest = add()
    some = manifest.captions["image_id"].to_numpy(dtype=object).copy()
    some[:2] = some[2]
    moved = replace(manifest, captions=manifest.captions.assign(image_id=some))
    assert odd(moved).startswith("images have 0 to 4 captions")


# Features


def precomp(rows: NDArray[Any], captions: int) -> None:
    """Each split has these rows, with another number in the first place."""
    for number, part in enumerate(("train", "dev", "test")):
        of_split = rows.copy()
        of_split[:, 0] += 10 * number
        np.save(f"raw/{part}_ims.npy", of_split)
        put(f"{part}_caps.txt", "".join(f"{part} {k}\n" for k in range(captions)))


@pytest.mark.parametrize("times", [2, 5])
def test_rows_that_stand_again_further_down_are_refused(times: int) -> None:
    rows = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    precomp(np.tile(rows, (times, 1)), 10 * times)
    said = refused()
    assert f"train_ims.npy: each row stands {times} times or more, not side by side (row 0 again as row 10)" in said


@pytest.mark.parametrize("count", [10, 900])
def test_rows_that_are_nearly_equal_are_refused_with_the_way_out(count: int) -> None:
    lot = np.random.default_rng(0)
    rows = np.repeat(lot.normal(size=(count, 8)), 5, axis=0)
    precomp((rows + lot.uniform(0, 1e-6, rows.shape)).astype(np.float32), 5 * count)
    said = refused()
    assert "train_ims.npy: rows are nearly equal 5 at a time (apart by 1e-06 at most)" in said
    for part in ("train", "dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.load(f"raw/{part}_ims.npy")[::5])  # as it is said
    assert len(add().images) == 3 * count


def test_rows_of_zeros_are_told_by_add_and_check() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    precomp(rows, 10)
    rows[3] = 0
    np.save("raw/train_ims.npy", rows)
    told = "images whose features are zeros alone, which say nothing of the picture: 1 (train-3)"
    assert add().info["notes"] == [told]
    assert checks.check("my").facts["notes"] == told


# Several datasets in a folder


def table_of(numbers: Iterable[int]) -> str:
    return "image,caption\n" + "".join(f"{number}.jpg,thing {number}\n" for number in numbers)


@pytest.mark.parametrize("file", ["captions.txt", "captions.csv"])
def test_of_two_folders_with_pictures_of_their_own_the_folder_is_the_way_out(file: str) -> None:
    for folder in ("a", "b"):
        pictures(folder=f"{folder}/pics")
        put(f"{folder}/{file}", table_of(range(100)))
    said = refused()
    assert "take one with --from raw/a or --from raw/b" in said
    assert "--stem" not in said
    assert len(prepare.add("one", Path("raw/a")).captions) == 100


def test_every_dataset_of_a_folder_has_a_name_and_every_file_one_reason() -> None:
    pictures()
    for file, numbers in {"train": range(60), "val": range(60, 80), "test": range(80, 100), "all": range(100)}.items():
        put(f"{file}.csv", table_of(numbers))
    assert "'all' (all.csv), '.csv' (test.csv, train.csv, val.csv); take one with --stem" in refused()
    assert add(stem=".csv").info["unused"] == {"all.csv": "not of '.csv'"}
    assert set(add(stem="all").info["unused"].values()) == {"not of 'all'"}


def test_datasets_of_two_formats_are_named_with_their_folders() -> None:
    pictures(folder="a/pics")
    put("a/captions.csv", table_of(range(100)))
    row = {"split": "train", "captions": ["a man"], "file_path": "1.jpg"}
    put("b/reid_raw.json", [row])
    done = bench("data", "add", "my", "--from", "raw")
    assert done.exit_code == 3
    said = "raw holds several datasets: a (table: captions.csv), b (reid: reid_raw.json); take one with --from raw/a or"
    assert said in done.stderr


# Messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            table_of(range(9)).replace("thing 7", "thing’s").encode("cp1252"),
            ":9: not UTF-8 (byte 0x92); Windows-1252 by the look of it: save the file as UTF-8 (iconv -f CP1252",
        ),
        (
            table_of(range(9)).replace("thing 7", "一个东西").encode("gbk"),
            ":9: not UTF-8 (byte 0xb8); of another encoding (CP1252, GBK, Shift_JIS, ...): save the file as UTF-8",
        ),
        (table_of(range(9)).encode("utf-16-le"), ":1: UTF-16; save it as UTF-8 (iconv -f UTF-16LE -t UTF-8)"),
        (table_of(range(9)).encode("utf-16-be"), ":1: UTF-16; save it as UTF-8 (iconv -f UTF-16BE -t UTF-8)"),
        (table_of(range(9)).encode("utf-32"), ":1: UTF-32; save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
        (table_of(range(9)).encode("utf-32-be"), ":1: UTF-32; save it as UTF-8 (iconv -f UTF-32BE -t UTF-8)"),
    ],
)
def test_encodings_are_told_with_what_to_do(content: bytes, said: str) -> None:
    pictures()
    put("c.csv", content)
    message = refused()
    assert f"raw/c.csv{said}" in message
    assert "\0" not in message


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("pics\\0.jpg", r"image 'pics\0.jpg' has backslashes, as paths of Windows; write / in their place"),
        ("https://h.org/0.jpg", "image 'https://h.org/0.jpg' is a URL; download the pictures and name their files"),
        ("/data/0.jpg", "image '/data/0.jpg' is an absolute path, which leads out of the folder; use a path relative"),
        ("C:\\pics\\0.jpg", r"image 'C:\pics\0.jpg' is an absolute path"),
        ("..\\0.jpg", r"image '..\0.jpg' leads out of the folder"),
    ],
)
def test_paths_that_are_none_are_called_what_they_are(image: str, said: str) -> None:
    pictures()
    put("c.csv", f"image,caption\n{image},a thing\n")
    assert f"raw/c.csv:2.image: {said}" in refused()


def test_a_picture_that_is_a_git_lfs_pointer_is_called_so() -> None:
    pictures()
    put("c.csv", table_of(range(100)))
    put("pics/5.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n")
    said = refused()
    assert "raw/pics/5.jpg: a Git LFS pointer, not the file itself; run: git lfs pull" in said
    assert "get the file again" not in said


def test_names_in_capital_letters_are_told_how_to_be_written() -> None:
    pictures()
    put("C.CSV", table_of(range(100)))
    assert "C.CSV is looked for as C.csv: rename it" in refused()
    Path("raw/C.CSV").rename("raw/c.csv")
    put("TEST.TXT", "".join(f"{number}.jpg\n" for number in range(80, 100)))
    assert "raw/TEST.TXT lists 20 images and is not used: rename it TEST.txt" in refused()


def test_json_that_is_cut_inside_a_text_ends_in_the_middle() -> None:
    pictures()
    put("c.json", json.dumps({f"{number}.jpg": "a thing" for number in range(100)})[:-4])
    assert "Unterminated string" in refused()
    assert refused().endswith("; it ends in the middle")


def test_features_one_folder_down_are_found_for_who_looks() -> None:
    Path("raw/data").mkdir()
    precomp(np.random.default_rng(0).normal(size=(10, 8)), 10)
    for path in Path("raw").glob("*_*"):
        path.rename(Path("raw/data", path.name))
    assert "the features lie in raw/data: give that folder" in refused()
    with pytest.raises(DataError, match="raw: the features lie in raw/data: give that folder"):
        prepare.add("my", Path("raw"), file_format="precomp")
    assert len(prepare.add("below", Path("raw/data")).images) == 30


# What can be left out, and what is told in numbers


def test_skip_bad_is_not_advised_where_a_list_is_taken_whole() -> None:
    np.savez("raw/f.npz", features=np.random.default_rng(0).normal(size=(100, 8)))
    put("ids.txt", b"".join(b"caf\xe9\n" if number == 7 else b"%d\n" % number for number in range(100)))
    put("c.jsonl", "\n".join(json.dumps({"image": str(number), "caption": "a thing"}) for number in range(100)))
    for settings in ({}, {"skip_bad": True}):
        said = refused(**settings)
        assert "raw/ids.txt:8: not UTF-8 (byte 0xe9)" in said
        assert "--skip-bad" not in said


def test_skip_bad_is_not_advised_where_all_pictures_are_broken() -> None:
    put("c.csv", table_of(range(100)))
    for number in range(100):
        put(f"pics/{number}.jpg", "no picture")
    for settings in ({}, {"skip_bad": True}):
        said = refused(**settings)
        assert "cannot be decoded: not a picture (and 99 more pictures); get the file again" in said
        assert "--skip-bad" not in said


def test_a_caption_that_nobody_sees_is_empty() -> None:
    pictures()
    put("c.csv", table_of(range(100)).replace("thing 7\n", "\u200b \ufeff\n"))
    assert "raw/c.csv:9: caption 7.jpg#0 is empty (characters that nobody sees, such as U+200B)" in refused()
    done = bench("data", "add", "my", "--from", "raw", "--skip-bad")
    assert "captions: 100 seen = 99 kept + 1 bad row\n" in done.stderr
    assert "left out: 1 bad row\n" in done.stderr


def test_an_encoder_that_cannot_read_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures()
    put("c.csv", table_of(range(100)))
    add()
    monkeypatch.setattr(equal_texts, "warnings", lambda name, found: iter([f"{name} shares", f"{name} is lost"]))
    (found,) = (one for one in checks.check("my").warnings if one.check == "unknown-language")
    assert (found.count, found.examples) == (1, ["ngrams shares", "ngrams is lost"])


def test_several_archives_are_offered_where_there_are_several() -> None:
    assert "--from SECOND.zip" in bench("data", "where", "f8k").stdout
    assert "--from SECOND.zip" not in bench("data", "where", "stamps").stdout
