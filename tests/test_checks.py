"""``bench data check``: every class of faults is found, counted, shown by example, and told what to do about."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from commands import bench
from negbench.pipelines import captions, checks, noise, prepare, sources
from negbench.pipelines.checks import Report
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import leaves
from negbench.pipelines.manifest import COLUMNS, Manifest, table
from negbench.pipelines.noise import Noise
from negbench.pipelines.sources import manifest_folder

SPLITS = {"train": ["a.jpg", "b.jpg", "c.jpg"], "dev": ["d.jpg"], "test": ["e.jpg", "f.jpg"]}
FOLDER = Path("raw")
TOKENS = FOLDER / "Flickr8k.token.txt"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures in three splits, two captions each, in ``raw``; nothing is wrong with them."""
    monkeypatch.chdir(tmp_path)
    (FOLDER / "images").mkdir(parents=True)
    for number, name in enumerate("abcdef"):
        Image.new("RGB", (40, 30), (number * 30, 90, 200)).save(FOLDER / "images" / f"{name}.jpg")
    for split, names in SPLITS.items():
        (FOLDER / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
    TOKENS.write_text("".join(f"{name}.jpg#{k}\tcaption {k} of {name}\n" for name in "abcdef" for k in range(2)))
    (FOLDER / "CrowdFlowerAnnotations.txt").write_text("e.jpg\tf.jpg#0\t1\t3\t0\n")
    return tmp_path


def found(report: Report) -> dict[str, int]:
    """Name of each finding and its count."""
    return {one.check: one.count for one in report.errors + report.warnings}


def tell(number: int, text: str) -> Callable[[], None]:
    """Change one caption of the source."""

    def change() -> None:
        lines = TOKENS.read_text().splitlines()
        lines[number] = f"{lines[number].partition(chr(9))[0]}\t{text}"
        TOKENS.write_text("\n".join(lines) + "\n")

    return change


def rewrite(**tables: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Write the manifest of ``my`` again with changed tables, as another program would: unchecked."""
    folder = manifest_folder("my")
    manifest = Manifest.read(folder)
    for kind, change in tables.items():
        changed: dict[str, Any] = {kind: change(getattr(manifest, kind))}
        manifest = replace(manifest, **changed)
    for kind in COLUMNS:
        getattr(manifest, kind).to_parquet(folder / f"{kind}.parquet", index=False)
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**info, "hash": manifest.hash}))


def put(kind: str, row: int, **values: Any) -> Callable[[], None]:
    """Set values of one row of the manifest."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            frame.loc[row, column] = value
        return frame

    return lambda: rewrite(**{kind: change})


def more(kind: str, *row: Any) -> Callable[[], None]:
    """One more row in the manifest."""
    return lambda: rewrite(**{kind: lambda frame: pd.concat([frame, table(kind, [row])], ignore_index=True)})


def picture(data: bytes) -> Callable[[], None]:
    """Other bytes in the file of ``b.jpg``."""

    def change() -> None:
        (FOLDER / "images" / "b.jpg").write_bytes(data)

    return change


def test_good_data_have_no_findings(project: Path) -> None:
    prepare.add("my", FOLDER)
    report = checks.check("my")
    assert found(report) == {}
    assert report.splits["train"] == {
        "images": 3,
        "expected": None,
        "captions": 6,
        "captions_per_image": [2, 2],
        "pairs_true_by_equal_captions": 0,
    }
    assert report.facts["judgements"]["confirmed false negatives"] == 1
    done = bench("data", "check", "my")
    assert done.exit_code == 0
    assert "no errors\n" in done.stdout
    assert "pictures: 6 of 6" in done.stderr


SOURCE: list[tuple[str, Callable[[], None], int, str]] = [
    ("captions-twice-of-an-image", tell(1, "Caption  0 of A ."), 1, "a.jpg#1: 'Caption  0 of A .'"),
    ("captions-of-several-images", tell(2, "caption 0 of a"), 2, "'caption 0 of a' (train: 2 images)"),
    ("wordless-captions", tell(0, ". -"), 1, "a.jpg#0: '. -'"),
    ("long-captions", tell(0, "word " * 76), 1, "a.jpg#0: 'word word"),
    ("replaced-characters", tell(0, "a caf\N{REPLACEMENT CHARACTER}"), 1, "a.jpg#0: 'a caf\N{REPLACEMENT CHARACTER}'"),
    ("mojibake", tell(0, "a caf\u00c3\u00a9"), 1, "a.jpg#0: 'a caf\u00c3\u00a9'"),
    ("control-characters", tell(0, "a\x90 dog"), 1, r"a.jpg#0: 'a\x90 dog'"),
    ("entities", tell(0, "cats &amp; dogs"), 1, "a.jpg#0: 'cats &amp; dogs'"),
    ("left-out", lambda: tell(11, "x\ngone.jpg#0\tof no image")(), 1, "1 caption of unknown images"),
    (
        "copied-pictures",
        lambda: picture((FOLDER / "images" / "a.jpg").read_bytes())(),
        1,
        "a.jpg (train) = b.jpg (train)",
    ),
    (
        "pictures-in-two-splits",
        lambda: picture((FOLDER / "images" / "e.jpg").read_bytes())(),
        1,
        "b.jpg (train) = e.jpg (test)",
    ),
]


@pytest.mark.parametrize(("name", "change", "count", "example"), SOURCE, ids=[row[0] for row in SOURCE])
def test_warnings_about_a_source(
    project: Path, name: str, change: Callable[[], None], count: int, example: str
) -> None:
    change()
    prepare.add("my", FOLDER)
    report = checks.check("my")
    assert found(report) == {name: count}
    assert report.errors == []
    assert report.warnings[0].examples[0].startswith(example)
    done = bench("data", "check", "my")
    assert done.exit_code == 0
    for part in (report.warnings[0].what, report.warnings[0].todo, "no errors, 1 kind of warnings"):
        assert part in " ".join(done.stdout.split())


AFTER: list[tuple[str, Callable[[], None], str]] = [
    ("missing-pictures", lambda: (FOLDER / "images" / "b.jpg").unlink(), "raw/images/b.jpg is missing"),
    ("changed-pictures", lambda: Image.new("RGB", (9, 9)).save(FOLDER / "images" / "b.jpg"), "raw/images/b.jpg chan"),
    ("unreadable-pictures", picture(b"no picture"), "raw/images/b.jpg: cannot be decoded: not a picture"),
    ("too-large-pictures", picture(b"P5 30000 30000 255\n"), "raw/images/b.jpg: 900,000,000 pixels, at most"),
    ("missing-files", lambda: TOKENS.unlink(), "raw/Flickr8k.token.txt"),
    ("changed-files", tell(0, "another"), "raw/Flickr8k.token.txt"),
    ("stale-manifest", lambda: settings_changed(), "data/my.yaml"),
    ("leaving-the-folder", put("images", 1, file="../b.jpg"), "b.jpg: ../b.jpg"),
    ("repeated-images", more("images", "a.jpg", "test", "images/a.jpg", -1, ""), "a.jpg"),
    ("repeated-captions", more("captions", "a.jpg#0", "b.jpg", "again"), "a.jpg#0"),
    ("unknown-splits", put("images", 0, split="dev"), "a.jpg in dev"),
    ("orphan-captions", more("captions", "x#0", "x.jpg", "of nothing"), "x#0 of x.jpg"),
    ("unknown-judgements", more("judgements", "a.jpg", "x#0", 1.0, "crowd"), "a.jpg with x#0"),
    ("unknown-judgements", more("judgements", "x.jpg", "a.jpg#0", 1.0, "crowd"), "x.jpg with a.jpg#0"),
    ("empty-captions", put("captions", 3, text=" \t"), "b.jpg#1"),
]  # fmt: skip


def settings_changed() -> None:
    source = sources.read("my")
    sources.write("my", source.model_copy(update={"settings": {"any_counts": True}}))


@pytest.mark.parametrize(("name", "change", "example"), AFTER, ids=[row[0] for row in AFTER])
def test_errors_in_what_was_added(project: Path, name: str, change: Callable[[], None], example: str) -> None:
    prepare.add("my", FOLDER)
    change()
    report = checks.check("my")
    (error,) = [one for one in report.errors if one.check == name]
    assert error.count == 1
    assert error.examples[0].startswith(example)
    done = bench("data", "check", "my")
    assert done.exit_code == 3
    assert error.todo in " ".join(done.stdout.split())
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"error: my: (1 kind|2 kinds) of errors; the table says what to do", last)
    told = json.loads(bench("data", "check", "my", "--json").stdout)
    assert name in [one["check"] for one in told["errors"]]


def test_images_without_captions_and_splits_without_images(project: Path) -> None:
    prepare.add("my", FOLDER)
    more("images", "z.jpg", "train", "images/a.jpg", -1, Manifest.read(Path("data/my")).images["content"][0])()
    rewrite(
        images=lambda frame: frame[frame["split"] != "val"].reset_index(drop=True),
        captions=lambda frame: frame[frame["image_id"] != "d.jpg"].reset_index(drop=True),
    )
    report = checks.check("my")
    assert found(report) == {"images-without-captions": 1, "empty-splits": 1, "copied-pictures": 1}
    assert report.splits["train"]["captions_per_image"] == [0, 2]
    assert report.splits["val"]["captions_per_image"] == [0, 0]


def test_counts_of_a_known_name(project: Path) -> None:
    prepare.add("f8k", FOLDER, settings={"any_counts": True}, encoder="hog+ngrams")
    report = checks.check("f8k")
    assert found(report) == {"unusual-counts": 3}
    assert report.warnings[0].examples[0] == "train has 3 images, 6,000 are usual"


def test_all_faults_at_once_are_all_told(project: Path) -> None:
    prepare.add("my", FOLDER)
    (FOLDER / "images" / "a.jpg").unlink()
    picture(b"x")()
    tell(0, "another")()
    put("captions", 3, text="")()
    done = bench("data", "check", "my")
    assert found(checks.check("my")) == {
        "missing-pictures": 1,
        "unreadable-pictures": 1,
        "changed-files": 1,
        "empty-captions": 1,
    }
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1] == "error: my: 4 kinds of errors; the table says what to do"
    assert "Traceback" not in done.output


def test_few_examples_of_many(project: Path) -> None:
    prepare.add("my", FOLDER)
    for path in (FOLDER / "images").iterdir():
        path.unlink()
    (error,) = checks.check("my").errors
    assert (error.count, len(error.examples)) == (6, 3)
    assert "…" in bench("data", "check", "my").stdout


def test_a_dataset_of_features(project: Path) -> None:
    Path("rows").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"rows/{part}_ims.npy", np.random.default_rng(part == "train").normal(size=(4, 3)).astype(np.float32))
        Path(f"rows/{part}_caps.txt").write_text("".join(f"{part} caption {k // 2}\n" for k in range(8)))
    prepare.add("my", Path("rows"))
    assert found(checks.check("my")) == {"captions-twice-of-an-image": 12, "pictures-in-two-splits": 4}
    np.save("rows/dev_ims.npy", np.zeros((4, 3), dtype=np.float32))
    assert [one.check for one in checks.check("my").errors] == ["changed-files"]


def test_generated_pictures_are_looked_at(project: Path) -> None:
    prepare.generate("my", "scenes", {"train": 20, "val": 5, "test": 5})
    assert checks.check("my").errors == []
    pixels = np.load("data/my/images.npy")
    pixels[7] = 0
    np.save("data/my/images.npy", pixels)
    (error,) = checks.check("my").errors
    assert (error.check, error.count) == ("changed-pictures", 1)
    assert "data/my/images.npy: row 7 changed" in error.examples[0]
    assert error.todo.endswith("bench data prepare my")


def test_what_leaves_the_folder_is_never_added(project: Path) -> None:
    good = Manifest("my", table("images", [("a", "train", "a.jpg", -1, "")]), table("captions", [("c", "a", "x")]))
    good.check()
    for image, file in (("a", "../a.jpg"), ("a", "/etc/passwd"), ("../a", "a.jpg"), ("a", "x/../../a.jpg")):
        bad = replace(good, images=table("images", [(image, "train", file, -1, "")]))
        bad = replace(bad, captions=table("captions", [("c", image, "x")]))
        with pytest.raises(DataError, match="leaves the folder of the dataset"):
            bad.check()


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("images/a.jpg", False), ("a..b/c...jpg", False), ("..a", False), ("", False), ("a:b.jpg", False),
        ("..", True), ("a/..", True), ("a/../b", True), ("a\\..\\b", True), ("/a", True), ("\\a", True),
        ("C:\\a", True), ("c:/a", True),
    ],
)  # fmt: skip
def test_paths_that_leave(path: str, out: bool) -> None:
    assert leaves(path) is out


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("A dog runs .", "a  dog\truns", True),
        ("A dog runs.", "A DOG RUNS", True),
        (" a dog ", "a dog...", True),
        ("a dog", "a dog!", False),
        ("a dog", "the dog", False),
        ("a dog, running", "a dog running", False),
        ("straße", "STRASSE", True),
    ],
)
def test_when_captions_are_equal(one: str, other: str, equal: bool) -> None:
    assert (captions.same(one) == captions.same(other)) is equal


@settings(deadline=None)  # the first call loads pandas
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=12))
def test_pairs_made_true_by_equal_captions(rows: list[tuple[str, str]]) -> None:
    """Counted one by one: every caption with every other image that has its text."""
    slow = sum(
        any(image == owner and text == said for owner, said in rows)
        for image in {image for image, _ in rows}
        for other, text in rows
        if other != image
    )
    frame = pd.DataFrame(rows, columns=["image_id", "same"], dtype="str")
    assert captions.false_pairs(frame, "same") == slow


def test_pairs_are_counted_within_a_split(project: Path) -> None:
    for line in (0, 2, 4):  # three training images
        tell(line, "A dog .")()
    tell(10, "a dog")()  # one test image: nobody compares it with the others
    prepare.add("my", FOLDER)
    report = checks.check("my")
    assert [row["pairs_true_by_equal_captions"] for row in report.splits.values()] == [6, 0, 0]
    (warning,) = report.warnings
    assert (warning.count, warning.examples) == (3, ["'a dog' (train: 3 images)"])
    assert "(6 unlabelled pairs are true)" in warning.what


def test_noise_is_told_and_makes_no_equal_captions(project: Path) -> None:
    for line in (0, 2):
        tell(line, "A dog .")()
    prepare.add("my", FOLDER)
    clean = checks.check("my")
    prepare.add("my", FOLDER, settings={"noise_ratio": 1.0, "noise_seed": 1}, replace=True)
    dirty = checks.check("my")
    assert dirty.splits == clean.splits
    assert found(dirty) == found(clean)
    assert dirty.facts["noise"] == {**Noise(noise_ratio=1.0, noise_seed=1).model_dump(), "captions": 6, "exchanged": 6}
    assert dirty.facts["judgements"] == clean.facts["judgements"]
    undone = noise.undone(Manifest.read(Path("data/my")))
    assert all(caption.startswith(image) for caption, image, _ in undone.itertuples(index=False))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("a cafÃ©", "a café"),
        ("a manâ€™s hat", "a man’s hat"),
        ("â€œquotedâ€\x9d", "“quoted”"),
        ("a café", "a café"),
        ("Ünïcödé ñ", "Ünïcödé ñ"),
        ("日本 犬", "日本 犬"),
    ],
)
def test_text_that_was_read_wrongly(wrong: str, right: str) -> None:
    assert captions.repaired(wrong) == right


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs", "Cc"]), min_size=1))
def test_utf8_read_as_latin1_is_repaired(text: str) -> None:
    assert captions.repaired(text.encode().decode("latin-1")) == text
