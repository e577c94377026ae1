"""Check the memo: fields and tables by name in any version, wording only if the same code wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from smoothcert.errors import InputError
from smoothcert.report.documents.found import CONDITIONAL, Findings, Written, describe, fault, held, note
from smoothcert.report.documents.memo_pdf import check_pdfs
from smoothcert.report.documents.printed import PrintedTable, compare_rows
from smoothcert.report.memo.blocks import DOWN, UP, WORDS
from smoothcert.report.memo.build import FILES
from smoothcert.report.memo.memo import Memo
from smoothcert.report.memo.sponsor import ANNEX, FIELDS, annex, make_sponsor
from smoothcert.report.memo.wording import check_fields, refused
from smoothcert.verify.keys import Compared, compare

IDENTITY = ("run_id", "document_id", "dated")
"""Fields of words that identify the run: the same in every version."""
COUNTED = ("open_fields",)
"""Numbers that depend on the version: how many of its fields for the sponsor are open."""
BY_NAME = ("table item_facts", "table criteria")
"""Tables whose rows differ by version; rows of the same name are compared."""
_PLAIN = re.compile(r"-?\d[\d,]*(\.\d+)?")


def check_memo(written: Written) -> Findings:
    """Check the fields, PDFs and annex of the memo, if there are any."""
    names = [name for name in FILES.values() if (written.folder / name).is_file()]
    record = written.fields
    if record is None:
        for name in names:
            yield fault(name, f": its numbers cannot be traced, as results/{FIELDS} is missing")
        return
    try:
        sponsor = make_sponsor(record["sponsor"])
        _parts(record)
    except (KeyError, TypeError, ValueError, InputError) as error:
        yield fault(FIELDS, f" cannot be read: {error if isinstance(error, InputError) else type(error).__name__}")
        return
    memo = written.memo
    if written.final and memo.gaps:
        yield fault(FIELDS, f": final, but {'; '.join(memo.gaps)}")
    if written.same_code:
        yield from _same_fields(record, memo)
    else:
        yield from _known_fields(written, record, memo)
    yield from check_pdfs(written, names, memo)
    if (written.folder / ANNEX).is_file() or annex(sponsor):
        same = (written.folder / ANNEX).is_file() and written.text(ANNEX) == annex(sponsor)
        unlike = fault if written.same_code else note
        yield (
            held(ANNEX)
            if same
            else unlike(ANNEX, " differs from the full texts of the sponsor as this version prints them")
        )


def _parts(record: dict[str, Any]) -> None:
    """Raise ValueError unless fields and tables are records of records, as every version writes them."""
    for part in ("fields", "tables"):
        if not isinstance(record[part], dict) or not all(isinstance(each, dict) for each in record[part].values()):
            raise ValueError(part)
    for table in record["tables"].values():
        rows = [table["headings"], *table["rows"]]
        if not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
            raise ValueError("tables")


def _same_fields(record: dict[str, Any], memo: Memo) -> Findings:
    """Compare all fields and tables, wording included."""
    findings = [fault(FIELDS, f": {each.words}") for each in check_fields(record)]
    findings += [fault(FIELDS, f": {each}") for each in differences(record, json.loads(json.dumps(memo.record())))]
    findings += [fault(FIELDS, f": {each.words}") for each in refused(memo.pages, memo.sponsor)]
    yield from findings or [held(FIELDS)]


def differences(written: dict[str, Any], computed: dict[str, Any]) -> Iterator[str]:
    """Yield the differences of `memo_fields.json` from what the votes give."""
    fields, ours = _part(written, "fields"), computed["fields"]
    for name in sorted(set(fields) | set(ours)):
        if name not in fields or name not in ours:
            yield f"{name} is {'missing' if name in ours else 'not a field of the memo'}"
        elif not _equal(fields[name], ours[name]):
            yield f"{name}: {_field_difference(_part(fields, name), ours[name])}"
    tables, ours = _part(written, "tables"), computed["tables"]
    for name in sorted(set(tables) | set(ours)):
        if not _equal(tables.get(name), ours.get(name)):
            yield f"table {name}: {_table_difference(_part(tables, name), ours.get(name) or {})}"


def _equal(written: Any, computed: Any) -> bool:
    """Whether two plain values are equal, except for the last digits of floats."""
    return compare(written, computed) == Compared()


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _field_difference(written: dict[str, Any], computed: dict[str, Any]) -> str:
    for name in ("printed", "value", "rule", "source"):
        if not _equal(written.get(name), computed[name]):
            printed, wanted = str(written.get(name))[:60], str(computed[name])[:60]
            difference = f"{name} '{printed}', the votes give '{wanted}'"
            rule = str(computed["rule"])
            return difference + _wrong_side(printed, wanted, rule) if name == "printed" else difference
    return "unknown parts"


def _table_difference(written: dict[str, Any], computed: dict[str, Any]) -> str:
    headings = computed.get("headings") or []
    rows: Iterator[tuple[Any, Any]] = zip_longest(written.get("rows") or [], computed.get("rows") or [], fillvalue=[])
    for number, (found, wanted) in enumerate(rows, 1):
        if len(found) != len(wanted) or len(wanted) != len(headings):
            return f"row {number} has {len(found)} cells, not {len(wanted)}"
        for heading, ours, theirs in zip(headings, wanted, found, strict=True):
            if ours != theirs:
                rule = DOWN if "≥" in heading or ">=" in heading or "accuracy" in heading else ""
                note = _wrong_side(str(theirs), str(ours), rule)
                return f"row {number}, {heading}: printed '{str(theirs)[:60]}', the votes give '{str(ours)[:60]}'{note}"
    return "its headings or records are not what the votes give"


def _wrong_side(printed: str, wanted: str, rule: str) -> str:
    """Return a remark on a bound that was rounded in the wrong direction."""
    try:
        above = float(printed) > float(wanted)
    except ValueError:
        return ""
    if rule == DOWN and above:
        return ": a lower bound was rounded up"
    return ": an upper bound was rounded down" if rule == UP and not above else ""


def _known_fields(written: Written, record: dict[str, Any], memo: Memo) -> Findings:
    """Compare the fields and tables that this version knows: their values, and rounding by their rule."""
    ours, found = json.loads(json.dumps(memo.record())), Compared()
    for name, field in record["fields"].items():
        if name not in ours["fields"]:
            found.unknown.append(name)
        else:
            _field(name, field, ours["fields"][name], found)
    for name, table in record["tables"].items():
        if name not in ours["tables"]:
            found.unknown.append(f"table {name}")
        else:
            _table(f"table {name}", table, ours["tables"][name], found)
    found.absent += [name for name in ours["fields"] if name not in record["fields"]]
    found.absent += [f"table {name}" for name in ours["tables"] if name not in record["tables"]]
    yield from describe(written, FIELDS, found)
    for each in check_fields(record):
        yield note(FIELDS, f": {each.words}")


def _field(name: str, field: dict[str, Any], ours: dict[str, Any], found: Compared) -> None:
    if {part: field.get(part) for part in ("value", "rule", "printed")} == {
        part: ours[part] for part in ("value", "rule", "printed")
    }:
        return
    if ours["rule"] == WORDS or name in COUNTED:
        (found.wrong if name in IDENTITY else found.worded).append(name)
    elif compare(field.get("value"), ours["value"]).wrong:
        found.wrong.append(f"{name}: value {str(field.get('value'))[:40]}, computed {str(ours['value'])[:40]},")
    elif not _rounded(str(field.get("printed")), ours):
        found.wrong.append(f"{name}: printed '{str(field.get('printed'))[:40]}' for {str(ours['value'])[:40]}")
    else:
        found.worded.append(name)


def _rounded(printed: str, ours: dict[str, Any]) -> bool:
    """Whether a printed number is the value of a field, rounded by its rule to any number of decimals."""
    numbers = isinstance(ours["value"], int | float) and all(map(_PLAIN.fullmatch, (printed, ours["printed"])))
    if not numbers:
        return bool(printed == ours["printed"])
    scales = [scale for scale in (1, 100) if _bounds(ours["printed"], ours["value"] * scale, ours["rule"])]
    return any(_bounds(printed, ours["value"] * scale, ours["rule"]) for scale in scales)


def _bounds(printed: str, value: float, rule: str) -> bool:
    shown = Decimal(printed.replace(",", ""))
    unit = Decimal(1).scaleb(int(shown.as_tuple().exponent))
    off, slack = Decimal(repr(float(value))) - shown, unit / 10**6
    if rule == DOWN:
        return -slack <= off < unit + slack
    if rule == UP:
        return -unit - slack < off <= slack
    return abs(off) <= unit / 2 + slack


def _table(place: str, table: dict[str, Any], ours: dict[str, Any], found: Compared) -> None:
    records = compare(table.get("records"), ours["records"], CONDITIONAL)
    found.wrong += [f"{place}, record {path}" for path in records.wrong]
    found.unknown += [f"{place}, record {path}" for path in records.unknown]
    found.absent += [f"{place}, record {path}" for path in records.absent]
    written, computed = _printed(table), _printed(ours)
    if place in BY_NAME:
        written, computed = _shared(written, computed, place, found), _shared(computed, written, "", Compared())
    compare_rows(written, computed, place, found)


def _shared(table: PrintedTable, other: PrintedTable, place: str, found: Compared) -> PrintedTable:
    """Return the rows whose first cell both tables have, and note the others of the first one."""
    named = {row[0] for row in other.rows}
    found.unknown += [f"{place}, row {row[0][:40]}" for row in table.rows if row[0] not in named]
    return PrintedTable(table.headings, tuple(row for row in table.rows if row[0] in named))


def _printed(table: dict[str, Any]) -> PrintedTable:
    rows = tuple(tuple(map(str, row)) for row in table["rows"])
    return PrintedTable(tuple(map(str, table["headings"])), rows)
