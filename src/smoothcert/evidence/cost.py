"""What certifying cost, from the ledger: forward passes, time, and what stopping early saved."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from smoothcert.evidence.run import Run
from smoothcert.evidence.stored import columns_of
from smoothcert.stats import format_down


@dataclass(frozen=True)
class Cost:
    """The cost of one noise level, or of all (sigma None).

    Attributes:
        sigma: noise level, or None for the whole run.
        images: images decided.
        passes: noisy copies classified, selection included; images without a ledger line are left out.
        fixed_passes: copies a fixed number of samples (n0 + n_max an image) would have taken for the same images.
        seconds: time of the device, as the ledger records it.
    """

    sigma: float | None
    images: int
    passes: int
    fixed_passes: int
    seconds: float

    @property
    def times_fewer(self) -> str:
        """How many times fewer copies than fixed sampling, as it is printed."""
        return times_fewer(self.fixed_passes, self.passes)

    @property
    def rate(self) -> float:
        """Copies a second; 0 where no time was recorded."""
        return self.passes / self.seconds if self.seconds > 0 else 0.0


def times_fewer(fixed: int, drawn: int) -> str:
    """Print how many times fewer copies were drawn than fixed sampling takes: to one decimal, rounded down.

    >>> times_fewer(1_201_200_000, 159_079_231), times_fewer(0, 0)
    ('7.5', '1.0')
    """
    return f"{float(format_down(Fraction(fixed, drawn) if drawn else 1.0, 1)):,.1f}"


def costs(run: Run) -> list[Cost]:
    """Return the cost of each noise level of a run, and of all together as the last entry."""
    each = [_cost(run, sigma) for sigma in run.spec.request.sigma]
    total = Cost(
        None,
        sum(one.images for one in each),
        sum(one.passes for one in each),
        sum(one.fixed_passes for one in each),
        sum(one.seconds for one in each),
    )
    return [*each, total]


def _cost(run: Run, sigma: float) -> Cost:
    level = columns_of(run.ledger.at(sigma))
    fixed = len(level) * run.spec.request.most_copies
    return Cost(float(sigma), len(level), int(level.samples.sum()), fixed, level.total_seconds())
