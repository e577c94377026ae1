"""Read printed tables, and compare their cells by heading and the numbers in texts by value.

A table of an older version is compared under the headings of today (`RENAMED`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from smoothcert.verify.keys import Compared

_TOKEN = re.compile(r"[0-9a-f]{12,}|\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[-+]?\d+)?")
NOTHING = "not attainable"
WITHHELD = "withheld"
RENAMED = {
    "95 % interval": "95 % interval if independent",
    "95 % interval, lower end": "95 % interval, lower end, if independent",
    "joint >= %": "joint >= % if independent",
    "joint ≥ %": "joint ≥ % if independent",
    "population >= %": "population >= % if independent",
    "population ≥ %": "population ≥ % if independent",
    "change": "perturbation",
    "copies after selection": "samples after selection",
    "copies mean": "mean samples",
    "copies, if every vote is for the label": "samples, if every vote is for the label",
    "level": "spent alpha",
    "mean copies, looks": "mean samples, looks",
    "noisy copies": "samples",
    "noisy copies a second": "samples per second",
    "of this run": "used by this run",
    "price an hour": "price per hour",
    "RMS grey levels (of 255) a value = largest uniform shift": (
        "RMS grey levels (of 255) per value = largest uniform shift"
    ),
    "smoothed: certified at r = 0": "certified accuracy at r = 0",
    "studies a day": "studies per day",
    "unsmoothed, no noise: correct": "clean accuracy",
    "what it states": "details",
}
"""Headings of older versions, and the headings of the same columns today."""


@dataclass(frozen=True)
class PrintedTable:
    """A printed table: headings, and rows of the same length."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compare_tables(written: Sequence[PrintedTable], computed: Sequence[PrintedTable], found: Compared) -> None:
    """Compare printed tables with computed ones; each is matched with the first one left that shares most headings.

    Args:
        written: tables of a document, in order.
        computed: the tables that this version prints there.
        found: receives the differences.
    """
    written = [table for table in written if table.headings or table.rows]  # without both, a script fills it
    left = [table for table in computed if table.headings or table.rows]
    known = {heading for table in computed for heading in table.headings}
    for number, table in enumerate(written, 1):
        headings = {*_today(table.headings, known)}
        shared = [len(headings & {*each.headings}) for each in left]
        most = max(shared, default=0)
        if 2 * most <= len(headings):
            found.unknown.append(f"table {number} ({' | '.join(table.headings)[:50]})")
            continue
        compare_rows(table, left.pop(shared.index(most)), f"table {number}", found)
    found.absent += [f"table ({' | '.join(each.headings)[:50]})" for each in left]


def compare_rows(written: PrintedTable, computed: PrintedTable, place: str, found: Compared) -> None:
    """Compare the rows of one table under the headings that both have."""
    theirs, ours = _columns(_today(written.headings, computed.headings)), _columns(computed.headings)
    found.unknown += [f"{place}, column {heading[0][:40]}" for heading in theirs if heading not in ours]
    found.absent += [f"{place}, column {heading[0][:40]}" for heading in ours if heading not in theirs]
    if len(written.rows) != len(computed.rows):
        found.wrong.append(f"{place}: {len(written.rows):,} rows instead of {len(computed.rows):,}")
        return
    for number, (row, wanted) in enumerate(zip(written.rows, computed.rows, strict=True), 1):
        attainable = not any(entry.startswith(NOTHING) for entry in wanted)
        for heading in theirs:
            if heading in ours:
                where = f"{place}, row {number}, {heading[0][:40]}"
                compare_text(row[theirs[heading]], wanted[ours[heading]], where, found, attainable)


def _today(headings: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Return headings with the old ones replaced, except those that are still known."""
    return tuple(each if each in known else RENAMED.get(each, each) for each in headings)


def _columns(headings: Sequence[str]) -> dict[tuple[str, int], int]:
    """Return the position of each heading; repeated headings are distinguished by their count."""
    return {(heading, headings[:i].count(heading)): i for i, heading in enumerate(headings)}


def compare_text(written: str, computed: str, where: str, found: Compared, attainable: bool = True) -> None:
    """Compare two printed texts: equal, equal numbers in other words, or wrong.

    Numbers are equal if they differ by less than a unit in the last place of the one with fewer decimals, as versions
    may round to another number of decimals, or in the other direction.
    """
    if "".join(written.split()) == "".join(computed.split()):
        return
    theirs, ours = _TOKEN.findall(written), _TOKEN.findall(computed)
    agree = computed == WITHHELD or all(any(_agree(one, other) for other in ours) for one in theirs)
    (found.worded if agree or not attainable else found.wrong).append(where)


def _agree(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        a, b = (Decimal(text.replace(",", "")) for text in (one, other))
        decimals = [-int(each.as_tuple().exponent) for each in (a, b)]
        return max(decimals) > 0 and abs(a - b) < Decimal(1).scaleb(-max(0, min(decimals)))
    except ArithmeticError:
        return False


def markdown_tables(text: str) -> list[PrintedTable]:
    """Return the tables of a Markdown text."""
    blocks, current = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            current.append(tuple(entry.strip() for entry in re.split(r"(?<!\\)\|", line)[1:-1]))
        elif current:
            blocks.append(current)
            current = []
    return [_table(block[0], block[2:]) for block in blocks if len(block) > 1]


def tex_tables(text: str) -> list[PrintedTable]:
    """Return the tables of a LaTeX text, as `Table.render` prints them."""
    found = []
    for body in re.findall(r"\\begin\{tabular\}\{[^}]*\}(.*?)\\end\{tabular\}", text, re.S):
        lines = [line.removesuffix(r"\\").strip() for line in body.splitlines() if line.strip().endswith(r"\\")]
        rows = [tuple(entry.strip() for entry in re.split(r"(?<!\\)&", line)) for line in lines]
        found += [_table(rows[0], rows[1:])] if rows else []
    return found


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> PrintedTable:
    width = len(headings)
    return PrintedTable(tuple(headings), tuple((*row[:width], *[""] * (width - len(row))) for row in rows))


def csv_records(text: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV text as records of plain values.

    Raises:
        csv.Error: the text is not CSV.
    """
    return [{str(name): _plain(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def _plain(value: Any) -> Any:
    if value in ("", "None", None):
        return None
    if value in ("True", "False"):
        return value == "True"
    for kind in (int, float):
        try:
            return kind(value)
        except (ValueError, TypeError):
            continue
    return value
