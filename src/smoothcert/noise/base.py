"""What every kind of noise offers: the address of a noisy row, which alone decides it, and the `Noise` protocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothcert.errors import InputError

Words = NDArray[np.uint64]


class Stage(IntEnum):
    """What a noisy copy is drawn for; each stage has its own stream of noise."""

    SELECTION = 0
    ESTIMATION = 1
    PILOT = 2
    PLANNING = 3
    ATTACK = 4
    PREDICTION = 5
    TEST = 6


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one batch: where each row's image lies, and the address of its noise.

    Args:
        slot: int64 (B,), position of the row's image in the buffer of images given to `Writer.fill`.
        image: uint64 (B,), index of the image in the data set.
        sample: uint64 (B,), number of the noisy copy of that image.
        stage: uint64 (B,), a `Stage`.

    Raises:
        InputError: an array has another dtype, is not contiguous, or the lengths differ.
    """

    slot: NDArray[np.int64]
    image: Words
    sample: Words
    stage: Words

    def __post_init__(self) -> None:
        _check_column("slot", self.slot, np.int64, len(self.slot))
        for name in ("image", "sample", "stage"):
            _check_column(name, getattr(self, name), np.uint64, len(self.slot))

    @classmethod
    def of(cls, slot: ArrayLike, image: ArrayLike, sample: ArrayLike, stage: ArrayLike) -> Rows:
        """Build rows from non-negative integers or arrays, broadcast to one length.

        >>> rows = Rows.of(slot=0, image=17, sample=range(3), stage=Stage.ESTIMATION)
        >>> len(rows), rows.sample.tolist(), rows.image.tolist()
        (3, [0, 1, 2], [17, 17, 17])
        """
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(c)) for c in (slot, image, sample, stage)))
        if any(column.size and column.min() < 0 for column in columns):
            raise InputError("slot, image, sample and stage must be non-negative")
        words = [np.ascontiguousarray(column, dtype=np.uint64) for column in columns]
        return cls(words[0].astype(np.int64), words[1], words[2], words[3])

    def __len__(self) -> int:
        return len(self.slot)

    def part(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop - 1`."""
        span = slice(start, stop)
        return Rows(self.slot[span], self.image[span], self.sample[span], self.stage[span])


def _check_column(name: str, column: NDArray[np.generic], dtype: type[np.generic], length: int) -> None:
    if column.dtype != dtype or column.shape != (length,) or not column.flags.c_contiguous:
        raise InputError(
            f"rows: {name} must be a contiguous {np.dtype(dtype).name} array of shape ({length},), "
            f"got {column.dtype} {column.shape}; Rows.of(...) converts"
        )


def key(seed: int, sigma: float) -> tuple[int, int]:
    """The Philox key of a run's noise: the seed, and the bits of sigma as a float64.

    Args:
        seed: 0 to 2^64 - 1.
        sigma: noise standard deviation, in units of the [0, 1] range.

    Returns:
        Two integers in 0 to 2^64 - 1.

    >>> key(7, 0.25)
    (7, 4598175219545276416)
    """
    (bits,) = struct.unpack("<Q", struct.pack("<d", sigma))
    return seed, bits


Precision = Literal["fp32", "bf16", "fp16"]
Buffer = NDArray[Any]


class Writer(Protocol):
    """Writes noisy, normalised images straight into the classifier's input buffer."""

    @property
    def precision(self) -> Precision:
        """What `out` holds: float32 values, or raw bf16 / fp16 bits as uint16."""

    def fill(self, out: Buffer, images: Buffer, rows: Rows, threads: int = 1) -> None:
        """Write one noisy image a row; row b is image `rows.slot[b]` plus the noise of its address.

        Args:
            out: (B, C, H, W) of any strides, so contiguous and channels-last buffers are both written in place;
                float32 for "fp32", uint16 for the others (pass `tensor.view(torch.uint16).numpy()`).
            images: int32 or uint16 (slots, C, H, W), grid integers in 0..levels.
            rows: B addresses.
            threads: threads to use; the result does not depend on it.

        Raises:
            InputError: shapes or dtypes do not fit together.
        """

    def expected(self, images: Buffer, rows: Rows) -> Buffer:
        """What `fill` must write, computed the slow way: (B, C, H, W), dtype of `out`."""


class Noise(Protocol):
    """One noise distribution on one grid, with one seed."""

    @property
    def name(self) -> str:
        """The word used in specs and reports: "grid" or "float"."""

    @property
    def sigma(self) -> float:
        """Standard deviation, in units of the [0, 1] range."""

    @property
    def levels(self) -> int:
        """Grid steps in [0, 1]; images are integers in 0..levels."""

    @property
    def seed(self) -> int:
        """Seed, 0 to 2^64 - 1."""

    def eta(self, values: int) -> float:
        """Total variation distance to the ideal of one noisy image of `values` values, at most."""

    def writer(self, mean: Sequence[float], std: Sequence[float], precision: Precision) -> Writer:
        """A writer of (x - mean) / std, x in [0, 1] units; (0,) and (1,) repeat over channels."""

    def steps(self, rows: Rows, shape: tuple[int, int, int]) -> Buffer:
        """The noise itself, (B, C, H, W): int32 grid steps ("grid") or float32 in [0, 1] units ("float")."""
