"""From certificates to the results table: one entry per (sigma, k, r), with every claim over the data set.

`results.json` has had two forms. Form 1 (without a key `format`) gave numbers for entries that are not attainable, and
population bounds where images repeat; form 2 gives neither. Each is compared by its own rule, for ever.

Acceptance criteria are judged by this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Criterion, Spec
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import Columns, columns_of, repeated
from smoothcert.evidence.outcomes import Mask, Outcomes, only_at_least, outcomes_by_k
from smoothcert.formats.line import Line
from smoothcert.stats import Claim, claims, r_max
from smoothcert.stats.population import one_per_group
from smoothcert.stats.rounding import percent_down, percent_exact

CONFIDENCE = 0.95
FORMAT = 2
PARTIAL, CHOSEN_LATER, REPEATS = "partial run", "the radius is not one of the spec", "images repeat"
"""Why a cell has no population bound; words of form 2, like what follows."""
ASSUMES = "images are independent draws from the population: assumed, not checked"
ASSUMES_GROUPS = "groups are independent draws from the population, one random image of each: assumed, not checked"
_CLAIMED = ("certified", "observed", "low", "high", "sample", "population", "joint")
_FIRST = (
    *("sigma", "k", "radius", "attainable", "r_max", "images", "lines", *_CLAIMED, "abstained", "wrong"),
    *("samples_mean", "samples_median", "samples_max", "groups"),
)
"""Fields of a cell in form 1."""
Draw = NDArray[np.int64] | None
Certificates = Callable[[float, int], Outcomes]


@dataclass(frozen=True)
class Entry:
    """One row of the results table.

    Attributes:
        sigma: noise level.
        k: rank of the certificate.
        radius: L2 radius r, in units of the [0, 1] range.
        attainable: whether the sampling budget can certify r at all; where not, the counts below say nothing.
        r_max: largest radius the budget can certify.
        images: m, all images of the spec; images without a line count as not certified.
        lines: images that have been decided so far.
        certified: images certified-correct at r.
        observed: certified / images.
        low: lower end of the exact 95 % interval of observed.
        high: its upper end; None where the count is only "at least".
        sample: lower bound on the truly robust images of this sample.
        population: lower bound on the truly robust fraction of the population; None where `withheld` says why: an
            image is missing at any sigma, the radius was not fixed in the spec, or images repeat.
        joint: the same at the level shared by all cells of the spec.
        abstained: images without any positive certified radius that are not `wrong`; where the certified class is the
            label itself, whatever the prediction.
        wrong: images whose selection winner is another class.
        samples_mean: mean noisy copies a decided image.
        samples_median: median noisy copies a decided image.
        samples_max: most noisy copies of one image.
        groups: images that carry the population bound where they come in groups (one a group), else None.
        at_least: whether certified, observed, low and sample are only "at least", and abstained "at most"
            (`only_at_least`).
        withheld: why there is no population bound; None where there is one.
    """

    sigma: float
    k: int
    radius: float
    attainable: bool
    r_max: float
    images: int
    lines: int
    certified: int
    observed: float
    low: float
    high: float | None
    sample: int
    population: float | None
    joint: float | None
    abstained: int
    wrong: int
    samples_mean: float
    samples_median: float
    samples_max: int
    groups: int | None
    at_least: bool
    withheld: str | None

    @property
    def population_assumes(self) -> str | None:
        """What the population bound takes for granted; None where there is none."""
        if self.population is None:
            return None
        return ASSUMES if self.groups is None else ASSUMES_GROUPS

    def record(self) -> dict[str, Any]:
        """Return the cell as plain values: no numbers for what is not attainable, no abstentions that are "at most"."""
        record = {**asdict(self), "population_assumes": self.population_assumes}
        if not self.attainable:
            record |= dict.fromkeys((*_CLAIMED, "at_least", "withheld", "population_assumes"))
        elif self.at_least:
            record["abstained"] = None
        return record


def entries(
    spec: Spec, ledger: Ledger, radii: Sequence[float] = (), certificates: Certificates | None = None
) -> list[Entry]:
    """Derive the results table.

    Args:
        spec: the locked spec.
        ledger: the evidence, complete or partial.
        radii: radii to report instead of the spec's own. A radius outside the spec may have been chosen after seeing
            results, so no population bound is given for it.
        certificates: where the certificates of a (sigma, k) come from, if they are already known.

    Returns:
        One cell a (sigma, k, r), in that order.
    """
    return _cells(spec, ledger, radii, certificates)


def _cells(
    spec: Spec,
    ledger: Ledger,
    radii: Sequence[float],
    certificates: Certificates | None,
    repeats_count: bool = True,
) -> list[Entry]:
    """Return the table; unless repeats count, as form 1 had it."""
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
                table.append(_cell(spec, found, draw, (r, limit), withheld))
    return table


def repeats(spec: Spec, columns: Columns) -> int:
    """Return how many images repeat another one, so that no bound on a population is given.

    Independent draws do not repeat to the bit: of 300 images of which 30 differ, 270 repeat. Where images come in
    groups the bound uses one image a group: copies inside a group are then harmless, those across groups count.

    Args:
        spec: the locked spec.
        columns: the lines of one noise level.
    """
    return repeated(columns.image, columns.group.codes if spec.data.grouped else columns.index)


def _draw(spec: Spec, lines: Sequence[Line]) -> Draw:
    """Return the positions of one image a group, or None where images do not come in groups."""
    if not spec.data.grouped:
        return None
    return np.asarray(one_per_group((group or "" for group in columns_of(lines).group), spec.seed), dtype=np.int64)


def _cell(spec: Spec, found: Outcomes, draw: Draw, at: tuple[float, float], withheld: str | None) -> Entry:
    """Return one cell at (r, R_max), without a population bound where it is withheld."""
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
    """Return the single and the joint population bound, from one image a group where images come in groups."""
    if draw is None:
        return claim.population, claim.joint
    chosen = int(kept[draw].sum())
    one = claims(chosen, len(draw), spec.request.alpha, spec.cells, CONFIDENCE)
    return one.population, one.joint


def form_of(record: Any) -> int | None:
    """Return the form by whose rule a written `results.json` is compared; None where it is no such record.

    Form 1 has no key `format`; a form of a newer version is compared by the keys that both have.
    """
    if not isinstance(record, dict) or "cells" not in record:
        return None
    return 1 if "format" not in record else FORMAT


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
    head = {
        "spec_sha256": spec.sha256(),
        "ledger_sha256": ledger.sha256(),
        "lines": len(ledger.lines),
        "confidence": CONFIDENCE,
    }
    if form == 1:
        table = _cells(spec, ledger, (), certificates, repeats_count=False)
        return {**head, "cells": [{name: getattr(entry, name) for name in _FIRST} for entry in table]}
    return {
        "format": FORMAT,
        **head,
        "cells": [entry.record() for entry in entries(spec, ledger, certificates=certificates)],
    }


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


def verdicts(spec: Spec, entries: Sequence[Entry]) -> list[Verdict]:
    """Judge every criterion of a spec by the cells of its results table, in their order; none of a partial run."""
    whole = all(entry.lines == entry.images for entry in entries)
    return [judge(criterion, _entry_of(criterion, entries), whole) for criterion in spec.request.criteria]


def _entry_of(criterion: Criterion, entries: Sequence[Entry]) -> Entry:
    wanted = (float(criterion.sigma), criterion.k, criterion.radius)
    return next(entry for entry in entries if (entry.sigma, entry.k, entry.radius) == wanted)


def judge(criterion: Criterion, entry: Entry, whole: bool) -> Verdict:
    """Judge one criterion by its cell; undecided unless the whole run is there."""
    if not whole:
        return Verdict(criterion, None, entry.attainable, None, PARTIAL)
    value = {"observed": entry.observed, "population": entry.population, "joint": entry.joint}[criterion.of]
    if not entry.attainable:
        return Verdict(criterion, None, False, False)
    if value is None:
        return Verdict(criterion, None, True, None, entry.withheld)
    exact = Fraction(entry.certified, entry.images) if criterion.of == "observed" else Fraction(repr(value))
    return Verdict(criterion, value, True, exact >= Fraction(repr(criterion.at_least)))
