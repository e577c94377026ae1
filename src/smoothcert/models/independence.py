"""Whether the output for an image depends on chance, on the other images of its batch, or on earlier batches.

Every vote must be a function of one noise sample alone; otherwise votes are not independent, and no bound holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

SCORES, PIXELS = 0.01, 0.001
"""Largest difference that arithmetic can explain, as a share of the range of the output: of a score, and the root mean
square of an image."""

Dependence = Literal["chance", "others"]


def noise_like(images: Tensor, sigma: float | Tensor) -> Tensor:
    """Return Gaussian noise for images (n, C, H, W), the same in every call; sigma in units of the images."""
    drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    return sigma * drawn.to(images.device, images.dtype)


def dependence(run: Callable[[Tensor], Tensor], clean: Tensor, noise: Tensor) -> Dependence | None:
    """Return on what the outputs for images depend besides the images themselves, or None.

    The images are applied twice, then among as many others and at other places of the batch, and once more by
    themselves. The others are zeros, larger values, images without noise, and noise without images, so that sums,
    norms and extremes over the batch differ in all of them.

    Args:
        run: maps float (n, C, H, W) to scores (n, classes) or images (n, C, H, W).
        clean: images (m, C, H, W), as `run` takes them.
        noise: their noise, in the same units.
    """
    images = torch.cat([clean, clean + noise])
    count = len(images)
    alone = run(images.clone())  # a module may change its input in place
    if apart(alone, run(images.clone())):
        return "chance"
    others = (torch.zeros_like(images), 3 * images, torch.cat([clean, clean]), 3 * torch.cat([noise, -noise]))
    for place, other in enumerate(others):
        batch = [images, other] if place % 2 == 0 else [other, images]
        found = run(torch.cat(batch))
        if apart(alone, found[:count] if place % 2 == 0 else found[-count:]):
            return "others"
    return "others" if apart(alone, run(images.clone())) else None


def apart(one: Tensor, other: Tensor) -> bool:
    """Return whether two outputs differ by more than arithmetic can explain; NaN always differs.

    Args:
        one: scores (n, classes) or images (n, C, H, W).
        other: likewise.

    >>> apart(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.001]]))
    False
    >>> apart(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, float("nan")]]))
    True
    """
    if one.shape != other.shape:
        return True
    span, difference = max(float(one.max() - one.min()), 1e-6), (one - other).float()
    if one.ndim == 2:
        return not bool(difference.abs().max() <= SCORES * span)
    return not bool(difference.square().flatten(1).mean(1).sqrt().max() <= PIXELS * span)
