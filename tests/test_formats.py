"""Every format, from a generated sample: the rows it reads, and all the way to a trained cell by real commands."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from commands import bench
from format_samples import CAPTIONS, FEATURES, NAMES, PICTURES, SAMPLES, SPLIT_OF, pictures, write_json
from negbench.pipelines import datasets, prepare, sources
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.features import ensure
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.caption_rows import split_by_hash

SMALL = ["--epochs", "1", "--batch", "5", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=0"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def name_of(image_id: str) -> str:
    """The picture's name, whatever folder or shard is before it."""
    name = Path(image_id).name
    return name if name.endswith(".jpg") else f"{name}.jpg"


def content(sample: str, name: str) -> str:
    """The digest an image must have."""
    if SAMPLES[sample][0] not in ("precomp", "arrays"):
        return digest(PICTURES[name])
    vector = FEATURES[NAMES.index(name)]
    return digest((vector.astype(np.float16) if sample == "precomp" else vector).tobytes())


def test_there_is_a_sample_of_every_format() -> None:
    assert {file_format for file_format, _ in SAMPLES.values()} == set(datasets.summaries()) - {
        "scenes",
        "stamps",
    }  # which has one caption an image: test_stamps


def test_the_page_names_every_format() -> None:
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = text.partition("## Formats")[2].partition("What holds for all")[0].splitlines()
    assert {row.split("`")[1] for row in rows if row.startswith("| `")} == set(datasets.summaries())


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_read_as_it_was_made(place: Path, sample: str) -> None:
    file_format, make = SAMPLES[sample]
    make(Path("raw"))
    assert datasets.detect(Path("raw")) == file_format
    manifest = prepare.add("my", Path("raw"))
    images = manifest.images
    assert dict(zip(images["image_id"].map(name_of), images["split"], strict=True)) == SPLIT_OF
    assert images["split"].tolist() == list(SPLIT_OF.values())  # train first
    texts = manifest.captions.groupby(manifest.captions["image_id"].map(name_of))["text"].apply(list)
    assert texts.to_dict() == CAPTIONS
    source = sources.read("my")
    for image_id, file, row, found in images[["image_id", "file", "row", "content"]].itertuples(index=False):
        assert found == content(sample, name_of(image_id))
        path = source.root("my") / file
        data = path.read_bytes() if row < 0 else np.load(path)[row].tobytes()
        assert digest(data) == found
    again = prepare.prepare("my")
    assert again.hash == manifest.hash == Manifest.read(Path("data/my")).hash


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_goes_all_the_way(place: Path, sample: str) -> None:
    SAMPLES[sample][1](Path("raw"))
    for words in (
        ["data", "add", "my", "--from", "raw"],
        ["data", "check", "my"],
        ["features", "--dataset", "my"],
        ["run", "--method", "mean", "--dataset", "my", *SMALL],
    ):
        done = bench(*words)
        assert done.exit_code == 0, done.output
        if words[1] == "add":
            assert f"format: {SAMPLES[sample][0]}\n" in done.stderr
    (record,) = place.glob("runs/my/*/seed-0/run.json")
    run = json.loads(record.read_text())
    assert run["status"] != "failed"  # ten images and noise: it may well collapse
    assert run["protocol"] == {"name": "my", "images": 10, "captions": 20, "folds": 1}


def test_layouts_of_one_dataset_give_one_manifest(place: Path) -> None:
    """All but COCO's caption ids and the paths of the pictures."""
    tables = []
    for sample in ("flickr8k", "tokens", "tokens_csv", "tokens_bars", "karpathy", "table_csv", "table_parquet"):
        SAMPLES[sample][1](Path(sample))
        manifest = prepare.add(sample, Path(sample))
        tables.append((manifest.images[["image_id", "split", "content"]], manifest.captions))
    for images, captions in tables[1:]:
        assert images.equals(tables[0][0])
        assert captions.equals(tables[0][1])


@pytest.mark.parametrize("sample", ["coco", "coco_ids", "coco_numbers"])
def test_coco_keeps_its_numbers(place: Path, sample: str) -> None:
    SAMPLES[sample][1](Path("raw"))
    captions = prepare.add("my", Path("raw")).captions
    number = NAMES.index(captions["image_id"].iloc[0])
    assert captions["caption_id"].tolist()[:2] == [str(1000 + 2 * number), str(1001 + 2 * number)]


def test_karpathy_and_coco_give_the_same(place: Path) -> None:
    SAMPLES["coco"][1](Path("raw"))
    coco = prepare.add("one", Path("raw"))
    for path in Path("raw/annotations").iterdir():
        path.unlink()
    assert datasets.detect(Path("raw")) == "karpathy"
    assert prepare.add("two", Path("raw")).hash == coco.hash


def test_of_several_files_of_karpathy_the_name_decides(place: Path) -> None:
    SAMPLES["karpathy"][1](Path("raw"))
    (good,) = Path("raw").glob("dataset*.json")
    good.rename("raw/dataset_flickr30k.json")
    for other in ("coco", "flickr8k"):
        Path(f"raw/dataset_{other}.json").write_text('{"images": []}')
    manifest = prepare.add("f30k", Path("raw"), settings={"any_counts": True})
    assert list(manifest.info["files"]) == ["dataset_flickr30k.json"]
    with pytest.raises(DataError) as error:
        prepare.add("my", Path("raw"))
    assert (
        "found dataset_coco.json, dataset_flickr30k.json, dataset_flickr8k.json; name the dataset f8k, f30k, coco,"
        in str(error.value)
    )


def test_the_split_by_hash_does_not_depend_on_anything_else(place: Path) -> None:
    split = [split_by_hash(f"image-{number}.jpg") for number in range(20_000)]
    for number in range(100):
        share = int(hashlib.blake2b(f"image-{number}.jpg".encode(), digest_size=16).hexdigest()[:8], 16) / 2**32
        assert split[number] == ("train" if share < 0.8 else "val" if share < 0.9 else "test")
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert abs(split.count(name) / len(split) - share) < 0.01


def test_a_missing_split_is_an_error(place: Path) -> None:
    SAMPLES["albef"][1](Path("raw"))
    Path("raw/flickr30k_val.json").unlink()
    with pytest.raises(DataError, match="raw: no image in the val split; a dataset needs train, val and test"):
        prepare.add("my", Path("raw"))


def test_nothing_known_and_several_known_say_what_is_there(place: Path) -> None:
    Path("raw/photos").mkdir(parents=True)
    Path("raw/notes.txt").write_text("x")
    with pytest.raises(DataError) as none:
        datasets.detect(Path("raw"))
    said = "raw holds no known format: there is notes.txt, photos/; formats, see docs/data.md: albef, arrays, "
    assert said in str(none.value)
    assert len(str(none.value)) < 250
    Path("raw/some.csv").write_text("picture_name,words\n1.jpg,a dog\n")
    with pytest.raises(DataError, match=r"; raw/some.csv has columns picture_name, words, but not image and caption; "):
        datasets.detect(Path("raw"))
    Path("raw/some.csv").unlink()
    SAMPLES["albef"][1](Path("raw"))
    SAMPLES["karpathy"][1](Path("raw"))
    shutil.rmtree("raw/images")
    message = r"raw could be albef \(flickr30k_test\.json\) or karpathy \(dataset_flickr30k\.json\); .*--format"
    with pytest.raises(RequestError, match=message):
        datasets.detect(Path("raw"))
    assert len(prepare.add("my", Path("raw"), file_format="karpathy").images) == len(NAMES)


@pytest.mark.parametrize("name", ["../out.jpg", "/etc/out.jpg", "a/../../out.jpg", "C:/out.jpg", "..\\out.jpg"])
def test_ids_that_leave_the_folder_are_refused(place: Path, name: str) -> None:
    (place / "out.jpg").write_bytes(PICTURES[NAMES[0]])
    pictures(Path("raw"))
    for file, text in (
        ("mine.csv", f"image,caption\n{name},x\n"),
        ("results_20130124.token", f"{name}#0\tx\n"),
        ("my_train.json", json.dumps([{"image": name, "caption": "x"}])),
        ("dataset.json", json.dumps({"images": [{"filename": name, "split": "train", "sentences": [{"raw": "x"}]}]})),
    ):
        Path("raw", file).write_text(text)
        with pytest.raises(DataError, match=r"leads out of the folder; use a path relative to it") as error:
            prepare.add("my", Path("raw"))
        assert str(error.value).startswith(f"raw/{file}:")
        Path("raw", file).unlink()


def csv_with(line: bytes) -> bytes:
    """The table of ``table_csv`` with one more line, the seventh of the file."""
    rows = [b"image,caption", *(f"{n},{k} of it".encode() for n in NAMES for k in range(2))]
    return b"\n".join([*rows[:6], line, *rows[6:]]) + b"\n"


BAD_LINES = {
    "latin-1": (b"pic000.jpg,un caf\xe9", "not UTF-8 (byte 0xe9)"),
    "garbage": (b"pic\x00\x01\x02\xff\xfe,\x9c\x1b", "not UTF-8 (byte 0xff)"),
    "control": (b"pic000.jpg,a \x00\x01 dog", "binary garbage (byte 0x00)"),
    "fields": (b"pic000.jpg,a,b", "3 fields, expected 2: 'pic000.jpg,a,b'"),
    "quote": (b'pic000.jpg,"a dog', "not CSV: a quote is missing or in a wrong place"),
    "empty": (NAMES[0].encode() + b", ", f"caption {NAMES[0]}#"),
    "no image": (b"absent.jpg,a dog", "there is no picture absent.jpg under raw"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_bad_line_is_named_or_left_out(place: Path, fault: str) -> None:
    line, message = BAD_LINES[fault]
    pictures(Path("raw"))
    Path("raw/mine.csv").write_bytes(csv_with(line))
    done = bench("data", "add", "my", "--from", "raw")
    assert done.exit_code == 3
    assert f"error: raw/mine.csv:7: {message}" in " ".join(done.stderr.split())
    assert not list(Path("data").iterdir())
    done = bench("data", "add", "my", "--from", "raw", "--skip-bad")
    assert done.exit_code == 0, done.output
    assert "left out: 1 bad row" in done.stderr
    assert f"bad row: raw/mine.csv:7: {message}" in done.stderr
    assert sources.read("my").settings == {"skip_bad": True}
    kept = Manifest.read(Path("data/my"))
    Path("raw/mine.csv").write_bytes(
        b"".join(csv_with(line).splitlines(keepends=True)[:6] + csv_with(line).splitlines(keepends=True)[7:])
    )
    assert kept.captions.equals(prepare.add("clean", Path("raw")).captions)


def test_byte_order_mark_and_dos_line_ends_are_no_faults(place: Path) -> None:
    pictures(Path("raw"))
    good = csv_with(f"{NAMES[0]},x".encode())
    Path("raw/mine.csv").write_bytes(good)
    one = prepare.add("one", Path("raw"))
    Path("raw/mine.csv").write_bytes(b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n"))
    assert prepare.add("two", Path("raw")).hash == one.hash
    Path("raw/mine.csv").write_bytes(good.decode().encode("utf-16"))
    with pytest.raises(DataError, match=r"raw/mine\.csv:1: UTF-16; save it as UTF-8"):
        prepare.add("three", Path("raw"), file_format="table")


def test_a_quoted_caption_may_run_over_lines(place: Path) -> None:
    pictures(Path("raw"))
    Path("raw/mine.csv").write_bytes(csv_with(f'{NAMES[0]},"one\ntwo"'.encode()))
    assert "one\ntwo" in prepare.add("my", Path("raw")).captions["text"].tolist()


def test_a_broken_picture_is_named_or_left_out(place: Path) -> None:
    for sample in ("karpathy", "hub", "shards"):
        bad = NAMES[0]
        data, PICTURES[bad] = PICTURES[bad], b"no picture"
        try:
            SAMPLES[sample][1](Path(sample))
        finally:
            PICTURES[bad] = data
        with pytest.raises(DataError, match=r"cannot be decoded: not a picture"):
            prepare.add(sample, Path(sample))
        assert not list(Path("data").glob(f"{sample}*"))
        manifest = prepare.add(sample, Path(sample), settings={"skip_bad": True})
        assert manifest.counts()["train"] == {"images": 9, "captions": 18}
        assert manifest.info["skipped"]["bad rows"] == 1
        assert not [path for path in Path("data").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("sample", "file", "text", "message"),
    [
        ("karpathy", "dataset_flickr30k.json", '{"images": [', r":1: not JSON: .* it ends in the middle"),
        ("karpathy", "dataset_flickr30k.json", "[]", r"json: expected keys and values, got \[\]"),
        ("karpathy", "dataset_flickr30k.json", '{"images": [3]}', r": images\[0\]: expected keys and values, got 3"),
        ("karpathy", "dataset_flickr30k.json", '{"images": [{"split": "train", "sentences": []}]}',
         r": images\[0\]\.filename: is missing"),
        ("albef", "flickr30k_val.json", '[{"image": "a.jpg", "caption": 3}]',
         r": \[0\]\.caption: expected text, got 3"),
        ("albef", "flickr30k_val.json", "[" * 100_000, r"flickr30k_val\.json: not JSON that can be read"),
        ("albef", "flickr30k_val.json", "[" + "9" * 5000 + "]", r"flickr30k_val\.json: not JSON that can be read"),
        ("albef", "flickr30k_val.json", '[{"image": "a.jpg", "caption": "\\ud800"}]', r"\[0\]: half a character"),
        ("coco", "annotations/captions_val2014.json", '{"images": [{"id": 1}], "annotations": []}',
         r"images\[0\]\.file_name: is missing"),
        ("table_jsonl", "test/metadata.jsonl", '{"file_name": "a.jpg", "text": "x"}\n{"file_name"\n',
         r"metadata\.jsonl:2:1: not JSON"),
        ("tokens", "val.txt", "../x\n", r"val\.txt:1: image '\.\./x' leads out of the folder"),
        ("arrays_npz", "ids.txt", "a\nb\n", r"ids\.txt: 2 ids for 30 rows of vit\.npz"),
        ("hub", "data/train-00000-of-00001.parquet", "PAR1 is not enough", "no image in the train split"),
        ("shards", "val-000000.tar", "x" * 2000, r"val-000000\.tar: not a tar archive that can be read"),
    ],
)  # fmt: skip
def test_faults_are_one_line_with_their_place(place: Path, sample: str, file: str, text: str, message: str) -> None:
    SAMPLES[sample][1](Path("raw"))
    Path("raw", file).write_text(text)
    with pytest.raises(DataError, match=message) as error:
        prepare.add("my", Path("raw"))
    assert "\n" not in str(error.value)
    assert not list(Path("data").iterdir())


def test_a_shard_damaged_in_the_middle_is_noticed(place: Path) -> None:
    """``tarfile`` takes a broken header for the end of the archive."""
    SAMPLES["shards"][1](Path("raw"))
    path = Path("raw/train-000000.tar")
    data = bytearray(path.read_bytes())
    start = data.index(NAMES[3].encode() + b"\0")
    data[start + 150] ^= 0xFF  # in the header's checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"train-000000\.tar: damaged at byte {start:,}"):
        prepare.add("my", Path("raw"))


def test_the_one_bad_row_of_the_real_results_csv(place: Path) -> None:
    """Flickr30K's file has a row without its second bar."""
    SAMPLES["tokens_bars"][1](Path("raw"))
    with Path("raw/results.csv").open("a") as file:
        file.write(f"{NAMES[0]}| 4   A dog runs across the grass .\n")
    with pytest.raises(DataError, match=r"results\.csv:62: not 'image,number,caption'"):
        prepare.add("my", Path("raw"))
    assert prepare.add("my", Path("raw"), settings={"skip_bad": True}).info["skipped"] == {"bad rows": 1}


def test_regions_and_repeated_regions(place: Path) -> None:
    SAMPLES["precomp"][1](Path("raw"))
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("dev", 10), ("test", 10)):
        regions = rng.normal(size=(count, 4, 8)).astype(np.float32)
        np.save(f"raw/{part}_ims.npy", regions)
    single = prepare.add("single", Path("raw"))
    for part in ("train", "dev", "test"):
        path = Path(f"raw/{part}_ims.npy")
        np.save(path, np.repeat(np.load(path), 5, axis=0))
        texts = Path(f"raw/{part}_caps.txt").read_text().splitlines()
        Path(f"raw/{part}_caps.txt").write_text(
            "".join(f"{texts[k // 5 * 2]} {k}\n" for k in range(len(texts) // 2 * 5))
        )
    repeated = prepare.add("repeated", Path("raw"))
    assert repeated.images["content"].tolist() == single.images["content"].tolist()
    assert repeated.images["row"].tolist()[:3] == [0, 5, 10]
    assert repeated.counts()["val"] == {"images": 10, "captions": 50}


@pytest.mark.parametrize(("images", "captions"), [(1014, 1000), (1000, 1014), (5070, 1000), (1014, 1014)])
def test_a_dev_split_cut_to_five_thousand_captions(place: Path, images: int, captions: int) -> None:
    SAMPLES["precomp"][1](Path("raw"))
    rows = np.arange(images if images < 5000 else images // 5, dtype=np.float32)[:, None] + FEATURES[0]
    np.save("raw/dev_ims.npy", np.repeat(rows, 5, axis=0) if images > 5000 else rows)
    Path("raw/dev_caps.txt").write_text("".join(f"{k}\n" for k in range(5 * captions)))
    Path("raw/dev_ids.txt").write_text("".join(f"v{k}\n" for k in range(1014 if images != 1000 else 1000)))
    np.save("raw/train_ims.npy", FEATURES[:5])
    np.save("raw/test_ims.npy", FEATURES[:10])
    Path("raw/train_ids.txt").write_text("".join(f"t{k}\n" for k in range(5)))
    manifest = prepare.add("my", Path("raw"))
    size = min(len(rows), captions)
    assert manifest.counts()["val"] == {"images": size, "captions": 5 * size}
    last = manifest.images[manifest.images["split"] == "val"].iloc[-1]
    assert last["content"] == digest(rows[size - 1].tobytes())
    assert manifest.captions.loc[manifest.captions["image_id"] == last["image_id"], "text"].iloc[-1] == str(
        5 * size - 1
    )


def test_a_cut_dev_split_is_taken_for_the_known_name(place: Path) -> None:
    """29,000 / 1,000 / 1,000 is Flickr30K in that line of work."""
    Path("raw").mkdir()
    for part, count in (("train", 29_000), ("dev", 1000), ("test", 1000)):
        np.save(f"raw/{part}_ims.npy", np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32))
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{k}\n" for k in range(count)))
    assert prepare.add("f30k", Path("raw")).counts()["val"]["images"] == 1000


def test_the_long_test_split_is_taken_before_the_short(place: Path) -> None:
    SAMPLES["precomp"][1](Path("raw"))
    for end in ("ims.npy", "caps.txt", "ids.txt"):
        Path(f"raw/test_{end}").rename(f"raw/testall_{end}")
    np.save("raw/test_ims.npy", FEATURES[:1])
    manifest = prepare.add("my", Path("raw"))
    assert manifest.counts()["test"]["images"] == 10
    assert "test_ims.npy" not in manifest.info["files"]


def test_features_of_arrays_are_those_of_the_file(place: Path) -> None:
    for sample in ("arrays_npz", "arrays_hdf5"):
        SAMPLES[sample][1](Path(sample))
        prepare.add(sample.replace("_", "-"), Path(sample))
        manifest, store = ensure(sample.replace("_", "-"))
        split = store.split("val")
        expected = FEATURES[[NAMES.index(image) for image in split.image_ids]]
        np.testing.assert_array_equal(split.images, expected)
        assert manifest.info["images_are"] == "features"


def test_a_hub_that_calls_everything_train_is_split_by_hash(place: Path) -> None:
    SAMPLES["hub_rows"][1](Path("raw"))
    whole = pq.read_table("raw/all.parquet").drop_columns(["split"])
    for number in range(2):
        half = whole.slice(number * len(NAMES), len(NAMES))
        pq.write_table(half, f"raw/train-0000{number}-of-00002.parquet")
    Path("raw/all.parquet").unlink()
    images = prepare.add("my", Path("raw")).images
    assert dict(zip(images["image_id"], images["split"], strict=True)) == SPLIT_OF


def test_images_of_one_id_must_be_one_picture(place: Path) -> None:
    SAMPLES["albef"][1](Path("raw"))
    rows = json.loads(Path("raw/flickr30k_train.json").read_text())
    rows[3]["image_id"] = rows[0]["image_id"]
    write_json(Path("raw/flickr30k_train.json"), rows)
    with pytest.raises(DataError, match=r"flickr30k_train\.json: \[3\]\.image_id: 0 is flickr30k-images/.* but was"):
        prepare.add("my", Path("raw"))


def test_names_that_could_be_two_pictures_are_refused(place: Path) -> None:
    SAMPLES["tokens_csv"][1](Path("raw"))
    Path("raw/more").mkdir()
    Image.new("RGB", (8, 8)).save(f"raw/more/{NAMES[0]}")
    with pytest.raises(DataError, match=rf"{NAMES[0]} could be Images/{NAMES[0]} or more/{NAMES[0]} in raw"):
        prepare.add("my", Path("raw"))
