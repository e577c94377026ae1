"""Certified accuracy by subgroup, such as sex or scanner: like classes, for the columns that the spec names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import indices_of
from smoothcert.evidence.outcomes import Outcomes, only_at_least
from smoothcert.report.claims import NO_TEST
from smoothcert.report.classes import SMALL, ClassRow, guarded, in_words
from smoothcert.report.curves import certificates_of
from smoothcert.report.markup import cut
from smoothcert.report.table import Table
from smoothcert.stats import r_max
from smoothcert.stats.rounding import full

SHOWN = 30
"""Values of a column that have a row of their own; a column of names would fill the document."""
LONGEST = 60
"""Characters of a value in print; CSV and JSON have it whole."""
EMPTY, UNKNOWN = "(empty)", "no result yet"


@dataclass(frozen=True)
class Subgroup:
    """Images that are counted together.

    Attributes:
        column: name of the column, printable.
        value: what they share in it, printable; None for what follows the values.
        values: distinct values: 1, or those that have no row of their own; 0 for images without a result, whose value
            is not known.
        members: bool (m,): which of the spec's images, by increasing index.
    """

    column: str
    value: str | None
    values: int
    members: NDArray[np.bool_]

    @property
    def images(self) -> int:
        """How many they are."""
        return int(self.members.sum())

    @property
    def name(self) -> str:
        """The value as it is printed, or what stands for it."""
        if self.value is not None:
            return cut(self.value, LONGEST)
        return UNKNOWN if not self.values else f"{self.values:,} more value{'s' if self.values > 1 else ''}"


def subgroups_of(run: Run) -> tuple[Subgroup, ...]:
    """Return the subgroups of a run: columns in the spec's order, values by images (most first), then by name.

    Each column ends with the values beyond `SHOWN` together, and with the images that have no result at any sigma, so
    that every image of the spec is counted once in each column.
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
    """Return which value each of the spec's images has, -1 without a line, and the values; its first line counts."""
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
    """Derive certified accuracy by subgroup.

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k.
        r: L2 radius >= 0, in units of the [0, 1] range; 0 asks for any positive radius.

    Returns:
        A row for each of `subgroups_of`, in that order. While images have no result, all rows are raw counts.

    Raises:
        SpecError: the run has no such sigma or k, or r is negative.
    """
    return _rows(run, subgroups_of(run), certificates_of(run, sigma, k), r)


def _rows(run: Run, parts: Sequence[Subgroup], found: Outcomes, r: float) -> list[ClassRow]:
    certified = np.isin(np.sort(indices_of(run.spec)), found.index[found.certified_correct(r)])
    attainable, whole = r <= r_max(found.plan, found.k), len(found.index) == run.spec.data.images
    least = only_at_least(run.spec, r)
    return [
        guarded(
            (number, part.name),
            (int((certified & part.members).sum()), part.images),
            attainable,
            whole and part.value is not None,
            least,
        )
        for number, part in enumerate(parts)
    ]


def subgroup_table(run: Run, k: int, r: float) -> Table:
    """Certified accuracy of each subgroup at one k and r, a column a sigma; few images are given as raw counts.

    No rows where the spec names no columns.
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
    """Split the table of subgroups into one for each column, with the column's name."""
    columns = groupby(table.rows, lambda row: row[0])
    return [(name, Table(table.headings[1:], tuple(row[1:] for row in rows), ())) for name, rows in columns]


def _counts(row: ClassRow) -> dict[str, object]:
    return {name: value for name, value in row.record().items() if name not in ("number", "name")}


def subgroup_note(run: Run) -> str:
    """What the table says and what it does not, in sentences that stand under it."""
    parts = subgroups_of(run)
    told = ["Each interval is for its row alone; nothing corrects for the number of rows."]
    if run.spec.data.grouped:
        told.append("Images of one group (such as a patient) are treated as independent.")
    told.append(f"Abstentions count as not certified. Rows of fewer than {SMALL} images are raw counts.")
    if any(part.values > 1 for part in parts):
        told.append(
            f"Of a column with more than {SHOWN} values, the {SHOWN} with the most images have a row; the others are "
            "counted together, without a percentage."
        )
    if run.missing:
        told.append("While images have no result at a sigma, its counts have no percentage.")
    return " ".join([*told, NO_TEST])
