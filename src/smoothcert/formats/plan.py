"""`plan.json`, version 1, and its `forecast`, which the event `planned` of a run repeats.

One JSON object: `settings` (plain values), `classes`, `images`, the lists of `Outlook`, `forecast` (`Forecast`, or
null without a pilot), `basis` (`formats.cost.Basis`, or null) and `notes` (list of str). Each class below is an object,
each of its attributes a key.

Known before any vote: attainable radii, the samples they need, the images that a claim needs. Forecast from a pilot:
certified accuracy, samples and time, each with an interval.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from smoothcert.errors import EvidenceError

COVERAGE = 0.95
"""Probability that the interval of a forecast contains the value of the run; not the confidence of a run's bounds."""

RESOLVED = 3
"""A pilot of n votes per image resolves label probabilities up to 1 - RESOLVED / n."""


@dataclass(frozen=True)
class Estimate:
    """A forecast and the interval that contains the value of the run with 95 % probability.

    Attributes:
        value: the forecast; None if the pilot is too short to resolve it.
        low: lower end.
        high: upper end.
    """

    value: float | None
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a realised value is in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Rate:
    """Noise samples per second in one precision, measured in several rounds.

    Attributes:
        precision: arithmetic of the classifier.
        low: slowest round.
        median: median round.
        high: fastest round.
        joules: energy per noise sample; None if the device does not report it.
    """

    precision: str
    low: float
    median: float
    high: float
    joules: float | None = None


@dataclass(frozen=True)
class EntryForecast:
    """The forecast of one entry (sigma, k, r).

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius, in units of the [0, 1] range.
        r_max: largest attainable radius; there is no forecast beyond it.
        needed: label probability from which on r is certified with 95 % power, the remaining probability in equal parts
            on the k strongest rivals; None if not attainable.
        looks: certified accuracy of the run with sequential looks; None if not attainable.
        fixed: the same with a fixed number of samples.
    """

    sigma: float
    k: int
    radius: float
    r_max: float
    needed: float | None
    looks: Estimate | None
    fixed: Estimate | None

    def telling(self, samples: int) -> int | None:
        """Return the pilot votes per image that would resolve this entry; None if `samples` votes do."""
        if self.needed is None or self.needed <= 1 - RESOLVED / samples:
            return None
        return math.ceil(RESOLVED / (1 - self.needed)) if self.needed < 1 else None


@dataclass(frozen=True)
class LevelForecast:
    """The forecast of one noise level.

    Attributes:
        sigma: noise level.
        looks: mean number of noise samples per image with sequential looks, selection included.
        looks_median: median.
        fixed: mean number with a fixed number of samples.
        fixed_median: median.
        taken: (samples, share of images) under the run's own stopping rule, by increasing samples.
        rates: noise samples per second, one rate per precision; the run's own first.
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
    """How the pilot of a plan was drawn; none of its votes is a vote of a run.

    Attributes:
        images: images drawn at random without replacement.
        copies: votes per image at each noise level.
        drawn: noise samples in total.
        seconds: time it took, loading excluded.
        device: device it ran on.
        precision: arithmetic of the classifier.
        batch: noise samples per forward pass.
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
    """The forecast of a run.

    Attributes:
        settings: settings that a run must share with the plan, as text (`evidence.forecast.settings_of`).
        images: m, images of the run.
        stopping: stopping rule of the run.
        pilot: the pilot that the forecast is made from.
        cells: one per (sigma, k, r).
        levels: one per sigma.
    """

    settings: dict[str, str]
    images: int
    stopping: Literal["looks", "fixed"]
    pilot: Pilot
    cells: tuple[EntryForecast, ...]
    levels: tuple[LevelForecast, ...]

    def share(self, entry: EntryForecast) -> Estimate | None:
        """Return the certified accuracy of an entry under the run's own stopping rule."""
        return entry.looks if self.stopping == "looks" else entry.fixed

    def copies(self, level: LevelForecast) -> Estimate:
        """Return the mean samples per image of a noise level under the run's own stopping rule."""
        return level.looks if self.stopping == "looks" else level.fixed

    def seconds(self, level: LevelForecast) -> Estimate:
        """Return the device seconds of one noise level: images times samples over the measured rate."""
        samples, rate = self.copies(level), level.rates[0]
        value = None if samples.value is None else self.images * samples.value / rate.median
        return Estimate(value, self.images * samples.low / rate.high, self.images * samples.high / rate.low)

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
            raise EvidenceError(
                "Expected a forecast written by `smoothcert plan`, got another record.", code="E-RUN-055"
            ) from None


@dataclass(frozen=True)
class AttainableRadius:
    """What a sampling budget can certify at one (sigma, k, r).

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius, in units of the [0, 1] range.
        r_max: largest attainable radius, that of unanimous votes.
        votes: unanimous votes that certify r in one look with all of alpha; None beyond 10^7.
        look: sample number of the look at which unanimous votes certify r; None if not attainable.
        probability: label probability from which on r is certified with 95 % power, rounded up, the remaining
            probability in equal parts on the k strongest rivals (the hardest case), at the best look taken alone;
            None if not attainable.
        power: share of such images that the whole procedure certifies, selection and early stopping included, by
            simulation; None if not attainable, or if an earlier version made the plan.
    """

    sigma: float
    k: int
    radius: float
    r_max: float
    votes: int | None
    look: int | None
    probability: float | None
    power: float | None = None

    @property
    def attainable(self) -> bool:
        """Whether the sampling budget can certify r."""
        return self.radius <= self.r_max


@dataclass(frozen=True)
class Power:
    """Votes with which one look certifies r with 95 % power, where the true radius exceeds r by a margin.

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius r, in units of the [0, 1] range.
        margin: (true radius - r) / sigma.
        probability: label probability at that margin, the rest in equal parts on the k strongest rivals.
        copies: votes needed; None beyond 10^9.
    """

    sigma: float
    k: int
    radius: float
    margin: float
    probability: float
    copies: int | None


@dataclass(frozen=True)
class Width:
    """The confidence interval of a certified accuracy over m images, and the images that a claim needs.

    Attributes:
        share: certified accuracy.
        origin: "half of the images", "assumed", or the entry that it is a forecast of.
        images: m.
        low: lower end of the exact 95 % interval.
        high: its upper end.
        population: 95 % lower bound on the robust share of the population.
        wanted: target for that lower bound.
        needed: number of images from which on this share reaches the target; None if no number up to 10^7 does.
        likely: number of images from which on a run reaches the target with probability 80 %, if each image is
            certified with probability `share`; None as for `needed`, or if an earlier version made the plan.
        very_likely: the same with probability 95 %.
    """

    share: float
    origin: str
    images: int
    low: float
    high: float
    population: float
    wanted: float
    needed: int | None
    likely: int | None = None
    very_likely: int | None = None


@dataclass(frozen=True)
class Change:
    """The effect of changing one setting, all others unchanged.

    Attributes:
        setting: its name: alpha, n_max, k or stopping.
        value: its value.
        sigma: noise level.
        r_max: largest attainable radius.
        radius: radius of the forecasts.
        certified: forecast certified accuracy; None without a pilot, if not attainable, or if the pilot is too short to
            resolve it.
        copies: forecast mean number of noise samples per image; None without a pilot.
        now: whether this is the present value.
        told: whether the pilot resolves all attainable entries; if not, `copies` is a guess.
    """

    setting: str
    value: str
    sigma: float
    r_max: float
    radius: float
    certified: float | None
    copies: float | None
    now: bool
    told: bool


@dataclass(frozen=True)
class EntryCost:
    """What one entry (sigma, k, r) costs, forecast from a pilot.

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius, in units of the [0, 1] range.
        alone: mean noise samples per image of a run with this entry alone; None if it is not attainable.
        saved: mean noise samples per image that leaving it out of the run saves.
    """

    sigma: float
    k: int
    radius: float
    alone: float | None
    saved: float


@dataclass(frozen=True)
class PriceEffect:
    """What stopping at a price changes at one noise level, forecast from a pilot.

    Attributes:
        sigma: noise level.
        price: samples that one certificate is worth; None: stopping by futility.
        copies: mean noise samples per image.
        lost: certified accuracy lost against futility, mean over the entries, as a fraction; negative: gained.
        most: the largest loss of an entry.
        now: whether this is how the run stops.
    """

    sigma: float
    price: float | None
    copies: float
    lost: float
    most: float
    now: bool


@dataclass(frozen=True)
class Outlook:
    """What a plan says besides its forecast: attainable radii, power, intervals and the effect of other settings.

    With a pilot also what each entry costs, and what prices change; without looks there are no prices.
    """

    reaches: tuple[AttainableRadius, ...]
    powers: tuple[Power, ...]
    widths: tuple[Width, ...]
    changes: tuple[Change, ...]
    entries: tuple[EntryCost, ...] = ()
    prices: tuple[PriceEffect, ...] = ()
