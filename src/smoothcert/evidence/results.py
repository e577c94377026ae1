"""From certificates to the results table: one entry per (sigma, k, r), with every claim over the data set.

Acceptance criteria are judged by this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import UNSTATED, Criterion, Spec, Stated
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import Columns, columns_of, in_blocks, repeated
from smoothcert.evidence.outcomes import Mask, Outcomes, only_at_least, outcomes_by_k
from smoothcert.formats.line import Line
from smoothcert.formats.results import CHOSEN_LATER, CONFIDENCE, FORMAT, PARTIAL, REPEATS, Entry, record_of
from smoothcert.stats import Claim, claims, r_max
from smoothcert.stats.population import one_per_group
from smoothcert.stats.rounding import percent_down, percent_exact

Draw = NDArray[np.int64] | None
Certificates = Callable[[float, int], Outcomes]


def entries(
    spec: Spec, ledger: Ledger, radii: Sequence[float] = (), certificates: Certificates | None = None
) -> list[Entry]:
    """Derive the results table.

    Args:
        spec: the locked spec.
        ledger: the evidence, complete or partial.
        radii: radii to report instead of the spec's own. A radius outside the spec may have been chosen after seeing
            results, so no population bound is given for it.
        certificates: returns the certificates of a (sigma, k), if they are already known.

    Returns:
        One entry per (sigma, k, r), in that order.
    """
    return _entries(spec, ledger, radii, certificates)


def _entries(
    spec: Spec,
    ledger: Ledger,
    radii: Sequence[float],
    certificates: Certificates | None,
    repeats_count: bool = True,
) -> list[Entry]:
    """Return the table; without `repeats_count`, repeated images do not withhold population bounds, as in form 1."""
    whole, table = len(ledger.lines) == spec.expected, []
    for sigma in spec.request.sigma:
        lines, ks = ledger.at(sigma), spec.request.k
        by_k = {k: certificates(sigma, k) for k in ks} if certificates else outcomes_by_k(spec, lines, sigma, ks)
        draw, extra = _draw(spec, lines), repeats(spec, columns_of(lines)) if repeats_count else 0
        reason = PARTIAL if not whole else f"{REPEATS}: {extra:,} of {spec.data.images:,}" if extra else None
        for k, found in by_k.items():
            limit = r_max(found.plan, k)
            for r in radii or spec.request.radius:
                withheld = reason or (None if r in spec.request.radius else CHOSEN_LATER)
                table.append(_entry(spec, found, draw, (r, limit), withheld))
    return table


def repeats(spec: Spec, columns: Columns) -> int:
    """Return how many images repeat another one; if any does, no population bound is given.

    Independent draws are not bit-identical: 300 images of which 30 are distinct have 270 repeats. If images come in
    groups, the bound uses one image per group, so that repeats within a group are harmless and are not counted.

    Args:
        spec: the locked spec.
        columns: columns of the lines of one noise level.
    """
    return repeated(columns.image, columns.group.codes if spec.data.grouped else columns.index)


def _draw(spec: Spec, lines: Sequence[Line]) -> Draw:
    """Return the positions of one image per group; None if images do not come in groups."""
    if not spec.data.grouped:
        return None
    return np.asarray(one_per_group((group or "" for group in columns_of(lines).group), spec.seed), dtype=np.int64)


def _entry(spec: Spec, found: Outcomes, draw: Draw, at: tuple[float, float], withheld: str | None) -> Entry:
    """Return the entry at (r, R_max), without a population bound if it is withheld."""
    (r, limit), m = at, spec.data.images
    kept = found.certified_correct(r)
    claim, at_least = claims(int(kept.sum()), m, spec.request.alpha, spec.cells, CONFIDENCE), only_at_least(spec, r)
    population, joint = (None, None) if withheld else _population(spec, kept, draw, claim)
    samples = found.samples if len(kept) else np.zeros(1)
    return Entry(
        sigma=float(found.plan.sigma),
        k=found.k,
        radius=r,
        attainable=r <= limit,
        r_max=limit,
        images=m,
        lines=len(kept),
        certified=claim.certified,
        observed=claim.observed,
        low=claim.low,
        high=None if at_least else claim.high,
        sample=claim.sample,
        population=population,
        joint=joint,
        abstained=int(found.abstained.sum()),
        wrong=int(found.wrong.sum()),
        samples_mean=float(samples.mean()),
        samples_median=float(np.median(samples)),
        samples_max=int(samples.max()),
        groups=None if draw is None else len(draw),
        at_least=at_least,
        withheld=withheld,
    )


def _population(spec: Spec, kept: Mask, draw: Draw, claim: Claim) -> tuple[float | None, float | None]:
    """Return the single and the joint population bound, from one image per group if images come in groups."""
    if draw is None:
        return claim.population, claim.joint
    chosen = int(kept[draw].sum())
    one = claims(chosen, len(draw), spec.request.alpha, spec.cells, CONFIDENCE)
    return one.population, one.joint


def first_votes(lines: Sequence[Line]) -> tuple[int, int]:
    """Return how many of the first votes of the images are for the label, and how many first votes there are.

    The first votes of an image are those that select its class, or else those of its first look: their number is chosen
    before any is seen, so the quotient estimates the accuracy of f with one noise sample per image without bias.
    """
    right = total = 0
    for _, block in in_blocks(lines):
        for line in block:
            votes = line.selection or (line.looks[0][1] if line.looks else {})
            right += votes.get(line.label, 0)
            total += sum(votes.values())
    return right, total


def results_record(
    spec: Spec, ledger: Ledger, certificates: Certificates | None = None, form: int = FORMAT
) -> dict[str, Any]:
    """Return `results/results.json` as a plain record.

    Args:
        spec: the locked spec.
        ledger: the evidence, complete or partial.
        certificates: as in `entries`.
        form: which form of the record, 1 or 2.
    """
    table = _entries(spec, ledger, (), certificates, repeats_count=form > 1)
    return record_of(table, spec.sha256(), ledger.sha256(), len(ledger.lines), form)


NAMES = {
    "observed": "certified accuracy of this sample",
    "population": "95 % lower bound on certified accuracy of the population",
    "joint": "95 % lower bound on certified accuracy of the population, jointly over all entries,",
}


@dataclass(frozen=True)
class Verdict:
    """Whether an acceptance criterion is met.

    Attributes:
        criterion: the criterion, fixed before the first image.
        value: the fraction reached; None if it cannot be stated, for the reason `withheld`.
        attainable: whether the sampling budget can certify this radius.
        met: value >= at_least, compared exactly: at_least is the decimal as typed, and an observed share is the
            fraction certified / images. None if value is, or if `open` says why nothing was found. An unattainable
            radius does not meet a criterion.
        withheld: why there is no value.
        open: why a population bound that reaches its threshold is no finding: what the sponsor has not stated.
        joint: bound on the population that holds for all entries together; None if it cannot be stated.
    """

    criterion: Criterion
    value: float | None
    attainable: bool
    met: bool | None
    withheld: str | None = None
    open: str | None = None
    joint: float | None = None

    @property
    def promised(self) -> str:
        """The criterion as text."""
        at_least = f"{percent_exact(self.criterion.at_least)} %"
        return f"{NAMES[self.criterion.of]} at least {at_least} at {self.criterion.words}"

    @property
    def reached(self) -> str:
        """The value as text, rounded down to at least the decimals of the criterion, so that it agrees with met."""
        if not self.attainable:
            return "not attainable with this sampling budget"
        if self.value is None:
            return f"undecided: {self.withheld}"
        return f"{self.share}: {self.no_finding}" if self.open else self.share

    @property
    def share(self) -> str:
        """The value in percent, rounded down; without a value, why."""
        if not self.attainable or self.value is None:
            return self.reached
        decimals = len(percent_exact(self.criterion.at_least).partition(".")[2])
        return f"{percent_down(self.value, max(2, decimals))} %"

    @property
    def no_finding(self) -> str:
        """Why a bound that reaches its threshold is no finding; empty if it is one, or does not reach it."""
        return f"threshold reached numerically; not a finding: {self.open}" if self.open else ""

    @property
    def words(self) -> str:
        """The verdict in one sentence."""
        met = {True: ", met", False: ", not met", None: ""}[self.met]
        return f"{self.promised}: {self.reached}{met}"


def verdicts(spec: Spec, entries: Sequence[Entry], stated: Stated = UNSTATED) -> list[Verdict]:
    """Judge every criterion of a spec by the results table, in order; all are undecided for a partial run.

    Args:
        spec: the locked spec.
        entries: the results table.
        stated: what the sponsor states about how the images were drawn. A bound on a population is a finding only if
            the population is described and the images are stated to be independent draws from it.
    """
    whole = all(entry.lines == entry.images for entry in entries)
    return [judge(criterion, _entry_of(criterion, entries), whole, stated) for criterion in spec.request.criteria]


def _entry_of(criterion: Criterion, entries: Sequence[Entry]) -> Entry:
    key = (float(criterion.sigma), criterion.k, criterion.radius)
    return next(entry for entry in entries if (entry.sigma, entry.k, entry.radius) == key)


def judge(criterion: Criterion, entry: Entry, whole: bool, stated: Stated = UNSTATED) -> Verdict:
    """Judge one criterion by its entry; undecided unless the run is complete (`whole`)."""
    if not whole:
        return Verdict(criterion, None, entry.attainable, None, PARTIAL)
    value = {"observed": entry.observed, "population": entry.population, "joint": entry.joint}[criterion.of]
    if not entry.attainable:
        return Verdict(criterion, None, False, False)
    if value is None:
        return Verdict(criterion, None, True, None, entry.withheld)
    grouped = entry.groups is not None
    unstated, denied = stated.no_population(grouped), stated.denied(grouped)
    joint = None if denied else entry.joint
    if denied and criterion.of != "observed":
        return Verdict(criterion, None, True, None, denied)
    exact = Fraction(entry.certified, entry.images) if criterion.of == "observed" else Fraction(repr(value))
    reached = exact >= Fraction(repr(criterion.at_least))
    if not reached or criterion.of == "observed":
        unstated = None
    return Verdict(criterion, value, True, None if unstated else reached, open=unstated, joint=joint)
