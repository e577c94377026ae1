"""`report.html`: data and tables derived again; of the same code the whole file; never a script of others."""

from __future__ import annotations

from typing import Any

from smoothcert.errors import EvidenceError, MissingExtraError
from smoothcert.formats.strict import parse
from smoothcert.report.documents.cells import compare_tables
from smoothcert.report.documents.found import Findings, Written, fault, held, note, told_of
from smoothcert.report.documents.html import Markup
from smoothcert.report.page.build import NAME, page_text, policy_of
from smoothcert.report.page.columns import unpack
from smoothcert.verify.keys import Compared, compare

DATA = "application/json"
MOST = 100_000_000
"""Numbers of a packed column."""


def check_page(written: Written) -> Findings:
    """Check the page, where there is one."""
    if not (written.folder / NAME).is_file():
        return
    try:
        text = page_text(written.run, written.production)
    except MissingExtraError as missing:
        yield note(NAME, f": not checked. {missing}")
        return
    found = written.text(NAME)
    if found == text:
        yield held(NAME)
        return
    theirs, ours = Markup(found), Markup(text)
    unsafe = list(_unsafe(theirs))
    yield from (fault(NAME, told) for told in unsafe)
    differing = _data(theirs, ours)
    compare_tables(theirs.tables, ours.tables, differing)
    if not written.same_code:
        differing.worded.append("sentences, style and script")
    elif not unsafe and not differing.wrong and not differing.unknown and not differing.absent:
        yield fault(NAME, " is not the page that this version writes for this run: its text, style or script differs")
        return
    yield from told_of(written, NAME, differing)


def _unsafe(page: Markup) -> list[str]:
    """Name what no version puts into a page: anything that runs or loads beside its one script."""
    found = [f": {each} could run or load something; no version writes that" for each in page.active[:5]]
    kinds = sorted(kind for _, kind in page.scripts)
    if kinds != ["", DATA] or len(page.styles) != 1:
        found.append(" holds more scripts or styles than a page has: expected one script, one block of data, one style")
        return found
    script = next(text for text, kind in page.scripts if kind == "")
    if page.policy != [policy_of(page.styles[0], script)]:
        found.append(": its security policy is not that of its style and script")
    return found


def _data(theirs: Markup, ours: Markup) -> Compared:
    """Compare the blocks of data from which the script draws chart, classes and images."""
    blocks = [next((text for text, kind in page.scripts if kind == DATA), "") for page in (theirs, ours)]
    try:
        return compare(*(_unpacked(parse(block, "its data")) for block in blocks))
    except (EvidenceError, ValueError):
        return Compared(wrong=["its block of data"])


def _unpacked(value: Any) -> Any:
    """Return plain values with their packed columns as lists of numbers."""
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if {*value} == {"bytes", "steps", "data"}:
        return unpack(value, MOST)
    return {name: _unpacked(each) for name, each in value.items()}
