"""Images that come one by one as arrays, integers or floats, put into one array."""

from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.checks import Pixels
from smoothcert.data.fit import fitted_all, fitting_steps
from smoothcert.data.options import DataOptions
from smoothcert.data.quantise import integers_of
from smoothcert.data.stack import Stack
from smoothcert.data.stored import RefusedError
from smoothcert.errors import DataError

Array = npt.NDArray[Any]


class Items:
    """Arrays of one type and, once resized and cropped, one size.

    Args:
        count: how many there will be.
        options: `resize`, `crop` and `quantise` are looked at.
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
            DataError: it is not like the first, or cannot be resized or cropped.
        """
        if self._type is None:
            self._type = image.dtype
        if image.dtype != self._type:
            raise DataError(f"all images must have one shape and type, got {image.dtype} after {self._type} ({name}).")
        try:
            if self._type in (np.uint8, np.uint16):
                self._stack.put(image, 8 * self._type.itemsize, name)
            else:
                self._put_other(image)
        except RefusedError as error:
            raise DataError(f"{name}: {error}") from None
        self._done += 1

    def _put_other(self, image: Array) -> None:
        if self._done == 0:
            self._others = np.empty((self._count, *image.shape), image.dtype)
        if image.shape != self._others.shape[1:]:
            raise RefusedError(
                f"float images must have one shape, got {image.shape} after {self._others.shape[1:]}; return them as "
                "uint8 or uint16 to have them resized, or resize them in the dataset."
            )
        self._others[self._done] = image

    def finish(self) -> tuple[Pixels, int, tuple[str, ...]]:
        """The images as (grey values (n, H, W, C), levels, preprocessing in words).

        Raises:
            DataError: their type or range cannot be used, or the grid cannot be told.
        """
        if self._type in (np.uint8, np.uint16):
            return self._stack.finish()
        images, levels, done = integers_of(self._others, self._levels, self._options.quantise)
        return fitted_all(images, self._options, levels), levels, (*done, *fitting_steps(self._options, levels))
