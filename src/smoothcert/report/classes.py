"""Certified accuracy by class, with a guard on small counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from smoothcert.evidence import Run
from smoothcert.evidence.outcomes import Outcomes, only_at_least
from smoothcert.report.curves import certificates_of
from smoothcert.report.table import LEAST
from smoothcert.spec import Spec
from smoothcert.stats import interval, r_max
from smoothcert.stats.rounding import percent_of, percents

SMALL = 50
"""Groups with fewer images are reported as raw counts, without a percentage or an interval."""
NOT_ATTAINABLE = "not attainable"


@dataclass(frozen=True)
class ClassRow:
    """One class, or one subgroup, at one (sigma, k, r).

    Attributes:
        number: class number, or place of the subgroup in its table.
        name: class name, as the data have it, or value of the subgroup as printed.
        images: m_c, images of this kind in the spec; those without a result count as not certified.
        certified: images of this kind certified-correct at r; says nothing where r is not attainable.
        attainable: whether the sampling budget can certify r at all.
        observed: certified / images; None for fewer than `SMALL` images, where r is not attainable, or while images
            have no result at this sigma.
        low: lower end of the exact 95 % interval of observed; None where observed is.
        high: its upper end; None where observed is, and where it is only "at least".
        at_least: whether certified, observed and low are only "at least" (`only_at_least`).
    """

    number: int
    name: str
    images: int
    certified: int
    attainable: bool
    observed: float | None
    low: float | None
    high: float | None
    at_least: bool

    def record(self) -> dict[str, Any]:
        """Return the row as plain values, without a count where r is not attainable."""
        record = asdict(self)
        return record if self.attainable else {**record, "certified": None, "at_least": None}


def class_rows(run: Run, sigma: float, k: int, r: float) -> list[ClassRow]:
    """Derive certified accuracy by class.

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k.
        r: L2 radius >= 0, in units of the [0, 1] range; 0 asks for any positive radius.

    Returns:
        A row a class, in the order of the class numbers, classes without images included.

    Raises:
        SpecError: the run has no such sigma or k, or r is negative.
    """
    return class_rows_of(run.spec, certificates_of(run, sigma, k), r)


def class_rows_of(spec: Spec, found: Outcomes, r: float) -> list[ClassRow]:
    """Derive certified accuracy by class from certificates that are already computed.

    Args:
        spec: the locked spec.
        found: certificates of one sigma and k of it.
        r: L2 radius >= 0, in units of the [0, 1] range.

    Raises:
        SpecError: r is negative.
    """
    kept = np.bincount(found.label[found.certified_correct(r)], minlength=spec.classes)
    attainable, whole = r <= r_max(found.plan, found.k), len(found.index) == spec.data.images
    facts = zip(spec.data.class_names, spec.data.class_counts, kept.tolist(), strict=True)
    least = only_at_least(spec, r)
    return [guarded((number, name), (s, m), attainable, whole, least) for number, (name, m, s) in enumerate(facts)]


def guarded(
    which: tuple[int, str], counts: tuple[int, int], attainable: bool, known: bool = True, at_least: bool = False
) -> ClassRow:
    """Return a row of s certified of m images; a percentage and its interval only where they say something.

    Args:
        which: number and name.
        counts: s, images certified-correct, 0 to m, and m, images.
        attainable: whether the sampling budget can certify the radius at all.
        known: whether m is all there are, and all of them have a result.
        at_least: whether s is only "at least".
    """
    s, m = counts
    if m < SMALL or not attainable or not known:
        return ClassRow(*which, m, s, attainable, None, None, None, at_least)
    low, high = interval(s, m)
    return ClassRow(*which, m, s, attainable, s / m, low, None if at_least else high, at_least)


def percent(row: ClassRow, sign: str = "") -> str | None:
    """Return share and exact 95 % interval in percent, the sign after the share; None for a row of raw counts."""
    if row.observed is None or row.low is None:
        return None
    least = LEAST if row.at_least else ""
    return f"{least}{percent_of(row.certified, row.images)}{sign} ({percents(row.low, row.high)})"


def in_words(row: ClassRow) -> str:
    """Print one row: share with its interval, and count; a raw count where its images are few."""
    if not row.attainable:
        return NOT_ATTAINABLE
    count, share = f"{row.certified:,}/{row.images:,}", percent(row, " %")
    return f"{LEAST if row.at_least else ''}{count}" if share is None else f"{share}, {count}"
