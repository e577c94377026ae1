"""What a plan says before any vote: radii within reach, the votes they take, the images that a claim takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from smoothcert.evidence.forecast import Forecast
from smoothcert.evidence.scenarios import Basis
from smoothcert.spec.planning import PlanSettings


@dataclass(frozen=True)
class Reach:
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

    reaches: tuple[Reach, ...]
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
