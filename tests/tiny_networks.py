"""Models of timm and open_clip, tiny and random, in a folder; for the extras of these names."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def make_timm(folder: Path) -> None:
    """A ViT of 16 channels for pictures of 32 pixels."""
    import timm

    torch.manual_seed(0)
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    net = timm.create_model("vit_tiny_patch16_224", **size, num_classes=3)
    save_file(net.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "num_features": 16,
        "model_args": size,
        "pretrained_cfg": {
            "num_classes": 3,
            "input_size": [3, 32, 32],
            "crop_pct": 0.8,
            "mean": [0.1, 0.2, 0.3],
            "std": [0.4, 0.5, 0.6],
            "interpolation": "bicubic",
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))


def make_clip(folder: Path) -> None:
    """Two towers into 12 dimensions, for pictures of 32 pixels."""
    import open_clip

    torch.manual_seed(0)
    model = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    net = open_clip.CLIP(**model)
    save_file(net.state_dict(), folder / "open_clip_model.safetensors")
    look = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": look}))
