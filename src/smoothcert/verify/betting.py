"""Checks of certificates by betting: the votes of each line are bet on again, in plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from smoothcert.config import Spec
from smoothcert.evidence.outcomes import Outcomes
from smoothcert.formats.line import Line, Votes
from smoothcert.stats.rounding import full
from smoothcert.verify import plain
from smoothcert.verify.plain_betting import Rule, is_certified, is_certified_count


def betting_rule(spec: Spec, sigma: float, k: int) -> tuple[tuple[float, ...], Rule]:
    """Return the grid of a noise level, and what was fixed before the votes."""
    grid, request = spec.grid_at(sigma), spec.request
    ratios = tuple(r / float(sigma) for r in grid)
    return grid, Rule(k, ratios, request.alpha, spec.looks[-1], spec.classes, spec.model_at(sigma).eta)


def is_r_max(claimed: float, spec: Spec, sigma: float, k: int) -> bool:
    """Whether a radius is the largest of the grid that unanimous votes at all looks certify; 0 if there is none."""
    grid, rule = betting_rule(spec, sigma, k)
    count = _count(claimed, grid)
    return count is not None and is_certified_count(count, [{0: n} for n in spec.looks], 0, rule)


def _count(radius: float, grid: Sequence[float]) -> int | None:
    """Return how many radii of the grid are certified if this is the largest; None if it is not in the grid."""
    if radius == 0:
        return 0
    return grid.index(radius) + 1 if radius in grid else None


@dataclass(frozen=True)
class BettingCheck:
    """Checks of the lines of one sigma and k."""

    spec: Spec
    found: Outcomes

    @cached_property
    def _rule(self) -> tuple[tuple[float, ...], Rule]:
        return betting_rule(self.spec, self.found.plan.sigma, self.found.k)

    @cached_property
    def _decided(self) -> Mapping[float, Sequence[bool]]:
        return {r: self.found.certified_correct(r).tolist() for r in self.spec.request.radius}

    def line(self, i: int, line: Line) -> tuple[int, list[str]]:
        """Check line number i; return the number of radii that were bet on, and the faults."""
        grid, rule = self._rule
        claimed, looks = float(self.found.radius[i]), [votes for _, votes in line.looks]
        count = _count(claimed, grid)
        faults = []
        if count is None or not is_certified_count(count, looks, line.label, rule):
            faults.append(f"{claimed:.9g} is not the largest radius of the grid that the bets certify")
        return min((count or 0) + 1, len(grid)), [*faults, *self._decisions(i, line, claimed)]

    def _decisions(self, i: int, line: Line, claimed: float) -> Iterator[str]:
        wrong = self._wrong(line, claimed)
        if wrong != bool(self.found.wrong[i]):
            yield "the two implementations disagree on whether another class leads"
        for r, decided in self._decided.items():
            if bool(decided[i]) != (0 < r <= claimed and not wrong):
                yield f"the two implementations disagree on r = {full(r)}"

    def _wrong(self, line: Line, claimed: float) -> bool:
        if self.spec.request.target_of(self.found.k) == "prediction":
            return plain.winner(line.selection) != line.label
        return claimed <= 0 and _behind(line.looks[-1][1] if line.looks else {}, line.label, self.found.k)


def _behind(votes: Votes, label: int, k: int) -> bool:
    """Whether the label is not among the k most voted classes, of classes with equal votes the lowest first."""
    ranked = sorted((-count, c) for c, count in {label: 0, **votes}.items())
    return bool(votes) and label not in [c for _, c in ranked[:k]]


def check_grid(spec: Spec) -> Iterator[str]:
    """Yield radii that are asked for and could be certified, but are not in the grid of their noise level."""
    for sigma in spec.request.sigma if spec.request.bound == "betting" else ():
        for k in spec.request.k:
            grid, rule = betting_rule(spec, sigma, k)
            for r in spec.request.radius:
                unanimous = [{0: n} for n in spec.looks]
                ratio = r / float(sigma)
                if r not in grid and ratio <= _FARTHEST and is_certified(ratio, unanimous, 0, rule, _CLEAR):
                    yield f"spec.json: radius {full(r)} at sigma {sigma:g} is attainable and not in the grid"


_FARTHEST = 10.0  # r / sigma that no number of votes attains
_CLEAR = 1e-3  # log-wealth by which a radius is attainable beyond rounding
