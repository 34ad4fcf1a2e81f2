"""Tux Paint's stamps, from a made-up package of the same layout: languages, drawings, repeated captions."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands import bench
from format_samples import NAMES, PICTURES
from negbench.pipelines import datasets, prepare
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest

STAMPS = Path("package/usr/share/tuxpaint/stamps")


def text(number: int) -> str:
    """Every third stamp is a flower."""
    english = "A flower." if number % 3 == 0 else f"Thing {number}."
    return f"{english}\nde.utf8=Ding {number}.\nca@valencia.utf8=Cosa {number} = {number}.\n"


def package(root: Path) -> None:
    """A hundred pictures in two folders; a drawing, a drawing of a picture, a mirrored picture, a lone text."""
    for number in range(100):
        place = root / ("animals/birds" if number % 2 else "food") / f"thing{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(PICTURES[NAMES[number % len(NAMES)]])
        place.with_suffix(".txt").write_text(text(number))
    first = next((root / "food").glob("*.png"))
    (root / "food" / f"{first.stem}_mirror.png").write_bytes(first.read_bytes())
    first.with_suffix(".svg").write_text("<svg/>")
    (root / "food" / "drawn.svg").write_text("<svg/>")
    (root / "food" / "drawn.txt").write_text("A drawing.\nde.utf8=Eine Zeichnung.\n")
    (root / "food" / "lone.txt").write_text("Alone.\nde.utf8=Allein.\n")
    (root / "README.txt").write_text("What this is\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    package(STAMPS)
    return tmp_path


def test_stamps_are_read_in_english_and_all_else_is_counted(place: Path) -> None:
    done = bench("data", "add", "my", "--from", str(STAMPS))
    assert done.exit_code == 0, done.output
    assert "format: stamps\n" in done.stderr
    assert "note: captions in en; also there: ca@valencia, de (--languages takes them)" in done.stderr
    manifest = Manifest.read(Path("data/my"))
    assert len(manifest.images) == len(manifest.captions) == 100
    assert manifest.captions["caption_id"].str.endswith(".png#en").all()
    assert (manifest.captions["text"] == "A flower.").sum() == 34
    assert manifest.info["rows"] == {
        "seen": 304,
        "kept": 100,
        "left out": {
            "captions in other languages": 202,
            "captions of drawings (SVG)": 1,
            "captions of stamps without a picture": 1,
        },
    }
    assert manifest.info["skipped"]["pictures without a description"] == 1
    found = json.loads(bench("data", "check", "my", "--json").stdout)
    (repeated,) = [row for row in found["warnings"] if row["check"] == "captions-of-several-images"]
    pairs = sum(split["pairs_true_by_equal_captions"] for split in found["splits"].values())
    assert f"({pairs:,} unlabelled pairs are true)" in repeated["what"]
    assert f"1 captions stand on several stamps (34): within the splits {pairs} " in manifest.info["notes"][1]


def test_other_languages_are_chosen(place: Path) -> None:
    manifest = prepare.add("my", STAMPS, settings={"languages": "de,ca@valencia"})
    captions = manifest.captions.set_index("caption_id")["text"]
    image = manifest.images["image_id"].iloc[0]
    assert captions[f"{image}#de"].startswith("Ding ")
    assert " = " in captions[f"{image}#ca@valencia"]
    assert len(captions) == 200
    with pytest.raises(DataError, match=r"no captions in 'fr'; --languages takes ca@valencia, de, en"):
        prepare.add("other", STAMPS, settings={"languages": "fr"})


def test_the_package_around_the_stamps_is_told(place: Path) -> None:
    with pytest.raises(DataError, match=r"lie in package/usr/share/tuxpaint/stamps: give that; "):
        datasets.detect(Path("package"))


def test_the_well_known_name_asserts_its_size(place: Path) -> None:
    with pytest.raises(DataError, match=r"train has \d+ images, expected 634; .*--any-counts takes them"):
        prepare.add("stamps", STAMPS)
    assert "apt-get" in bench("data", "where", "stamps").stdout


def test_stamps_go_all_the_way(place: Path) -> None:
    small = ["--epochs", "1", "--batch", "5", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=0"]
    for words in (
        ["data", "add", "my", "--from", str(STAMPS)],
        ["features", "--dataset", "my"],
        ["run", "--method", "mean", "--dataset", "my", *small],
    ):
        done = bench(*words)
        assert done.exit_code == 0, done.output


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(["", "A thing.", "de.utf8=Ding", "de.utf8=", "de=x", "=", "\x00", "x" * 20, "zz_ZZ.utf8=z"]),
        max_size=6,
    ),
    st.sampled_from(["en", "de", "en,de"]),
)
def test_every_line_is_kept_or_left_out(place: Path, found: list[str], chosen: str) -> None:
    path = sorted(STAMPS.rglob("thing*.txt"))[0]
    path.write_text("\n".join(found))
    rows = prepare.add("my", STAMPS, settings={"skip_bad": True, "languages": chosen}, replace=True).info["rows"]
    assert rows["seen"] == rows["kept"] + sum(rows["left out"].values())
    others = sum(len(text(0).splitlines()) for _ in range(99)) + 4
    assert rows["seen"] == others + sum(1 for line in found if line)
