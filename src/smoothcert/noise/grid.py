"""Integer noise on the images' own grid: Gaussian smoothing that is sound in computer arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import SpecError
from smoothcert.noise.base import (
    Buffer,
    Precision,
    Rows,
    check_fill,
    check_noise,
    check_normalisation,
    encode,
    flat_pixels,
    in_parts,
)
from smoothcert.noise.philox import key, uniforms
from smoothcert.noise.table import GridTable, check_grid, grid_table, total_variation


@dataclass(frozen=True)
class GridNoise:
    """Gaussian noise rounded to whole grid steps (construction of Voracek and Hein, ICLR 2023).

    For x on the grid, round(x + e) = x + round(e), so adding it is Gaussian smoothing of the classifier on
    integer images; the certificate holds for every real perturbation and is realised at every grid image. The
    uniforms come from Philox4x64-10 (Salmon et al., SC 2011), which is assumed to be ideal.

    Args:
        sigma: standard deviation, in units of the [0, 1] range, > 0.
        levels: grid steps in [0, 1]: 255 for 8-bit images, 4095, 65535.
        seed: 0 to 2^64 - 1.

    Raises:
        SpecError: an argument is out of range, or the grid is too coarse or too fine for sigma.

    >>> noise = GridNoise(sigma=0.25, levels=255, seed=7)
    >>> noise.low, noise.high, f"{noise.eta(28 * 28 * 3):.2g}"
    (-579, 834, '1.5e-13')
    """

    name: ClassVar[str] = "grid"
    sigma: float
    levels: int
    seed: int

    def __post_init__(self) -> None:
        check_noise(self.sigma, self.levels, self.seed)
        check_grid(self.sigma, self.levels)

    @property
    def table(self) -> GridTable:
        """The thresholds, computed on first use."""
        return grid_table(self.sigma, self.levels)

    @property
    def low(self) -> int:
        """The smallest integer of image + noise."""
        return self.table.first

    @property
    def high(self) -> int:
        """The largest integer of image + noise."""
        return self.levels + self.table.last

    def values(self) -> NDArray[np.float64]:
        """The real numbers integer / levels for low..high, float64 (high - low + 1,)."""
        return np.arange(self.low, self.high + 1) / self.levels

    def eta(self, values: int) -> float:
        """Return an upper bound on the total variation distance of one noisy image of `values` values to the ideal."""
        return total_variation(values, self.table)

    def writer(self, mean: Sequence[float], std: Sequence[float], precision: Precision) -> GridWriter:
        """Return a writer that maps each integer to one float: (integer / levels - mean) / std.

        Args:
            mean: (C,), or (1,) for every channel; in units of the [0, 1] range.
            std: like mean, > 0.
            precision: "fp32", "bf16" or "fp16".

        Raises:
            SpecError: the normalisation is malformed, or overflows the precision.
        """
        check_normalisation(mean, std, precision)
        writer = GridWriter(self, tuple(mean), tuple(std), precision)
        writer.lookup  # noqa: B018 - built here, so that an overflow is refused here
        return writer

    def steps(self, rows: Rows, shape: tuple[int, int, int]) -> NDArray[np.int32]:
        """Return the noise itself in grid steps, int32 (B, C, H, W).

        >>> noise = GridNoise(sigma=0.25, levels=255, seed=7)
        >>> noise.steps(Rows.of(0, image=17, sample=[0, 1], stage=1), (1, 2, 2)).tolist()
        [[[[16, -19], [-62, 71]]], [[[-39, -67], [60, -24]]]]
        """
        from smoothcert.noise.cpu import draw_steps

        out = np.empty((len(rows), int(np.prod(shape))), dtype=np.int32)
        table = self.table
        draw_steps(out, *address_words(self, rows), *kernel_table(table), table.first)
        return out.reshape(len(rows), *shape)

    def reference_steps(self, rows: Rows, shape: tuple[int, int, int]) -> NDArray[np.int32]:
        """Return the same as `steps` from the NumPy reference, without compiled code: for checks."""
        counters = np.stack([rows.sample, rows.image, rows.stage], axis=1)
        words = uniforms(counters, key(self.seed, self.sigma), int(np.prod(shape)))
        return self.table.steps(words).reshape(len(rows), *shape)


@dataclass(frozen=True)
class GridWriter:
    """Writes lookup[channel, image + noise]: the sum is an integer, and each integer has one float."""

    noise: GridNoise
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision

    @cached_property
    def lookup(self) -> Buffer:
        """Normalised float of each integer low..high, (C, high - low + 1), dtype of `out`.

        Float64 arithmetic, rounded once to float32, then to the precision.
        """
        mean, std = (np.array(column, dtype=np.float64)[:, None] for column in (self.mean, self.std))
        values = (self.noise.values() - mean) / std
        largest = 65504.0 if self.precision == "fp16" else 3.38e38
        if np.abs(values).max() > largest:
            raise SpecError(
                f"normalised values reach {np.abs(values).max():.3g}, too large for {self.precision}; use fp32",
                code="E-SPEC-020",
            )
        return encode(values.astype(np.float32), self.precision)

    def fill(self, out: Buffer, images: Buffer, rows: Rows, threads: int = 1) -> None:
        """Write one noisy image per row; see `Writer.fill`."""
        check_fill(out, images, rows, self.precision, len(self.mean))
        flat = flat_pixels(out)
        target = np.empty((*out.shape[:2], out.shape[2] * out.shape[3]), out.dtype) if flat is None else flat
        self._fill_flat(target, images, rows, threads)
        if flat is None:
            out[...] = target.reshape(out.shape)

    def expected(self, images: Buffer, rows: Rows) -> Buffer:
        """Return what `fill` must write, from the NumPy reference: (B, C, H, W)."""
        shape = images.shape[1:]
        total = images[rows.slot].astype(np.int64) + self.noise.reference_steps(rows, (shape[0], *shape[1:]))
        place = np.clip(total - self.noise.low, 0, self.lookup.shape[1] - 1)
        channel = np.arange(len(self.mean))[:, None, None]
        written: Buffer = self.lookup[channel, place]
        return written

    def _fill_flat(self, out: Buffer, images: Buffer, rows: Rows, threads: int) -> None:
        from smoothcert.noise.cpu import fill_grid

        pixels = np.ascontiguousarray(images).reshape(len(images), -1)
        lookup = np.ascontiguousarray(np.broadcast_to(self.lookup, (out.shape[1], self.lookup.shape[1])))
        counters, words = address_words(self.noise, rows)
        table = kernel_table(self.noise.table)

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            fill_grid(out[part], pixels, rows.slot[part], counters[part], words, *table, lookup)

        in_parts(work, len(rows), threads)


def address_words(noise: Any, rows: Rows) -> tuple[NDArray[np.uint64], tuple[np.uint64, np.uint64]]:
    """Return the counters, uint64 (B, 3), and the key in the form the kernels take."""
    first, second = key(noise.seed, noise.sigma)
    counters = np.stack([rows.sample, rows.image, rows.stage], axis=1)
    return counters, (np.uint64(first), np.uint64(second))


def kernel_table(table: GridTable) -> tuple[NDArray[np.uint64], NDArray[np.uint32], np.uint64]:
    """Return thresholds, guide and shift in the form the kernels take."""
    return table.thresholds, table.guide, np.uint64(table.shift)
