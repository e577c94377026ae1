"""Images collected into one array that is allocated with the first image; the others must match it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.checks import BITS, Pixels, memory_limit
from smoothcert.data.dataset import DataOptions
from smoothcert.data.image_header import KINDS, RefusedError
from smoothcert.data.transforms import coarsened, fitted, fitted_all, fitting_steps, integers_of, levels_of_deep
from smoothcert.errors import DataError

Array = npt.NDArray[Any]


class Stack:
    """Collects integer images of one kind, depth and, after resizing and cropping, size.

    Args:
        count: number of images.
        options: `resize`, `crop` and `quantise` are used.
        levels: the declared grid, or None: that of the bits, for 16 bits as `levels_of_deep` decides.
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
            bits: stored bits per value: 8, 12, or 16 (which may contain 12-bit values).
            name: name for messages.

        Raises:
            RefusedError: it does not match the first, cannot be resized or cropped, or all would not fit in memory.
        """
        if image.size == 0:
            raise RefusedError(f"expected an image with pixels, got shape {image.shape}.", code="E-DATA-112")
        if self._done:
            self._check_kind(image, bits)
        self._top = max(self._top, int(image.max()))
        fit = fitted(image, self._options, self._clip(bits))
        if self._done == 0:
            self._allocate(fit, bits, name)
        elif fit.shape != self._images.shape[1:]:
            raise RefusedError(self._other_size(fit), code="E-DATA-113")
        self._images[self._done] = fit
        self._done += 1

    def finish(self) -> tuple[Pixels, int, tuple[str, ...]]:
        """Return (grey values (n, H, W, C), levels, descriptions of the preprocessing).

        Raises:
            DataError: the grid is ambiguous, or the values exceed it.
        """
        quantise = self._options.quantise
        levels = self._declared or (BITS[self._bits] if self._bits < 16 else levels_of_deep(self._top, quantise))
        if self._top > levels:
            raise DataError(f"grey values must be in 0..{levels}, got {self._top}.", code="E-DATA-114")
        if levels == 4095 and self._bits == 16:
            np.minimum(self._images, 4095, out=self._images)  # bicubic filters overshoot; the grid is known only now
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
                f"{self._count:,} images of {width} by {height} pixels need {size / 2**30:,.1f} GiB, but the limit "
                f"is {memory_limit() / 2**30:,.1f} GiB; use fewer images, or make them smaller with --resize N.",
                code="E-DATA-115",
            )
        self._images = np.empty((self._count, *image.shape), image.dtype)

    def _check_kind(self, image: Pixels, bits: int) -> None:
        channels = self._images.shape[3]
        if image.shape[2] != channels:
            raise RefusedError(
                f"the image is {KINDS[image.shape[2]]}, but the first, {self._first}, is {KINDS[channels]}; "
                "save all images as one kind (images are not converted).",
                code="E-DATA-116",
            )
        if bits != self._bits:
            raise RefusedError(
                f"the image has {bits} bits per value, but the first, {self._first}, has {self._bits}; "
                "save all images with one bit depth (values are not rescaled).",
                code="E-DATA-117",
            )

    def _other_size(self, image: Pixels) -> str:
        (height, width), (tall, wide) = image.shape[:2], self._images.shape[1:3]
        side = self._options.resize
        after = "" if side is None else f" after --resize {side}"
        remedy = (
            f"crop all to one size with --crop {side}" if side else "bring all to one size with --resize N --crop N"
        )
        return (
            f"the image is {width} pixels wide and {height} high{after}, but the first, {self._first}, is {wide} by "
            f"{tall}; {remedy}."
        )


class Items:
    """Collects images of one dtype, integer or float, and, after resizing and cropping, one size.

    Args:
        count: number of images.
        options: `resize`, `crop` and `quantise` are used.
        levels: the declared grid, or None.
    """

    def __init__(self, count: int, options: DataOptions, levels: int | None) -> None:
        self._count, self._options, self._levels = count, options, levels
        self._stack = Stack(count, options, levels)
        self._others: Array = np.empty(0)
        self._type: np.dtype[Any] | None = None
        self._done = 0

    def put(self, image: Array, name: str) -> None:
        """Add an image (H, W, C).

        Raises:
            DataError: it does not match the first, or cannot be resized or cropped.
        """
        if self._type is None:
            self._type = image.dtype
        if image.dtype != self._type:
            raise DataError(
                f"all images must have one shape and dtype, got {image.dtype} after {self._type} ({name}).",
                code="E-DATA-118",
            )
        try:
            if self._type in (np.uint8, np.uint16):
                self._stack.put(image, 8 * self._type.itemsize, name)
            else:
                self._put_other(image)
        except RefusedError as error:
            raise DataError(f"{name}: {error}", code=error.code) from None
        self._done += 1

    def _put_other(self, image: Array) -> None:
        if self._done == 0:
            self._others = np.empty((self._count, *image.shape), image.dtype)
        if image.shape != self._others.shape[1:]:
            raise RefusedError(
                f"float images must have one shape, got {image.shape} after {self._others.shape[1:]}; resize them in "
                "the dataset, or return uint8 or uint16 images, which can be resized with --resize.",
                code="E-DATA-119",
            )
        self._others[self._done] = image

    def finish(self) -> tuple[Pixels, int, tuple[str, ...]]:
        """Return (grey values (n, H, W, C), levels, descriptions of the preprocessing).

        Raises:
            DataError: the dtype or range is not supported, or the grid is ambiguous.
        """
        if self._type in (np.uint8, np.uint16):
            return self._stack.finish()
        images, levels, done = integers_of(self._others, self._levels, self._options.quantise)
        return fitted_all(images, self._options, levels), levels, (*done, *fitting_steps(self._options, levels))
