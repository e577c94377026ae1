"""What certifying cost, from the ledger: forward passes, time, and what stopping early saved."""

from __future__ import annotations

from dataclasses import dataclass

from smoothcert.evidence.run import Run
from smoothcert.evidence.stored import columns_of


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
    def times_fewer(self) -> float:
        """How many times fewer copies than fixed sampling; 1 where nothing was drawn."""
        return self.fixed_passes / self.passes if self.passes else 1.0

    @property
    def rate(self) -> float:
        """Copies a second; 0 where no time was recorded."""
        return self.passes / self.seconds if self.seconds > 0 else 0.0


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
