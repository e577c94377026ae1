"""Statistical test of delivered noise: its distribution on the grid, and its independence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import InputError
from smoothcert.noise.base import Buffer, Noise, Rows, Writer
from smoothcert.noise.table import GridTable, grid_table

FloatArray = NDArray[np.float64]

LEAST_P = 1e-9
LARGEST_Z = 6.0
LEAST_EXPECTED = 20.0


@dataclass(frozen=True)
class NoiseTest:
    """Result of the test of delivered noise.

    Args:
        values: number of noise values tested.
        chi_square_p: p-value against the table's exact probabilities, bins pooled to 20 expected values or more.
        mean_z: z-score of the mean.
        variance_z: z-score of the variance.
        neighbour_z: z-score of the products of neighbours, the largest in magnitude over pixels 1 to 4 apart,
            pixels one line apart, channels, and consecutive rows of the batch.
        passed: p > 1e-9 and every |z| < 6; about one run in 10^8 fails by chance.
    """

    values: int
    chi_square_p: float
    mean_z: float
    variance_z: float
    neighbour_z: float
    passed: bool


def delivered_test(noise: Noise, steps: Buffer) -> NoiseTest:
    """Test noise drawn by `noise.steps`, or by another implementation of it.

    Args:
        noise: the noise it should be.
        steps: (B, C, H, W) of distinct addresses; int32 grid steps for "grid", floats in [0, 1] units for
            "float" (tested in grid steps, rounded for the chi-square).

    Raises:
        InputError: steps is not 4-d, not finite, or has fewer than 1,000 values.
    """
    if steps.ndim != 4 or steps.size < 1000 or not np.isfinite(steps).all():
        raise InputError(
            f"steps must be finite, of shape (B, C, H, W), with at least 1,000 values, got shape {steps.shape}",
            code="E-INPUT-033",
        )
    table = grid_table(noise.sigma, noise.levels)
    values = steps.astype(np.float64) * (noise.levels if noise.name == "float" else 1)
    p = _chi_square_p(np.rint(values).astype(np.int64), table)
    second, fourth = _moments(noise, table)
    n = values.size
    mean_z = float(values.mean() / math.sqrt(second / n))
    variance_z = float((np.mean(values**2) - second) / math.sqrt((fourth - second**2) / n))
    neighbour_z = _neighbour_z(values, second)
    passed = p > LEAST_P and all(abs(z) < LARGEST_Z for z in (mean_z, variance_z, neighbour_z))
    return NoiseTest(n, p, mean_z, variance_z, neighbour_z, passed)


def buffer_matches(writer: Writer, out: Buffer, images: Buffer, rows: Rows) -> bool:
    """Return whether a buffer equals, bit for bit, what the slow NumPy reference writes.

    Args:
        writer: the writer that filled it.
        out: (B, C, H, W), float32 or uint16 bits.
        images: (slots, C, H, W) integers, as passed to `fill`.
        rows: the B addresses; a few rows are enough.
    """
    expected = writer.expected(images, rows)
    return out.shape == expected.shape and out.dtype == expected.dtype and out.tobytes() == expected.tobytes()


def _chi_square_p(steps: NDArray[np.int64], table: GridTable) -> float:
    from scipy.special import gammaincc

    if steps.min() < table.first or steps.max() > table.last:
        return 0.0
    counts = np.bincount((steps - table.first).ravel(), minlength=len(table.thresholds) + 1)
    expected = steps.size * table.probabilities()
    starts = _pools(expected)
    if len(starts) == 1:
        return 1.0
    observed, expected = np.add.reduceat(counts, starts), np.add.reduceat(expected, starts)
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    return float(gammaincc((len(starts) - 1) / 2, statistic / 2))


def _pools(expected: FloatArray) -> NDArray[np.intp]:
    """Return the first bins of pools of consecutive bins, each with an expected count of `LEAST_EXPECTED` or more."""
    starts, inside = [0], 0.0
    for index, value in enumerate(expected.tolist()):
        if inside >= LEAST_EXPECTED:
            starts.append(index)
            inside = 0.0
        inside += value
    return np.array(starts if inside >= LEAST_EXPECTED or len(starts) == 1 else starts[:-1], dtype=np.intp)


def _moments(noise: Noise, table: GridTable) -> tuple[float, float]:
    """Return the second and fourth moment in grid steps, of the table or of the plain Gaussian."""
    if noise.name == "float":
        variance = (noise.sigma * noise.levels) ** 2
        return variance, 3 * variance**2
    squares = np.arange(table.first, table.last + 1, dtype=np.float64) ** 2
    p = table.probabilities()
    return float(p @ squares), float(p @ squares**2)


def _neighbour_z(values: FloatArray, second: float) -> float:
    flat = values.reshape(len(values), -1)
    height, width = values.shape[2:]
    lags = {1, 2, 3, 4, width, height * width}
    pairs: list[tuple[Any, Any]] = [(flat[:, :-lag], flat[:, lag:]) for lag in lags if lag < flat.shape[1]]
    if len(flat) > 1:
        pairs.append((flat[:-1], flat[1:]))
    scores = [float(np.sum(a * b)) / (second * math.sqrt(a.size)) for a, b in pairs]
    return max(scores, key=abs, default=0.0)
