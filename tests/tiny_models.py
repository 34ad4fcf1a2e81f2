"""Models of transformers, tiny and random, each in a folder as ``save_pretrained`` leaves it; for the extra ``hf``."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerFast

TEXTS = ["a dog runs .", "two men with a red ball and a blue cat", "the cat sits on the grass", "snow", "dog dog " * 20]
WORDS = sorted(set(" ".join(TEXTS).split()))
SIDE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
VISION: dict[str, Any] = {**SIDE, "image_size": 32, "patch_size": 8}
SPECIAL = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1}
TEXT: dict[str, Any] = {**SIDE, **SPECIAL, "vocab_size": len(WORDS) + 5, "max_position_embeddings": 20}


def tokenizer(longest: int) -> PreTrainedTokenizerFast:
    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {word: number for number, word in enumerate([*special, *WORDS])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("unk_token", "pad_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=longest, **names)  # type: ignore[no-untyped-call]


def processor(**changes: Any) -> dict[str, Any]:
    """``preprocessor_config.json`` of a ViT, odd on purpose: no usual size, mean or deviation."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        **changes,
    }


CROPPED = processor(
    image_processor_type="CLIPImageProcessor",
    size={"shortest_edge": 40},
    do_center_crop=True,
    crop_size={"height": 32, "width": 32},
    do_convert_rgb=True,
)


def configs() -> dict[str, tuple[Any, dict[str, Any] | None]]:
    clip: dict[str, Any] = {"text_config": TEXT, "vision_config": VISION, "projection_dim": 12}
    siglip: dict[str, Any] = {"text_config": {**TEXT, "projection_size": 16}, "vision_config": VISION}
    return {
        "vit": (hf.ViTConfig(**VISION), processor()),
        "dinov2": (hf.Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=8), CROPPED),
        "clip": (hf.CLIPConfig(**clip), CROPPED),
        "siglip": (
            hf.SiglipConfig(**siglip),
            processor(image_processor_type="SiglipImageProcessor", size={"height": 32, "width": 32}),
        ),
        "bert": (hf.BertConfig(**TEXT), None),
        "mpnet": (hf.MPNetConfig(**TEXT), None),
    }


def make_zoo(root: Path) -> None:
    """A folder per model."""
    torch.manual_seed(0)
    for name, (config, pictures) in configs().items():
        net = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for weights in net.parameters():  # as made, all items would come out nearly the same
                weights += 0.5 * torch.randn_like(weights)
        net.save_pretrained(root / name)
        if pictures:
            (root / name / "preprocessor_config.json").write_text(json.dumps(pictures))
        if name in ("clip", "siglip", "bert", "mpnet"):
            tokenizer(16).save_pretrained(root / name)
