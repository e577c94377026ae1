"""Plain float32 Gaussian noise from the same uniforms, as published code adds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from smoothcert.noise.base import (
    GRID_KINDS,
    Buffer,
    Precision,
    Rows,
    check_fill,
    check_noise,
    check_normalisation,
    encode,
    in_parts,
)
from smoothcert.noise.grid import address_words

_KINDS = (*GRID_KINDS, np.dtype(np.float32))


@dataclass(frozen=True)
class FloatNoise:
    """Float32 Gaussian noise, added and normalised in float32: the arithmetic is NOT covered by the theorem.

    Rounding in float addition depends on the image, and false certificates have been constructed from it
    (Voracek and Hein, ICLR 2023). Use it only to compare with published numbers.

    Args:
        sigma: standard deviation, in units of the [0, 1] range, > 0.
        levels: images are integers in 0..levels and stand for x / levels.
        seed: 0 to 2^64 - 1.

    Raises:
        SpecError: an argument is out of range.
    """

    name: ClassVar[str] = "float"
    sigma: float
    levels: int
    seed: int

    def __post_init__(self) -> None:
        check_noise(self.sigma, self.levels, self.seed)

    def eta(self, values: int) -> float:
        """Return 0.0 because no bound exists, not because the distance is zero: arithmetic NOT covered."""
        return 0.0

    def writer(self, mean: Sequence[float], std: Sequence[float], precision: Precision) -> FloatWriter:
        """Return a writer of (x / levels + noise - mean) / std in float32, rounded to the precision.

        Args:
            mean: (C,), or (1,) for every channel; in units of the [0, 1] range.
            std: like mean, > 0.
            precision: "fp32", "bf16" or "fp16".

        Raises:
            SpecError: the normalisation is malformed.
        """
        check_normalisation(mean, std, precision)
        return FloatWriter(self, tuple(mean), tuple(std), precision)

    def steps(self, rows: Rows, shape: tuple[int, int, int]) -> NDArray[np.float32]:
        """Return the noise itself in units of the [0, 1] range, float32 (B, C, H, W): Box-Muller on pairs of lanes."""
        from smoothcert.noise.cpu import draw_gaussian

        out = np.empty((len(rows), int(np.prod(shape))), dtype=np.float32)
        draw_gaussian(out, *address_words(self, rows), np.float32(self.sigma))
        return out.reshape(len(rows), *shape)


@dataclass(frozen=True)
class FloatWriter:
    """Adds float noise row by row; the same image value may become different floats in different rows."""

    noise: FloatNoise
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision

    def fill(self, out: Buffer, images: Buffer, rows: Rows, threads: int = 1) -> None:
        """Write one noisy image per row; see `Writer.fill`."""
        check_fill(out, images, rows, self.precision, len(self.mean), _KINDS)

        def work(start: int, stop: int) -> None:
            out[start:stop] = self.expected(images, rows.part(start, stop))

        in_parts(work, len(rows), threads)

    def expected(self, images: Buffer, rows: Rows) -> Buffer:
        """Return what `fill` writes: (B, C, H, W), dtype of `out`."""
        shape = images.shape[1:]
        mean, std = (np.array(column, dtype=np.float32)[:, None, None] for column in (self.mean, self.std))
        pixels = images[rows.slot].astype(np.float32) / np.float32(self.noise.levels)
        noisy = pixels + self.noise.steps(rows, (shape[0], *shape[1:]))
        return encode((noisy - mean) / std, self.precision)
