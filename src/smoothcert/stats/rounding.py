"""Directed rounding: lower bounds down, upper bounds up, settings in full.

A float stands for the shortest decimal that reads back as the same float, so rounding is idempotent: 0.3 is printed as
0.3 in both directions. Printed values are computed in exact integer arithmetic; a share of images is `Fraction(s, m)`,
and 57 of 100 are 57.0 %. `round_down` and `round_up` are exact while |x| 10^decimals < 2^53.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import overload

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Number = float | Fraction


@overload
def round_down(x: float, decimals: int = 6) -> float: ...
@overload
def round_down(x: FloatArray, decimals: int = 6) -> FloatArray: ...
def round_down(x: float | FloatArray, decimals: int = 6) -> float | FloatArray:
    """Round down to a number of decimals: the largest such value that is not above x.

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
    """Round up to a number of decimals: the smallest such value that is not below x.

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


def format_down(x: Number, decimals: int = 6, scale: int = 1) -> str:
    """Format a lower bound: rounded down, with exactly `decimals` digits after the point.

    Args:
        x: a float, which stands for the shortest decimal that reads back as the same float, or an exact fraction.
        decimals: digits after the point, >= 0.
        scale: exact factor applied before rounding, such as 100 for percent.

    Returns:
        The decimal as text; never above scale times x.

    >>> format_down(0.586669, 5), format_down(0.5, 3), format_down(Fraction(2, 3), 4)
    ('0.58666', '0.500', '0.6666')
    """
    return _printed(scale * _exactly(x), decimals, math.floor)


def format_up(x: Number, decimals: int = 6, scale: int = 1) -> str:
    """Format an upper bound: rounded up, with exactly `decimals` digits after the point.

    Args:
        x: a float, which stands for the shortest decimal that reads back as the same float, or an exact fraction.
        decimals: digits after the point, >= 0.
        scale: exact factor applied before rounding, such as 100 for percent.

    Returns:
        The decimal as text; never below scale times x.

    >>> format_up(0.586661, 5), format_up(0.5, 3), format_up(Fraction(2, 3), 4)
    ('0.58667', '0.500', '0.6667')
    """
    return _printed(scale * _exactly(x), decimals, math.ceil)


def percent_down(x: Number, decimals: int = 1) -> str:
    """Format a share, or a lower bound on one, in percent, rounded down once.

    >>> percent_down(Fraction(57, 100)), percent_down(0.57), percent_down(0.99925)
    ('57.0', '57.0', '99.9')
    """
    return format_down(x, decimals, 100)


def percent_of(s: int, m: int, decimals: int = 1) -> str:
    """Format s out of m >= 1 in percent, rounded down.

    >>> percent_of(57, 100), percent_of(2, 3), percent_of(1, 200, 0)
    ('57.0', '66.6', '0')
    """
    return percent_down(Fraction(int(s), int(m)), decimals)


def percent_up(x: Number, decimals: int = 1) -> str:
    """Format an upper bound on a share in percent, rounded up once.

    >>> percent_up(0.07, 0), percent_up(0.99925, 2), percent_up(0.99925)
    ('7', '99.93', '100.0')
    """
    return format_up(x, decimals, 100)


def percents(low: float, high: float | None) -> str:
    """Format an interval of shares in percent, rounded outwards; `high` is None where there is no upper end.

    >>> percents(0.2139, 0.3426), percents(0.2139, None)
    ('21.3 to 34.3', '>= 21.3')
    """
    return f">= {percent_down(low)}" if high is None else f"{percent_down(low)} to {percent_up(high)}"


def full(x: float) -> str:
    """Format a setting, such as a radius, in full: the fewest digits that read back as x, so that no two look equal.

    >>> full(0.25), full(1.0), full(1.3536676)
    ('0.25', '1', '1.3536676')
    """
    return repr(float(x)).removesuffix(".0")


def percent_exact(x: float) -> str:
    """Format a share that is a setting, such as a threshold, in percent and in full.

    >>> percent_exact(0.57), percent_exact(0.9999999), percent_exact(0.6)
    ('57', '99.99999', '60')
    """
    return f"{Decimal(repr(float(x))).scaleb(2).normalize():f}"


def _exactly(x: Number) -> Fraction | float:
    """Return a number as an exact fraction; infinities and nan as they are."""
    if isinstance(x, Fraction):
        return x
    return Fraction(repr(float(x))) if math.isfinite(x) else float(x)


def _printed(x: Fraction | float, decimals: int, rounded: Callable[[Fraction], int]) -> str:
    if not isinstance(x, Fraction):
        return str(x)
    whole, part = divmod(abs(units := rounded(x * 10**decimals)), 10**decimals)
    return f"{'-' if units < 0 else ''}{whole}" + (f".{part:0{decimals}d}" if decimals else "")


def scientific_up(x: float) -> str:
    """Format a small upper bound with two digits, rounded up.

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
