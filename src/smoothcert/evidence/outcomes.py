"""From ledger lines to certificates: bounds, radii and decisions of every image, a pure function of votes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence.line import Line
from smoothcert.spec import Spec
from smoothcert.stats import Bounds, Certificate, Plan, Tally, certified_at, radius, round_down, running

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What the votes say about m images at one sigma and k.

    Attributes:
        plan: looks, levels, bound, sigma.
        k: rank of the certificates.
        index: int (m,): index of each image in its source.
        label: int (m,): reference labels, the classes that were bounded.
        wrong: bool (m,): the selection winner is another class, so the image is not certified-correct.
        bounds: running bounds at the last look taken, q (m,) and u (m, k).
        radius: float (m,): exact certified radius; 0 or less where nothing is certified.
        samples: int (m,): noisy copies drawn, selection included.
    """

    plan: Plan
    k: int
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    wrong: Mask
    bounds: Bounds
    radius: NDArray[np.float64]
    samples: NDArray[np.int64]

    @property
    def abstained(self) -> Mask:
        """Images of the right class for which no positive radius is certified, bool (m,)."""
        return ~self.wrong & (self.radius <= 0)

    def certified_correct(self, r: float) -> Mask:
        """Images certified for their reference label at radius r, bool (m,); r = 0 asks for any positive radius."""
        kept = certified_at(self.bounds, r, self.plan.sigma, self.plan.eta)
        return np.asarray(~self.wrong & (self.radius > 0) & kept)

    def certificates(self, radii: Sequence[float]) -> list[Certificate]:
        """Return one certificate an image; label None is an abstention or a wrong class."""
        at = {r: self.certified_correct(r) for r in radii}
        down = round_down(np.maximum(self.radius, 0.0))
        held = ~self.wrong & (self.radius > 0)
        return [
            Certificate(
                label=int(self.label[i]) if held[i] else None,
                k=self.k,
                radius=float(down[i]) if held[i] else 0.0,
                certified_at=tuple(r for r in radii if at[r][i]),
                samples=int(self.samples[i]),
            )
            for i in range(len(self.index))
        ]


def plan_of(spec: Spec, sigma: float) -> Plan:
    """Return the statistical plan of one noise level of a run."""
    request = spec.request
    eta = spec.model_at(sigma).eta
    return Plan(spec.looks, request.alpha, request.bound, spec.classes, float(sigma), eta)


def outcomes(spec: Spec, lines: Sequence[Line], sigma: float, k: int) -> Outcomes:
    """Derive the certificates of one sigma and k.

    Args:
        spec: the locked spec.
        lines: ledger lines of that sigma.
        sigma: one of the spec's noise levels.
        k: one of the spec's k.

    Returns:
        Outcomes over the lines, in their order.
    """
    plan = plan_of(spec, sigma)
    path = running(line_tallies(lines, len(spec.looks), k), plan, k)
    final = Bounds(path.q[:, -1], path.u[:, -1])
    by_prediction = spec.request.target_of(k) == "prediction"
    return Outcomes(
        plan=plan,
        k=k,
        index=np.array([line.index for line in lines], dtype=np.int64),
        label=np.array([line.label for line in lines], dtype=np.int64),
        wrong=np.array([by_prediction and winner(line) != line.label for line in lines], dtype=np.bool_),
        bounds=final,
        radius=radius(final, plan.sigma, plan.eta),
        samples=np.array([line.samples for line in lines], dtype=np.int64),
    )


def winner(line: Line) -> int | None:
    """Return the class most selection copies voted for (the lowest on a tie), or None without selection."""
    if not line.selection:
        return None
    votes = line.selection
    return min(votes, key=lambda c: (-votes[c], c))


def line_tallies(lines: Sequence[Line], looks: int, k: int) -> Tally:
    """Collect the votes of lines: n and label_votes (m, looks), rivals (m, looks, k); n = 0 where no look was taken."""
    shape = (len(lines), looks)
    n, label_votes = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    rivals = np.zeros((*shape, k), dtype=np.int64)
    for i, line in enumerate(lines):
        for j, (drawn, votes) in enumerate(line.looks[:looks]):
            n[i, j], label_votes[i, j] = drawn, votes.get(line.label, 0)
            best = heapq.nlargest(k, (count for c, count in votes.items() if c != line.label))
            rivals[i, j, : len(best)] = best
    return Tally(n, label_votes, rivals)
