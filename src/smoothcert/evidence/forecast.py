"""What a plan predicts for a run, from a pilot: certified accuracy, noisy copies and time, each with its interval."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from smoothcert.errors import EvidenceError

COVERAGE = 0.95
"""Probability that a forecast's interval holds what the run comes to; no confidence of a run's own bounds."""
RESOLVED = 3
"""A pilot of n votes tells a probability from one that lies this many votes below unanimity: 1 - 3 / n."""


@dataclass(frozen=True)
class Estimate:
    """A forecast and the interval that holds the run's own value with 95 % probability.

    Attributes:
        value: the forecast, or None where the pilot is too short to tell.
        low: lower end.
        high: upper end.
    """

    value: float | None
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a realised value lies in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Rate:
    """Noisy copies a second in one precision, measured in several rounds.

    Attributes:
        precision: arithmetic of the classifier.
        low: slowest round.
        median: median round.
        high: fastest round.
        joules: energy of one copy, or None where the device does not report it.
    """

    precision: str
    low: float
    median: float
    high: float
    joules: float | None = None


@dataclass(frozen=True)
class CellForecast:
    """What is predicted for one (sigma, k, r).

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius, in units of the [0, 1] range.
        r_max: largest radius the sampling budget can certify; beyond it there is no forecast.
        needed: probability of the label from which r is certified with 95 % power, the other votes in equal parts on
            its k strongest rivals; None where not attainable.
        looks: certified accuracy of the run with sequential looks; None where not attainable.
        fixed: the same with a fixed number of copies.
    """

    sigma: float
    k: int
    radius: float
    r_max: float
    needed: float | None
    looks: Estimate | None
    fixed: Estimate | None

    def telling(self, copies: int) -> int | None:
        """Return the pilot votes an image that would tell, where so many copies do not; None where they do."""
        if self.needed is None or self.needed <= 1 - RESOLVED / copies:
            return None
        return math.ceil(RESOLVED / (1 - self.needed)) if self.needed < 1 else None


@dataclass(frozen=True)
class LevelForecast:
    """What is predicted for one noise level.

    Attributes:
        sigma: noise level.
        looks: mean noisy copies an image with sequential looks, selection included.
        looks_median: their median.
        fixed: mean copies with a fixed number.
        fixed_median: their median.
        taken: (copies, share of images) under the run's own stopping rule, increasing.
        rates: noisy copies a second, one a precision; the run's own first.
    """

    sigma: float
    looks: Estimate
    looks_median: float
    fixed: Estimate
    fixed_median: float
    taken: tuple[tuple[int, float], ...]
    rates: tuple[Rate, ...]


@dataclass(frozen=True)
class Pilot:
    """What was drawn for a plan; none of it is a vote of a run.

    Attributes:
        images: images drawn at random without replacement.
        copies: votes an image at each noise level.
        drawn: noisy copies in all.
        seconds: time it took, loading left out.
        device: where.
        precision: arithmetic of the classifier.
        batch: noisy copies of a forward pass.
    """

    images: int
    copies: int
    drawn: int
    seconds: float
    device: str
    precision: str
    batch: int


@dataclass(frozen=True)
class Forecast:
    """What a plan predicts for a run.

    Attributes:
        settings: what a run must share with the plan, in words; see `planned.settings_of`.
        images: m, images of the run.
        stopping: the run's own rule.
        pilot: what the forecast was made from.
        cells: one a (sigma, k, r).
        levels: one a sigma.
    """

    settings: dict[str, str]
    images: int
    stopping: Literal["looks", "fixed"]
    pilot: Pilot
    cells: tuple[CellForecast, ...]
    levels: tuple[LevelForecast, ...]

    def share(self, cell: CellForecast) -> Estimate | None:
        """Return a cell's certified accuracy under the run's own stopping rule."""
        return cell.looks if self.stopping == "looks" else cell.fixed

    def copies(self, level: LevelForecast) -> Estimate:
        """Return a level's mean copies under the run's own stopping rule."""
        return level.looks if self.stopping == "looks" else level.fixed

    def seconds(self, level: LevelForecast) -> Estimate:
        """Return the device seconds of one noise level: images times copies over the measured rate."""
        copies, rate = self.copies(level), level.rates[0]
        value = None if copies.value is None else self.images * copies.value / rate.median
        return Estimate(value, self.images * copies.low / rate.high, self.images * copies.high / rate.low)

    def to_record(self) -> dict[str, Any]:
        """Return a plain record for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Forecast:
        """Read a record.

        Raises:
            EvidenceError: it is not the record of a forecast.
        """
        try:
            return TypeAdapter(cls).validate_python(record)
        except ValidationError:
            raise EvidenceError("Expected a forecast written by `smoothcert plan`, got another record.") from None
