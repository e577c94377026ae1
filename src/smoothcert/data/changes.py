"""How far simple changes of an image move it in L2: what a radius means for these images."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]
GREY_LEVEL = 1 / 255
JPEG_QUALITY = 90


def brightness(image: Image) -> Image:
    """Brighter by one of 255 grey levels, clipped to [0, 1]."""
    return np.clip(image + GREY_LEVEL, 0, 1)


def contrast(image: Image) -> Image:
    """2 % more contrast around the image's own mean, clipped to [0, 1]."""
    mean = float(image.mean())
    return np.clip(mean + 1.02 * (image - mean), 0, 1)


def translation(image: Image) -> Image:
    """One pixel to the right, the left edge repeated."""
    return np.concatenate([image[:, :, :1], image[:, :, :-1]], axis=2)


def rotation(image: Image) -> Image:
    """Turned by 1 degree, bilinear, edges repeated."""
    from scipy.ndimage import rotate

    turned: Image = rotate(image, 1.0, axes=(1, 2), reshape=False, order=1, mode="nearest")
    return np.clip(turned, 0, 1)


def jpeg(image: Image) -> Image:
    """Stored as JPEG of quality 90 and read again; the colour or grey channels are rounded to 8 bits first."""
    from PIL import Image as Pillow

    pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
    stored = io.BytesIO()
    Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(stored, "JPEG", quality=JPEG_QUALITY)
    back = np.asarray(Pillow.open(stored), dtype=np.float64).reshape(pixels.shape)
    return back.transpose(2, 0, 1) / 255


def rounding(image: Image) -> Image:
    """Rounded to 8 bits; nothing changes in an image that has 8."""
    return np.rint(image * 255) / 255


CHANGES: dict[str, Callable[[Image], Image]] = {
    "brightness, one grey level of 255": brightness,
    "contrast, 2 %": contrast,
    "translation, one pixel": translation,
    "rotation, 1 degree": rotation,
    f"JPEG, quality {JPEG_QUALITY}": jpeg,
    "rounding to 8 bits": rounding,
}


def change_norms(pixels: NDArray[np.integer[Any]], levels: int) -> dict[str, float]:
    """Measure each change of one image.

    Args:
        pixels: integers (C, H, W), 0..levels, C 1 or 3.
        levels: the grey value that stands for 1.

    Returns:
        L2 norm of the difference, in units of the [0, 1] range, by the name of the change (`CHANGES`).

    >>> round(change_norms(np.full((1, 28, 28), 100), 255)["brightness, one grey level of 255"], 4)
    0.1098
    """
    image = pixels.astype(np.float64) / levels
    return {name: float(np.linalg.norm(change(image) - image)) for name, change in CHANGES.items()}
