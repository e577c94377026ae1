"""What the rates are measured on: one ResNet-20 with random weights, random 28x28 colour images, sigma 0.5."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.data import ImageSet
from smoothcert.models import Classifier
from smoothcert.models.resnet import build

SIGMA, ALPHA, N0, N, CLASSES, IMAGES = 0.5, 0.001, 100, 10_000, 8, 64


def classifier() -> Classifier:
    torch.manual_seed(0)
    module = build("resnet20", CLASSES, 3).eval()
    return Classifier(module, CLASSES, (3, 28, 28), (0.5,) * 3, (0.5,) * 3, "", "resnet20", True, "resnet20", SIGMA)


def images() -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, 28, 28, 3), dtype=np.uint8)
    names = tuple(str(c) for c in range(CLASSES))
    return ImageSet("random", pixels, rng.integers(0, CLASSES, IMAGES), class_names=names)


class Normalised(nn.Module):
    """The classifier behind a normalising layer, as in the published code: [0, 1] images in."""

    mean: Tensor
    std: Tensor

    def __init__(self, base: Classifier) -> None:
        super().__init__()
        self.module = base.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(base.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(base.std).view(-1, 1, 1))

    def forward(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.module((batch - self.mean) / self.std)
        return logits


def whole_images(samples: int) -> tuple[int, int]:
    """Return how many images of how many estimation samples come nearest to a number of samples."""
    n = min(N, samples)
    return max(1, round(samples / (N0 + n))), n


def to_float(images: ImageSet, count: int) -> Tensor:
    """Return `count` images as float32 (count, C, H, W) in [0, 1], from the first on, round and round."""
    pixels = np.stack([images.pixels(i % len(images)) for i in range(count)])
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(images.levels))
