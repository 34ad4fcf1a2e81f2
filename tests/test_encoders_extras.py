"""timm and open_clip, where they are installed: tiny random models in a folder, vectors as plain calls give them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from negbench.pipelines import encoders
from negbench.pipelines.errors import RequestError
from tiny_networks import make_clip, make_timm

TEXTS = ["a dog runs .", "two men with a red ball", "snow"]


def photos() -> list[Image.Image]:
    lot = np.random.default_rng(0)
    small = [lot.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(20)]
    return [Image.fromarray(some).resize((40 + number, 60)) for number, some in enumerate(small)]


@pytest.fixture(scope="module")
def timm_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("timm", reason="extra [timm] is not installed")
    folder = tmp_path_factory.mktemp("timm")
    make_timm(folder)
    return folder


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("open_clip", reason="extra [open-clip] is not installed")
    folder = tmp_path_factory.mktemp("clip")
    make_clip(folder)
    return folder


def pixels(picture: Image.Image, short: int) -> torch.Tensor:
    """The shortest edge to ``short``, the middle 32 x 32, normalised."""
    width, height = picture.size
    least = min(width, height)
    picture = picture.resize((int(short * width / least), int(short * height / least)), Image.Resampling.BICUBIC)
    left, top = round((picture.width - 32) / 2), round((picture.height - 32) / 2)
    values = np.asarray(picture.crop((left, top, left + 32, top + 32)), dtype=np.float64) / 255
    values = (values - np.array([0.1, 0.2, 0.3])) / np.array([0.4, 0.5, 0.6])
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]


def test_timm_one_by_one(timm_model: Path) -> None:
    import timm

    encoder = encoders.make(f"timm:{timm_model}", "image")
    found = encoder.encode(photos())
    assert found.shape == (20, encoder.dim) == (20, 16)
    net: Any = timm.create_model(f"local-dir:{timm_model}", pretrained=True, num_classes=0).eval()
    with torch.no_grad():
        for row, picture in zip(found, photos(), strict=True):
            (expected,) = net.forward_features(pixels(picture, 40))[:, 0]  # 32 / 0.8
            np.testing.assert_allclose(row, expected.numpy(), atol=2e-3)
    assert found.std(axis=0).mean() > 0.01


def test_open_clip_one_by_one(clip_model: Path) -> None:
    import open_clip

    net: Any = open_clip.create_model(f"local-dir:{clip_model}").eval()
    image = encoders.make(f"open-clip:{clip_model}", "image").encode(photos())
    text = encoders.make(f"open_clip:{clip_model}", "text").encode(TEXTS)
    assert image.shape == (20, 12)
    assert text.shape == (3, 12)
    tokens = open_clip.get_tokenizer(f"local-dir:{clip_model}")
    with torch.no_grad():
        for row, picture in zip(image, photos(), strict=True):
            (expected,) = net.encode_image(pixels(picture, 32))
            np.testing.assert_allclose(row, expected.numpy(), atol=5e-3)
        for row, sentence in zip(text, TEXTS, strict=True):
            (expected,) = net.encode_text(tokens([sentence]))
            np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


def test_half_precision(timm_model: Path, clip_model: Path) -> None:
    for name in (f"timm:{timm_model}", f"open-clip:{clip_model}"):
        near = encoders.make(name, "image", encoders.Device("cpu", "bfloat16")).encode(photos())
        np.testing.assert_allclose(near, encoders.make(name, "image").encode(photos()), atol=0.2)


def folder_with(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


FAULTS = [
    ("timm", "text", {}, "encodes images, not texts"),
    ("timm", "image", {}, "has no config.json"),
    ("timm", "image", {"config.json": "{}", "pytorch_model.bin": ""}, "no complete safetensors weights"),
    ("timm", "image", {"config.json": "{}", "model.safetensors": ""}, "is none of timm: no num_features"),
    ("open-clip", "image", {}, "has no open_clip_config.json"),
    ("open-clip", "text", {"open_clip_config.json": "{}"}, "no complete safetensors weights"),
    ("open-clip", "text", {"open_clip_config.json": "{}", "open_clip_model.safetensors": ""}, "has no embed_dim"),
]


@pytest.mark.parametrize("family, kind, files, said", FAULTS)
def test_what_cannot_be_used_is_one_line(
    tmp_path: Path, family: str, kind: Any, files: dict[str, str], said: str
) -> None:
    """Told from the files alone, whether the package is installed or not."""
    folder = folder_with(tmp_path, files)
    with pytest.raises(RequestError, match=said) as error:
        encoders.card(f"{family}:{folder}", kind)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family, package, extra", [("timm", "timm", "timm"), ("open-clip", "open_clip", "open-clip")])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, package: str, extra: str
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    texts = {"config.json": '{"num_features": 8}', "open_clip_config.json": '{"model_cfg": {"embed_dim": 8}}'}
    files = {**texts, "model.safetensors": "", "open_clip_model.safetensors": ""}
    name = f"{family}:{folder_with(tmp_path, files)}"
    assert encoders.card(name, "image").dim == 8  # told without the package
    with pytest.raises(RequestError, match=rf"needs the package '{package}'; run: pip install 'negbench\[{extra}\]'"):
        encoders.make(name, "image")


def test_an_unknown_pooling_of_a_family(tmp_path: Path) -> None:
    for family, only in (("timm", "only its own"), ("open-clip", "only 'projected'")):
        with pytest.raises(RequestError, match=only):
            encoders.card(f"{family}:{tmp_path}:cls", "image")
