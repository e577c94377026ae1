"""Rounding that keeps a bound a bound: lower bounds down, upper bounds up.

A float stands for the shortest decimal that reads back as it, so rounding twice changes nothing: the float
0.3 keeps its printed value 0.3 in both directions. Exact while |x| 10^decimals < 2^53.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import overload

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@overload
def round_down(x: float, decimals: int = 6) -> float: ...
@overload
def round_down(x: FloatArray, decimals: int = 6) -> FloatArray: ...
def round_down(x: float | FloatArray, decimals: int = 6) -> float | FloatArray:
    """The largest value with so many decimals that is not above x.

    Args:
        x: a float or a float64 array of any shape; infinities pass through.
        decimals: digits after the point, 0..15.

    Returns:
        A float, or an array of x's shape; never above x.

    >>> round_down(0.12371, 3), round_down(0.3, 1), round_down(-0.25, 1)
    (0.123, 0.3, -0.3)
    """
    scale = 10.0**decimals
    value = np.asarray(x, dtype=np.float64)
    units = np.floor(value * scale) + 1  # the product is itself rounded: start one above, step down
    for _ in range(2):
        units = np.where(units / scale > value, units - 1, units)
    rounded = np.asarray(units / scale, dtype=np.float64)
    return rounded if np.ndim(x) else float(rounded)


@overload
def round_up(x: float, decimals: int = 6) -> float: ...
@overload
def round_up(x: FloatArray, decimals: int = 6) -> FloatArray: ...
def round_up(x: float | FloatArray, decimals: int = 6) -> float | FloatArray:
    """The smallest value with so many decimals that is not below x.

    Args:
        x: a float or a float64 array of any shape; infinities pass through.
        decimals: digits after the point, 0..15.

    Returns:
        A float, or an array of x's shape; never below x.

    >>> round_up(0.12371, 3), round_up(0.3, 1), round_up(-0.25, 1)
    (0.124, 0.3, -0.2)
    """
    if np.ndim(x):
        return 0.0 - round_down(-np.asarray(x, dtype=np.float64), decimals)
    return 0.0 - round_down(-float(x), decimals)


def format_down(x: float, decimals: int = 6) -> str:
    """Print a lower bound: rounded down, with exactly so many decimals.

    Args:
        x: the value.
        decimals: digits after the point, 0..15.

    Returns:
        The decimal as text; never above x.

    >>> format_down(0.586669, 5), format_down(0.5, 3)
    ('0.58666', '0.500')
    """
    return f"{round_down(float(x), decimals):.{decimals}f}"


def format_up(x: float, decimals: int = 6) -> str:
    """Print an upper bound: rounded up, with exactly so many decimals.

    Args:
        x: the value.
        decimals: digits after the point, 0..15.

    Returns:
        The decimal as text; never below x.

    >>> format_up(0.586661, 5), format_up(0.5, 3)
    ('0.58667', '0.500')
    """
    return f"{round_up(float(x), decimals):.{decimals}f}"


def scientific_up(x: float) -> str:
    """Print a small upper bound with two digits, rounded up.

    Args:
        x: the value, > 0.

    Returns:
        The number in scientific notation; never below x.

    >>> scientific_up(5.903e-13), scientific_up(9.91e-13), scientific_up(2e-10)
    ('6.0e-13', '1.0e-12', '2.0e-10')
    """
    value = Decimal(repr(float(x)))
    exponent = value.adjusted()
    digits = value.scaleb(-exponent).quantize(Decimal("0.1"), ROUND_CEILING)
    if digits >= 10:
        digits, exponent = Decimal("1.0"), exponent + 1
    return f"{digits}e{exponent:+03d}"
