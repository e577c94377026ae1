"""Resizing and cropping, before noise: images come out on the grid they came on."""

from __future__ import annotations

import numpy as np

from smoothcert.data.checks import Pixels
from smoothcert.data.options import DataOptions
from smoothcert.data.stored import RefusedError

LARGEST = 8192
"""Pixels of the shorter side that may be asked for."""


def fitted(image: Pixels, options: DataOptions, levels: int) -> Pixels:
    """An image resized and cropped as the user said.

    The shorter side becomes `options.resize` pixels and the other floor(resize * longer / shorter), by Pillow's bicubic
    filter, which widens where it shrinks (antialiasing), in float32 for each channel apart; the result is clipped to
    0..levels and rounded half to even. Then the `options.crop` pixels in the middle are kept. An image that already has
    these sides is returned bit for bit.

    Args:
        image: uint8 or uint16 (H, W, C), in 0..levels.
        options: `resize` and `crop` are looked at.
        levels: 255, 4095 or 65535.

    Returns:
        the same type, (h, w, C).

    Raises:
        RefusedError: the sides asked for cannot be had.
    """
    if options.resize is not None:
        image = _resized(image, options.resize, levels)
    return image if options.crop is None else _cropped(image, options.crop)


def fitted_all(images: Pixels, options: DataOptions, levels: int) -> Pixels:
    """Images (n, H, W, C) resized and cropped, one by one into one new array; the same array where nothing is asked.

    Raises:
        RefusedError: the sides asked for cannot be had.
    """
    if options.resize is None and options.crop is None:
        return images
    first = fitted(images[0], options, levels)
    if first.shape == images[0].shape:
        return images
    out = np.empty((len(images), *first.shape), images.dtype)
    for i, image in enumerate(images):
        out[i] = fitted(image, options, levels)
    return out


def fitting_steps(options: DataOptions, levels: int) -> tuple[str, ...]:
    """What `fitted` does, in words, with the version of the library that does it.

    >>> fitting_steps(DataOptions(crop=224), 255)
    ('the 224 x 224 pixels in the middle',)
    """
    steps = []
    if options.resize is not None:
        import PIL

        steps.append(
            f"shorter side to {options.resize} pixels (Pillow {PIL.__version__} bicubic), on the grid of {levels} steps"
        )
    if options.crop is not None:
        steps.append(f"the {options.crop} x {options.crop} pixels in the middle")
    return tuple(steps)


def _resized(image: Pixels, side: int, levels: int) -> Pixels:
    height, width = image.shape[:2]
    short = min(height, width)
    if short == side:
        return image
    if side > LARGEST:
        raise RefusedError(f"--resize takes up to {LARGEST:,} pixels, got {side:,}.")
    size = (side * width // short, side * height // short)
    planes = [_plane(image[:, :, channel], size) for channel in range(image.shape[2])]
    return np.rint(np.clip(np.stack(planes, axis=2), 0, levels)).astype(image.dtype)


def _plane(values: Pixels, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    from PIL import Image

    plane = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))  # mode F: nothing is narrowed to 8 bits
    return np.asarray(plane.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


def _cropped(image: Pixels, side: int) -> Pixels:
    height, width = image.shape[:2]
    if side > min(height, width):
        raise RefusedError(
            f"--crop {side} is larger than the image, {width} pixels wide and {height} high; "
            f"bring it to size first, with --resize {side}."
        )
    top, left = round((height - side) / 2), round((width - side) / 2)
    return image[top : top + side, left : left + side]
