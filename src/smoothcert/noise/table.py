"""Thresholds that turn one 64-bit uniform into one integer of rounded Gaussian noise.

With h = 1/levels the noise is an integer number of grid steps with P(step <= i) = Phi((i + 1/2) h / sigma),
the rounding of a Gaussian (the construction follows Voracek and Hein, ICLR 2023). The thresholds are
t_i = ceil(2^64 Phi((i + 1/2) h / sigma)), exactly: each is computed with a proven error bound, and again at a
higher precision if the bound does not decide the rounding (not seen so far).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import SpecError
from smoothcert.noise.philox import Words

FRACTION = 160
"""Fractional bits of the fixed-point numbers below."""
DEGREE = 16
BLOCKS_PER_UNIT = 16
REACH = 146
"""Blocks of width 1/16 until y = 9.125, where 2^64 Phi(-y) is already below 1."""
MARGIN = 1 << 56
"""Error bound of a fixed-point value of Phi, 2^-104. The Taylor remainder of degree N = 16 at distance at most
D = 1/32 is below 0.44 sqrt(N!)/(N + 1)! D^(N + 1) < 2^-111 (Cramer's bound on Hermite polynomials); the
roundings of the Horner scheme add less than 2^-150."""
LARGEST = 1 << 23


@dataclass(frozen=True, eq=False)
class GridTable:
    """The table of one (sigma, levels): step = first + (number of thresholds <= U), U a 64-bit uniform.

    Args:
        first: the smallest step.
        thresholds: uint64 (T,), non-decreasing (far tails repeat a value), read-only.
        guide: uint32 (2^b + 1,), guide[j] = number of thresholds <= j 2^(64 - b); it brackets the search.
        shift: 64 - b.
    """

    first: int
    thresholds: Words
    guide: NDArray[np.uint32]
    shift: int

    @property
    def last(self) -> int:
        """The largest step."""
        return self.first + len(self.thresholds)

    def steps(self, uniforms: Words) -> NDArray[np.int32]:
        """Return the steps of 64-bit uniforms of any shape, by binary search: the reference."""
        counts = np.searchsorted(self.thresholds, uniforms, side="right")
        return (counts + self.first).astype(np.int32)

    def probabilities(self) -> NDArray[np.float64]:
        """Return P(step) for step = first .. last, float64 (T + 1,): exact integers over 2^64, rounded once."""
        inner = np.diff(self.thresholds, prepend=np.uint64(0)).astype(np.float64)
        top = float(2**64 - int(self.thresholds[-1]))
        return np.append(inner, top) * 2.0**-64


def total_variation(values: int, table: GridTable) -> float:
    """Return a bound on the total variation distance between one noisy image and the ideal rounded Gaussian.

    The probability of an inner step errs by less than 2^-64, those of the two outermost steps and the tails by at
    most 5 2^-64 together; half the sum, (T + 4)/2 2^-64, is at most max(T, 4) 2^-64. Values are independent, so
    their distances add.

    Args:
        values: d, values in one image.
        table: its table, with T thresholds.

    Returns:
        d max(T, 4) 2^-64, which bounds the error of the probability of every event, for any number of samples.
    """
    return values * max(len(table.thresholds), 4) * 2.0**-64


def check_grid(sigma: float, levels: int) -> None:
    """Raise SpecError if the table of this noise would be empty or too large.

    Raises:
        SpecError: sigma is below 0.06 grid steps, or the table needs more than 2^23 thresholds.
    """
    if levels * sigma < 0.06:
        raise SpecError(
            f"sigma = {sigma} is too small for the grid step 1/{levels}: all noise rounds to 0; use a larger sigma",
            code="E-SPEC-021",
        )
    if 2 * REACH * levels * sigma > LARGEST * BLOCKS_PER_UNIT:
        raise SpecError(
            f"sigma = {sigma} with {levels} levels needs a table of over {LARGEST} thresholds; use a smaller sigma",
            code="E-SPEC-022",
        )


@lru_cache(maxsize=16)
def grid_table(sigma: float, levels: int) -> GridTable:
    """Compute the table of one noise (cached in memory; a 16-bit table takes about a second).

    Args:
        sigma: standard deviation in units of the [0, 1] range, > 0.
        levels: grid steps in [0, 1]: 255 for 8 bits, 4095, 65535.

    Returns:
        Thresholds from the first i with 2^64 Phi >= 1 to the last with t_i < 2^64, read-only.

    Raises:
        SpecError: sigma is below 0.06 grid steps, or the table needs more than 2^23 thresholds.

    >>> table = grid_table(0.25, 255)
    >>> table.first, len(table.thresholds), int(table.thresholds[579])
    (-579, 1158, 9281090552130308153)
    """
    check_grid(sigma, levels)
    tails = _tails(sigma, int(levels))
    lower = [tail + 1 for tail in reversed(tails)]
    upper = [2**64 - tail for tail in tails]
    thresholds = np.array(lower + upper, dtype=np.uint64)
    guide, shift = _guide(thresholds)
    for array in (thresholds, guide):
        array.flags.writeable = False
    return GridTable(-len(tails), thresholds, guide, shift)


def _tails(sigma: float, levels: int) -> list[int]:
    """Return floor(2^64 Phi(-(j + 1/2) / (levels sigma))) for j = 0, 1, ... while it is at least 1."""
    above, below = float(sigma).as_integer_ratio()
    count = int(REACH / BLOCKS_PER_UNIT * levels * sigma) + 1
    odd = 2 * np.arange(count).astype(object) + 1
    distances = odd * (below << FRACTION) // (2 * levels * above)
    values: list[int] = []
    for block in range(REACH):
        start, stop = (bisect_left(distances, edge * _BLOCK) for edge in (block, block + 1))
        if start < stop:
            values += _normal_cdf(block, distances[start:stop])
    tails = [_rounded(value, j, sigma, levels) for j, value in enumerate(values)]
    return [tail for tail in tails if tail >= 1]


_BLOCK = (1 << FRACTION) // BLOCKS_PER_UNIT


def _normal_cdf(block: int, distances: Any) -> list[int]:
    """Return Phi(-distance), fixed point, for distances in one block: a Taylor polynomial around its centre."""
    offset = block * _BLOCK + _BLOCK // 2 - distances
    coefficients = _taylor(block)
    total = coefficients[-1] + 0 * offset
    for coefficient in reversed(coefficients[:-1]):
        total = (total * offset >> FRACTION) + coefficient
    return list(total)


@lru_cache(maxsize=REACH)
def _taylor(block: int) -> tuple[int, ...]:
    """Return the Taylor coefficients of Phi at the block's centre c < 0: Phi(c), phi(c) (-1)^n He_n(c) / (n + 1)!."""
    from mpmath import MPContext

    mp = MPContext()
    mp.prec = FRACTION + 80
    centre = -mp.mpf(2 * block + 1) / (2 * BLOCKS_PER_UNIT)
    coefficients = [mp.ncdf(centre)]
    hermite, previous, scale = mp.mpf(1), mp.mpf(0), mp.npdf(centre)
    for n in range(DEGREE):
        coefficients.append(scale * hermite)
        hermite, previous = centre * hermite - n * previous, hermite
        scale = -scale / (n + 2)
    return tuple(int(mp.floor(mp.ldexp(c, FRACTION))) for c in coefficients)


def _rounded(value: int, j: int, sigma: float, levels: int) -> int:
    """Return floor(2^64 Phi) from a fixed-point Phi; computed with 400 bits if the error bound spans an integer."""
    drop = FRACTION - 64
    tail = (value - MARGIN) >> drop
    return tail if tail == (value + MARGIN) >> drop else exact_tail(j, sigma, levels)


def exact_tail(j: int, sigma: float, levels: int) -> int:
    """Return floor(2^64 Phi(-(j + 1/2) / (levels sigma))) from mpmath with 400 bits."""
    from mpmath import MPContext

    mp = MPContext()
    mp.prec = 400
    return int(mp.floor(mp.ldexp(mp.ncdf(-mp.mpf(2 * j + 1) / (2 * levels * mp.mpf(sigma))), 64)))


def _guide(thresholds: Words) -> tuple[NDArray[np.uint32], int]:
    """Return a table over the top bits of U with a few entries per threshold, and 64 minus the number of bits."""
    bits = min(max(len(thresholds).bit_length() + 3, 12), 18)
    edges = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits)
    counts = np.append(np.searchsorted(thresholds, edges, side="right"), len(thresholds))
    return counts.astype(np.uint32), 64 - bits
