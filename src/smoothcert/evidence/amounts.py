"""A number with its spread and its origin: measured, extrapolated or stated. Unknown is None, never 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Origin = Literal["measured", "extrapolated", "stated"]


@dataclass(frozen=True)
class Amount:
    """One number of a scenario; what is unknown is None in its place.

    Attributes:
        value: the number.
        low: the same at the highest rate and the fewest copies that the measured spread allows.
        high: the same at the lowest rate and the most copies.
        origin: measured in the run or pilot, extrapolated from what was measured, or stated by the user.
    """

    value: float
    low: float
    high: float
    origin: Origin

    def times(self, factor: float) -> Amount:
        """Return so many times this, extrapolated."""
        return Amount(factor * self.value, factor * self.low, factor * self.high, "extrapolated")

    def over(self, rate: Amount) -> Amount:
        """Return this divided by a rate, extrapolated: least at the highest rate, most at the lowest."""
        return Amount(self.value / rate.value, self.low / rate.high, self.high / rate.low, "extrapolated")

    def whole(self) -> Amount:
        """Return this rounded up to whole numbers, at least 1."""
        return Amount(_up(self.value), _up(self.low), _up(self.high), self.origin)


def exactly(value: float, origin: Origin) -> Amount:
    """Return a number without spread."""
    return Amount(float(value), float(value), float(value), origin)


def around(value: float, error: float, least: float, most: float, origin: Origin) -> Amount:
    """Return a mean with two standard errors on either side (about 95 %), within the range it can have."""
    low, high = max(least, value - 2 * error), min(most, value + 2 * error)
    return Amount(value, min(low, value), max(high, value), origin)


def _up(x: float) -> float:
    """Round up; a billionth above a whole number is the computer's rounding, not another device."""
    return float(max(1, math.ceil(x - 1e-9 * max(1.0, x))))
