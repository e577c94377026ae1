"""What the procedure returned for the images: outcomes that add up, stable wrong answers, classes, confusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import some_of
from smoothcert.evidence.outcomes import outcomes, winner
from smoothcert.formats.results import Entry
from smoothcert.report.groups import SMALL, ClassRow, class_rows
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import full

MATRIX, PAIRS = 12, 30
"""Maximum number of classes of a square table; of pairs of classes that are listed instead."""


@dataclass(frozen=True)
class Breakdown:
    """The images of one entry by outcome; the parts add up to `images`.

    Attributes:
        images: m, all images of the spec.
        certified: certified at r with the reference label.
        smaller: certified for the reference label, but not at r.
        abstained: nothing is certified, and no other class was selected.
        wrong: another class was selected.
        missing: without a result.
    """

    images: int
    certified: int
    smaller: int
    abstained: int
    wrong: int
    missing: int


def breakdown(entry: Entry) -> Breakdown:
    """Return the images of one entry by outcome."""
    smaller = entry.lines - entry.certified - entry.abstained - entry.wrong
    missing = entry.images - entry.lines
    return Breakdown(entry.images, entry.certified, smaller, entry.abstained, entry.wrong, missing)


@dataclass(frozen=True)
class StableWrong:
    """How many wrong answers are certified as well.

    Attributes:
        wrong: images whose selection winner is another class.
        sampled: those of them with votes after selection, which only a run with further k has.
        certified: those for which the winner is certified at r; at least, as sampling stops for other reasons.
    """

    wrong: int
    sampled: int
    certified: int


def stable_wrong(run: Run, sigma: float, r: float) -> StableWrong:
    """Count the images of one noise level for which another class than the reference label is certified at r.

    The winner was selected by other samples than those that bound its probability, so its certificate is wrong with
    probability at most alpha, like that of a reference label.

    Args:
        run: the run, with k = 1 for predictions.
        sigma: one of its noise levels.
        r: L2 radius >= 0, in units of the [0, 1] range.
    """
    lines = run.ledger.at(sigma)
    found = tuple(some_of(lines, run.certificates(sigma, 1).wrong.nonzero()[0]))
    sampled = [replace(line, label=c) for line in found if line.looks and (c := winner(line)) is not None]
    held = int(outcomes(run.spec, sampled, sigma, 1).certified_correct(r).sum()) if sampled else 0
    return StableWrong(len(found), len(sampled), held)


@dataclass(frozen=True)
class ByClass:
    """Certified accuracy of the classes at one entry.

    Attributes:
        lowest: the class with the lowest share, among those with `SMALL` images or more.
        highest: the class with the highest share.
        mean: mean share over all classes with images, each class with the same weight.
    """

    lowest: ClassRow
    highest: ClassRow
    mean: Fraction


def by_class(run: Run, entry: Entry) -> ByClass | None:
    """Return the extreme classes of an entry; None while images have no result, or if no two classes are large."""
    rows = [row for row in class_rows(run, entry.sigma, entry.k, entry.radius) if row.images]
    large = [row for row in rows if row.images >= SMALL and row.observed is not None]
    if len(large) < 2:
        return None
    shares = {row.number: Fraction(row.certified, row.images) for row in rows}
    ordered = sorted(large, key=lambda row: (shares[row.number], row.number))
    return ByClass(ordered[0], ordered[-1], sum(shares.values(), Fraction()) / len(shares))


def confusion_table(run: Run) -> Table:
    """Return the class selected for each reference label, per noise level; no rows if no class is selected.

    Images with the right winner but no positive radius are abstentions. With more than `MATRIX` classes, the most
    frequent wrong pairs are listed.
    """
    if run.spec.request.target_of(1) != "prediction" or 1 not in run.spec.request.k:
        return Table(("sigma", "reference label"), (), ())
    names = [printable(name) for name in run.spec.data.class_names]
    counts = {float(sigma): _returned(run, sigma) for sigma in run.spec.request.sigma}
    records = tuple(
        {"sigma": sigma, "label": label, "returned": returned, "images": n}
        for sigma, found in counts.items()
        for (label, returned), n in sorted(found.items(), key=_ordered)
    )
    if len(names) > MATRIX:
        return Table(("sigma", "reference label", "selected class", "images"), _pairs(counts, names), records)
    rows = tuple(
        (full(sigma), name, *(str(found[label, c]) for c in (*range(len(names)), None)))
        for sigma, found in counts.items()
        for label, name in enumerate(names)
    )
    return Table(("sigma", "reference label", *names, "abstained"), rows, records)


def _ordered(counted: tuple[tuple[int, int | None], int]) -> tuple[int, bool, int]:
    """Sort by label, then by selected class, abstentions last."""
    (label, returned), _ = counted
    return label, returned is None, returned or 0


Returned = Counter[tuple[int, int | None]]


def _returned(run: Run, sigma: float) -> Returned:
    """Count the images by reference label and selected class; None for an abstention."""
    found, counts = run.certificates(sigma, 1), Counter[tuple[int, int | None]]()
    lines = run.ledger.at(sigma)
    for label, abstained, wrong in zip(found.label.tolist(), found.abstained, found.wrong, strict=True):
        counts[label, None if abstained else label] += not wrong
    for line in some_of(lines, found.wrong.nonzero()[0]):
        counts[line.label, winner(line)] += 1
    return Counter({pair: n for pair, n in counts.items() if n})


def _pairs(counts: dict[float, Returned], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    wrong = [
        (n, sigma, label, c)
        for sigma, found in counts.items()
        for (label, c), n in found.items()
        if c is not None and c != label
    ]
    most = sorted(wrong, key=lambda each: (-each[0], each[1:]))[:PAIRS]
    return tuple((full(sigma), names[label], names[c], str(n)) for n, sigma, label, c in most)
