"""Where a memo's fields, table cells or page text differ from what the votes give."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from smoothcert.report.memo.blocks import DOWN, UP, Piece
from smoothcert.verify.keys import Compared, compare

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_AROUND = 30


def differences(written: dict[str, Any], computed: dict[str, Any]) -> Iterator[str]:
    """Yield where `memo_fields.json` is not what the votes give."""
    fields, ours = _part(written, "fields"), computed["fields"]
    for name in sorted(set(fields) | set(ours)):
        if name not in fields or name not in ours:
            yield f"{name} is {'missing' if name in ours else 'not a field of the memo'}"
        elif not _equal(fields[name], ours[name]):
            yield f"{name}: {_field(_part(fields, name), ours[name])}"
    tables, ours = _part(written, "tables"), computed["tables"]
    for name in sorted(set(tables) | set(ours)):
        if not _equal(tables.get(name), ours.get(name)):
            yield f"table {name}: {_table(_part(tables, name), ours.get(name) or {})}"


def _equal(written: Any, computed: Any) -> bool:
    """Whether two plain values are equal, but for the last digits of floats."""
    return compare(written, computed) == Compared()


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _field(written: dict[str, Any], computed: dict[str, Any]) -> str:
    for name in ("printed", "value", "rule", "source"):
        if not _equal(written.get(name), computed[name]):
            printed, wanted = str(written.get(name))[:60], str(computed[name])[:60]
            told = f"{name} '{printed}', the votes give '{wanted}'"
            return told + _rounded(printed, wanted, str(computed["rule"])) if name == "printed" else told
    return "more than a field holds"


def _rounded(printed: str, wanted: str, rule: str) -> str:
    """Name a bound that was rounded to the side on which it no longer holds."""
    try:
        above = float(printed) > float(wanted)
    except ValueError:
        return ""
    if rule == DOWN and above:
        return ": a lower bound was rounded up"
    return ": an upper bound was rounded down" if rule == UP and not above else ""


def _table(written: dict[str, Any], computed: dict[str, Any]) -> str:
    headings = computed.get("headings") or []
    rows: Iterator[tuple[Any, Any]] = zip_longest(written.get("rows") or [], computed.get("rows") or [], fillvalue=[])
    for number, (found, wanted) in enumerate(rows, 1):
        if len(found) != len(wanted) or len(wanted) != len(headings):
            return f"row {number} has {len(found)} cells, not {len(wanted)}"
        for heading, ours, theirs in zip(headings, wanted, found, strict=True):
            if ours != theirs:
                rule = DOWN if "≥" in heading or ">=" in heading or "accuracy" in heading else ""
                note = _rounded(str(theirs), str(ours), rule)
                return f"row {number}, {heading}: printed '{str(theirs)[:60]}', the votes give '{str(ours)[:60]}'{note}"
    return "its headings or raw records are not what the votes give"


def squeeze(text: str) -> str:
    """Return a text without white space and break marks, which typesetting may move."""
    return "".join(text.replace("\u200b", "").split())


def against(found: str, wanted: Sequence[Piece]) -> Iterator[str]:
    """Yield how the text of a page differs from the strings that belong on it.

    Args:
        found: text of the page, as read from the PDF.
        wanted: the strings, in the order of printing.
    """
    got, expected = squeeze(found), squeeze("".join(piece.text for piece in wanted))
    if got == expected or _reordered(got, expected, wanted):
        return
    known = Counter(_NUMBER.findall(" ".join(piece.text for piece in wanted)))
    orphans = [number for number in dict.fromkeys(_NUMBER.findall(found)) if number not in known]
    same = (i for i, (one, other) in enumerate(zip(got, expected, strict=False)) if one != other)
    at = next(same, min(len(got), len(expected)))
    if orphans:
        yield f"the number {orphans[0]} comes from no field, table or reviewed text (near '{_near(expected, at)}')"
    else:
        yield f"the text near '{_near(got, at)}' is not the memo's, which has '{_near(expected, at)}'"


def _near(text: str, at: int) -> str:
    return text[max(0, at - _AROUND) : at + _AROUND]


def _reordered(got: str, expected: str, wanted: Sequence[Piece]) -> bool:
    """Whether a page holds exactly its strings, in another order (as another reader of PDFs may return them)."""
    return sorted(got) == sorted(expected) and all(squeeze(piece.text) in got for piece in wanted)
