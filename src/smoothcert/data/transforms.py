"""Preprocessing before noise: resizing, cropping and quantisation of images to the grid on which they are certified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.checks import BITS, Pixels
from smoothcert.data.dataset import DataOptions
from smoothcert.data.image_header import RefusedError
from smoothcert.errors import DataError

LARGEST = 8192
"""Largest value of `--resize`."""


def fitted(image: Pixels, options: DataOptions, levels: int) -> Pixels:
    """Return an image resized and cropped.

    The shorter side becomes `options.resize` pixels and the other floor(resize * longer / shorter), by Pillow's bicubic
    filter (antialiased when shrinking), in float32 for each channel separately; the result is clipped to 0..levels and
    rounded half to even. Then a centre crop of `options.crop` pixels is taken. An image that already has these sides is
    returned unchanged.

    Args:
        image: uint8 or uint16 (H, W, C), in 0..levels.
        options: `resize` and `crop` are used.
        levels: 255, 4095 or 65535.

    Returns:
        the same dtype, (h, w, C).

    Raises:
        RefusedError: `resize` is too large, or `crop` is larger than the image.
    """
    if options.resize is not None:
        image = _resized(image, options.resize, levels)
    return image if options.crop is None else _cropped(image, options.crop)


def fitted_all(images: Pixels, options: DataOptions, levels: int) -> Pixels:
    """Return images (n, H, W, C) resized and cropped in a new array; the same array if the sizes do not change.

    Raises:
        RefusedError: `resize` is too large, or `crop` is larger than the images.
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
    """Return descriptions of the steps of `fitted`, with the version of Pillow.

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
        raise RefusedError(f"--resize takes up to {LARGEST:,} pixels, got {side:,}.", code="E-DATA-134")
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
            f"resize it first, with --resize {side}.",
            code="E-DATA-135",
        )
    top, left = round((height - side) / 2), round((width - side) / 2)
    return image[top : top + side, left : left + side]


PIECE = 2**20
"""Values of a large array that are processed at a time."""


def levels_of_bits(bits: int) -> int:
    """Return the largest grey value of an 8, 12 or 16-bit grid.

    Raises:
        DataError: another number of bits.

    >>> levels_of_bits(12)
    4095
    """
    if bits not in BITS:
        raise DataError(f"--quantise takes 8, 12 or 16 bits, got {bits}.", code="E-DATA-136")
    return BITS[bits]


def to_grid(images: npt.NDArray[np.floating[Any]], levels: int, quantise: bool) -> Pixels:
    """Convert float images in [0, 1] to grey values round(image * levels).

    Args:
        images: float, any shape, in [0, 1].
        levels: 255, 4095 or 65535.
        quantise: True rounds to the nearest grey value; False requires the images to be on the grid.

    Returns:
        uint8 (levels 255) or uint16 of the same shape.

    Raises:
        DataError: not finite, outside [0, 1], or off the grid without `quantise`.

    >>> to_grid(np.array([0.0, 0.2, 1.0]), 255, quantise=False)
    array([  0,  51, 255], dtype=uint8)
    """
    check_unit_range(images)
    if not quantise and not on_grid(images, levels):
        raise DataError(
            f"float images must be on a grid of {levels} steps, but these are not; save them as uint8 or uint16, or "
            "quantise them with --quantise 8 (or 12, 16), which the run records.",
            code="E-DATA-137",
        )
    grey: Pixels = np.empty(images.shape, np.uint8 if levels == 255 else np.uint16)
    flat = grey.reshape(-1)
    for start, piece in _pieces(images):
        flat[start : start + piece.size] = np.rint(np.clip(piece, 0, 1) * levels)
    return grey


def _pieces(images: npt.NDArray[np.floating[Any]]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Iterate over (start, float64 values) of pieces of an array: a copy of the whole could fill the memory."""
    flat = images.reshape(-1)
    for start in range(0, flat.size, PIECE):
        yield start, flat[start : start + PIECE].astype(np.float64)


def on_grid(images: npt.NDArray[np.floating[Any]], levels: int) -> bool:
    """Return whether every value is a multiple of 1/levels, within the precision of the float type.

    >>> on_grid(np.array([1 / 255, 0.5]), 255)
    False
    """
    tolerance = max(1e-6, 2 * levels * float(np.finfo(images.dtype).eps))
    if tolerance > 0.25:  # the type is too coarse for this grid
        return False
    scaled = (piece * levels for _, piece in _pieces(images))
    return all(bool(np.all(np.abs(part - np.rint(part)) <= tolerance)) for part in scaled)


def check_unit_range(images: npt.NDArray[np.floating[Any]]) -> None:
    """Raise DataError if float images are not finite or not in [0, 1]."""
    if not np.all(np.isfinite(images)):
        raise DataError(
            "float images must be finite, but some pixels are NaN or infinite; repair or remove them.",
            code="E-DATA-138",
        )
    low, high = float(images.min()), float(images.max())
    if low >= -1e-6 and high <= 1 + 1e-6:
        return
    if low >= 0 and high <= 65535:
        advice = "They look like grey values: save them as uint8 or uint16."
    else:
        advice = "They look normalised: save the images before normalisation."
    raise DataError(f"float images must be in [0, 1], got [{low:.4g}, {high:.4g}]. {advice}", code="E-DATA-139")


def integers_of(
    images: npt.NDArray[Any], levels: int | None, quantise: int | None
) -> tuple[Pixels, int, tuple[str, ...]]:
    """Convert images of any supported dtype to (grey values, levels, descriptions of the preprocessing).

    Args:
        images: uint8, uint16, or float in [0, 1]; any shape.
        levels: the declared grid, or None.
        quantise: bits to quantise to (8, 12, 16), or None. For uint16 images without a declared grid, 12 or 16 states
            the grid (`levels_of_deep`).

    Raises:
        DataError: another dtype, or the grid is ambiguous.
    """
    if images.size == 0:
        raise DataError(f"expected at least one image with pixels, got shape {images.shape}.", code="E-DATA-140")
    if levels is not None and levels not in BITS.values():
        raise DataError(f"levels must be 255, 4095 or 65535, got {levels}.", code="E-DATA-141")
    if np.issubdtype(images.dtype, np.floating):
        return _from_float(images, levels, quantise)
    if images.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"images must be uint8, uint16 or float in [0, 1], got {images.dtype}; "
            "convert grey values with .astype('uint8').",
            code="E-DATA-142",
        )
    return _from_integers(images, levels, quantise)


def _from_float(
    images: npt.NDArray[Any], levels: int | None, quantise: int | None
) -> tuple[Pixels, int, tuple[str, ...]]:
    if quantise is not None:
        grid = levels_of_bits(quantise)
        return to_grid(images, grid, quantise=True), grid, (f"quantised to {quantise} bits",)
    check_unit_range(images)
    candidates = BITS.values() if levels is None else (levels,)
    found = next((candidate for candidate in candidates if on_grid(images, candidate)), 255)
    return to_grid(images, found, quantise=False), found, ()


def _from_integers(images: Pixels, levels: int | None, quantise: int | None) -> tuple[Pixels, int, tuple[str, ...]]:
    if images.dtype == np.uint16 and levels is None:
        levels = levels_of_deep(int(images.max()), quantise)
    levels = levels or 255
    if quantise is not None and levels_of_bits(quantise) < levels and int(images.max()) > levels:
        raise DataError(f"grey values must be in 0..{levels}, got {int(images.max())}.", code="E-DATA-114")
    return coarsened(images, levels, quantise)


def coarsened(images: Pixels, levels: int, quantise: int | None) -> tuple[Pixels, int, tuple[str, ...]]:
    """Quantise grey values to a coarser grid; return (grey values, levels, descriptions of the preprocessing).

    Args:
        images: uint8 or uint16, any shape, 0..levels.
        levels: 255, 4095 or 65535.
        quantise: bits of the new grid; None, or a grid that is not coarser, leaves the images unchanged.

    Raises:
        DataError: the grid does not match the dtype.
    """
    if levels not in ((255,) if images.dtype == np.uint8 else (4095, 65535)):
        raise DataError(
            f"levels must be 255 for uint8 and 4095 or 65535 for uint16 images, got {levels} with {images.dtype}.",
            code="E-DATA-144",
        )
    grid = levels if quantise is None else levels_of_bits(quantise)
    if grid >= levels:
        return images, levels, ()
    table = to_grid(np.arange(levels + 1) / levels, grid, quantise=True)  # avoids a float copy of the images
    return table[images], grid, (f"quantised to {quantise} bits from {levels} levels",)


def levels_of_deep(top: int, quantise: int | None) -> int:
    """Return the grid of 16-bit values whose source does not declare one.

    Values above 4095 are 16-bit. Without such values the images may be 12-bit, or dark 16-bit images, which cannot be
    distinguished: ``quantise`` 12 or 16 states the grid. An error is raised if the values contradict it, so that one
    setting has one meaning for every part of a data set.

    Args:
        top: the largest value.
        quantise: bits, as set by the user, or None.

    Returns:
        4095 or 65535.

    Raises:
        DataError: the grid is ambiguous, or contradicts `quantise`.
    """
    if quantise == 12 and top > 4095:
        raise DataError(
            f"--quantise 12 expects 12-bit values (up to 4095) in 16-bit images, got values up to {top}; leave it out, "
            "or use --quantise 8.",
            code="E-DATA-145",
        )
    if quantise == 12:
        return 4095
    if top > 4095 or quantise == 16:
        return 65535
    raise DataError(
        f"uint16 images with no value above {top} may be 12-bit or dark 16-bit images; add --quantise 12 or 16, or "
        "`levels` (4095 or 65535) to the .npz file or the dataset.",
        code="E-DATA-146",
    )
