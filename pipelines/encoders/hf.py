"""Vision and text models of ``transformers``, by hub name or local folder: ``hf:google/vit-base-patch16-224``.

Size, resampling, crop and normalisation of pictures are those of the model's own processor, as PIL does them.
Poolings: ``projected``, what a two-tower model (CLIP, SigLIP) compares, and the default there; ``cls``, the first
token, the default for pictures; ``mean``, over real tokens or over the patches, the default for texts; ``pooler``, the
model's own. Vectors are not normalised. Weights are read from safetensors only, and code from a hub is never run.

Source: T. Wolf et al. (2020), Transformers: State-of-the-Art Natural Language Processing, EMNLP (demonstrations).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines import hub
from negbench.pipelines.encoders import Card, Device, Encoder, EncoderKind, Example, Model, in_chunks
from negbench.pipelines.errors import RequestError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

EXTRA = "hf"
PACKAGE = "transformers"
EXAMPLES = [
    Example("google/vit-base-patch16-224", "image", 768, "Apache-2.0"),
    Example("facebook/dinov2-base", "image", 768, "Apache-2.0"),
    Example("openai/clip-vit-base-patch32", "image, text", 512, "MIT"),
    Example("google/siglip-base-patch16-224", "image, text", 768, "Apache-2.0"),
    Example("google-bert/bert-base-uncased", "text", 768, "Apache-2.0"),
    Example("sentence-transformers/all-mpnet-base-v2", "text", 768, "Apache-2.0"),
]
VERSION = "1"  # of this file
CPU_PICTURES = 16
CPU_TEXTS = 32
GPU_TEXTS = 256
PAD_FIRST = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Types of models whose positions are counted from the one after the padding token's number."""
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Files of a tokenizer, any of which will do."""


def describe(model: Model, kind: EncoderKind) -> Card:
    """Reads the model's configuration, from the hub where it is not on this machine yet."""
    folder = hub.fetch("hf", model)
    config = _config(folder, model)
    pooling = _pooling(model, kind, config)
    _check_kind(folder, model, kind, config)
    return Card(
        revision=_revision(model, folder, pooling),
        dim=dim_of(config, kind, pooling),
        load=lambda device: (PictureEncoder if kind == "image" else TextEncoder)(model, folder, pooling, device),
        devices=True,
    )


def revision(model: Model, kind: EncoderKind) -> str | None:
    """Without the network: None where the model is not here."""
    folder = hub.here(model)
    if folder is None:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        return None
    two = {"text_config", "vision_config"} <= set(config)
    return _revision(model, folder, model.pooling or _default(kind, two))


class _Net(Encoder):
    """A model of a folder, on a device."""

    extra = EXTRA

    def __init__(self, model: Model, folder: Path, pooling: str, device: Device) -> None:
        import torch

        self.name = f"hf:{model.name}"
        self.pooling = pooling
        self._device = device
        self._dtype: Any = getattr(torch, device.precision)
        self._net = network(folder, f"encoder '{self.name}'", pooling)
        self._net.eval().to(device=device.name, dtype=self._dtype)
        self._config = self._net.config
        self.dim = dim_of(self._config, self.kind, pooling)
        self.revision = _revision(model, folder, pooling)

    def _tower(self, inputs: dict[str, "Tensor"], tower: str) -> Any:
        """What a tower of a two-tower model gives, or the whole of another model."""
        if self.pooling == "projected":
            found = getattr(self._net, {"text": "get_text_features", "vision": "get_image_features"}[tower])(**inputs)
            return getattr(found, "pooler_output", found)
        net = getattr(self._net, f"{tower}_model") if _is_two(self._config) else self._net
        return net(**inputs)

    def _pooler(self, output: Any) -> "Tensor":
        found: Tensor | None = getattr(output, "pooler_output", None)
        if found is None:
            raise RequestError(f"encoder '{self.name}' has no pooler; use :cls or :mean")
        return found.flatten(1)


class PictureEncoder(_Net):
    """Pictures to ``[n, dim]``."""

    kind: EncoderKind = "image"

    def __init__(self, model: Model, folder: Path, pooling: str, device: Device) -> None:
        from transformers import AutoImageProcessor

        super().__init__(model, folder, pooling, device)
        self._process = quietly(
            f"encoder '{self.name}'",
            lambda: AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, backend="pil"
            ),
        )

    def prepare(self, item: "Image.Image") -> NDArray[np.float32]:
        """``[3, H, W]``."""
        return np.asarray(self._process(item, return_tensors="np")["pixel_values"][0], dtype=np.float32)

    def forward(self, prepared: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        def vectors(some: list[NDArray[np.float32]]) -> "Tensor":
            return self._pooled(torch.from_numpy(np.stack(some)).to(device=self._device.name, dtype=self._dtype))

        return in_chunks(prepared, CPU_PICTURES if self._device.name == "cpu" else len(prepared), self.dim, vectors)

    def _pooled(self, pixels: "Tensor") -> "Tensor":
        output = self._tower({"pixel_values": pixels}, "vision")
        if self.pooling == "projected":
            return output  # type: ignore[no-any-return]
        if self.pooling == "pooler":
            return self._pooler(output)
        tokens: Tensor = output.last_hidden_state.float()
        if tokens.ndim == 4:  # a convolutional network's map
            tokens = tokens.flatten(2).mT
        before = tokens.shape[1] - self._patches(pixels, output)
        if self.pooling == "mean":
            return tokens[:, before:].mean(1)
        if before == 0:
            raise RequestError(f"encoder '{self.name}' has no cls token; use :mean or :pooler")
        return tokens[:, 0]

    def _patches(self, pixels: "Tensor", output: Any) -> int:
        """How many of the tokens stand for a place of the picture."""
        if output.last_hidden_state.ndim == 4:
            return int(output.last_hidden_state[0, 0].numel())
        size = getattr(self._config, "vision_config", self._config).patch_size
        height, width = (size, size) if isinstance(size, int) else size
        return (pixels.shape[2] // height) * (pixels.shape[3] // width)


class TextEncoder(_Net):
    """Texts to ``[n, dim]``; longer ones are cut at what the model was made for."""

    kind: EncoderKind = "text"

    def __init__(self, model: Model, folder: Path, pooling: str, device: Device) -> None:
        super().__init__(model, folder, pooling, device)
        self._tokenizer, self._longest = tokenizer_of(folder, f"encoder '{self.name}'", self._config)

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        def vectors(some: list[str]) -> "Tensor":
            tokens = self._tokenizer(
                some,
                # SigLIP was trained on full lines of padding, without a mask.
                padding="max_length" if self._config.model_type.startswith("siglip") else True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            )
            return self._pooled(tokens.to(self._device.name))

        step = CPU_TEXTS if self._device.name == "cpu" else GPU_TEXTS
        order = np.argsort([len(item) for item in prepared], kind="stable")  # texts of a chunk need little padding
        out = np.empty((len(prepared), self.dim), dtype=np.float32)
        out[order] = in_chunks([prepared[row] for row in order], step, self.dim, vectors)
        return out

    def _pooled(self, tokens: Any) -> "Tensor":
        output = self._tower(dict(tokens), "text")
        if self.pooling == "projected":
            return output  # type: ignore[no-any-return]
        if self.pooling == "pooler":
            return self._pooler(output)
        vectors: Tensor = output.last_hidden_state.float()
        if self.pooling == "cls":
            return vectors[:, 0]
        real = tokens["attention_mask"] if "attention_mask" in tokens else vectors.new_ones(vectors.shape[:2])
        return (vectors * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True)


def network(folder: Path, name: str, pooling: str) -> Any:
    """The model of a folder, from safetensors alone; ``RequestError`` where it lacks weights that ``pooling`` needs."""
    from transformers import AutoModel

    net, info = quietly(
        name,
        lambda: AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        ),
    )
    missing = sorted(key for key in info["missing_keys"] if pooling == "pooler" or "pooler" not in key)
    if missing:  # transformers would fill them with random numbers
        raise RequestError(f"{name}: its weights lack {missing[0]}, needed for '{pooling}'")
    return net


def tokenizer_of(folder: Path, name: str, config: Any) -> tuple[Any, int]:
    """A folder's tokenizer, and how many tokens its network takes."""
    from transformers import AutoTokenizer

    if not any((folder / file).exists() for file in TOKENIZERS):  # transformers would make one that knows no word
        raise RequestError(f"{name}: {folder} has no tokenizer ({', '.join(TOKENIZERS)})")
    found = quietly(name, lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True))
    if found.pad_token is None:
        raise RequestError(f"{name}: its tokenizer has no padding token")
    return found, _longest(config, found)


def quietly(name: str, read: Callable[[], Any]) -> Any:
    """What ``read`` gives, without bars; one line, about ``name``, where transformers cannot read it."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return read()
    except ModuleNotFoundError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        first = lines[0] if not lines[0].endswith(":") else " ".join(lines[:2])
        raise RequestError(f"{name} cannot be read: {first}") from None
    finally:
        logging.set_verbosity(level)


def _config(folder: Path, model: Model) -> Any:
    from transformers import AutoConfig

    name = f"encoder 'hf:{model.name}'"
    return quietly(name, lambda: AutoConfig.from_pretrained(folder, local_files_only=True))


def _is_two(config: Any) -> bool:
    return hasattr(config, "text_config") and hasattr(config, "vision_config")


def _default(kind: EncoderKind, two: bool) -> str:
    return "projected" if two else "cls" if kind == "image" else "mean"


def _pooling(model: Model, kind: EncoderKind, config: Any) -> str:
    pooling = model.pooling or _default(kind, _is_two(config))
    if pooling == "projected" and not _is_two(config):
        raise RequestError(f"encoder 'hf:{model.name}' has no joint space to project to; use :cls, :mean or :pooler")
    return pooling


def _check_kind(folder: Path, model: Model, kind: EncoderKind, config: Any) -> None:
    processors = ("preprocessor_config.json", "processor_config.json")
    if kind == "image" and not any((folder / name).exists() for name in processors):
        raise RequestError(f"encoder 'hf:{model.name}' encodes no images: it has no {processors[0]}")
    if kind == "text" and not hasattr(getattr(config, "text_config", config), "vocab_size"):
        raise RequestError(f"encoder 'hf:{model.name}' encodes no texts: its config.json has no vocab_size")


def dim_of(config: Any, kind: EncoderKind, pooling: str) -> int:
    tower = getattr(config, {"image": "vision_config", "text": "text_config"}[kind], config)
    if pooling == "projected":
        own = getattr(config, "projection_dim", None) or (kind == "text" and getattr(tower, "projection_size", None))
        return int(own or tower.hidden_size)
    return int(tower.hidden_sizes[-1] if hasattr(tower, "hidden_sizes") else tower.hidden_size)


def _revision(model: Model, folder: Path, pooling: str) -> str:
    return f"{hub.content(model, folder)}-{pooling}-{VERSION}"


def _longest(config: Any, tokenizer: Any) -> int:
    """Tokens that a text may have."""
    text = getattr(config, "text_config", config)
    places = getattr(text, "max_position_embeddings", None) or tokenizer.model_max_length
    if config.model_type in PAD_FIRST:
        places -= tokenizer.pad_token_id + 1
    return min(int(places), int(tokenizer.model_max_length))
