"""Certified accuracy by subgroup, such as sex or scanner: like classes, for the columns that the spec names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np

from smoothcert.errors import printable
from smoothcert.evidence import Outcomes, Run
from smoothcert.report.claims import NO_TEST
from smoothcert.report.classes import SMALL, ClassRow, guarded, in_words
from smoothcert.report.curves import certificates_of
from smoothcert.report.markup import cut
from smoothcert.report.table import Table
from smoothcert.stats import r_max

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
        members: index of each image in its source.
    """

    column: str
    value: str | None
    values: int
    members: frozenset[int]

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
    wanted = frozenset(run.spec.indices)
    known: dict[int, dict[str, str]] = {}
    for line in run.ledger.lines:
        if line.index in wanted:
            known.setdefault(line.index, dict(line.subgroups))
    return tuple(part for column in run.spec.data.subgroups for part in _column(column, known, wanted))


def _column(column: str, known: dict[int, dict[str, str]], wanted: frozenset[int]) -> Iterator[Subgroup]:
    members: dict[str, set[int]] = {}
    for index, values in known.items():
        if column in values:
            members.setdefault(values[column], set()).add(index)
    name, largest = printable(column), sorted(members, key=lambda value: (-len(members[value]), value))
    for value in largest[:SHOWN]:
        yield Subgroup(name, printable(value) or EMPTY, 1, frozenset(members[value]))
    rest = largest[SHOWN:]
    if rest:
        yield Subgroup(name, None, len(rest), frozenset().union(*(members[value] for value in rest)))
    unknown = wanted.difference(*members.values())
    if unknown:
        yield Subgroup(name, None, 0, unknown)


def subgroup_rows(run: Run, sigma: float, k: int, r: float) -> list[ClassRow]:
    """Derive certified accuracy by subgroup.

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k.
        r: L2 radius >= 0, in units of the [0, 1] range; 0 asks for any positive radius.

    Returns:
        A row for each of `subgroups_of`, in that order. While images have no result, nobody knows how many share a
        value, so all rows are raw counts.

    Raises:
        SpecError: the run has no such sigma or k, or r is negative.
    """
    return _rows(subgroups_of(run), certificates_of(run, sigma, k), r)


def _rows(parts: Sequence[Subgroup], found: Outcomes, r: float) -> list[ClassRow]:
    certified = frozenset(np.asarray(found.index[found.certified_correct(r)]).tolist())
    attainable, whole = r <= r_max(found.plan, found.k), all(part.values for part in parts)
    return [
        guarded(
            (number, part.name),
            len(certified & part.members),
            len(part.members),
            attainable,
            whole and part.value is not None,
        )
        for number, part in enumerate(parts)
    ]


def subgroup_table(run: Run, k: int, r: float) -> Table:
    """Certified accuracy of each subgroup at one k and r, a column a sigma; few images are given as raw counts.

    No rows where the spec names no columns.
    """
    parts = subgroups_of(run)
    found = {sigma: _rows(parts, certificates_of(run, sigma, k), r) for sigma in run.spec.request.sigma}
    rows = tuple(
        (part.column, part.name, f"{len(part.members):,}", *(in_words(each[i]) for each in found.values()))
        for i, part in enumerate(parts)
    )
    records = tuple(
        {"sigma": float(sigma), "subgroup": part.column, "value": part.value, "values": part.values, **_counts(row)}
        for sigma, each in found.items()
        for part, row in zip(parts, each, strict=True)
    )
    return Table(("subgroup", "value", "images", *(f"sigma {sigma:g}" for sigma in found)), rows, records)


def by_column(table: Table) -> list[tuple[str, Table]]:
    """Split the table of subgroups into one for each column, with the column's name."""
    columns = groupby(table.rows, lambda row: row[0])
    return [(name, Table(table.headings[1:], tuple(row[1:] for row in rows), ())) for name, rows in columns]


def _counts(row: ClassRow) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if name not in ("number", "name")}


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
    if not all(part.values for part in parts):
        told.append("While images have no result, nobody knows how many share a value: all rows are raw counts.")
    return " ".join([*told, NO_TEST])
