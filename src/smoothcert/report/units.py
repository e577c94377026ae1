"""An L2 radius in grey levels, for images of a given shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

GREY = 255
PATCH = 20


@dataclass(frozen=True)
class Units:
    """One L2 radius for images of d = C H W values, in grey levels of 255.

    Attributes:
        radius: r, in units of the [0, 1] range.
        rms: root mean square per value, which is also the largest uniform brightness shift inside r.
        patch: amplitude by which a patch of 20x20 pixels may change in all channels; None if images are smaller.
        one_level: L2 norm of a uniform shift by one grey level.
    """

    radius: float
    rms: float
    patch: float | None
    one_level: float


def units(radius: float, shape: tuple[int, int, int]) -> Units:
    """Express an L2 radius in grey levels.

    Args:
        radius: r >= 0, in units of the [0, 1] range.
        shape: (C, H, W) of one image.

    >>> found = units(0.5, (3, 224, 224))
    >>> round(found.rms, 3), round(found.one_level, 2)
    (0.329, 1.52)
    """
    channels, height, width = shape
    values = channels * height * width
    fits = height >= PATCH and width >= PATCH
    patch = radius * GREY / math.sqrt(channels * PATCH * PATCH) if fits else None
    return Units(radius, radius * GREY / math.sqrt(values), patch, math.sqrt(values) / GREY)
