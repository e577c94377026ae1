"""From certificates to the results table: one cell a (sigma, k, r), with every claim over the data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.outcomes import Mask, Outcomes, outcomes_by_k
from smoothcert.evidence.stored import columns_of
from smoothcert.formats.line import Line
from smoothcert.spec import Spec
from smoothcert.stats import Claim, claims, one_per_group, r_max

CONFIDENCE = 0.95
Draw = NDArray[np.int64] | None
Certificates = Callable[[float, int], Outcomes]


@dataclass(frozen=True)
class Cell:
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
        high: its upper end.
        sample: lower bound on the truly robust images of this sample.
        population: lower bound on the truly robust fraction of the population; None for a run of which any image is
            missing at any sigma, and for a radius that was not fixed in the spec.
        joint: the same at the level shared by all cells of the spec.
        abstained: images without any positive certified radius that are not `wrong`; where the certified class is the
            label itself, whatever the prediction.
        wrong: images whose selection winner is another class.
        samples_mean: mean noisy copies a decided image.
        samples_median: median noisy copies a decided image.
        samples_max: most noisy copies of one image.
        groups: images that carry the population bound where they come in groups (one a group), else None.
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
    high: float
    sample: int
    population: float | None
    joint: float | None
    abstained: int
    wrong: int
    samples_mean: float
    samples_median: float
    samples_max: int
    groups: int | None


def cells(
    spec: Spec, ledger: Ledger, radii: Sequence[float] = (), certificates: Certificates | None = None
) -> list[Cell]:
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
    whole = len(ledger.lines) == spec.expected
    claimed = spec.request.radius if whole else ()
    table = []
    for sigma in spec.request.sigma:
        lines, ks = ledger.at(sigma), spec.request.k
        by_k = {k: certificates(sigma, k) for k in ks} if certificates else outcomes_by_k(spec, lines, sigma, ks)
        draw = _draw(spec, lines)
        for k, found in by_k.items():
            limit = r_max(found.plan, k)
            table += [_cell(spec, found, draw, limit, (r, r in claimed)) for r in radii or spec.request.radius]
    return table


def _draw(spec: Spec, lines: Sequence[Line]) -> Draw:
    """Return the positions of one image a group, or None where images do not come in groups."""
    if not spec.data.grouped:
        return None
    return np.asarray(one_per_group((group or "" for group in columns_of(lines).group), spec.seed), dtype=np.int64)


def _cell(spec: Spec, found: Outcomes, draw: Draw, limit: float, at: tuple[float, bool]) -> Cell:
    """Return one cell at (r, whether a population bound may be given)."""
    r, claimed = at
    kept, m = found.certified_correct(r), spec.data.images
    claim = claims(int(kept.sum()), m, spec.request.alpha, spec.cells, CONFIDENCE)
    population, joint = _population(spec, kept, draw, claim) if claimed else (None, None)
    samples = found.samples if len(kept) else np.zeros(1)
    return Cell(
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
        high=claim.high,
        sample=claim.sample,
        population=population,
        joint=joint,
        abstained=int(found.abstained.sum()),
        wrong=int(found.wrong.sum()),
        samples_mean=float(samples.mean()),
        samples_median=float(np.median(samples)),
        samples_max=int(samples.max()),
        groups=None if draw is None else len(draw),
    )


def _population(spec: Spec, kept: Mask, draw: Draw, claim: Claim) -> tuple[float | None, float | None]:
    """Return the single and the joint population bound, from one image a group where images come in groups."""
    if draw is None:
        return claim.population, claim.joint
    chosen = int(kept[draw].sum())
    one = claims(chosen, len(draw), spec.request.alpha, spec.cells, CONFIDENCE)
    return one.population, one.joint


def results_record(spec: Spec, ledger: Ledger, certificates: Certificates | None = None) -> dict[str, Any]:
    """Return `results/results.json` as a plain record; `certificates` as in `cells`."""
    return {
        "spec_sha256": spec.sha256(),
        "ledger_sha256": ledger.sha256(),
        "lines": len(ledger.lines),
        "confidence": CONFIDENCE,
        "cells": [asdict(cell) for cell in cells(spec, ledger, certificates=certificates)],
    }
