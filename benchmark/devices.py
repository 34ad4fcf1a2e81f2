"""The device of a training: whether it can be used, and what it is."""

import os
import platform

import torch

from benchmark.errors import BenchError


def check(device: str) -> None:
    """``BenchError`` where torch cannot use ``device``; call it before anything runs there."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products on CUDA need it
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise BenchError(f"device '{device}' cannot be used here; cpu always can") from None


def name(device: str) -> str:
    """Model of a GPU, or the machine's architecture."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine() or device
