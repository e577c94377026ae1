"""Noise that is sound in computer arithmetic and reproducible on every machine: each sample has an address."""

from typing import Literal

from smoothcert.errors import SpecError
from smoothcert.noise.base import Noise, Precision, Rows, Stage, Writer
from smoothcert.noise.delivered import NoiseTest, buffer_matches, delivered_test
from smoothcert.noise.gaussian import FloatNoise
from smoothcert.noise.grid import GridNoise
from smoothcert.noise.philox import key
from smoothcert.noise.table import GridTable, grid_table

__all__ = [
    "FloatNoise",
    "GridNoise",
    "GridTable",
    "Noise",
    "NoiseTest",
    "Precision",
    "Rows",
    "Stage",
    "Writer",
    "buffer_matches",
    "delivered_test",
    "grid_table",
    "key",
    "make_noise",
]


def make_noise(kind: Literal["grid", "float"], sigma: float, levels: int, seed: int) -> Noise:
    """Return the noise of one noise level.

    Args:
        kind: "grid" (sound in computer arithmetic) or "float" (arithmetic not covered by the theorem).
        sigma: standard deviation, in units of the [0, 1] range, > 0.
        levels: grid steps in [0, 1]: 255 for 8-bit images, 4095, 65535.
        seed: 0 to 2^64 - 1.

    Raises:
        SpecError: an argument is out of range.

    >>> make_noise("grid", 0.5, 255, seed=1)
    GridNoise(sigma=0.5, levels=255, seed=1)
    """
    if kind == "grid":
        return GridNoise(sigma, levels, seed)
    if kind == "float":
        return FloatNoise(sigma, levels, seed)
    raise SpecError(f"noise must be grid or float, got {kind!r}", code="E-SPEC-013")
