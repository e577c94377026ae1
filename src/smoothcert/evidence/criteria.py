"""Acceptance criteria, judged by the results table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from smoothcert.evidence.results import PARTIAL, Cell
from smoothcert.spec import Criterion, Spec
from smoothcert.stats import percent_down, percent_exact

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
        value: the fraction that was reached; None where nothing can be said, and `withheld` says why.
        attainable: whether the sampling budget can certify this radius at all.
        met: value >= at_least, compared exactly: at_least is the decimal that was typed, and an observed share is the
            fraction certified / images. None where value is. An unattainable radius does not meet a criterion.
        withheld: why there is no value.
    """

    criterion: Criterion
    value: float | None
    attainable: bool
    met: bool | None
    withheld: str | None = None

    @property
    def promised(self) -> str:
        """What was promised, in words."""
        at_least = f"{percent_exact(self.criterion.at_least)} %"
        return f"{NAMES[self.criterion.of]} at least {at_least} at {self.criterion.words}"

    @property
    def reached(self) -> str:
        """What was reached, in words: rounded down, to no fewer decimals than were promised, so both agree with met."""
        if not self.attainable:
            return "not attainable with this sampling budget"
        if self.value is None:
            return f"undecided: {self.withheld}"
        decimals = len(percent_exact(self.criterion.at_least).partition(".")[2])
        return f"{percent_down(self.value, max(2, decimals))} %"

    @property
    def words(self) -> str:
        """The verdict in one sentence."""
        met = {True: ", met", False: ", not met", None: ""}[self.met]
        return f"{self.promised}: {self.reached}{met}"


def verdicts(spec: Spec, cells: Sequence[Cell]) -> list[Verdict]:
    """Judge every criterion of a spec by the cells of its results table, in their order; none of a partial run."""
    whole = all(cell.lines == cell.images for cell in cells)
    return [judge(criterion, _cell_of(criterion, cells), whole) for criterion in spec.request.criteria]


def _cell_of(criterion: Criterion, cells: Sequence[Cell]) -> Cell:
    wanted = (float(criterion.sigma), criterion.k, criterion.radius)
    return next(cell for cell in cells if (cell.sigma, cell.k, cell.radius) == wanted)


def judge(criterion: Criterion, cell: Cell, whole: bool) -> Verdict:
    """Judge one criterion by its cell; undecided unless the whole run is there."""
    if not whole:
        return Verdict(criterion, None, cell.attainable, None, PARTIAL)
    value = {"observed": cell.observed, "population": cell.population, "joint": cell.joint}[criterion.of]
    if not cell.attainable:
        return Verdict(criterion, None, False, False)
    if value is None:
        return Verdict(criterion, None, True, None, cell.withheld)
    exact = Fraction(cell.certified, cell.images) if criterion.of == "observed" else Fraction(repr(value))
    return Verdict(criterion, value, True, exact >= Fraction(repr(criterion.at_least)))
