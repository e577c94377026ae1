"""The `Noise` and `Writer` protocols, the address of each noise sample, and the checks that all noise shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray

from smoothcert.errors import InputError, SpecError
from smoothcert.noise.philox import Words


class Stage(IntEnum):
    """The purpose of a noise sample; each stage has its own stream of noise."""

    SELECTION = 0
    ESTIMATION = 1
    PILOT = 2
    PLANNING = 3
    ATTACK = 4
    PREDICTION = 5
    TEST = 6


@dataclass(frozen=True, eq=False)
class Rows:
    """The noise samples of one batch: for each row, the position of its image and the address of its noise.

    Args:
        slot: int64 (B,), position of the row's image in the buffer passed to `Writer.fill`.
        image: uint64 (B,), index of the image in the data set.
        sample: uint64 (B,), number of the noise sample of that image.
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
            raise InputError("slot, image, sample and stage must be non-negative", code="E-INPUT-027")
        words = [np.ascontiguousarray(column, dtype=np.uint64) for column in columns]
        return cls(words[0].astype(np.int64), words[1], words[2], words[3])

    def __len__(self) -> int:
        return len(self.slot)

    def part(self, start: int, stop: int) -> Rows:
        """Return rows `start` to `stop - 1`."""
        span = slice(start, stop)
        return Rows(self.slot[span], self.image[span], self.sample[span], self.stage[span])


def _check_column(name: str, column: NDArray[np.generic], dtype: type[np.generic], length: int) -> None:
    if column.dtype != dtype or column.shape != (length,) or not column.flags.c_contiguous:
        raise InputError(
            f"rows: {name} must be a contiguous {np.dtype(dtype).name} array of shape ({length},), "
            f"got {column.dtype} {column.shape}; Rows.of(...) converts",
            code="E-INPUT-028",
        )


Precision = Literal["fp32", "bf16", "fp16"]
Buffer = NDArray[Any]


class Writer(Protocol):
    """Writes noisy, normalised images directly into the classifier's input buffer."""

    @property
    def precision(self) -> Precision:
        """Type of the values in `out`: float32, or raw bf16 / fp16 bits as uint16."""

    def fill(self, out: Buffer, images: Buffer, rows: Rows, threads: int = 1) -> None:
        """Write one noisy image per row; row b is image `rows.slot[b]` plus the noise of its address.

        Args:
            out: (B, C, H, W) of any strides (contiguous and channels-last buffers are written in place);
                float32 for "fp32", uint16 for the others (pass `tensor.view(torch.uint16).numpy()`).
            images: int32 or uint16 (slots, C, H, W), grid integers in 0..levels.
            rows: B addresses.
            threads: number of threads; the result does not depend on it.

        Raises:
            InputError: shapes or dtypes do not match.
        """

    def expected(self, images: Buffer, rows: Rows) -> Buffer:
        """Return what `fill` must write, from the slow reference: (B, C, H, W), dtype of `out`."""


class Noise(Protocol):
    """One noise distribution on one grid, with one seed."""

    @property
    def name(self) -> str:
        """Name used in specs and reports: "grid" or "float"."""

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
        """Return an upper bound on the total variation distance of one noisy image of `values` values to the ideal."""

    def writer(self, mean: Sequence[float], std: Sequence[float], precision: Precision) -> Writer:
        """Return a writer of (x - mean) / std, x in [0, 1] units; one number applies to every channel."""

    def steps(self, rows: Rows, shape: tuple[int, int, int]) -> Buffer:
        """Return the noise itself, (B, C, H, W): int32 grid steps ("grid") or float32 in [0, 1] units ("float")."""


FloatArray = NDArray[np.float32]


def check_noise(sigma: float, levels: int, seed: int) -> None:
    """Raise SpecError if noise with these parameters cannot be drawn.

    Raises:
        SpecError: sigma is not a positive finite number, levels not in 1..65535, or seed not in 0..2^64 - 1.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise SpecError(
            f"sigma must be a positive number (in units of the [0, 1] range), got {sigma}", code="E-SPEC-014"
        )
    if not 1 <= levels <= 65535:
        raise SpecError(f"levels must be in 1..65535 (255 for 8-bit images), got {levels}", code="E-SPEC-015")
    if not 0 <= seed < 2**64:
        raise SpecError(f"seed must be in 0..2^64 - 1, got {seed}", code="E-SPEC-016")


def check_normalisation(mean: Sequence[float], std: Sequence[float], precision: str) -> None:
    """Raise SpecError if the normalisation or the precision cannot be used.

    Raises:
        SpecError: mean and std differ in length, a std is not positive, or the precision is unknown.
    """
    if precision not in get_args(Precision):
        raise SpecError(
            f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}", code="E-SPEC-017"
        )
    if len(mean) != len(std) or not len(mean):
        raise SpecError(
            f"mean and std must have one number per channel each, got {len(mean)} and {len(std)}", code="E-SPEC-018"
        )
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(std)) and min(std) > 0):
        raise SpecError(f"mean must be finite and std positive, got {tuple(mean)} and {tuple(std)}", code="E-SPEC-019")


GRID_KINDS = (np.dtype(np.int32), np.dtype(np.uint16))
"""Dtypes of grid images."""


def check_fill(
    out: Buffer,
    images: Buffer,
    rows: Rows,
    precision: Precision,
    channels: int,
    kinds: tuple[np.dtype[Any], ...] = GRID_KINDS,
) -> None:
    """Raise InputError if the arguments of `Writer.fill` do not match; the kernels do not check them.

    Raises:
        InputError: a shape, a dtype or a slot is not as `Writer.fill` requires.
    """
    dtype = np.dtype(np.float32 if precision == "fp32" else np.uint16)
    if images.ndim != 4 or images.dtype not in kinds:
        raise InputError(
            f"images must be {' or '.join(map(str, kinds))} (slots, C, H, W), got {images.dtype} {images.shape}",
            code="E-INPUT-029",
        )
    if channels not in (1, images.shape[1]):
        raise InputError(f"normalisation has {channels} channels, images have {images.shape[1]}", code="E-INPUT-030")
    if out.shape != (len(rows), *images.shape[1:]) or out.dtype != dtype or not out.flags.writeable:
        raise InputError(
            f"out must be a writable {dtype} array of shape {(len(rows), *images.shape[1:])}, "
            f"got {out.dtype} {out.shape}",
            code="E-INPUT-031",
        )
    if len(rows) and not (rows.slot.min() >= 0 and rows.slot.max() < len(images)):
        raise InputError(
            f"slots must be in 0..{len(images) - 1}, got {rows.slot.min()}..{rows.slot.max()}", code="E-INPUT-032"
        )


def encode(values: FloatArray, precision: Precision) -> Buffer:
    """Round float32 to the precision, to nearest, ties to even; return half precisions as raw bits.

    >>> [hex(b) for b in encode(np.array([1.0, 1.00390625, 1.01171875], np.float32), "bf16").tolist()]
    ['0x3f80', '0x3f80', '0x3f82']
    """
    if precision == "fp32":
        return values
    if precision == "fp16":
        return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def flat_pixels(out: Buffer) -> Buffer | None:
    """Return a view of (B, C, H, W) as (B, C, H W) if the strides allow it, else None."""
    _, _, height, width = out.shape
    per_row, per_pixel = out.strides[2:]
    if width == 1:
        per_pixel = per_row
    elif height > 1 and per_row != width * per_pixel:
        return None
    return as_strided(out, (*out.shape[:2], height * width), (*out.strides[:2], per_pixel))


def in_parts(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call work(start, stop) on contiguous chunks of range(count), one chunk per thread."""
    threads = max(1, min(threads, count))
    edges = [count * part // threads for part in range(threads + 1)]
    if threads == 1:
        work(0, count)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work, *span) for span in pairwise(edges[1:])]
        work(0, edges[1])
    for other in others:
        other.result()
