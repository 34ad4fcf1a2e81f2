"""From stored pixels to what a network takes: augmentation on the device, size, normalisation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, interpolate

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.base import Range, Source, Tower, TowerSettings, setting

ASPECT = math.log(4 / 3)
"""Of a random crop, at the most either way."""
GREY = (0.299, 0.587, 0.114)
LEVELS = 10
"""Of RandAugment's magnitude."""


@dataclass(frozen=True)
class PixelSettings(TowerSettings):
    """What every tower on pixels has."""

    size: int = setting(0, "Side of the pictures in pixels; 0: as stored.", low=0, high=4096)
    crop: float = setting(
        1.0,
        "Smallest share that a random crop leaves; 1: none.",
        low=0.05,
        high=1,
        search=Range(0.3, 1),
    )
    flip: bool = setting(False, "Whether half of the pictures are mirrored.")
    randaugment: int = setting(0, "Random changes to each picture, one after the other.", low=0, high=10)
    magnitude: int = setting(7, f"How strong these are, 0 to {LEVELS}.", low=0, high=LEVELS)


class PixelTower(Tower):
    """A network on normalised pixels, and a linear map of what it gives; no tower by itself."""

    Settings = PixelSettings
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    deviation: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, PixelSettings)
        self.looks = settings
        self.norms: list[nn.Module] = []
        """Layers of batch normalisation that stay as they are."""
        if source.shape[-1] < settings.size:
            raise BenchError(
                f"image.size: {settings.size} is more than the {source.shape[-1]} of the store; use an encoder such as"
                f" pixels:{settings.size}+texts"
            )

    def freeze_norms(self) -> None:
        """Keep statistics and scales of batch normalisation as they are, in training too."""
        self.norms = [part for part in self.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        for part in self.norms:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "PixelTower":
        super().train(mode)
        for part in self.norms:
            part.eval()
        return self

    @torch.no_grad()
    def augmented(self, items: Tensor) -> Tensor:
        return augmented(items, self.looks)

    def normalised(self, items: Tensor) -> Tensor:
        """``[B, 3, H, W]`` uint8 to numbers, at the tower's size."""
        pixels = items.float() / 255
        size = self.looks.size
        if size and size != items.shape[-1]:
            pixels = interpolate(pixels, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        constants = [pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.deviation)]
        return (pixels - constants[0]) / constants[1]


def augmented(pixels: Tensor, settings: PixelSettings) -> Tensor:
    """A random crop, mirroring and RandAugment of ``[B, 3, H, W]`` uint8, each picture by itself; the same size.

    What moves pixels is one map for each picture, sampled once; what changes colours comes after.
    E. D. Cubuk et al. (2020), RandAugment, NeurIPS.
    """
    moved = settings.crop < 1 or settings.flip
    if not moved and not settings.randaugment:
        return pixels
    count, device = len(pixels), pixels.device
    theta = torch.eye(3, device=device).repeat(count, 1, 1)
    if settings.crop < 1:
        theta = theta @ crops(count, settings.crop, device)
    if settings.flip:
        theta[:, :, 0] *= 1 - 2 * torch.randint(0, 2, (count, 1), device=device)
    chosen = [torch.randint(0, len(MOVES) + len(COLOURS), (count,), device=device) for _ in range(settings.randaugment)]
    strength = settings.magnitude / LEVELS
    signs = [1.0 - 2 * torch.randint(0, 2, (count,), device=device) for _ in chosen]
    for choice, sign in zip(chosen, signs, strict=True):
        for number, move in enumerate(MOVES):
            change = move(sign * strength * (choice == number))
            theta = theta @ change
    image = pixels.float() / 255
    if moved or settings.randaugment:
        grid = affine_grid(theta[:, :2], list(image.shape), align_corners=False)
        image = grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    for choice, sign in zip(chosen, signs, strict=True):
        for number, colour in enumerate(COLOURS, start=len(MOVES)):
            image = torch.where((choice == number)[:, None, None, None], colour(image, sign * strength), image)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def crops(count: int, smallest: float, device: torch.device) -> Tensor:
    """Maps ``[count, 3, 3]`` onto random parts of at least this share of a picture, of an aspect of 3:4 to 4:3."""
    share, aspect, across, down = torch.rand(4, count, device=device)
    area = smallest + (1 - smallest) * share
    ratio = torch.exp((2 * aspect - 1) * ASPECT)
    width, height = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    theta = torch.zeros(count, 3, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, 2, 2] = width, height, 1
    theta[:, 0, 2], theta[:, 1, 2] = (2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)
    return theta


def _at(strength: Tensor, row: int, column: int, most: float) -> Tensor:
    theta = torch.eye(3, device=strength.device).repeat(len(strength), 1, 1)
    theta[:, row, column] += strength * most
    return theta


def _turn(strength: Tensor) -> Tensor:
    angle = strength * math.radians(30)
    theta = torch.eye(3, device=strength.device).repeat(len(strength), 1, 1)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -angle.sin(), angle.sin()
    return theta


MOVES: Sequence[Callable[[Tensor], Tensor]] = (
    lambda strength: _at(strength, 0, 1, 0.3),  # shear
    lambda strength: _at(strength, 1, 0, 0.3),
    lambda strength: _at(strength, 0, 2, 0.9),  # shift by up to 45 % of the side
    lambda strength: _at(strength, 1, 2, 0.9),
    _turn,
)
"""Strengths ``[B]`` in -1 .. 1 to maps ``[B, 3, 3]``; 0 leaves a picture as it is."""


def _blend(image: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    return other + (image - other) * (1 + 0.9 * strength)[:, None, None, None]


def _grey(image: Tensor) -> Tensor:
    return (image * image.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)


def _contrast(image: Tensor, strength: Tensor) -> Tensor:
    return _blend(image, _grey(image).mean(dim=(1, 2, 3), keepdim=True), strength)


def _stretch(image: Tensor, strength: Tensor) -> Tensor:
    low, high = image.amin(dim=(2, 3), keepdim=True), image.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (image - low) / (high - low).clamp_min(1 / 255), image)


def _sharpness(image: Tensor, strength: Tensor) -> Tensor:
    kernel = image.new_ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    smooth = torch.nn.functional.conv2d(image, kernel / 13, padding=1, groups=3)
    return _blend(image, smooth, strength)


def _posterise(image: Tensor, strength: Tensor) -> Tensor:
    steps = 2 ** (8 - (strength.abs() * 4).round())[:, None, None, None]
    return (image * 255 * steps / 256).floor() * 256 / steps / 255


def _equalise(image: Tensor, strength: Tensor) -> Tensor:
    """Each channel's values by their share of smaller ones."""
    values = (image * 255).round().clamp(0, 255).long().flatten(2)
    counts = torch.zeros(*values.shape[:2], 256, device=image.device).scatter_add_(
        2, values, torch.ones_like(values, dtype=image.dtype)
    )
    below = counts.cumsum(dim=2) - counts
    return (below.gather(2, values) / (values.shape[2] - 1)).clamp(0, 1).view_as(image)


COLOURS: Sequence[Callable[[Tensor, Tensor], Tensor]] = (
    lambda image, strength: _blend(image, torch.zeros_like(image), strength),  # brightness
    lambda image, strength: _blend(image, _grey(image), strength),  # saturation
    _contrast,
    _sharpness,
    _posterise,
    lambda image, strength: torch.where(image > 1 - strength.abs()[:, None, None, None], 1 - image, image),  # solarise
    _stretch,
    _equalise,
)
"""``[B, 3, H, W]`` in 0 .. 1 and strengths ``[B]`` to other colours."""
