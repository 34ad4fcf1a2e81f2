"""Pixels and texts: stores that whole models are trained from."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from commands import bench
from negbench.benchmark.recipe import stages
from negbench.pipelines import current, encoders, features, prepare, rows, sources, store
from negbench.pipelines.code import ROOT, files_of
from negbench.pipelines.encoders.pixels import PictureResizer
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import pictures
from negbench.pipelines.rows import Rows, ahead
from negbench.pipelines.sides import pair
from negbench.pipelines.store import FeatureStore, load_array

COUNTS = {"train": 11, "dev": 3, "test": 4}
PLAIN = "pixels:32+texts"
STORE = Path("features/my/pixels:32+texts")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with dataset ``my``: 18 pictures of noise, two captions each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    root = Path("raw")
    (root / "images").mkdir(parents=True)
    lines = []
    for split, count in COUNTS.items():
        names = [f"{split}{number}.jpg" for number in range(count)]
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            Image.fromarray(rng.integers(0, 256, (24 + number, 50, 3), dtype=np.uint8)).save(root / "images" / name)
            lines += [f"{name}#{k}\tcaption {k} of {name} ." for k in range(2)]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    prepare.add("my", root, encoder=PLAIN)
    return tmp_path


def transformed(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    """The plain transform, written another way: resize the whole, then cut in numpy."""
    width, height = picture.size
    if width < height:
        resized = picture.resize((size, int(size * height / width)), Image.Resampling.BICUBIC)
    else:
        resized = picture.resize((int(size * width / height), size), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized)
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return np.moveaxis(pixels[top : top + size, left : left + size], -1, 0)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# Pictures to pixels


@pytest.mark.parametrize("size", [8, 33, 160])
@pytest.mark.parametrize("sides", [(64, 64), (1, 1), (500, 333), (333, 500), (7, 90), (161, 160), (160, 1000)])
def test_a_picture_is_resized_and_cut_as_pil_does(sides: tuple[int, int], size: int) -> None:
    picture = noise(*sides)
    encoder = encoders.make(f"pixels:{size}", "image")
    found = encoder.encode([picture])
    assert found.shape == (1, 3, size, size)
    assert found.dtype.name == "uint8"
    np.testing.assert_array_equal(found[0], transformed(picture, size))
    assert encoder.encode([]).shape == (0, 3, size, size)


def test_of_a_line_of_pixels_the_middle_is_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    made, plain = [], Image.Image.resize

    def resize(self: Image.Image, size: tuple[int, int], *more: Any) -> Image.Image:
        made.append(size)
        return plain(self, size, *more)

    monkeypatch.setattr(Image.Image, "resize", resize)
    for sides, box in (((10_000, 3), (4976, 0, 5024, 3)), ((3, 10_000), (0, 4976, 3, 5024))):
        found = PictureResizer(64).encode([noise(*sides)])[0]
        np.testing.assert_array_equal(found, transformed(noise(*sides).crop(box), 64))
    assert max(width * height for width, height in made) == 16 * 64 * 64


def test_pictures_of_any_kind_are_read_as_by_other_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    turned = Image.Exif()
    turned[0x0112] = 6
    half = Image.fromarray(np.dstack([np.asarray(noise(40, 30)), np.full((30, 40), 120, dtype=np.uint8)]))
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("grey.png", noise(40, 30).convert("L"), {}),
        ("deep.png", Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), {}),
        ("clear.png", half, {}),
        ("print.jpg", noise(40, 30).convert("CMYK"), {}),
        ("turned.jpg", noise(40, 30), {"exif": turned}),
        ("palette.gif", noise(40, 30).convert("P"), {}),
    ]
    Path("raw").mkdir()
    lines = ["image,caption"]
    for name, picture, more in kinds:
        picture.save(Path("raw") / name, **more)
        lines.append(f"{name},one {name}")
    Path("raw/captions.txt").write_text("\n".join(lines) + "\n")
    for split in ("train", "val", "test"):
        Path(f"raw/{split}.txt").write_text(
            "".join(f"{name}\n" for name, _, _ in kinds[{"train": 0, "val": 2, "test": 4}[split] :][:2])
        )
    prepare.add("kinds", Path("raw"), encoder="pixels:16+texts")
    manifest, made = features.ensure("kinds")
    for split in ("train", "val", "test"):
        images = manifest.images[manifest.images["split"] == split]
        for found, row in zip(np.asarray(made.split(split).images), images.itertuples(), strict=True):
            seen = pictures.decode((Path("raw") / str(row.file)).read_bytes(), "x")
            np.testing.assert_array_equal(found, transformed(seen, 16))


@pytest.mark.parametrize("name", ["7", "1025", "0", "-8", "08", "8.5", "x", "160@main", "160:cls", "٣٢", "99999"])
def test_a_bad_size_is_one_line_before_anything_is_made(name: str, project: Path) -> None:
    before = sorted(Path().glob("[!.]*/**/*"))
    for command in (
        ["data", "add", "other", "--format", "scenes", "--encoder", f"pixels:{name}+texts"],
        ["features", "--dataset", "my", "--encoder", f"pixels:{name}+texts"],
    ):
        done = bench(*command)
        assert done.exit_code == 2
        assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1
        assert "write pixels:SIZE, SIZE a number from 8 to 1024" in " ".join(done.stderr.split())
    assert sorted(Path().glob("[!.]*/**/*")) == before


@pytest.mark.parametrize(
    ("encoder", "precomputed", "told"),
    [
        ("texts+texts", False, "texts encodes texts, not images"),
        ("hog+pixels:8", False, "'pixels:8' encodes images, not texts"),
        ("pixels:8+texts", True, "has features, no pictures: use precomputed\\+texts"),
        ("pixels+texts", False, "name a model, as in pixels:160"),
        ("pixels:+texts", False, "names no model"),
        ("pixels:8+texts:x", False, "texts takes no model"),
    ],
)
def test_sides_that_do_not_fit_are_refused(encoder: str, precomputed: bool, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        pair(encoder, precomputed)


# The store


def test_a_store_of_pixels_and_texts(project: Path) -> None:
    folder = features.make("my")
    assert folder == STORE
    manifest = Manifest.read(Path("data/my"))
    made = FeatureStore(folder, manifest.hash)
    assert made.forms == {"images": "pixels", "captions": "texts"}
    assert made.info["image"] == {
        "name": "pixels:32", "revision": "bicubic-centre-1", "dim": 3072, "shape": [3, 32, 32], "dtype": "uint8"
    }  # fmt: skip
    assert made.info["text"] == {"name": "texts", "revision": "1", "dim": 0}
    arrays = {f"{split}_images.npy" for split in ("train", "val", "test")}
    assert {path.name for path in folder.iterdir()} == arrays | {*store.INDEXES, "features.json"}
    assert made.info["files"] == store.digests(folder)
    for split, count in (("train", 11), ("val", 3), ("test", 4)):
        opened = made.split(split)
        made.check(split)
        assert opened.captions is None
        assert made.sequences(split) == {}
        assert opened.images.shape == (count, 3, 32, 32)
        assert opened.images.dtype == np.uint8
        files = manifest.images["file"][manifest.images["split"] == split]
        expected = np.stack([transformed(Image.open(Path("raw") / file), 32) for file in files])
        np.testing.assert_array_equal(opened.images, expected)
        of_split = manifest.captions[manifest.captions["image_id"].isin(opened.image_ids)]
        assert made.texts(split) == of_split["text"].tolist()
        assert opened.caption_ids == of_split["caption_id"].tolist()
    seen: list[object] = []
    features.make("my", progress=lambda *report: seen.append(report))
    assert not seen  # it is current
    assert bench("data", "check", "my").exit_code == 0


def test_a_killed_run_goes_on_at_the_batch_and_ends_the_same(project: Path) -> None:
    whole = contents(features.make("my", batch=4, workers=0))
    shutil.rmtree(STORE)
    code = """
import os, signal
from negbench.pipelines import features
def report(what, done, total):
    if done == 8:
        os.kill(os.getpid(), signal.SIGKILL)
features.make("my", batch=4, progress=report)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not STORE.exists()
    seen: list[tuple[str, int, int]] = []
    features.make("my", batch=4, workers=3, progress=lambda *report: seen.append(report))
    assert seen[0] == ("train images", 8, 11)
    assert {what for what, _, _ in seen} == {"train images", "val images", "test images"}
    assert contents(STORE) == whole


def test_pixels_beside_vectors_and_texts_beside_vectors(project: Path) -> None:
    _, plain = features.ensure("my", "hog+ngrams")
    hashes = {plain.hash}
    for encoder in ("pixels:32+ngrams", "hog+texts"):
        _, mixed = features.ensure("my", encoder)
        hashes.add(mixed.hash)
        images, captions = encoder.split("+")
        split, other = mixed.split("val"), plain.split("val")
        assert (captions == "texts") == (split.captions is None)
        if split.captions is not None and other.captions is not None:
            np.testing.assert_array_equal(np.asarray(split.captions), np.asarray(other.captions))
        if images == "hog":
            np.testing.assert_array_equal(np.asarray(split.images), np.asarray(other.images))
        assert mixed.texts("val") == plain.texts("val")
    assert len(hashes) == 3


def test_pixels_stay_bytes_and_vectors_beside_them_have_the_dtype(project: Path) -> None:
    folder = features.make("my", "pixels:32+ngrams", dtype="float16")
    before = np.load(folder / "val_images.npy")
    assert (before.dtype, np.load(folder / "val_captions.npy").dtype) == (np.uint8, np.float16)
    features.make("my", "pixels:32+ngrams", dtype="float32")
    assert np.load(folder / "val_captions.npy").dtype == np.float32
    np.testing.assert_array_equal(np.load(folder / "val_images.npy"), before)
    done = bench("features", "--dataset", "my", "--dtype", "float16")
    assert done.exit_code == 2
    assert "--dtype float16: encoder 'pixels:32+texts' makes no vectors that could have it" in done.stderr


def test_an_encoder_that_gives_other_numbers_than_bytes_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PictureResizer, "forward", lambda self, some: np.stack(some).astype(np.float32))
    with pytest.raises(DataError, match=r"train_images.npy: the encoder gave float32, not bytes, in rows 0-10"):
        features.make("my")


def test_texts_of_scenes_and_of_precomputed_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"seed": 0, "train": 6, "val": 4, "test": 4}
    sources.write("small", sources.Source(format="scenes", encoder="pixels:64+texts", settings=settings))
    Path("plain").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"plain/{part}_ims.npy", np.ones((3, 2), dtype=np.float32))
        Path(f"plain/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(6)))
    prepare.add("given", Path("plain"), encoder="precomputed+texts")
    for name in ("small", "given"):
        manifest, made = features.ensure(name)
        for split in ("train", "val", "test"):
            opened = made.split(split)
            text_of = manifest.captions.set_index("caption_id")["text"]
            assert made.texts(split) == text_of.loc[opened.caption_ids].tolist()
            assert opened.captions is None
    assert made.texts("val") == [f"dev caption {k}" for k in range(6)]
    assert made.forms == {"images": "vectors", "captions": "texts"}
    assert FeatureStore(Path("features/small/pixels:64+texts"), Manifest.read(Path("data/small")).hash).forms == {
        "images": "pixels", "captions": "texts"
    }  # fmt: skip


def test_texts_of_another_manifest_are_refused(project: Path) -> None:
    _, made = features.ensure("my", "hog+ngrams")
    _, other = features.ensure("my", "hog+ngrams")
    assert len(made.texts("test")) == 8
    tokens = Path("raw/Flickr8k.token.txt")
    tokens.write_text(tokens.read_text().replace("caption 0 of train0.jpg", "another caption"))
    prepare.add("my", Path("raw"), encoder=PLAIN, replace=True)
    with pytest.raises(DataError, match=r"hog\+ngrams was made from another manifest .* run: bench features --dataset"):
        other.texts("test")
    shutil.rmtree("data/my")
    with pytest.raises(DataError, match=r"dataset.json is missing; make it with: bench data prepare my"):
        other.texts("test")


# Reading


def saved(folder: Path, array: NDArray[Any]) -> Rows:
    np.save(folder / "rows.npy", array)
    return Rows(load_array(folder / "rows.npy"))


@pytest.mark.parametrize("long", [1, 2**20])
def test_batches_of_pixels_are_bytes_in_their_order(long: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONG", long)
    random = np.random.default_rng(0)
    array = random.integers(0, 256, (60, 3, 9, 5), dtype=np.uint8)
    file = saved(tmp_path, array)
    assert file.nbytes == array.nbytes
    assert file.dtype == np.uint8
    order = [random.integers(60, size=16) for _ in range(20)]
    for wanted, (found,) in zip(order, ahead([file], [(part,) for part in order]), strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array[wanted])
        found += 1  # a copy
    np.testing.assert_array_equal(np.asarray(file), array)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (4, 1, 2, 2), (4, 4, 2, 2)])
def test_other_bytes_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"uint8 .* expected .* or uint8 \[n, 3, H, W\]"):
        saved(tmp_path, np.zeros(shape, dtype=np.uint8))


def test_bytes_are_finite_without_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path, np.zeros((4, 3, 2, 2), dtype=np.uint8))
    monkeypatch.setattr(Rows, "__getitem__", lambda self, rows: pytest.fail("read"))
    store.check_finite(tmp_path, file)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not limit memory so")
def test_a_store_larger_than_memory_is_read(project: Path) -> None:
    """33 MB of pixels, opened and read by a process that may have 16 MB more than it has."""
    features.make("my", "pixels:1024+texts")
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from negbench.pipelines.store import FeatureStore, read_info
folder = Path("features/my/pixels:1024+texts")
store = FeatureStore(folder, read_info(folder)["manifest"])
held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (held + 16 * 2**20,) * 2)
images = store.split("train").images
total = sum(int(images[np.array([row])].sum()) for row in range(len(images)))
try:
    np.asarray(images)
except MemoryError:
    print(total)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = np.load("features/my/pixels:1024+texts/train_images.npy")
    assert int(done.stdout) == int(whole.sum())


# Commands and the pipeline


def test_the_listing_tells_of_both() -> None:
    listed = {row["name"]: row for row in json.loads(bench("encoders", "--json").stdout)}
    common = {"licence": "", "installed": True, "needs": None}
    assert listed["pixels:160"] == {"name": "pixels:160", "sides": "image", "dim": 3 * 160 * 160, **common}
    assert listed["texts"] == {"name": "texts", "sides": "text", "dim": 0, **common}


def test_a_new_encoder_s_file_is_behind_its_own_stages_alone(project: Path) -> None:
    new = {ROOT / "pipelines" / "encoders" / f"{name}.py" for name in ("pixels", "texts")}
    for name in set(encoders.names()) - {"pixels", "texts"}:
        assert not new & files_of([encoders.file_of(name)], ["pipelines/encoders"])
    settings = {"seed": 0, "train": 6, "val": 4, "test": 4}
    for name, encoder in (("old", "hog+ngrams"), ("new", PLAIN)):
        sources.write(name, sources.Source(format="scenes", encoder=encoder, settings=settings))
    project_of: dict[str, Any] = {"datasets": ["old"], "encoders": {"old": "hog+ngrams"}, "methods": ["fne"]}
    Path("params.yaml").write_text(json.dumps(project_of))
    before = stages.digests(stages.mark_params())
    project_of["encoders"]["new"] = PLAIN
    Path("params.yaml").write_text(json.dumps(project_of))
    after = stages.digests(stages.mark_params())
    assert before.items() < after.items()
    assert after["features-new"] == current.code_of(["pixels:32", "texts"]) != after["features-old"]
    assert current.code_of(["pixels:8", "texts"]) == after["features-new"]  # the size stands in the name
    assert Path("checked/features-new").read_text().strip() == after["features-new"]
    features.make("new")
    assert current.made("new", PLAIN) == ["prepare", "features"]


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("pixels:8+texts", "image_tower reads vectors"),
        ("pixels:8+ngrams", "image_tower reads vectors"),
        ("hog+texts", "text_tower reads vectors"),
    ],
)
def test_heads_on_vectors_are_refused_before_anything_is_trained(encoder: str, told: str, small_project: Path) -> None:
    words = ["--method", "fne", "--dataset", "small"]
    before = sorted(Path("runs").rglob("*"))
    for command in (["run", *words, "--encoder", encoder, "--epochs", "2", "--memory", "0"], ["tune", *words]):
        if command[0] == "tune":
            registered = sources.read("small").model_copy(update={"encoder": encoder})
            sources.write("small", registered)
        done = bench(*command)
        said = " ".join(done.stderr.split())
        assert done.exit_code == 2, said
        assert told in said
        assert f"features/small/{encoder} has no vectors" in said
        assert "use an encoder such as hog+ngrams" in said
        assert "epoch 1/" not in said
    assert sorted(Path("runs").rglob("*")) == before
    assert not Path("studies").exists()
