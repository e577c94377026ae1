"""Certified accuracy by class and by subgroup (such as sex or scanner). Small groups are raw counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import indices_of
from smoothcert.evidence.outcomes import Outcomes, only_at_least
from smoothcert.report.curves import certificates_of
from smoothcert.report.markup import cut
from smoothcert.report.results_table import LEAST, Table, interval_words
from smoothcert.stats import interval, r_max
from smoothcert.stats.rounding import full, percent_of, percents

SMALL = 50
"""Groups with fewer images are reported as raw counts, without a percentage or an interval."""
NOT_ATTAINABLE = "not attainable"
NO_TEST = "That the certified rates of two subgroups differ, or do not, is no test of fairness."


@dataclass(frozen=True)
class ClassRow:
    """One class, or one subgroup, at one (sigma, k, r).

    Attributes:
        number: class number, or position of the subgroup in its table.
        name: class name as in the data, or printed value of the subgroup.
        images: m_c, images of this kind in the spec; those without a result count as not certified.
        certified: images of this kind certified-correct at r; meaningless if r is not attainable.
        attainable: whether the sampling budget can certify r at all.
        observed: certified / images; None for fewer than `SMALL` images, if r is not attainable, or while images have
            no result at this sigma.
        low: lower end of the exact 95 % interval of observed; None if observed is, or if intervals are withheld.
        high: its upper end; None if low is, or if it is only "at least".
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
        """Return the row as plain values, without a count if r is not attainable."""
        record = asdict(self)
        return record if self.attainable else {**record, "certified": None, "at_least": None}


def class_rows(run: Run, sigma: float, k: int, r: float) -> list[ClassRow]:
    """Return certified accuracy by class.

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k.
        r: L2 radius >= 0, in units of the [0, 1] range; 0 asks for any positive radius.

    Returns:
        One row per class, by class number, classes without images included.

    Raises:
        SpecError: the run has no such sigma or k, or r is negative.
    """
    return class_rows_of(run.spec, certificates_of(run, sigma, k), r, run.no_interval is None)


def class_rows_of(spec: Spec, found: Outcomes, r: float, intervals: bool = True) -> list[ClassRow]:
    """Return certified accuracy by class from certificates that are already derived.

    Args:
        spec: the locked spec.
        found: certificates of one sigma and k of it.
        r: L2 radius >= 0, in units of the [0, 1] range.
        intervals: whether intervals over images are given.

    Raises:
        SpecError: r is negative.
    """
    kept = np.bincount(found.label[found.certified_correct(r)], minlength=spec.classes)
    attainable, whole = r <= r_max(found.plan, found.k), len(found.index) == spec.data.images
    facts = zip(spec.data.class_names, spec.data.class_counts, kept.tolist(), strict=True)
    least = only_at_least(spec, r)
    rows = [guarded((number, name), (s, m), attainable, whole, least) for number, (name, m, s) in enumerate(facts)]
    return rows if intervals else [without_interval(row) for row in rows]


def without_interval(row: ClassRow) -> ClassRow:
    """Return a row whose interval is withheld."""
    return replace(row, low=None, high=None)


def guarded(
    which: tuple[int, str], counts: tuple[int, int], attainable: bool, known: bool = True, at_least: bool = False
) -> ClassRow:
    """Return a row for s certified of m images, with a percentage and interval only where they are meaningful.

    Args:
        which: number and name.
        counts: s, images certified-correct, 0 to m, and m, images.
        attainable: whether the sampling budget can certify the radius at all.
        known: whether m is complete, and every image has a result.
        at_least: whether s is only "at least".
    """
    s, m = counts
    if m < SMALL or not attainable or not known:
        return ClassRow(*which, m, s, attainable, None, None, None, at_least)
    low, high = interval(s, m)
    return ClassRow(*which, m, s, attainable, s / m, low, None if at_least else high, at_least)


def percent(row: ClassRow, sign: str = "") -> str | None:
    """Return share and interval (unless withheld) in percent, `sign` after the share; None for a row of raw counts."""
    if row.observed is None:
        return None
    share = f"{LEAST if row.at_least else ''}{percent_of(row.certified, row.images)}{sign}"
    return share if row.low is None else f"{share} ({percents(row.low, row.high)})"


def in_words(row: ClassRow) -> str:
    """Return one row in words: share with interval and count, or a raw count for few images."""
    if not row.attainable:
        return NOT_ATTAINABLE
    count, share = f"{row.certified:,}/{row.images:,}", percent(row, " %")
    return f"{LEAST if row.at_least else ''}{count}" if share is None else f"{share}, {count}"


SHOWN = 30
"""Maximum number of values per column that get their own row."""
LONGEST = 60
"""Maximum printed characters of a value; CSV and JSON contain it in full."""
EMPTY, UNKNOWN = "(empty)", "no result yet"


@dataclass(frozen=True)
class Subgroup:
    """Images that are counted together.

    Attributes:
        column: name of the column, printable.
        value: their value, printable; None for the two rows that follow the values.
        values: distinct values: 1, or the number of values without their own row; 0 for images without a result, whose
            value is not known.
        members: bool (m,): which of the spec's images, by increasing index.
    """

    column: str
    value: str | None
    values: int
    members: NDArray[np.bool_]

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.members.sum())

    @property
    def name(self) -> str:
        """The printed value, or the words that stand for it."""
        if self.value is not None:
            return cut(self.value, LONGEST)
        return UNKNOWN if not self.values else f"{self.values:,} more value{'s' if self.values > 1 else ''}"


def subgroups_of(run: Run) -> tuple[Subgroup, ...]:
    """Return the subgroups of a run: columns in the spec's order, values by images (most first), then by name.

    Each column ends with one row for all values beyond `SHOWN` and one for images without a result at any sigma, so
    that every image of the spec is counted once per column.
    """
    return tuple(part for column in run.spec.data.subgroups for part in _column(run, column))


def _column(run: Run, column: str) -> Iterator[Subgroup]:
    number, values = _values(run, column)
    name, images = printable(column), np.bincount(number[number >= 0], minlength=len(values)).tolist()
    largest = sorted((i for i in range(len(values)) if images[i]), key=lambda i: (-images[i], values[i]))
    for i in largest[:SHOWN]:
        yield Subgroup(name, printable(values[i]) or EMPTY, 1, number == i)
    rest = largest[SHOWN:]
    if rest:
        yield Subgroup(name, None, len(rest), np.isin(number, rest))
    if (number < 0).any():
        yield Subgroup(name, None, 0, number < 0)


def _values(run: Run, column: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return the value number of each image of the spec (-1 without a line), and the values; the first line counts."""
    columns, order = run.ledger.columns, np.sort(indices_of(run.spec))
    found = [dict(pairs).get(column) for pairs in columns.subgroups.values]
    place = {value: i for i, value in enumerate(dict.fromkeys(each for each in found if each is not None))}
    numbers = np.array([-1 if value is None else place[value] for value in found], dtype=np.int64)
    index, first = np.unique(columns.index, return_index=True)
    kept = np.isin(index, order)
    of_image = np.full(len(order), -1, dtype=np.int64)
    of_image[np.searchsorted(order, index[kept])] = numbers[columns.subgroups.codes[first[kept]]]
    return of_image, list(place)


def subgroup_rows(run: Run, sigma: float, k: int, r: float) -> list[ClassRow]:
    """Return certified accuracy by subgroup.

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k.
        r: L2 radius >= 0, in units of the [0, 1] range; 0 asks for any positive radius.

    Returns:
        One row per element of `subgroups_of`, in that order. While images have no result, all rows are raw counts.

    Raises:
        SpecError: the run has no such sigma or k, or r is negative.
    """
    return _rows(run, subgroups_of(run), certificates_of(run, sigma, k), r)


def _rows(run: Run, parts: Sequence[Subgroup], found: Outcomes, r: float) -> list[ClassRow]:
    certified = np.isin(np.sort(indices_of(run.spec)), found.index[found.certified_correct(r)])
    attainable, whole = r <= r_max(found.plan, found.k), len(found.index) == run.spec.data.images
    least = only_at_least(run.spec, r)
    rows = [
        guarded(
            (number, part.name),
            (int((certified & part.members).sum()), part.images),
            attainable,
            whole and part.value is not None,
            least,
        )
        for number, part in enumerate(parts)
    ]
    return rows if run.no_interval is None else [without_interval(row) for row in rows]


def subgroup_table(run: Run, k: int, r: float) -> Table:
    """Return certified accuracy of each subgroup at one k and r, one column per sigma; few images are raw counts.

    The table has no rows if the spec names no columns.
    """
    parts = subgroups_of(run)
    found = {sigma: _rows(run, parts, certificates_of(run, sigma, k), r) for sigma in run.spec.request.sigma}
    rows = tuple(
        (part.column, part.name, f"{part.images:,}", *(in_words(each[i]) for each in found.values()))
        for i, part in enumerate(parts)
    )
    records = tuple(
        {"sigma": float(sigma), "subgroup": part.column, "value": part.value, "values": part.values, **_counts(row)}
        for sigma, each in found.items()
        for part, row in zip(parts, each, strict=True)
    )
    return Table(("subgroup", "value", "images", *(f"sigma {full(sigma)}" for sigma in found)), rows, records)


def by_column(table: Table) -> list[tuple[str, Table]]:
    """Split the table of subgroups into one table per column, with the name of the column."""
    columns = groupby(table.rows, lambda row: row[0])
    return [(name, Table(table.headings[1:], tuple(row[1:] for row in rows), ())) for name, rows in columns]


def _counts(row: ClassRow) -> dict[str, object]:
    return {name: value for name, value in row.record().items() if name not in ("number", "name")}


def subgroup_note(run: Run) -> str:
    """Return the sentences under the table of subgroups: how to read it and what it does not show."""
    parts = subgroups_of(run)
    sentences = [
        f"Intervals: {interval_words(run)}. Each is for its row alone; nothing corrects for the number of rows."
    ]
    if run.spec.data.grouped:
        sentences.append("Images of one group (such as a patient) are treated as independent.")
    sentences.append(f"Abstentions count as not certified. Rows of fewer than {SMALL} images are raw counts.")
    if any(part.values > 1 for part in parts):
        sentences.append(
            f"In a column with more than {SHOWN} values, the {SHOWN} with the most images have a row; the others are "
            "counted together, without a percentage."
        )
    if run.missing:
        sentences.append("While images have no result at a sigma, its counts have no percentage.")
    return " ".join([*sentences, NO_TEST])
