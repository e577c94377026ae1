"""Do bounds, radii and decisions follow from the votes of a block of lines: SciPy claims, plain Python checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.evidence.line_store import Columns
from smoothcert.evidence.outcomes import Outcomes, derived, seen, taken_at
from smoothcert.formats.line import Line, Votes
from smoothcert.spec import Spec
from smoothcert.stats import Bounds, Plan, Tally, bounds, r_max
from smoothcert.stats.rounding import full
from smoothcert.verify import plain

Walked = tuple[float, list[float]]
"""Running bounds q and u of one image, as plain Python has them."""


@dataclass(frozen=True)
class Block:
    """What was recomputed of a block of lines of one sigma.

    Attributes:
        outcomes: the certificates by k.
        bounds: bounds checked.
        faults: what does not hold.
    """

    outcomes: dict[int, Outcomes]
    bounds: int
    faults: tuple[str, ...]


def check_block(spec: Spec, lines: Sequence[Line], columns: Columns, sigma: float) -> Block:
    """Recompute bounds, radii and decisions of some lines of one sigma, whose columns these are, at every k, both ways.

    SciPy claims the bounds; plain Python evaluates the binomial tail at each of them, takes the running minima,
    compares the probabilities just below and just above each certified radius R, and decides every radius anew.
    """
    ks = spec.request.k
    votes = seen(lines, columns, len(spec.looks), max(ks))
    found = derived(spec, votes, sigma, ks)
    checked, faults = 0, []
    for k in ks:
        claimed = _claimed(votes.votes, found[k].plan, k)
        check = _Check(spec, found[k], plain.levels(spec.looks, spec.request.alpha), r_max(found[k].plan, k))
        decided = {r: found[k].certified_correct(r).tolist() for r in spec.request.radius}
        for i, line in enumerate(lines):
            walked, count, wrong = check.walk(line, Bounds(claimed.q[i], claimed.u[i]))
            wrong += check.against(i, walked)
            theirs = {r: bool(each[i]) for r, each in decided.items()}
            wrong += check.decisions(line, walked, theirs, bool(found[k].wrong[i]))
            checked += count
            faults += [f"sigma {full(sigma)}, image {line.index}, k {k}: {reason}" for reason in wrong]
    return Block(found, checked, tuple(faults))


def _claimed(votes: Tally, plan: Plan, k: int) -> Bounds:
    """Return the bounds of each look, q (m, looks) and u (m, looks, k); 1 where it was not taken."""
    claimed = Bounds(np.ones(votes.n.shape), np.ones((*votes.n.shape, k)))
    for look, level in enumerate(plan.levels):
        at, taken = taken_at(votes, look)
        if len(at):
            here = bounds(taken, level, k, plan.bound, plan.classes)
            claimed.q[at, look], claimed.u[at, look] = here.q, here.u
    return claimed


@dataclass(frozen=True)
class _Check:
    """What the lines of one sigma and k are checked with: the levels and R_max, the levels in plain Python."""

    spec: Spec
    found: Outcomes
    levels: tuple[float, ...]
    limit: float

    def walk(self, line: Line, claimed: Bounds) -> tuple[Walked, int, list[str]]:
        """Go through the looks of one line, checking each claimed bound; return the running bounds."""
        best, best_rivals, checked, faults = 1.0, [1.0] * self.found.k, 0, []
        for j, (n, votes) in enumerate(line.looks):
            q, rivals = float(claimed.q[j]), claimed.u[j].tolist()
            for u, x, level in self._claims((q, rivals), (n, votes, line.label), self.levels[j]):
                checked += 1
                if not plain.is_upper_bound(u, x, n, level):
                    faults.append(f"look {n}: {u:.9g} is not the upper confidence bound of {x} votes")
            best = min(best, q)
            best_rivals = [min(pair) for pair in zip(best_rivals, rivals, strict=True)]
        return (best, best_rivals), checked, faults

    def _claims(
        self, claimed: Walked, votes: tuple[int, Votes, int], level: float
    ) -> Iterator[tuple[float, int, float]]:
        """Yield (claimed bound, successes, level) of every confidence bound of one look, its level written out anew."""
        (q, rivals), (n, counts, label), plan = claimed, votes, self.found.plan
        mine, each = plain.shares(plan.bound, plan.classes, len(rivals), level)
        yield q, n - counts.get(label, 0), mine
        if each is None:
            return
        ranked = sorted((count for c, count in counts.items() if c != label), reverse=True)
        for j, u in enumerate(rivals):
            yield u, ranked[j] if j < len(ranked) else 0, each

    def against(self, i: int, walked: Walked) -> list[str]:
        """Return where the running bounds, or the radius, of image i are not what the walk gives."""
        faults, (q, rivals), plan, r = [], walked, self.found.plan, float(self.found.radius[i])
        if q != self.found.bounds.q[i] or rivals != self.found.bounds.u[i].tolist():
            faults.append("the running bounds differ")
        if not plain.is_radius(r / plan.sigma, q, rivals, plan.eta):
            faults.append(f"{r:.9g} is not the largest radius that the bounds certify")
        if r > self.limit + 1e-9:
            faults.append("the radius is above R_max")
        return faults

    def decisions(self, line: Line, walked: Walked, decided: dict[float, bool], theirs_wrong: bool) -> list[str]:
        """Return the radii that plain Python decides otherwise."""
        plan, by_prediction = self.found.plan, self.spec.request.target_of(self.found.k) == "prediction"
        wrong = by_prediction and plain.winner(line.selection) != line.label
        faults = [] if wrong == theirs_wrong else ["the two implementations read the selection differently"]
        for r, theirs in decided.items():
            margin = plain.margin(*walked, r / plan.sigma, plan.eta)
            if abs(margin) >= 1e-9 and theirs != (margin > 0 and not wrong):
                faults.append(f"the two implementations decide r = {full(r)} differently")
        return faults
