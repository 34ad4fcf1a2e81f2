"""What an evaluation costs, beside the one product of all images and captions that it cannot do without."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from negbench.benchmark.evaluation.ranks import BLOCK, ranks
from negbench.benchmark.training.peak_memory import peak_mb


def measure(images: int, captions: int, dim: int, threads: int, repeats: int) -> dict[str, Any]:
    """Time :func:`ranks` and the bare product on random normalised float32 features, on the CPU.

    The two take turns, and the best of the repeats counts, so that other load on the machine hits both.

    Returns:
        ``step_ms`` (ranks of all queries), ``product_ms`` (the bare product), their ``ratio``, ``peak_mb``
        (largest resident memory of the whole process so far, in MiB, features included), and the arguments.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        random = torch.Generator().manual_seed(0)
        image_features = features(images, dim, random)
        caption_features = features(captions, dim, random)
        caption_image = torch.arange(captions) * images // captions
        steps, products = [], []
        for _ in range(repeats):
            products.append(seconds(lambda: bare_product(image_features, caption_features)))
            steps.append(seconds(lambda: ranks(image_features, caption_features, caption_image)))
    finally:
        torch.set_num_threads(before)
    step, product = min(steps), min(products)
    return {
        "step_ms": 1000 * step,
        "product_ms": 1000 * product,
        "ratio": step / product,
        "peak_mb": peak_mb(),
        "images": images,
        "captions": captions,
        "dim": dim,
        "threads": threads,
    }


def features(rows: int, dim: int, random: torch.Generator) -> Tensor:
    """``[rows, dim]`` random rows of length 1."""
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=random), dim=1)


def bare_product(images: Tensor, captions: Tensor, block: int = BLOCK) -> None:
    """``images @ captions.T`` in blocks that are thrown away."""
    buffer = images.new_empty(block, block)
    for row in range(0, len(images), block):
        top = images[row : row + block]
        for column in range(0, len(captions), block):
            left = captions[column : column + block]
            torch.mm(top, left.T, out=buffer[: len(top), : len(left)])


def seconds(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = perf_counter()
    call()
    return perf_counter() - start
