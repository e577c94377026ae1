"""The theory on the sample-complexity page, computed by the functions of the package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from smoothcert.stats import Plan, Procedure, power, r_max_fixed, samples_needed, schedule
from smoothcert.stats.power import least_margin
from smoothcert.stats.radius import probabilities_at
from smoothcert.stats.simulate import expected_samples

ALPHA, CLASSES, WANTED, N_MAX = 0.001, 8, 0.95, 100_000
SIGMAS, RADII = (0.25, 0.5, 1.0), (0.25, 0.5, 1.0)
RATIOS = tuple(sorted({r / sigma for r in RADII for sigma in SIGMAS}))
SHOWN = (0.5, 1.0, 2.0)
"""Values of r / sigma where a table or figure shows three."""
MARGINS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
ALPHAS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
KS = (1, 3, 5)
HALVES = np.array([2.0**-i for i in (1, 2, 3, 4, 5, 6, 6)])
"""How the other votes are split among seven rivals where several k are compared: one half, one quarter, and so on."""
SHARES = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)
AROUND = (-1.0, -0.5, -0.2, -0.1, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
TENS = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
SEED = 20200
IMAGES = 2000
"""Simulated images behind each row of fixed against sequential sampling."""

Votes = tuple[float | None, ...]
"""Votes, or margins; None where no number counted is enough."""


@dataclass(frozen=True)
class Needed:
    """Votes of one look at one r / sigma: the least p, votes if unanimous, and votes at each of MARGINS."""

    ratio: float
    least_p: float
    unanimous: float | None
    votes: Votes


@dataclass(frozen=True)
class Around:
    """One row of fixed against sequential: looks at one margin, and the power of fixed sampling."""

    margin: float
    mean: float
    median: float
    high: float
    power: float
    fixed: float


@dataclass(frozen=True)
class Ten:
    """What n votes reach: R_max / sigma (one look of `cohen`), and the least margin at each of SHOWN."""

    n: int
    reach: float
    margins: Votes


@dataclass(frozen=True)
class Theory:
    """Everything the page says without a run.

    Attributes:
        needed: one a ratio.
        alphas: for each alpha, votes at each of MARGINS, r / sigma = 1.
        bounds: for each bound and number of classes, votes at MARGINS for k = 1, then for k = 5 at margin 0.2.
        top: for each k, votes at each of SHARES, r / sigma = 1.
        around: for each of SHOWN, a row a margin.
        least: for each of SHOWN, margins certified with 95 %: fixed sampling, looks.
        tens: one a number of votes.
        images: simulated images behind each row of `around`.
    """

    needed: tuple[Needed, ...]
    alphas: tuple[Votes, ...]
    bounds: dict[str, Votes]
    top: dict[int, Votes]
    around: tuple[tuple[Around, ...], ...]
    least: tuple[tuple[float, float], ...]
    tens: tuple[Ten, ...]
    images: int


def plan_at(bound: str = "rankcp", classes: int = CLASSES, alpha: float = ALPHA) -> Plan:
    """Return a plan of looks up to N_MAX at sigma = 1, so that radii are ratios."""
    return Plan(schedule(N_MAX), alpha, bound, classes, 1.0)


def generator() -> np.random.Generator:
    """Return a fresh generator: every number is the same whatever else is computed."""
    return np.random.default_rng(SEED)


def theory() -> Theory:
    """Compute the theory; about a minute."""
    return Theory(
        needed=tuple(needed(ratio) for ratio in RATIOS),
        alphas=tuple(votes(1.0, MARGINS, plan_at(alpha=alpha)) for alpha in ALPHAS),
        bounds={name: of_bound(bound, classes) for name, (bound, classes) in BOUNDS.items()},
        top={k: of_k(k) for k in KS},
        around=tuple(around(ratio) for ratio in SHOWN),
        least=tuple(least(ratio) for ratio in SHOWN),
        tens=tuple(ten(n) for n in TENS),
        images=IMAGES,
    )


BOUNDS = {
    "`cohen`, any number of classes": ("cohen", CLASSES),
    "`rankcp`, 3 classes or more": ("rankcp", CLASSES),
    "`simuem`, 8 classes": ("simuem", 8),
    "`simuem`, 1,000 classes": ("simuem", 1000),
}


def finite(values: Iterable[float]) -> Votes:
    """Return numbers, None for infinity."""
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def votes(ratio: float, margins: Sequence[float], plan: Plan) -> Votes:
    """Return votes of one look with 95 % power, k = 1, where all votes that miss the label are for one rival."""
    at = probabilities_at(ratio + np.array(margins), plan.classes)
    return finite(samples_needed(at, ratio, plan, 1, WANTED))


def needed(ratio: float) -> Needed:
    """Return the row of one r / sigma."""
    certain = [1.0] + [0.0] * (CLASSES - 1)
    (unanimous,) = finite(samples_needed([certain], ratio, plan_at()))
    return Needed(ratio, float(ndtr(ratio)), unanimous, votes(ratio, MARGINS, plan_at()))


def of_bound(bound: str, classes: int) -> Votes:
    """Return votes at each margin for k = 1, then for k = 5 at margin 0.2, the other votes split as HALVES."""
    plan = plan_at(bound, classes)
    row = probabilities_at([1.2], classes, 5, HALVES)
    return (*votes(1.0, MARGINS, plan), *finite(samples_needed(row, 1.0, plan, 5, WANTED, generator())))


def of_k(k: int) -> Votes:
    """Return votes at each share of the label, r / sigma = 1, the rest split as HALVES."""
    rows = [[share, *((1 - share) * HALVES)] for share in SHARES]
    return finite(samples_needed(rows, 1.0, plan_at(), k, WANTED, generator()))


def around(ratio: float) -> tuple[Around, ...]:
    """Return samples and power of looks, and the power of fixed sampling, around one radius."""
    at = probabilities_at(ratio + np.array(AROUND), CLASSES)
    looks = expected_samples(at, Procedure(plan_at(), {1: "label"}, (ratio,)), generator(), IMAGES)
    fixed = [float(power(N_MAX, row, ratio, plan_at())) for row in at]
    columns = (looks.mean, looks.median, looks.high, looks.power[:, 0, 0])
    return tuple(Around(margin, *(float(column[i]) for column in columns), fixed[i]) for i, margin in enumerate(AROUND))


def least(ratio: float) -> tuple[float, float]:
    """Return the margins from which 95 % of images are certified: one look at N_MAX, and looks up to it."""
    fixed = float(least_margin(N_MAX, ratio, plan_at(), WANTED))
    margins = fixed * np.linspace(1.0, 1.6, 7)
    at = probabilities_at(ratio + margins, CLASSES)
    looks = expected_samples(at, Procedure(plan_at(), {1: "label"}, (ratio,)), generator(), IMAGES)
    return fixed, float(np.interp(WANTED, np.maximum.accumulate(looks.power[:, 0, 0]), margins))


def ten(n: int) -> Ten:
    """Return what n votes reach."""
    margins = finite(float(least_margin(n, ratio, plan_at(), WANTED)) for ratio in SHOWN)
    return Ten(n, r_max_fixed(n, 1.0, ALPHA), margins)
