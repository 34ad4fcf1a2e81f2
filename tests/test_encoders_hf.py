"""Models of transformers, tiny and random, in a folder: vectors as plain calls give them, one item at a time."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import bench

pytest.importorskip("transformers", reason="extra [hf] is not installed")

import torch
import transformers as hf
from transformers import AutoModel, AutoTokenizer

from negbench.pipelines import encoders, features, prepare, sources
from negbench.pipelines.encoders import Device, EncoderKind, Model
from negbench.pipelines.encoders.hf import EXAMPLES, PictureEncoder, TextEncoder, dim_of
from negbench.pipelines.errors import RequestError
from negbench.pipelines.sources import store_folder
from tiny_models import TEXTS, VISION, make_zoo, processor, tokenizer


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per model."""
    root = tmp_path_factory.mktemp("zoo")
    make_zoo(root)
    return root


def photos() -> list[Image.Image]:
    lot = np.random.default_rng(0)
    sizes = [(64, 48), (32, 32), (31, 70), (200, 90), (40, 40)] * 5
    small = [lot.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in sizes]
    return [Image.fromarray(some).resize(size) for some, size in zip(small, sizes, strict=True)]


def by_hand(picture: Image.Image, crop: bool) -> torch.Tensor:
    """What ``preprocessor_config.json`` says, in plain Pillow and numpy."""
    if crop:
        width, height = picture.size
        short = min(picture.size)
        picture = picture.resize((int(40 * width / short), int(40 * height / short)), Image.Resampling.BICUBIC)
        left, top = (picture.width - 32) // 2, (picture.height - 32) // 2
        picture = picture.crop((left, top, left + 32, top + 32))
    else:
        picture = picture.resize((32, 32), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, dtype=np.float64) / 255
    pixels = (pixels - np.array([0.1, 0.2, 0.3])) / np.array([0.4, 0.5, 0.6])
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def vision(net: Any, pooling: str, pixels: torch.Tensor) -> Any:
    if pooling == "projected":
        found = net.get_image_features(pixel_values=pixels)
        return getattr(found, "pooler_output", found)
    tower = net.vision_model if hasattr(net, "vision_model") else net
    output = tower(pixel_values=pixels)
    if pooling == "pooler":
        return output.pooler_output
    tokens = output.last_hidden_state
    assert tokens.shape[1] in (16, 17)  # 4 x 4 patches and, but for SigLIP, a class token
    return tokens[:, 0] if pooling == "cls" else tokens[:, -16:].mean(1)


IMAGES = [
    *(("vit", pooling) for pooling in ("", "cls", "mean", "pooler")),
    *(("dinov2", pooling) for pooling in ("", "mean", "pooler")),
    *(("clip", pooling) for pooling in ("", "projected", "cls", "mean", "pooler")),
    *(("siglip", pooling) for pooling in ("", "mean", "pooler")),
]


@pytest.mark.parametrize("name, pooling", IMAGES, ids=str)
def test_pictures_one_by_one(zoo: Path, name: str, pooling: str) -> None:
    encoder = encoders.make(f"hf:{zoo / name}" + (f":{pooling}" if pooling else ""), "image")
    found = encoder.encode(photos())
    assert found.dtype == np.float32
    assert found.shape == (25, encoder.dim)
    net = AutoModel.from_pretrained(zoo / name).eval()
    standing = pooling or ("projected" if name in ("clip", "siglip") else "cls")
    with torch.no_grad():
        for row, picture in zip(found, photos(), strict=True):
            (expected,) = vision(net, standing, by_hand(picture, crop=name in ("dinov2", "clip")))
            np.testing.assert_allclose(row, expected.numpy(), atol=2e-4, rtol=1e-3)
    assert found.std(axis=0).mean() > 0.1  # pictures are told apart


def text(net: Any, pooling: str, tokens: Any) -> Any:
    if pooling == "projected":
        found = net.get_text_features(**tokens)
        return getattr(found, "pooler_output", found)
    tower = net.text_model if hasattr(net, "text_model") else net
    output = tower(**tokens)
    if pooling == "pooler":
        return output.pooler_output
    return output.last_hidden_state[:, 0] if pooling == "cls" else output.last_hidden_state.mean(1)


SENTENCES = [
    *(("bert", pooling) for pooling in ("", "cls", "mean", "pooler")),
    *(("mpnet", pooling) for pooling in ("", "mean", "cls", "pooler")),
    *(("clip", pooling) for pooling in ("", "projected", "mean", "pooler")),
    *(("siglip", pooling) for pooling in ("", "projected")),
]


@pytest.mark.parametrize("name, pooling", SENTENCES, ids=str)
def test_texts_one_by_one(zoo: Path, name: str, pooling: str) -> None:
    """One text alone has no padding, but for SigLIP, which was trained on full lines."""
    encoder = encoders.make(f"hf:{zoo / name}" + (f":{pooling}" if pooling else ""), "text")
    found = encoder.encode(TEXTS)
    assert found.shape == (5, encoder.dim)
    net = AutoModel.from_pretrained(zoo / name).eval()
    words = AutoTokenizer.from_pretrained(zoo / name)
    standing = pooling or ("projected" if name in ("clip", "siglip") else "mean")
    with torch.no_grad():
        for row, sentence in zip(found, TEXTS, strict=True):
            padding = "max_length" if name == "siglip" else False
            tokens = words([sentence], padding=padding, truncation=True, max_length=16, return_tensors="pt")
            (expected,) = text(net, standing, tokens)
            np.testing.assert_allclose(row, expected.numpy(), atol=2e-5, rtol=1e-4)
    assert found.std(axis=0).mean() > 0.05


@pytest.mark.parametrize("name, kind", [("vit", "image"), ("clip", "image"), ("bert", "text"), ("mpnet", "text")])
def test_order_and_company_do_not_matter(zoo: Path, name: str, kind: Any) -> None:
    encoder = encoders.make(f"hf:{zoo / name}", kind)
    items: list[Any] = photos() if kind == "image" else TEXTS * 15  # several chunks
    whole = encoder.encode(items)
    np.testing.assert_allclose(encoder.encode(items[::-1])[::-1], whole, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([encoder.encode([item]) for item in items]), whole, atol=1e-5)


def test_half_precision_is_near(zoo: Path) -> None:
    cases: list[tuple[str, EncoderKind, list[Any]]] = [("vit", "image", photos()), ("bert", "text", TEXTS)]
    for name, kind, items in cases:
        exact = encoders.make(f"hf:{zoo / name}", kind).encode(items)
        near = encoders.make(f"hf:{zoo / name}", kind, Device("cpu", "bfloat16")).encode(items)
        assert near.dtype == np.float32
        assert np.abs(near - exact).max() > 0
        cosine = (near * exact).sum(1) / np.linalg.norm(near, axis=1) / np.linalg.norm(exact, axis=1)
        assert cosine.min() > 0.995


def test_a_text_may_fill_all_places(zoo: Path, tmp_path: Path) -> None:
    """MPNet counts positions from after the padding's number: of 20 places 18 are left."""
    for name, longest in (("bert", 20), ("mpnet", 18)):
        folder = shutil.copytree(zoo / name, tmp_path / name)
        tokenizer(10**6).save_pretrained(folder)
        encoder = encoders.make(f"hf:{folder}", "text")
        assert isinstance(encoder, TextEncoder)
        assert encoder._longest == longest
        assert np.isfinite(encoder.encode(["dog " * 100])).all()


def test_a_folder_without_a_tokenizer_is_refused(zoo: Path, tmp_path: Path) -> None:
    """transformers would make one that knows no word."""
    folder = shutil.copytree(zoo / "bert", tmp_path / "bare")
    for path in [*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("special*")]:
        path.unlink()
    with pytest.raises(RequestError, match=r"bare has no tokenizer \(tokenizer\.json, vocab\.txt"):
        encoders.make(f"hf:{folder}", "text")


def test_the_sizes_of_the_examples() -> None:
    """Of published configurations, as their hub pages have them."""
    towers: dict[str, Any] = {"text_config": {"hidden_size": 768}, "vision_config": {"hidden_size": 768}}
    sizes = {
        "google/vit-base-patch16-224": dim_of(hf.ViTConfig(), "image", "cls"),
        "facebook/dinov2-base": dim_of(hf.Dinov2Config(), "image", "cls"),
        "openai/clip-vit-base-patch32": dim_of(hf.CLIPConfig(), "text", "projected"),
        "google/siglip-base-patch16-224": dim_of(hf.SiglipConfig(**towers), "image", "projected"),
        "google-bert/bert-base-uncased": dim_of(hf.BertConfig(), "text", "mean"),
        "sentence-transformers/all-mpnet-base-v2": dim_of(hf.MPNetConfig(), "text", "mean"),
    }
    assert sizes == {example.model: example.dim for example in EXAMPLES}


def test_the_revision_tells_weights_processor_and_pooling_apart(zoo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(zoo / "vit", tmp_path / "vit")
    name = f"hf:{folder}"
    first = encoders.card(name, "image").revision
    assert encoders.revision(name, "image") == first == encoders.make(name, "image").revision
    assert first == encoders.card(f"{name}:cls", "image").revision != encoders.card(f"{name}:mean", "image").revision
    (folder / "README.md").write_text("not of the model")
    assert encoders.revision(name, "image") == first
    (folder / "preprocessor_config.json").write_text(json.dumps(processor(resample=2)))
    second = encoders.revision(name, "image")
    net = AutoModel.from_pretrained(folder)
    net.layernorm.weight.data += 1
    net.save_pretrained(folder)
    assert len({first, second, encoders.revision(name, "image")}) == 3


def test_a_hub_model_is_known_by_its_commit(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache as the hub's library lays it out; nothing is asked of the network."""
    import socket

    import huggingface_hub

    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--lab--tiny"
    shutil.copytree(zoo / "bert", cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    whole = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: whole(*a, **k, cache_dir=tmp_path))
    monkeypatch.setattr(socket, "socket", lambda *a, **k: pytest.fail("asked the network"))
    assert encoders.revision("hf:lab--tiny", "text") == "0123456789ab-mean-1"
    assert encoders.card("hf:lab/tiny:cls", "text").revision == "0123456789ab-cls-1"
    assert encoders.make("hf:lab/tiny", "text").encode(["a dog"]).shape == (1, 16)
    pinned = encoders.card(f"hf:lab/tiny@{commit}", "text")
    assert pinned.revision == "0123456789ab-mean-1"
    assert encoders.revision("hf:lab/other", "text") is None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def without_pooler(folder: Path) -> None:
    config = hf.ViTConfig(**VISION)
    hf.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)


def without_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file({key: value for key, value in weights.items() if "1." not in key}, folder / "model.safetensors")


def cut(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


FAULTS = [
    ("vit", "image", "", remove("config.json"), "has no config.json"),
    ("vit", "image", "", remove("preprocessor_config.json"), "encodes no images: it has no preprocessor_config.json"),
    ("bert", "image", "", None, "encodes no images"),
    ("vit", "text", "", None, "encodes no texts: its config.json has no vocab_size"),
    ("vit", "image", "", pickled, r"no complete safetensors weights; pickled ones \(.bin\) are never read"),
    ("vit", "image", "", cut, "cannot be read"),
    ("vit", "image", "", without_a_layer, "its weights lack "),
    ("vit", "image", ":pooler", without_pooler, "its weights lack pooler.dense.bias, needed for 'pooler'"),
    ("vit", "image", ":projected", None, "has no joint space to project to; use :cls, :mean or :pooler"),
    ("siglip", "image", ":cls", None, "has no cls token; use :mean or :pooler"),
    ("bert", "text", ":men", None, "unknown pooling 'men'; did you mean 'mean'?"),
    ("bert", "text", "@main", None, "a folder has no revision '@main'"),
    ("bert", "text", "", lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    ("bert", "text", "", lambda folder: (folder / "config.json").write_text('{"model_type": "x"}'), "cannot be read"),
]


@pytest.mark.parametrize("name, kind, ending, change, said", FAULTS)
def test_what_cannot_be_used_is_one_line(
    zoo: Path, tmp_path: Path, name: str, kind: Any, ending: str, change: Any, said: str
) -> None:
    folder = shutil.copytree(zoo / name, tmp_path / "it")
    if change:
        change(folder)
    with pytest.raises(RequestError, match=said) as error:
        encoders.make(f"hf:{folder}{ending}", kind).encode(photos() if kind == "image" else TEXTS)
    assert "\n" not in str(error.value)


def test_without_pooler_other_poolings_work(zoo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(zoo / "vit", tmp_path / "it")
    without_pooler(folder)
    assert encoders.make(f"hf:{folder}", "image").encode(photos()[:1]).shape == (1, 16)


def test_no_pickle_is_read(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(zoo / "vit", tmp_path / "it")
    torch.save({}, folder / "pytorch_model.bin")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("a pickle was read"))
    found, whole = (encoders.make(f"hf:{place}", "image").encode(photos()[:2]) for place in (folder, zoo / "vit"))
    assert np.array_equal(found, whole)


@pytest.mark.parametrize("name, said", [
    ("hf", "is a family: name a model, as in hf:google/vit-base-patch16-224"),
    ("hf:", "names no model"),
    ("hf:./none", "no folder none"),
    ("hf:a b/c", "no name of a hub; a folder is written ./NAME"),
    ("hg:x", "unknown encoder 'hg'"),
    ("minilm:x", "minilm takes no model"),
])  # fmt: skip
def test_names_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)

    def use() -> None:
        _, side = encoders.pair(f"hog+{name}", precomputed=False)
        encoders.make(side, "text")

    with pytest.raises(RequestError, match=said):
        use()


def test_a_missing_package_names_the_extra(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RequestError, match=r"needs the package 'transformers'; run: pip install 'negbench\[hf\]'"):
        encoders.make(f"hf:{zoo / 'vit'}", "image")


def test_names_of_folders() -> None:
    assert encoders.pair("hf:google/vit@abc:mean+hf:./my-folder/", precomputed=False) == (
        "hf:google--vit@abc:mean",
        "hf:.--my-folder",
    )
    kept = encoders.pair("hf:lab/a_b+ngrams", precomputed=False)
    assert kept == ("hf:lab--a_b", "ngrams") == encoders.pair("+".join(kept), precomputed=False)
    assert Model.parse("lab--a_b@v1:cls") == Model("lab/a_b", "v1", "cls")
    assert Model.parse(".--my-folder").folder == Path("my-folder")
    assert Model.parse("lab/a").folder is None


def test_both_towers_of_a_folder_are_encoders(zoo: Path) -> None:
    for name in ("clip", "siglip"):
        image, words = (encoders.make(f"hf:{zoo / name}", kind) for kind in ("image", "text"))
        assert isinstance(image, PictureEncoder)
        assert isinstance(words, TextEncoder)
        assert image.dim == words.dim


KILLED = """
import os, signal, torch
from negbench.pipelines import features
torch.set_num_threads(1)
count = 0
def report(what, done, total):
    global count
    count += 1
    if count == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
features.make("my", {encoder!r}, batch=4, workers={workers}, progress=report)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dataset ``my``: 35 pictures in three splits, a caption or two each."""
    monkeypatch.chdir(tmp_path)
    root = Path("raw")
    (root / "images").mkdir(parents=True)
    rows = []
    for number, picture in enumerate([*photos(), *photos()[:10]]):
        picture.save(root / "images" / f"{number}.png")
        rows.append(f"{number}.png#0\t{TEXTS[number % 4]}")
    (root / "Flickr8k.token.txt").write_text("\n".join(rows) + "\n")
    for split, numbers in (("train", range(15)), ("dev", range(15, 25)), ("test", range(25, 35))):
        names = [f"{number}.png" for number in numbers]
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
    prepare.add("my", root)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("side", [pytest.param("vit+bert", marks=pytest.mark.thorough), "clip+clip"])
def test_a_killed_run_ends_the_same_to_the_byte(zoo: Path, project: Path, side: str) -> None:
    """Killed twice, with other numbers of threads each time."""
    encoder = "+".join(f"hf:{zoo / name}" for name in side.split("+"))
    whole = contents(features.make("my", encoder, batch=4))
    target = store_folder("my", features.canonical(sources.read("my"), encoder))
    info = json.loads((target / "features.json").read_text())
    assert info["made"]["images"] == {"name": "cpu", "precision": "float32", "batch": 4}
    assert info["image"]["revision"] == encoders.revision(info["image"]["name"], "image")
    shutil.rmtree(target)
    for step, workers in ((4, 3), (7, 1)):
        code = KILLED.format(step=step, encoder=encoder, workers=workers)
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        assert not target.exists()
    seen: list[tuple[str, int, int]] = []
    features.make("my", encoder, batch=4, workers=2, progress=lambda *report: seen.append(report))
    assert seen[0][1] == 15  # the training pictures were done
    assert contents(target) == whole
    found = np.load(target / "val_images.npy")
    pictures = [Image.open(project / "raw" / "images" / f"{number}.png") for number in range(15, 25)]
    np.testing.assert_allclose(found, encoders.make(encoder.split("+")[0], "image").encode(pictures), atol=1e-5)


def test_a_store_stands_where_its_model_is_not(zoo: Path, project: Path) -> None:
    """As on a second machine that pulled the features; where the model is there and differs, they are made again."""
    folder = Path(shutil.copytree(zoo / "vit", project / "model"))
    made = features.make("my", "hf:./model+ngrams")
    assert made == Path("features/my/hf:.--model+ngrams")
    away = folder.rename(project / "away")
    assert features.make("my", "hf:./model+ngrams", progress=lambda *report: pytest.fail("made again")) == made
    away.rename(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor(resample=2)))
    before = contents(made)
    features.make("my", "hf:./model+ngrams")
    assert contents(made)["train_images.npy"] != before["train_images.npy"]


def test_from_the_command_line(zoo: Path, project: Path) -> None:

    Path("clip").symlink_to(zoo / "clip")
    asked = ["features", "--dataset", "my", "--encoder", "hf:./clip+hf:./clip:mean", "--batch", "4", "--workers", "2"]
    done = bench(*asked)
    assert done.exit_code == 0, done.output
    assert done.stdout == "features/my/hf:.--clip+hf:.--clip:mean\n"
    done = bench(*asked, "--device", "nowhere", "--force")
    assert done.exit_code == 2
    assert "device 'nowhere' cannot be used" in done.stderr
    cell = ["run", "--method", "sum", "--dataset", "my", "--epochs", "2", "--batch", "4", "--memory", "8"]
    trained = bench(*cell, "--encoder", "hf:./clip+hf:./clip:mean")
    assert trained.exit_code == 0, trained.output
    (record,) = Path("runs/my").rglob("run.json")
    assert record.parent.parent.name == "sum+epochs=2+batch=4+memory=8+encoder=hf:.--clip+hf:.--clip:mean"
