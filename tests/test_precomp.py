"""The reader of precomputed features: on the real files, and on small made-up folders with one fault each."""

import json
from pathlib import Path

import numpy as np
import pytest

from commands import bench
from negbench.pipelines import datasets, encoders, features, prepare, sources
from negbench.pipelines.datasets.precomp import build
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

REAL = Path(__file__).parents[2] / "shared" / "data" / "f8k_precomp"
SIZES = {"train": 6, "dev": 2, "test": 3}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eleven images of width 4, five captions each, ids for each, as the current directory's ``raw``."""
    monkeypatch.chdir(tmp_path)
    root = Path("raw")
    root.mkdir()
    rng = np.random.default_rng(0)
    for part, count in SIZES.items():
        np.save(root / f"{part}_ims.npy", rng.normal(size=(count, 4)).astype(np.float16))
        captions = [f"caption {k} of {part} {row} ." for row in range(count) for k in range(5)]
        (root / f"{part}_caps.txt").write_text("\n".join(captions) + "\n")
        (root / f"{part}_ids.txt").write_text("".join(f"{part}{row}.jpg\n" for row in range(count)))
    return root


def read(folder: Path) -> Manifest:
    manifest = build("my", sources.Source(format="precomp", path=str(folder), encoder="precomputed+ngrams"), folder)
    manifest.check()
    return manifest


def test_reads_rows_captions_and_ids(folder: Path) -> None:
    manifest = read(folder)
    assert datasets.detect(folder) == "precomp"
    assert manifest.counts()["val"] == {"images": 2, "captions": 10}
    assert manifest.images.iloc[7][["image_id", "split", "file", "row"]].tolist() == [
        "dev1.jpg",
        "val",
        "dev_ims.npy",
        1,
    ]
    assert manifest.captions.iloc[37].tolist() == ["dev1.jpg#2", "dev1.jpg", "caption 2 of dev 1 ."]


def test_rows_repeated_five_times_give_one_image(folder: Path) -> None:
    single = read(folder)
    for part in SIZES:
        np.save(folder / f"{part}_ims.npy", np.repeat(np.load(folder / f"{part}_ims.npy"), 5, axis=0))
    repeated = read(folder)
    assert repeated.images["image_id"].tolist() == single.images["image_id"].tolist()
    assert repeated.images["content"].tolist() == single.images["content"].tolist()
    assert repeated.images["row"].tolist()[:3] == [0, 5, 10]
    assert repeated.captions.equals(single.captions)
    for part in SIZES:  # ids may be repeated too
        ids = (folder / f"{part}_ids.txt").read_text().split()
        (folder / f"{part}_ids.txt").write_text("\n".join(name for name in ids for _ in range(5)))
    assert read(folder).hash == repeated.hash


@pytest.mark.parametrize("times", [1, 2, 5, 10])
def test_rows_repeated_any_number_of_times_are_found(folder: Path, times: int) -> None:
    """From the rows themselves, with ids for each row, for each image, or none."""
    single = read(folder)
    for part in SIZES:
        np.save(folder / f"{part}_ims.npy", np.repeat(np.load(folder / f"{part}_ims.npy"), times, axis=0))
    repeated = read(folder)
    assert repeated.images.drop(columns="row").equals(single.images.drop(columns="row"))
    assert repeated.captions.equals(single.captions)
    assert repeated.images["row"].tolist()[:6] == [times * row for row in range(6)]
    for part, count in SIZES.items():
        (folder / f"{part}_ids.txt").write_text("".join(f"{part}{row}.jpg\n" * times for row in range(count)))
    assert read(folder).images.equals(repeated.images)
    for part in SIZES:
        (folder / f"{part}_ids.txt").unlink()
    assert read(folder).counts() == single.counts()


def test_rows_repeated_unequally_are_an_error(folder: Path) -> None:
    rows = np.repeat(np.load(folder / "train_ims.npy"), [1, 2, 3, 2, 1, 2], axis=0)
    np.save(folder / "train_ims.npy", rows)
    (folder / "train_caps.txt").write_text("".join(f"caption {row}\n" for row in range(len(rows))))
    with pytest.raises(DataError, match=r"raw/train_ims\.npy: rows 0-1 differ, but rows are repeated elsewhere"):
        read(folder)


def test_two_equal_images_side_by_side_are_no_repeats(folder: Path) -> None:
    rows = np.load(folder / "train_ims.npy")
    rows[3] = rows[2]
    np.save(folder / "train_ims.npy", rows)
    assert read(folder).counts()["train"]["images"] == 6


def test_repeated_rows_that_differ_are_an_error(folder: Path) -> None:
    rows = np.repeat(np.load(folder / "train_ims.npy"), 5, axis=0)
    rows[12] += 1
    np.save(folder / "train_ims.npy", rows)
    with pytest.raises(DataError, match=r"raw/train_ims\.npy: rows 10-14 differ, but rows are repeated"):
        read(folder)


def test_one_caption_for_each_image(folder: Path) -> None:
    for part, count in SIZES.items():
        rng = np.random.default_rng(1)
        np.save(folder / f"{part}_ims.npy", rng.normal(size=(5 * count, 4)).astype(np.float32))
        (folder / f"{part}_ids.txt").unlink()
    manifest = read(folder)
    assert manifest.counts()["train"] == {"images": 30, "captions": 30}
    assert manifest.images["image_id"].iloc[3] == "train-3"


def test_float32_and_no_ids(folder: Path) -> None:
    for part in SIZES:
        np.save(folder / f"{part}_ims.npy", np.load(folder / f"{part}_ims.npy").astype(np.float32))
        (folder / f"{part}_ids.txt").unlink()
    assert read(folder).captions["caption_id"].iloc[-1] == "test-2#4"


def test_unicode_line_separators_do_not_end_a_caption(folder: Path) -> None:
    captions = (folder / "dev_caps.txt").read_text().splitlines()
    captions[0] = "one\u2028caption\x85 \x0b."
    (folder / "dev_caps.txt").write_bytes("\r\n".join([*captions, ""]).encode())
    assert read(folder).captions["text"].iloc[30] == captions[0]


def bad(array: np.ndarray, row: int, value: float) -> np.ndarray:
    array = array.copy()
    array[row, 1] = value
    return array


GOOD = np.ones((6, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (bad(GOOD, 4, np.nan), "raw/train_ims.npy: row 4 holds NaN or infinity"),
        (bad(GOOD, 2, np.inf), "raw/train_ims.npy: row 2 holds NaN or infinity"),
        (np.ones((7, 4), dtype=np.float32), "raw/train_ims.npy: 7 rows for 30 captions"),
        (np.ones((60, 4), dtype=np.float32), "raw/train_ims.npy: 60 rows for 30 captions"),
        (np.ones((0, 4), dtype=np.float32), "raw/train_ims.npy: shape [0, 4], expected [n, D]"),
        (np.ones((6, 36, 4), dtype=np.float32), "features differ in width: train_ims.npy 36 x 4, dev_ims.npy 4"),
        (np.ones((6, 3, 3, 4), dtype=np.float32), "raw/train_ims.npy: shape [6, 3, 3, 4], expected [n, D] or regions"),
        (np.ones(6, dtype=np.float32), "raw/train_ims.npy: shape [6], expected [n, D]"),
        (np.ones((6, 4), dtype=np.int64), "raw/train_ims.npy: int64 values, expected float16 or float32"),
        (np.array([[None] * 4] * 6, dtype=object), "raw/train_ims.npy: "),
        (np.ones((6, 5), dtype=np.float32), "raw: features differ in width: train_ims.npy 5, dev_ims.npy 4"),
    ],
)
def test_bad_arrays_are_one_line(folder: Path, array: np.ndarray, message: str) -> None:
    np.save(folder / "train_ims.npy", array)
    with pytest.raises(DataError) as error:
        read(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dev_caps.txt", b"a\n" * 9, "raw/dev_ims.npy: 2 rows for 9 captions"),
        ("dev_caps.txt", b"a\n" * 9 + b" \n", "raw/dev_caps.txt:10: caption is empty"),
        ("dev_caps.txt", b"a\n" * 10 + b"\n", "raw/dev_caps.txt:11: caption is empty"),
        ("dev_caps.txt", b"a\n" * 9 + b"\xff\n", "raw/dev_caps.txt:10: not UTF-8"),
        ("dev_caps.txt", b"", "raw/dev_ims.npy: 2 rows for 0 captions"),
        ("dev_ids.txt", b"x\ny\nz\n", "raw/dev_ids.txt: 3 ids for 2 images"),
        ("dev_ids.txt", b"x\n\n", "raw/dev_ids.txt:2: id is empty"),
        ("dev_ids.txt", b"x\nx\n", "image_id 'x' stands twice"),
        ("dev_ids.txt", b"x\n" * 4 + b"z\n" + b"y\n" * 5, "raw/dev_ids.txt:5: id z within the block of x"),
        ("dev_ims.npy", b"not an array", "raw/dev_ims.npy: "),
    ],
)
def test_bad_files_are_one_line(folder: Path, file: str, text: bytes, message: str) -> None:
    (folder / file).write_bytes(text)
    with pytest.raises(DataError) as error:
        read(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_float64_features_are_stored_as_float32(folder: Path) -> None:
    """numpy's own default; what float32 cannot hold is refused."""
    for part in SIZES:
        np.save(folder / f"{part}_ims.npy", np.load(folder / f"{part}_ims.npy").astype(np.float64) / 3)
    manifest = prepare.add("my", folder)
    store = FeatureStore(features.make("my", "builtin"), manifest.hash)
    rows = np.load(folder / "test_ims.npy")
    np.testing.assert_array_equal(store.split("test").images, rows.astype(np.float32))
    rows[1, 2] = -1e39
    np.save(folder / "test_ims.npy", rows)
    with pytest.raises(DataError, match=r"raw/test_ims\.npy: values beyond what float32 can hold"):
        read(folder)


@pytest.mark.parametrize("file", ["train_ims.npy", "dev_caps.txt"])
def test_missing_files_are_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(DataError, match=f"raw/{file}"):
        read(folder)


def test_a_cut_array_is_an_error(folder: Path) -> None:
    path = folder / "train_ims.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"raw/train_ims\.npy"):
        read(folder)


def test_features_are_the_rows_of_the_files(folder: Path) -> None:
    manifest = prepare.add("my", folder)
    store = FeatureStore(features.make("my", "builtin"), manifest.hash)  # an alias means its text side here
    assert store.info["encoder"] == "precomputed+ngrams"
    assert store.info["image"]["dim"] == 4
    for split, part in (("train", "train"), ("val", "dev"), ("test", "test")):
        np.testing.assert_array_equal(store.split(split).images, np.load(folder / f"{part}_ims.npy").astype(np.float32))
    with pytest.raises(RequestError, match="the dataset has features, no pictures: use precomputed"):
        features.make("my", "hog+ngrams")


def test_regions_go_all_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    regions = {part: np.random.default_rng(0).normal(size=(12, 3, 5)).astype(np.float32) for part in SIZES}
    for part, array in regions.items():
        np.save(f"raw/{part}_ims.npy", array)
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(24)))
    for words in (
        "data add my --precomp raw",
        "features --dataset my",
        "run --dataset my --method hardest --epochs 2 --batch 8 --set dim=4 --image-tower attention --out one",
    ):
        done = bench(*words.split())
        assert done.exit_code == 0, done.output
    store = FeatureStore(Path("features/my/precomputed+ngrams"), Manifest.read(Path("data/my")).hash)
    for split, part in (("train", "train"), ("val", "dev"), ("test", "test")):
        np.testing.assert_array_equal(store.sequences(split)["images"], regions[part])
    assert json.loads(Path("one/run.json").read_text())["metrics"]["rsum"] > 0


@pytest.mark.parametrize("tokens", [(), (3,)])
def test_features_of_captions_come_along(folder: Path, tokens: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    given = {part: rng.normal(size=(5 * count, *tokens, 6)).astype(np.float16) for part, count in SIZES.items()}
    for part, array in given.items():
        np.save(folder / f"{part}_caps.npy", array)
    manifest = prepare.add("my", folder)
    store = FeatureStore(features.make("my", "precomputed+precomputed"), manifest.hash)
    for split, part in (("train", "train"), ("val", "dev"), ("test", "test")):
        found = store.sequences(split)["captions"] if tokens else store.split(split).captions
        assert found is not None
        np.testing.assert_array_equal(found, given[part].astype(np.float32))
    assert prepare.add("my", folder, encoder="precomputed+precomputed", replace=True).hash == manifest.hash
    before = store.hash
    np.save(folder / "dev_caps.npy", given["dev"] * 2)
    with pytest.raises(DataError, match="files changed since 'my' was added"):
        prepare.prepare("my")
    prepare.add("my", folder, replace=True)
    store = FeatureStore(features.make("my", "precomputed+precomputed"), manifest.hash)  # the manifest is the same
    assert store.hash != before


def test_equal_captions_have_equal_features(folder: Path) -> None:
    texts = (folder / "test_caps.txt").read_text().splitlines()
    (folder / "test_caps.txt").write_text("\n".join([*texts[:-1], texts[0]]) + "\n")
    for part, count in SIZES.items():
        np.save(folder / f"{part}_caps.npy", np.arange(5 * count * 2, dtype=np.float32).reshape(-1, 2))
    manifest = prepare.add("my", folder, encoder="precomputed+precomputed")
    captions = FeatureStore(features.make("my"), manifest.hash).split("test").captions
    assert captions is not None
    np.testing.assert_array_equal(captions[np.array([0, 14])], [[0, 1], [0, 1]])


def test_features_of_captions_that_do_not_fit_are_one_line(folder: Path) -> None:
    prepare.add("my", folder)
    with pytest.raises(DataError, match=r"^raw/train_caps\.npy is missing$"):
        features.make("my", "precomputed+precomputed")
    np.save(folder / "train_caps.npy", np.zeros((29, 2), dtype=np.float32))
    with pytest.raises(DataError, match=r"train_caps\.npy: 29 rows for 30 captions in raw/train_caps\.txt"):
        read(folder)
    for part, width in (("train", 2), ("dev", 2), ("test", 3)):
        np.save(folder / f"{part}_caps.npy", np.zeros((5 * SIZES[part], width), dtype=np.float32))
    prepare.add("my", folder, replace=True)
    with pytest.raises(DataError, match=r"raw/test_caps\.npy: \[3\] for a caption, not \[2\]"):
        features.make("my", "precomputed+precomputed")
    assert not sources.store_folder("my", "precomputed+precomputed").exists()


def test_changed_rows_are_refused(folder: Path) -> None:
    prepare.add("my", folder)
    np.save(folder / "dev_ims.npy", np.zeros((2, 4), dtype=np.float16))
    with pytest.raises(DataError, match=r"raw/dev_ims\.npy: row 0 changed"):
        features.make("my")
    assert not sources.store_folder("my", "precomputed+ngrams").exists()


def test_names_of_encoders() -> None:
    assert encoders.pair("builtin", precomputed=False) == ("hog", "ngrams")
    assert encoders.pair("offline", precomputed=False) == ("efficientnet-lite0", "minilm")
    assert encoders.pair("efficientnet_lite0+ngrams", precomputed=False) == ("efficientnet-lite0", "ngrams")
    assert encoders.pair("offline", precomputed=True) == ("precomputed", "minilm")
    for wrong, message in (
        ("hog", "is not <image encoder>"),
        ("hogg+ngrams", "unknown encoder 'hogg'; did you mean 'hog'"),
        ("ngrams+hog", "hog encodes images, not texts"),
        ("precomputed+ngrams", "no precomputed features"),
    ):
        with pytest.raises(RequestError, match=message):
            encoders.pair(wrong, precomputed=False)


@pytest.mark.skipif(not REAL.exists(), reason="the real precomputed features are not here")
def test_the_real_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = prepare.add("my", REAL)
    assert {split: row["images"] for split, row in manifest.counts().items()} == {
        "train": 6000,
        "val": 1000,
        "test": 1000,
    }
    assert manifest.captions["caption_id"].iloc[0] == "2513260012_03d33305cf.jpg#0"
    assert sources.read("my").encoder == "precomputed+ngrams"
