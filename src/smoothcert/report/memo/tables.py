"""The rows of the shared tables that fit the memo, chosen without looking at results where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from smoothcert.formats.cost import CERTIFY, PREDICT
from smoothcert.report.claims import guarantees
from smoothcert.report.cost import scenario_table
from smoothcert.report.groups import NOT_ATTAINABLE, SMALL, ClassRow, Subgroup, percent, subgroup_rows, subgroups_of
from smoothcert.report.memo import text
from smoothcert.report.memo.blocks import Fields, class_label, clean, exact, fill, has_glyphs, words
from smoothcert.report.memo.context import MemoContext
from smoothcert.report.memo.wording import check_text
from smoothcert.report.results_table import Table, interval_words, results_table
from smoothcert.report.tables import MET, NOT_MET, accuracy_table, changes_table, class_table, joint_of, units_table
from smoothcert.stats.rounding import full

RESULTS, ACCURACY, CLASSES, DAYS, UNITS, LEVELS = 18, 6, 12, 3, 4, 3
"""Rows (noise levels, radii or studies per day in a small table) that fit a page."""
CRITERIA = 5
"""Maximum number of acceptance criteria in section 8."""
_LEFT_OUT = ("size", "subgroups")  # covered by sections 12 and 11


def first(wanted: Iterable[int], total: int, most: int) -> list[int]:
    """Return at most `most` positions in order: the wanted ones, then the first others.

    >>> first([7], 9, 3)
    [0, 1, 7]
    """
    chosen = list(dict.fromkeys((*wanted, *range(total))))[:most]
    return sorted(chosen)


def picked(table: Table, rows: Sequence[int]) -> Table:
    """Return some rows of a table with one record per row."""
    return Table(table.headings, tuple(table.rows[i] for i in rows), tuple(table.records[i] for i in rows))


def _mapped(table: Table, change: Callable[[tuple[str, ...], dict[str, Any]], tuple[str, ...]]) -> Table:
    rows = tuple(change(row, record) for row, record in zip(table.rows, table.records, strict=True))
    return Table(table.headings, rows, table.records)


def named_entries(found: MemoContext) -> list[int]:
    """Return the positions of the entry shown and of the entry of each criterion."""
    places = [(found.shown.sigma, found.shown.k, found.shown.radius)]
    places += [(float(each.sigma), each.k, each.radius) for each in found.run.spec.request.criteria]
    position = {(entry.sigma, entry.k, entry.radius): i for i, entry in enumerate(found.entries)}
    return [position[place] for place in places]


def results(found: MemoContext) -> Table:
    """Return section 11: the results with n_max; population bounds only where they may be stated."""
    whole = results_table(found.entries, found.run)
    rows = first(named_entries(found), len(whole.rows), RESULTS)
    names = ["sigma", "k", "radius", "certified", "accuracy", "interval", "sample", "population", "joint"]
    names += ["abstained", "wrong", "r_max"]
    table = _columns(picked(whole, rows), names)
    n_max = f"{found.run.spec.request.n_max:,}"

    def change(row: tuple[str, ...], _: dict[str, Any]) -> tuple[str, ...]:
        return (*row[:3], n_max, *row[3:])

    headings = tuple(name.replace(">=", "≥") for name in (*table.headings[:3], "n up to", *table.headings[3:]))
    changed = _mapped(table, change)
    return Table(headings, changed.rows, changed.records)


def _columns(table: Table, names: Sequence[str]) -> Table:
    from smoothcert.report.results_table import HEADINGS

    at = [list(HEADINGS).index(name) for name in names]
    return Table(
        tuple(table.headings[i] for i in at), tuple(tuple(row[i] for i in at) for row in table.rows), table.records
    )


def headline(found: MemoContext) -> Table:
    """Return section 5: certified accuracy of at most 3 x 3 entries at the k of the entry shown."""
    request, shown = found.run.spec.request, found.shown
    sigmas = [float(sigma) for sigma in request.sigma]
    levels = [sigmas[i] for i in first([sigmas.index(shown.sigma)], len(sigmas), LEVELS)]
    radii = [request.radius[i] for i in first([request.radius.index(shown.radius)], len(request.radius), LEVELS)]
    entries = {(entry.sigma, entry.radius): i for i, entry in enumerate(found.entries) if entry.k == shown.k}
    printed = _columns(results_table(found.entries, found.run), ("accuracy", "interval", "certified"))

    def share(i: int) -> str:
        accuracy, interval, certified = printed.rows[i]
        return f"{accuracy} % ({interval}); {certified}" if found.entries[i].attainable else accuracy

    rows = tuple((full(sigma), f"{request.n_max:,}", *(share(entries[sigma, r]) for r in radii)) for sigma in levels)
    records = tuple(printed.records[entries[sigma, r]] for sigma in levels for r in radii)
    return Table(("sigma", "n up to", *(f"certified accuracy at r = {full(r)}" for r in radii)), rows, records)


def accuracy(found: MemoContext) -> Table:
    """Return section 11: clean accuracy beside certified accuracy at any positive radius."""
    table, shown = accuracy_table(found.run), found.shown
    wanted = [i for i, each in enumerate(table.records) if (each["sigma"], each["k"]) == (shown.sigma, shown.k)]
    return picked(table, first(wanted, len(table.rows), ACCURACY))


def classes(found: MemoContext) -> Table:
    """Return section 11: certified accuracy by class at the k and r of the entry shown; of many classes the lowest."""
    shown, request = found.shown, found.run.spec.request
    table = class_table(found.run, shown.k, shown.radius)
    sigmas = [float(sigma) for sigma in request.sigma]
    levels = first([sigmas.index(shown.sigma)], len(sigmas), LEVELS)
    columns = (0, 1, *(2 + i for i in levels))
    by_sigma = [record for record in table.records if record["sigma"] == shown.sigma]
    numbers = _lowest(by_sigma) if len(by_sigma) > CLASSES else range(len(by_sigma))
    rows = tuple(
        (class_label(i, table.rows[i][0]), *(table.rows[i][column] for column in columns[1:])) for i in numbers
    )
    kept = {sigmas[i] for i in levels}
    records = tuple(each for each in table.records if each["sigma"] in kept and each["number"] in set(numbers))
    return Table(tuple(table.headings[column] for column in columns), rows, records)


def _lowest(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Return the numbers of the classes with the lowest share; classes with few images come last."""
    present = [row for row in rows if row["images"]]
    present.sort(key=lambda row: (row["images"] < SMALL, (row["certified"] or 0) / row["images"], row["number"]))
    return sorted(row["number"] for row in present[:CLASSES])


def criteria(found: MemoContext) -> Table:
    """Return section 8: the acceptance criteria that were locked before the first image, with verdicts."""
    n_max = f"{found.run.spec.request.n_max:,}"
    given = found.verdicts if found.locked_first else []
    judged = [(each.promised, n_max, each.share, joint_of(each), MET[each.met]) for each in given]
    first = sorted(range(len(judged)), key=lambda i: judged[i][-1] != NOT_MET)[:CRITERIA]
    records = tuple(
        {"criterion": each.promised, "value": each.value, "joint": each.joint, "met": each.met}
        for each in found.verdicts
    )
    return Table(
        ("criterion", "n up to", "reached", "joint ≥ %", "verdict"), tuple(judged[i] for i in sorted(first)), records
    )


def cost(found: MemoContext) -> Table:
    """Return section 10: one day of production on the device shown; no rows if no image is decided."""
    if not found.run.ledger.lines:
        return Table(("studies per day",), (), ())
    days = found.production.studies_a_day[:DAYS]
    first, second = _served(found, PREDICT, days), _served(found, CERTIFY, days)
    headings = [
        f"{verb}: {name}" for verb, table in (("predict", first), ("certify", second)) for name in table.headings
    ]
    rows = tuple((f"{n:,}", *a, *b) for n, a, b in zip(days, first.rows, second.rows, strict=True))
    return Table(("studies per day", *headings), rows, (*first.records, *second.records))


def _served(found: MemoContext, task: str, days: Sequence[int]) -> Table:
    """Return the columns of one task, with the price of devices held all day if the sponsor gave one."""
    table = scenario_table([found.scenario(task, n) for n in days])
    at = {name: table.headings.index(name) for name in ("device time", "devices", "energy")}
    if table.headings[-1].endswith("held 24 h"):
        at["price"] = len(table.headings) - 1
    rows = tuple(tuple(row[i] for i in at.values()) for row in table.rows)
    return Table(tuple(at), rows, table.records)


def units(found: MemoContext) -> Table:
    """Return section 12: radii in grey levels."""
    table, shown = units_table(found.run), found.shown
    wanted = [found.run.spec.request.radius.index(shown.radius)]
    return picked(table, first(wanted, len(table.rows), UNITS))


def changes(found: MemoContext) -> Table:
    """Return section 12: L2 norms of simple perturbations, at the radii that fit; no rows if none were recorded."""
    table, request = changes_table(found.run), found.run.spec.request
    radii = first([request.radius.index(found.shown.radius)], len(request.radius), LEVELS)
    columns = (0, 1, *(2 + i for i in radii))
    rows = tuple(tuple(row[column] for column in columns) for row in table.rows)
    return Table(tuple(table.headings[column] for column in columns), rows, table.records)


def guaranteed(found: MemoContext) -> Table:
    """Return section 13: twelve rows; sections 11 and 12 cover the others."""
    table = guarantees(found.run.arithmetic_covered, found.run.spec.denoised)
    return picked(table, [i for i, row in enumerate(table.rows) if row[0] not in _LEFT_OUT])


COLUMNS, NAMED = 4, 8
"""Maximum number of columns with a row in the table, and of columns named in the note."""
HEADINGS = ("column", "values", "lowest", "highest")
_LONGEST = 28
_FEW = f"none of {SMALL} images or more"
_LEVEL = "none is higher"
_PARTIAL = "partial run: counts in report.html"

Member = tuple[Subgroup, ClassRow]


def subgroup_tables(found: MemoContext) -> dict[str, Table]:
    """Return the table of subgroups by its name in the memo, or nothing if the spec names no columns."""
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
    """Return the number of values of a column, and its lowest and highest row with enough images."""
    count = f"{sum(part.values for part, _ in members):,}"
    if not members[0][1].attainable:
        return count, NOT_ATTAINABLE, NOT_ATTAINABLE
    enough = [(number, row) for number, (_, row) in enumerate(members, 1) if row.observed is not None]
    if not enough:
        return count, _FEW if all(part.values for part, _ in members) else _PARTIAL, "-"
    lowest = min(enough, key=lambda each: each[1].observed or 0.0)
    highest = max(enough, key=lambda each: each[1].observed or 0.0)
    return count, _extreme(*lowest), _extreme(*highest) if highest != lowest else _LEVEL


def _extreme(number: int, row: ClassRow) -> str:
    return f"{label('value', number, row.name)} ({row.images:,} images): {percent(row)}"


def label(kind: str, number: int, name: str) -> str:
    """Return a name from the data, or kind and number if it is too long, unprintable or refused by the wording check.

    >>> label("value", 2, "scanner A"), label("value", 2, "白"), label("value", 2, "fair")
    ('scanner A', 'value 2', 'value 2')
    """
    shown = clean(name)
    plain = shown and has_glyphs(shown) and len(shown) <= _LONGEST and not any(check_text(shown, ""))
    return shown if plain else f"{kind} {number}"


def _names(found: MemoContext) -> list[str]:
    return [label("column", number, name) for number, name in enumerate(found.run.spec.data.subgroups, 1)]


def _numbered(found: MemoContext, table: Table) -> bool:
    """Whether any name is replaced by a number."""
    kept = [record["value"] for record in table.records if record["value"] is not None]
    kept += found.run.spec.data.subgroups
    return any(label("", 0, name) != clean(name) for name in kept)


def subgroup_notes(found: MemoContext, table: Table | None) -> Fields:
    """Return caption and note of the table of subgroups, or nothing without a table."""
    if table is None:
        return {}
    names, entry = _names(found), found.shown
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    base = {
        "columns": words(", ".join(names[:NAMED]) + more, ""),
        "columns_shown": exact(min(len(names), COLUMNS), ""),
        "sigma": exact(entry.sigma, ""),
        "k": exact(entry.k, ""),
        "r": exact(entry.radius, ""),
        "n_max": exact(found.run.spec.request.n_max, ""),
        "intervals": words(interval_words(found.run), ""),
    }
    note = text.SUBGROUP_NOTE
    note += text.COLUMNS_CUT if len(names) > COLUMNS else ""
    note += text.PLACES if _numbered(found, table) else ""
    return {
        "subgroup_caption": words(fill(text.SUBGROUP_CAPTION, base), "spec.json"),
        "subgroup_note": words(fill(note, base), "spec.json", list(found.run.spec.data.subgroups)),
    }
