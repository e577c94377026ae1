"""Section 11, subgroups: of each column the lowest and the highest row at the cell shown; report.html has the rest."""

from __future__ import annotations

from itertools import groupby

from smoothcert.report.classes import NOT_ATTAINABLE, SMALL, ClassRow, percent
from smoothcert.report.memo import text
from smoothcert.report.memo.field import Fields, exact, fill, words
from smoothcert.report.memo.letters import clean, printable
from smoothcert.report.memo.material import Material
from smoothcert.report.memo.wording import check_text
from smoothcert.report.subgroups import Subgroup, subgroup_rows, subgroups_of
from smoothcert.report.table import Table

COLUMNS, NAMED = 4, 8
"""Columns that have a row in the table, and columns that the note names."""
HEADINGS = ("column", "values", "lowest", "highest")
_LONGEST = 28
_FEW = f"none of {SMALL} images or more"
_LEVEL = "none is higher"
_PARTIAL = "partial run: counts in report.html"

Member = tuple[Subgroup, ClassRow]


def tables(found: Material) -> dict[str, Table]:
    """Return the table by its name in the memo; none where the spec names no columns."""
    if not found.run.spec.data.subgroups:
        return {}
    shown, parts = found.shown, subgroups_of(found.run)
    rows = zip(parts, subgroup_rows(found.run, shown.sigma, shown.k, shown.radius), strict=True)
    columns = [list(members) for _, members in groupby(rows, lambda member: member[0].column)][:COLUMNS]
    printed = tuple((name, *_row(members)) for name, members in zip(_names(found), columns, strict=False))
    records = tuple(
        {"column": part.column, "value": part.value, "images": row.images, "certified": row.certified}
        for members in columns
        for part, row in members
    )
    return {"subgroups": Table(HEADINGS, printed, records)}


def _row(members: list[Member]) -> tuple[str, str, str]:
    """Return how many values a column has, and its lowest and highest row of enough images."""
    count = f"{sum(part.values for part, _ in members):,}"
    if not members[0][1].attainable:
        return count, NOT_ATTAINABLE, NOT_ATTAINABLE
    enough = [(number, row) for number, (_, row) in enumerate(members, 1) if row.observed is not None]
    if not enough:
        return count, _FEW if all(part.values for part, _ in members) else _PARTIAL, "-"
    lowest = min(enough, key=lambda each: each[1].observed or 0.0)
    highest = max(enough, key=lambda each: each[1].observed or 0.0)
    return count, _told(*lowest), _told(*highest) if highest != lowest else _LEVEL


def _told(number: int, row: ClassRow) -> str:
    return f"{label('value', number, row.name)} ({row.images:,} images): {percent(row)}"


def label(kind: str, number: int, name: str) -> str:
    """Return a name of the data; kind and number where it is too long, or the fonts lack it, or its words claim much.

    >>> label("value", 2, "scanner A"), label("value", 2, "白"), label("value", 2, "fair")
    ('scanner A', 'value 2', 'value 2')
    """
    shown = clean(name)
    plain = shown and printable(shown) and len(shown) <= _LONGEST and not any(check_text(shown, ""))
    return shown if plain else f"{kind} {number}"


def _names(found: Material) -> list[str]:
    return [label("column", number, name) for number, name in enumerate(found.run.spec.data.subgroups, 1)]


def _numbered(found: Material, table: Table) -> bool:
    """Whether a number stands for a name somewhere."""
    kept = [record["value"] for record in table.records if record["value"] is not None]
    kept += found.run.spec.data.subgroups
    return any(label("", 0, name) != clean(name) for name in kept)


def notes(found: Material, table: Table | None) -> Fields:
    """Return caption and note of the table; none where there is no table."""
    if table is None:
        return {}
    names, cell = _names(found), found.shown
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    base = {
        "columns": words(", ".join(names[:NAMED]) + more, ""),
        "columns_shown": exact(min(len(names), COLUMNS), ""),
        "sigma": exact(cell.sigma, ""),
        "k": exact(cell.k, ""),
        "r": exact(cell.radius, ""),
        "n_max": exact(found.run.spec.request.n_max, ""),
    }
    told = text.SUBGROUP_NOTE
    told += text.COLUMNS_CUT if len(names) > COLUMNS else ""
    told += text.PLACES if _numbered(found, table) else ""
    return {
        "subgroup_caption": words(fill(text.SUBGROUP_CAPTION, base), "spec.json"),
        "subgroup_note": words(fill(told, base), "spec.json", list(found.run.spec.data.subgroups)),
    }
