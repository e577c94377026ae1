"""What a plan predicts: before any vote, from a pilot, and how the forecast is recorded with its run.

Before any vote: attainable radii, the samples they take, the images that a claim takes. From a pilot: certified
accuracy, samples and time, each with its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from smoothcert.config import Place, Spec
from smoothcert.config.plan import PlanSettings
from smoothcert.errors import EvidenceError
from smoothcert.evidence.events import PLANNED, Event
from smoothcert.evidence.scenarios import Basis
from smoothcert.stats.rounding import full

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
class EntryForecast:
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

    def telling(self, samples: int) -> int | None:
        """Return the pilot votes an image that would tell, where so many copies do not; None where they do."""
        if self.needed is None or self.needed <= 1 - RESOLVED / samples:
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
    cells: tuple[EntryForecast, ...]
    levels: tuple[LevelForecast, ...]

    def share(self, entry: EntryForecast) -> Estimate | None:
        """Return a cell's certified accuracy under the run's own stopping rule."""
        return entry.looks if self.stopping == "looks" else entry.fixed

    def copies(self, level: LevelForecast) -> Estimate:
        """Return a level's mean copies under the run's own stopping rule."""
        return level.looks if self.stopping == "looks" else level.fixed

    def seconds(self, level: LevelForecast) -> Estimate:
        """Return the device seconds of one noise level: images times copies over the measured rate."""
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
            raise EvidenceError("Expected a forecast written by `smoothcert plan`, got another record.") from None


@dataclass(frozen=True)
class AttainableRadius:
    """What a sampling budget can do for one (sigma, k, r).

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius, in units of the [0, 1] range.
        r_max: largest radius that unanimous votes certify.
        votes: unanimous votes that certify r in one look with all of alpha; None beyond 10^7.
        look: sample number of the look at which unanimous votes certify r; None where not attainable.
        probability: probability of the label from which r is certified with 95 % power, rounded up; the other votes in
            equal parts on its k strongest rivals, which is the hardest case. None where not attainable.
    """

    sigma: float
    k: int
    radius: float
    r_max: float
    votes: int | None
    look: int | None
    probability: float | None

    @property
    def attainable(self) -> bool:
        """Whether the budget can certify r at all."""
        return self.radius <= self.r_max


@dataclass(frozen=True)
class Power:
    """Votes of one look that certify r with 95 % power, where the true radius exceeds r by a margin.

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius r.
        margin: true radius less r, in units of sigma.
        probability: the label's probability at that margin, the rest in equal parts on its k strongest rivals.
        copies: votes needed; None where more than a billion are.
    """

    sigma: float
    k: int
    radius: float
    margin: float
    probability: float
    copies: int | None


@dataclass(frozen=True)
class Width:
    """How much a certified accuracy over m images leaves open.

    Attributes:
        share: certified accuracy.
        origin: what it is: "half of the images" or a forecast cell.
        images: m.
        low: lower end of the exact 95 % interval.
        high: its upper end.
        population: 95 % lower bound on the robust share of the population.
        wanted: the lower bound that is wanted.
        needed: images from which on so large a share gives it; None where no number up to ten million does.
    """

    share: float
    origin: str
    images: int
    low: float
    high: float
    population: float
    wanted: float
    needed: int | None


@dataclass(frozen=True)
class Change:
    """What another setting would do, all others as they are.

    Attributes:
        setting: its name: alpha, n_max, k or stopping.
        value: its value.
        sigma: noise level.
        r_max: largest radius within reach.
        radius: the radius of the forecasts.
        certified: certified accuracy forecast; None without a pilot, where not attainable, or where the pilot is too
            short to tell.
        copies: mean noisy copies an image forecast; None without a pilot.
        now: whether it is the setting as it is.
        told: whether the pilot tells all cells that would be attainable; where not, `copies` is a guess.
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
class Outlook:
    """Everything a plan says besides its forecast."""

    reaches: tuple[AttainableRadius, ...]
    powers: tuple[Power, ...]
    widths: tuple[Width, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Planned:
    """Everything a plan found.

    Attributes:
        settings: what was asked.
        classes: number of classes.
        images: m, images of the run.
        outlook: what follows from the settings, with the pilot's forecast where there is one.
        forecast: what is predicted for the run, or None without a pilot.
        basis: what costs are extrapolated from, or None without a pilot.
        notes: what the reader must know of how it was made.
    """

    settings: PlanSettings
    classes: int
    images: int
    outlook: Outlook
    forecast: Forecast | None = None
    basis: Basis | None = None
    notes: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return a plain record for JSON."""
        return {
            "settings": self.settings.plain(),
            "classes": self.classes,
            "images": self.images,
            **asdict(self.outlook),
            "forecast": None if self.forecast is None else self.forecast.to_record(),
            "basis": None if self.basis is None else asdict(self.basis),
            "notes": list(self.notes),
        }


__all__ = ["NAMED", "PLANNED", "difference", "first_unnamed", "forecast_of", "named_entries", "settings_of"]

NAMED = "cells named before the pilot"


def settings_of(spec: Spec) -> dict[str, str]:
    """Return what a run must share with its plan, in words, in the order in which a difference is named."""
    request = spec.request
    listed: dict[str, Iterable[Any]] = {
        "sigma": map(float, request.sigma),
        "k": request.k,
        "radius": request.radius,
        "alpha": (request.alpha,),
        "n_max": (request.n_max,),
        "bound": (request.bound,),
        "stopping": (request.stopping,),
        "n0": (request.n0,),
        "target": map(request.target_of, request.k),
        "noise": (request.noise,),
        "images": (spec.data.images,),
        "data": (spec.data.sha256,),
    }
    settings = {name: ", ".join(map(str, values)) for name, values in listed.items()}
    return settings | {f"classifier at sigma {full(each.sigma)}": each.sha256 for each in spec.models}


def named_entries(spec: Spec) -> dict[str, str]:
    """Return the primary cell and those of the criteria in words, as a setting of a plan."""
    return {NAMED: "; ".join(place.words for place in _places(spec))}


def _places(spec: Spec) -> tuple[Place, ...]:
    request = spec.request
    return (*((request.primary,) if request.primary else ()), *request.criteria)


def first_unnamed(forecast: Forecast, spec: Spec) -> Place | None:
    """Return the first cell that a run singles out and its plan did not, or None.

    A pilot looks at images of the run. The bound of a single cell holds for a cell that was chosen before any look at
    them; for one that was chosen afterwards only the bound for all cells together does.
    """
    known = forecast.settings.get(NAMED, "").split("; ")
    return next((place for place in _places(spec) if place.words not in known), None)


def difference(forecast: Forecast, spec: Spec) -> str | None:
    """Return in words the first setting in which a run is not the one that was planned, or None."""
    planned = {name: value for name, value in forecast.settings.items() if name != NAMED}
    present = settings_of(spec)
    for name in (*present, *planned):
        if planned.get(name) != present.get(name):
            return f"{name}: planned {_short(planned.get(name))}, now {_short(present.get(name))}"
    return None


def _short(setting: str | None) -> str:
    if setting is None:
        return "nothing"
    return f"{setting[:19]}..." if setting.startswith("sha256:") else setting


def forecast_of(events: Iterable[Event]) -> Forecast | None:
    """Return the forecast a run was certified with, or None.

    Raises:
        EvidenceError: the event holds something else.
    """
    for event in events:
        if event.event == PLANNED:
            return Forecast.from_record(event.facts.get("forecast", {}))
    return None
