"""Many images put into one array that is allocated once, at the first of them; the others must be like it."""

from __future__ import annotations

import numpy as np

from smoothcert.data.checks import BITS, Pixels, memory_limit
from smoothcert.data.dataset import DataOptions
from smoothcert.data.image_header import KINDS, RefusedError
from smoothcert.data.transforms import coarsened, fitted, fitting_steps, levels_of_deep
from smoothcert.errors import DataError


class Stack:
    """Images of one kind, depth and, once resized and cropped, size.

    Args:
        count: how many there will be.
        options: `resize`, `crop` and `quantise` are looked at.
        levels: the grid where it is declared, or None: that of the bits, for 16 of them as `levels_of_deep` finds.
    """

    def __init__(self, count: int, options: DataOptions, levels: int | None = None) -> None:
        self._count, self._options, self._declared = count, options, levels
        self._done, self._top = 0, 0
        self._first = ""
        self._bits = 0
        self._images: Pixels = np.empty((0, 0, 0, 0), np.uint8)

    def put(self, image: Pixels, bits: int, name: str) -> None:
        """Add an image.

        Args:
            image: uint8 or uint16 (H, W, C), as stored.
            bits: bits a value as stored: 8, 12, or 16 (which 12-bit values may be stored in).
            name: what messages call it.

        Raises:
            RefusedError: it is not like the first, cannot be resized or cropped, or all would not fit in memory.
        """
        if image.size == 0:
            raise RefusedError(f"an image with pixels is expected, got shape {image.shape}.")
        if self._done:
            self._check_kind(image, bits)
        self._top = max(self._top, int(image.max()))
        fit = fitted(image, self._options, self._clip(bits))
        if self._done == 0:
            self._allocate(fit, bits, name)
        elif fit.shape != self._images.shape[1:]:
            raise RefusedError(self._other_size(fit))
        self._images[self._done] = fit
        self._done += 1

    def finish(self) -> tuple[Pixels, int, tuple[str, ...]]:
        """The images as (grey values (n, H, W, C), levels, preprocessing in words).

        Raises:
            DataError: the grid cannot be told.
        """
        quantise = self._options.quantise
        levels = self._declared or (BITS[self._bits] if self._bits < 16 else levels_of_deep(self._top, quantise))
        if self._top > levels:
            raise DataError(f"grey values must lie in 0..{levels}, got {self._top}.")
        if (
            levels == 4095 and self._bits == 16
        ):  # bicubic filters overshoot, and the grid may have been unknown until now
            np.minimum(self._images, 4095, out=self._images)
        images, found, snapped = coarsened(self._images, levels, quantise)
        return images, found, (*fitting_steps(self._options, levels), *snapped)

    def _clip(self, bits: int) -> int:
        return self._declared or BITS[bits]

    def _allocate(self, image: Pixels, bits: int, name: str) -> None:
        self._first, self._bits = name, bits
        size = self._count * image.nbytes
        if size > memory_limit():
            height, width = image.shape[:2]
            raise RefusedError(
                f"{self._count:,} images of {width} by {height} pixels take {size / 2**30:,.1f} GiB, and "
                f"{memory_limit() / 2**30:,.1f} fit here; name fewer, or make them smaller with --resize N."
            )
        self._images = np.empty((self._count, *image.shape), image.dtype)

    def _check_kind(self, image: Pixels, bits: int) -> None:
        channels = self._images.shape[3]
        if image.shape[2] != channels:
            raise RefusedError(
                f"a {KINDS[image.shape[2]]} image, but the first, {self._first}, is {KINDS[channels]}; "
                "save all as one kind, nothing is converted here."
            )
        if bits != self._bits:
            raise RefusedError(
                f"{bits} bits a value, but the first image, {self._first}, has {self._bits}; "
                "save all with one depth, nothing is rescaled here."
            )

    def _other_size(self, image: Pixels) -> str:
        (height, width), (tall, wide) = image.shape[:2], self._images.shape[1:3]
        side, after = self._options.resize, ""
        if side is not None:
            after = f" after --resize {side}"
        remedy = f"keep the middle of each with --crop {side}" if side else "bring all to one, with --resize N --crop N"
        return (
            f"{width} pixels wide and {height} high{after}, but the first image, {self._first}, is {wide} by {tall}; "
            f"{remedy}."
        )
