"""Acceptance criteria, judged by the results table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smoothcert.evidence.results import Cell
from smoothcert.spec import Criterion, Spec
from smoothcert.stats import format_down

NAMES = {
    "observed": "certified accuracy of this sample",
    "population": "95 % lower bound on certified accuracy of the population",
    "joint": "95 % lower bound on certified accuracy of the population, jointly over all cells,",
}


@dataclass(frozen=True)
class Verdict:
    """Whether one criterion holds.

    Attributes:
        criterion: what was promised before the first image.
        value: the fraction that was reached; None where nothing can be said (a partial run).
        attainable: whether the sampling budget can certify this radius at all.
        met: value >= at_least; None for a partial run. An unattainable radius does not meet a criterion.
    """

    criterion: Criterion
    value: float | None
    attainable: bool
    met: bool | None

    @property
    def promised(self) -> str:
        """What was promised, in words."""
        at_least = f"{100 * self.criterion.at_least:g} %"
        return f"{NAMES[self.criterion.of]} at least {at_least} at {self.criterion.words}"

    @property
    def reached(self) -> str:
        """What was reached, in words; rounded down."""
        if self.value is None or not self.attainable:
            return "not attainable with this sampling budget" if not self.attainable else "undecided: partial run"
        return f"{format_down(100 * self.value, 2)} %"

    @property
    def words(self) -> str:
        """The verdict in one sentence."""
        met = {True: ", met", False: ", not met", None: ""}[self.met]
        return f"{self.promised}: {self.reached}{met}"


def verdicts(spec: Spec, cells: Sequence[Cell]) -> list[Verdict]:
    """Judge every criterion of a spec by the cells of its results table, in their order; none of a partial run."""
    whole = all(cell.lines == cell.images for cell in cells)
    return [_judge(criterion, _cell_of(criterion, cells), whole) for criterion in spec.request.criteria]


def _cell_of(criterion: Criterion, cells: Sequence[Cell]) -> Cell:
    wanted = (float(criterion.sigma), criterion.k, criterion.radius)
    return next(cell for cell in cells if (cell.sigma, cell.k, cell.radius) == wanted)


def _judge(criterion: Criterion, cell: Cell, whole: bool) -> Verdict:
    if not whole:
        return Verdict(criterion, None, cell.attainable, None)
    value = {"observed": cell.observed, "population": cell.population, "joint": cell.joint}[criterion.of]
    met = cell.attainable and value is not None and value >= criterion.at_least
    return Verdict(criterion, value, cell.attainable, met)
