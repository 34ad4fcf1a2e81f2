"""Published noise: each convention of the field, told apart by its length and by what it does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from commands import bench
from format_samples import SAMPLES
from negbench.pipelines import noise_files, prepare, sources
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import file_digest
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.noise_files import NoiseFile

IMAGES, EACH = 12, 5
OWN = np.repeat(np.arange(IMAGES), EACH)


def made(each: int = EACH) -> Manifest:
    """Twelve training images with so many captions each, one image in each other split."""
    names = [f"i{k:02d}" for k in range(IMAGES)]
    images = [(name, "train", "", k, str(k)) for k, name in enumerate(names)] + [
        ("v", "val", "", 0, "v"),
        ("t", "test", "", 0, "t"),
    ]
    captions = [(f"{name}#{k}", name, f"caption {k} of {name}") for name in [*names, "v", "t"] for k in range(each)]
    return Manifest("my", table("images", images), table("captions", captions))


def moved(path: Path, index: NDArray[Any], each: int = EACH) -> Manifest:
    np.save(path / "noise.npy", index)
    file = NoiseFile(noise_file=str(path / "noise.npy"), noise_digest=file_digest(path / "noise.npy"))
    manifest = noise_files.add(made(each), file, path)
    manifest.check()
    return manifest


def owners(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.captions["caption_id"], manifest.captions["image_id"], strict=True))


def singly(lot: np.random.Generator, share: float = 0.4) -> NDArray[Any]:
    """As NCR makes it: the images of some captions are shuffled among them."""
    index = OWN.copy()
    chosen = lot.permutation(len(OWN))[: round(share * len(OWN))]
    index[chosen] = lot.permutation(index[chosen])
    return index


def permuted(lot: np.random.Generator, count: int, share: float = 0.5) -> NDArray[Any]:
    """As DECL and RDE make it: some of the numbers are shuffled among them."""
    index = np.arange(count)
    chosen = lot.permutation(count)[: round(share * count)]
    index[chosen] = np.roll(chosen, 1)
    return index


def test_captions_moved_one_by_one(tmp_path: Path) -> None:
    index = singly(np.random.default_rng(0))
    manifest = moved(tmp_path, index)
    after = owners(manifest)
    for row, caption in enumerate(made().captions["caption_id"][: len(OWN)]):
        assert after[caption] == f"i{index[row]:02d}"
    assert manifest.info["noise"]["kind"] == "captions"
    assert manifest.info["noise"]["exchanged"] == int((index != OWN).sum())
    assert manifest.info["noise"]["images without a caption"] == 0


def test_whole_images_moved_in_rows_of_captions(tmp_path: Path) -> None:
    images = permuted(np.random.default_rng(1), IMAGES)
    manifest = moved(tmp_path, np.repeat(images, EACH))
    assert manifest.info["noise"]["kind"] == "images"
    assert manifest.info["noise"]["exchanged"] == EACH * int((images != np.arange(IMAGES)).sum())
    same = moved(tmp_path, images)
    assert same.info["noise"]["kind"] == "permutation"
    assert same.hash == manifest.hash  # said in another way


def test_a_permutation_of_captions(tmp_path: Path) -> None:
    index = permuted(np.random.default_rng(2), len(OWN))
    manifest = moved(tmp_path, index)
    assert manifest.info["noise"]["kind"] == "rows"
    ids = made().captions["caption_id"]
    after = owners(manifest)
    for row in range(len(OWN)):  # the image of a row gets another row's caption
        assert after[ids[index[row]]] == f"i{OWN[row]:02d}"


def test_with_one_caption_an_image_a_permutation_is_of_rows(tmp_path: Path) -> None:
    index = np.roll(np.arange(IMAGES), 1)  # no involution: the two readings differ
    manifest = moved(tmp_path, index, each=1)
    assert manifest.info["noise"]["kind"] == "rows"
    assert owners(manifest)["i11#0"] == "i00"


@given(st.integers(0, 2**32), st.sampled_from(["captions", "images", "rows"]))
@settings(max_examples=60, deadline=None)
def test_what_was_right_is_kept_and_nothing_else_moves(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    lot = np.random.default_rng(seed)
    index = {
        "captions": lambda: singly(lot),
        "images": lambda: permuted(lot, IMAGES),
        "rows": lambda: permuted(lot, len(OWN)),
    }[kind]()
    clean, dirty = made(), moved(tmp_path_factory.mktemp("noise"), index)
    before, after = owners(clean), owners(dirty)
    changed = {caption for caption in before if before[caption] != after[caption]}
    assert all(caption.startswith("i") for caption in changed)  # training alone
    assert set(dirty.judgements["source"]) <= {"noise"}
    known = dict(zip(dirty.judgements["caption_id"], dirty.judgements["image_id"], strict=True))
    assert known == {caption: before[caption] for caption in changed}
    texts = [dict(zip(m.captions["caption_id"], m.captions["text"], strict=True)) for m in (clean, dirty)]
    assert texts[0] == texts[1]
    place = {image: k for k, image in enumerate(dirty.images["image_id"])}
    assert dirty.captions["image_id"].map(place).is_monotonic_increasing  # rows follow the images


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            np.arange(7),
            r"7 rows fit neither the 60 training captions nor the 12 training images; it was made for other",
        ),
        (
            np.full(60, 12),
            r"60 rows from 12 to 12 are neither an image for each caption, 0 to 11, nor a permutation of",
        ),
        (
            np.zeros(60, dtype=int),
            r"60 rows, an image for each caption, but no exchange: 12 of 12 images would have another number of"
            r" captions than before \(0 to 60, before 5 to 5\)",
        ),
        (np.random.default_rng(0).integers(0, 12, 60), r"60 rows, an image for each caption, but no exchange: "),
        (np.repeat([0, 0, *range(2, 12)], 5), r"60 rows, .* no exchange: 2 of 12 images .* \(0 to 10, before 5 to 5\)"),
        (OWN - 1, r"60 rows from -1 to 10 are neither an image"),
        (np.zeros(12, dtype=int), r"12 rows from 0 to 0 are .* nor a permutation of images"),
        (OWN.astype(float), r"float64 \[60\], expected a list of whole numbers"),
        (OWN.reshape(12, 5), r"int64 \[12, 5\], expected a list of whole numbers"),
        (np.array([{}] * 60), r"not an array that can be read: it holds Python objects"),
    ],
)
def test_what_fits_no_convention_is_refused(tmp_path: Path, index: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"noise\.npy: {message}"):
        moved(tmp_path, index)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    SAMPLES["precomp"][1](Path("raw"))
    np.save("mine_0.4.npy", np.roll(np.arange(10), 1))
    return tmp_path


def test_it_is_said_recorded_and_made_again(project: Path) -> None:
    done = bench("data", "add", "my", "--precomp", "raw", "--noise-file", "mine_0.4.npy")
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "noise: 20 of 20 training captions exchanged" in said
    digest = file_digest(Path("mine_0.4.npy"))
    words = "mine_0.4.npy is a permutation of images: the captions of image k go to image p[k]"
    assert f"noise: {words} (digest {digest})" in said
    assert sources.read("my").settings == {"noise_file": "mine_0.4.npy", "noise_digest": digest}
    info = json.loads(Path("data/my/dataset.json").read_text())
    assert info["noise"]["noise_digest"] == digest
    assert info["hash"] != prepare.add("clean", Path("raw")).hash
    assert prepare.prepare("my").hash == info["hash"]
    assert bench("data", "check", "my").exit_code == 0
    assert "noise mine_0.4.npy" in bench("data", "list").stdout
    np.save("mine_0.4.npy", np.arange(10))
    with pytest.raises(DataError, match=r"mine_0\.4\.npy: changed since 'my' was added with it"):
        prepare.prepare("my")


def test_the_truth_of_scenes_follows(project: Path) -> None:
    small = {"train": 12, "val": 10, "test": 10}
    clean = prepare.generate("clean", "scenes", small)
    np.save("noise.npy", singly(np.random.default_rng(0)))
    dirty = prepare.generate("dirty", "scenes", {**small, "noise_file": "noise.npy"})
    assert dirty.info["truth"] != clean.info["truth"]
    assert prepare.prepare("dirty").hash == dirty.hash


def test_one_kind_of_noise_and_a_file_that_is_there(project: Path) -> None:
    words = ["data", "add", "my", "--precomp", "raw", "--noise-file"]
    done = bench(*words, "mine_0.4.npy", "--noise-ratio", "0.5")
    assert (done.exit_code, done.stderr) == (
        2,
        "reading raw\nerror: --noise-file and --noise-ratio are two kinds of noise; give one\n",
    )
    done = bench(*words, "none.npy")
    assert (done.exit_code, done.stderr) == (3, "reading raw\nerror: none.npy: No such file or directory\n")
    assert not Path("data").exists()
    with pytest.raises(RequestError):
        prepare.generate("my", "scenes", {"noise_file": "mine_0.4.npy", "noise_ratio": 0.1})
