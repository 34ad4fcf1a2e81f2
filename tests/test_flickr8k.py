"""The Flickr8k reader: on the real files, and on small made-up folders with one fault each."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from negbench.pipelines import checks, datasets, prepare, sources
from negbench.pipelines.datasets.flickr8k import build
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest

REAL = Path(__file__).parents[2] / "shared" / "data" / "flickr8k"
SPLITS = {"train": ["a.jpg", "b.jpg", "c.jpg"], "dev": ["d.jpg"], "test": ["e.jpg", "f.jpg"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures in three splits and one in none, two captions each, as the current directory's ``raw``."""
    monkeypatch.chdir(tmp_path)
    root = Path("raw")
    (root / "images").mkdir(parents=True)
    for number, name in enumerate("abcdefg"):
        Image.new("RGB", (40, 30), (number * 30, 90, 200)).save(root / "images" / f"{name}.jpg")
    for split, names in SPLITS.items():
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
    lines = [f"{name}.jpg#{k}\tcaption {k} of {name} , really ." for name in "abcdefg" for k in range(2)]
    (root / "Flickr8k.token.txt").write_text("\n".join([*lines, "gone.jpg.1#0\tof no image ."]) + "\n")
    return root


def read(folder: Path) -> Manifest:
    manifest = build("my", sources.Source(format="flickr8k", path=str(folder), encoder="hog+ngrams"), folder)
    manifest.check()
    return manifest


def test_reads_images_in_the_order_of_the_split_files(folder: Path) -> None:
    (folder / "Flickr_8k.trainImages.txt").write_text("c.jpg\na.jpg\nb.jpg\n")
    manifest = read(folder)
    assert manifest.images["image_id"].tolist() == ["c.jpg", "a.jpg", "b.jpg", "d.jpg", "e.jpg", "f.jpg"]
    assert manifest.images["split"].tolist() == ["train"] * 3 + ["val"] + ["test"] * 2
    assert manifest.images["file"].iloc[0] == "images/c.jpg"
    assert manifest.captions["caption_id"].tolist()[:3] == ["c.jpg#0", "c.jpg#1", "a.jpg#0"]
    assert manifest.captions["text"].iloc[0] == "caption 0 of c , really ."


def test_counts_what_real_files_have_too_much_of(folder: Path) -> None:
    assert read(folder).info["skipped"] == {
        "captions of images in no split": 2,
        "captions of unknown images": 1,
        "images in no split": 1,
    }


def test_captions_as_csv_give_the_same_manifest(folder: Path) -> None:
    tokens = read(folder)
    (folder / "Flickr8k.token.txt").unlink()
    lines = [f'{name}.jpg,"caption {k} of {name} , really ."' for name in "abcdefg" for k in range(2)]
    (folder / "captions.txt").write_text("\n".join(["image,caption", *lines]) + "\n")
    assert read(folder).hash == tokens.hash


@pytest.mark.parametrize("place", ["Images", "Flicker8k_Dataset", "."])
def test_finds_the_pictures(folder: Path, place: str) -> None:
    (folder / place).mkdir(exist_ok=True)
    for picture in (folder / "images").iterdir():
        picture.rename(folder / place / picture.name)
    (folder / "images").rmdir()
    assert len(read(folder).images) == 6


def test_judgements(folder: Path) -> None:
    (folder / "ExpertAnnotations.txt").write_text("e.jpg\tf.jpg#0\t3\t4\t2\ne.jpg\tf.jpg#1\t1\t1\t2\n")
    (folder / "CrowdFlowerAnnotations.txt").write_text(
        "e.jpg\tf.jpg#0\t0\t0\t3\ne.jpg\tf.jpg#1\t1\t3\t0\nf.jpg\te.jpg#0\t0.5\t2\t2\nf.jpg\tf.jpg#0\t1\t3\t0\n"
        "gone.jpg\tf.jpg#0\t1\t3\t0\n"
    )
    manifest = read(folder)
    assert manifest.judgements["match"].tolist() == [2 / 3, 0, 0, 1, 0.5, 1]
    assert manifest.judgements["source"].tolist() == ["expert"] * 2 + ["crowd"] * 4
    assert manifest.info["skipped"]["crowd judgements of unknown pairs"] == 1
    # e with f#0: the experts say yes and win; e with f#1: the experts say no and win; f with e#0: half the crowd.
    assert checks.judged(manifest.judgements, manifest.captions) == {
        "rows": 6,
        "pairs": 4,
        "pairs with another image's caption": 3,
        "confirmed false negatives": 2,
    }


def append(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(text)

    return change


def write(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


def cut(folder: Path) -> None:
    path = folder / "images" / "e.jpg"
    path.write_bytes(path.read_bytes()[:-20])  # in the pixels: it can be opened, not decoded


def delete(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


TOKENS, TRAIN = "Flickr8k.token.txt", "Flickr_8k.trainImages.txt"
EXPERT, CROWD = "ExpertAnnotations.txt", "CrowdFlowerAnnotations.txt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (delete("images/b.jpg"),
         f"1 of 6 images of the split files are missing under raw; the first: b.jpg (raw/{TRAIN}:2)"),
        (delete("images/b.jpg", "images/a.jpg", "images/f.jpg"), "3 of 6 images of the split files are missing"),
        (append(TRAIN, "absent.jpg\n"), "1 of 7 images of the split files are missing"),
        (append(TRAIN, "e.jpg\n"), "Flickr_8k.testImages.txt:1: e.jpg already stands in the train split"),
        (append(TRAIN, "\n"), f"raw/{TRAIN}:4: empty line"),
        (delete("Flickr_8k.devImages.txt"), "raw/Flickr_8k.devImages.txt: No such file"),
        (delete(TOKENS), "raw: none of Flickr8k.token.txt, *.token, captions.txt, results.csv"),
        (cut, "raw/images/e.jpg: cannot be decoded: "),
        (write("images/e.jpg", b"no picture"), "raw/images/e.jpg: cannot be decoded: not a picture"),
        (write("images/e.jpg", b""), "raw/images/e.jpg: cannot be decoded: not a picture"),
        (append(TOKENS, "a.jpg#7\t  \n"), f"raw/{TOKENS}:16: caption a.jpg#7 is empty"),
        (append(TOKENS, "a.jpg#1\tagain\n"), f"raw/{TOKENS}:16: caption a.jpg#1 stands twice"),
        (append(TOKENS, "a.jpg#1 no tab\n"), f"raw/{TOKENS}:16: not 'image#number<TAB>caption': 'a.jpg#1 no tab'"),
        (append(TOKENS, "a.jpg\tno number\n"), f"raw/{TOKENS}:16: not 'image#number<TAB>caption'"),
        (write(TOKENS, b"a.jpg#0\tfine\na.jpg#1\tcaf\xe9\n"), f"raw/{TOKENS}:2: not UTF-8 (byte 0xe9)"),
        (write(TOKENS, b"a.jpg#0\tonly one\n"),
         f"raw/{TOKENS}: no caption for 5 images of the split files; the first: b.jpg"),
        (write(EXPERT, b"e.jpg\tf.jpg#0\t1\t2\t3\ne.jpg\tf.jpg#1\t1\t5\t2\n"),
         f"raw/{EXPERT}:2: not image, caption id and three"),
        (write(EXPERT, b"e.jpg\tf.jpg#0\t1\t2\n"), f"raw/{EXPERT}:1: not image"),
        (write(CROWD, b"e.jpg\tf.jpg#0\t1.2\t3\t0\n"), f"raw/{CROWD}:1: not image, caption id and share of yes"),
        (write(CROWD, b"e.jpg\tf.jpg#0\tnan\t3\t0\n"), f"raw/{CROWD}:1: not image"),
    ],
)  # fmt: skip
def test_every_fault_is_one_line_with_its_place(folder: Path, change: Callable[[Path], None], message: str) -> None:
    change(folder)
    with pytest.raises(DataError) as error:
        read(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_lines_of_csv_are_named(folder: Path) -> None:
    (folder / TOKENS).unlink()
    for text, message in (
        ("image,caption\na.jpg,one\na.jpg\n", "captions.txt:3: not 'image,caption'"),
        ("image,caption\na.jpg,\n", "captions.txt:2: caption a.jpg#0 is empty"),
    ):
        (folder / "captions.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            read(folder)


def test_several_broken_pictures_are_counted(folder: Path) -> None:
    for name in ("b", "d", "f"):
        (folder / "images" / f"{name}.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"b\.jpg: cannot be decoded: not a picture \(and 2 more pictures\)"):
        read(folder)


def test_a_known_name_stands_for_its_counts(folder: Path) -> None:
    with pytest.raises(DataError, match=r"train has 3 images, expected 6,000; .*--any-counts"):
        prepare.add("f8k", folder, encoder="hog+ngrams")
    assert not Path("data/f8k").exists()
    assert not Path("data/f8k.yaml").exists()
    assert list(Path("data").iterdir()) == []  # no scratch either
    prepare.add("f8k", folder, encoder="hog+ngrams", settings={"any_counts": True})
    assert sources.read("f8k").settings == {"any_counts": True}
    prepare.prepare("f8k")


def test_changed_pictures_are_refused_and_reported(folder: Path) -> None:
    manifest = prepare.add("my", folder)
    assert prepare.prepare("my").hash == manifest.hash
    assert sources.read("my").path == "raw"
    Image.new("RGB", (40, 30)).save(folder / "images" / "b.jpg")
    with pytest.raises(DataError, match="raw: files changed since 'my' was added"):
        prepare.prepare("my")
    assert Manifest.read(Path("data/my")).hash == manifest.hash  # the old one stays
    report = checks.check("my")
    assert [(error.check, error.count) for error in report.errors] == [("changed-pictures", 1)]
    assert "raw/images/b.jpg changed" in report.errors[0].examples[0]
    prepare.add("my", folder, replace=True)
    assert checks.check("my").errors == []


@pytest.mark.skipif(not REAL.exists(), reason="the real Flickr8k is not here")
def test_the_real_flickr8k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert datasets.detect(REAL) == "flickr8k"
    manifest = prepare.add("f8k", REAL)
    assert manifest.counts() == {
        "train": {"images": 6000, "captions": 30000},
        "val": {"images": 1000, "captions": 5000},
        "test": {"images": 1000, "captions": 5000},
    }
    assert manifest.info["skipped"] == {
        "captions of images in no split": 455,
        "captions of unknown images": 5,
        "images in no split": 91,
    }
    report = checks.check("f8k")
    assert report.facts["judgements"]["pairs with another image's caption"] == 50087
    assert report.facts["judgements"]["confirmed false negatives"] == 2410
    assert report.errors == []
    assert {one.check: one.count for one in report.warnings} == {
        "copied-pictures": 1,
        "captions-twice-of-an-image": 19,
        "captions-of-several-images": 359,
        "left-out": 3,
    }
    assert [row["pairs_true_by_equal_captions"] for row in report.splits.values()] == [536, 10, 14]
    assert sources.read("f8k").encoder == "efficientnet-lite0+minilm"
