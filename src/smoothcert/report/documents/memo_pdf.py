"""Check the PDFs of the memo: bytes if they can be typeset again, else foreign parts, pages, text and glyphs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from smoothcert.errors import EvidenceError, InputError, MissingExtraError
from smoothcert.report.documents.found import Finding, Findings, Written, fault, held, note
from smoothcert.report.memo.blocks import Piece
from smoothcert.report.memo.build import FILES, PAGES, Paper, printed_pages, typeset_all
from smoothcert.report.memo.memo import Memo
from smoothcert.report.memo.pdftext import foreign_parts, page_texts, strange_glyphs
from smoothcert.report.memo.wording import check_pdf, check_text
from smoothcert.verify.keys import some

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_AROUND = 30
"""Characters quoted before and after a difference."""


def check_pdfs(written: Written, names: list[str], memo: Memo) -> Findings:
    """Check the PDFs named `names` against a memo."""
    again: dict[str, bytes] = {}
    if written.same_libraries and names:
        papers: list[Paper] = [paper for paper, file in FILES.items() if file in names]
        try:
            again = typeset_all(written.run, memo, papers)
        except (MissingExtraError, InputError) as error:
            yield from (note(name, f": not typeset again to compare its bytes. {error}") for name in names)
    for name in names:
        pdf = written.bytes(name)
        if again.get(name) == pdf:
            yield held(name)
            continue
        findings = _text(written, name, pdf, memo)
        yield from findings
        if any(each.kind == "fault" for each in findings):
            continue
        if name in again:
            yield fault(name, " is not the PDF that this version typesets from these fields")
            continue
        yield from _not_typeset(written, name, pdf)


def _text(written: Written, name: str, pdf: bytes, memo: Memo) -> list[Finding]:
    """Check foreign parts, pages and text of one PDF."""
    try:
        texts, foreign = page_texts(pdf), foreign_parts(pdf)
    except MissingExtraError as missing:
        return [note(name, f": its text could not be read, so it was not checked. {missing}")]
    except EvidenceError as error:
        return [fault(name, f" cannot be read: {error}")]
    findings = [fault(name, f" contains {part}, which no memo contains") for part in foreign]
    findings += [fault(name, f" has {len(texts)} pages, not {PAGES}")] if len(texts) != PAGES else []
    return findings + (_same_text(name, texts, memo) if written.same_code else known_text(name, texts, written, memo))


def _not_typeset(written: Written, name: str, pdf: bytes) -> Findings:
    """Yield what cannot be compared in a PDF that was not typeset again, and check its glyphs."""
    if not written.same_code:
        yield note(name, ": sentences and drawings were not compared, as another version wrote it")
    elif not written.same_libraries:
        yield note(name, ": drawings were not compared, as typst or matplotlib is another version")
    yield from _glyphs(name, pdf)


def _glyphs(name: str, pdf: bytes) -> Findings:
    """Check that each glyph of a PDF that was not typeset again is drawn as in the fonts of the memo."""
    try:
        strange, same = strange_glyphs(pdf)
    except MissingExtraError as missing:
        yield note(name, f": its glyphs were not compared. {missing}")
        return
    if strange and same:
        yield fault(name, f": characters are not drawn as in the fonts of the memo: {some(strange)}")
        return
    if strange:
        yield note(name, f": characters that another version of typst may draw differently: {some(strange)}")
    yield held(name)


def _same_text(name: str, texts: Sequence[str], memo: Memo) -> list[Finding]:
    findings = []
    for number, (found, wanted) in enumerate(zip(texts, printed_pages(memo), strict=False), 1):
        findings += [fault(name, f", page {number}: {each}") for each in against(found, wanted)]
        findings += [fault(name, f": {each.words}") for each in check_pdf(found, wanted, f"page {number}")]
    return findings


def against(found: str, wanted: Sequence[Piece]) -> Iterator[str]:
    """Yield how the text of a page differs from the strings that belong on it.

    Args:
        found: text of the page, as read from the PDF.
        wanted: the strings, in printing order.
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
        yield f"the text near '{_near(got, at)}' is not that of the memo, which has '{_near(expected, at)}'"


def _near(text: str, at: int) -> str:
    return text[max(0, at - _AROUND) : at + _AROUND]


def _reordered(got: str, expected: str, wanted: Sequence[Piece]) -> bool:
    """Whether a page contains exactly its strings in another order, as another PDF reader may return them."""
    return sorted(got) == sorted(expected) and all(squeeze(piece.text) in got for piece in wanted)


def known_text(name: str, texts: Sequence[str], written: Written, memo: Memo) -> list[Finding]:
    """Check that every field and table cell of the pages is in the text, and report numbers that are in none."""
    record, pages = written.fields or {}, printed_pages(memo)
    here = squeeze("".join(piece.text for page in pages for piece in page))
    text = squeeze("".join(texts))
    ours = {name: asdict(field) for name, field in memo.fields.items()}
    shown = {each: str(field.get("printed")) for each, field in record["fields"].items()}
    missing = [each for each, printed in shown.items() if _gone(printed, ours.get(each, {}).get("printed"), text, here)]
    for title, table in record["tables"].items():
        if title in memo.tables and squeeze("".join(map("".join, memo.tables[title].rows))):
            entries = [str(entry) for row in table["rows"] for entry in row]
            same = squeeze("".join(memo.tables[title].rows[0]))[:40] in here
            missing += [f"table {title}: {entry[:40]}" for entry in entries if same and squeeze(entry) not in text]
    known_words = {each.phrase for page in pages for piece in page for each in check_text(piece.text, "")}
    refusals = [each for page in texts for each in check_text(page, "its text") if each.phrase not in known_words]
    findings = [note(name, f": {each.words}") for each in refusals[:3]]
    findings += [fault(name, f": in fields or tables, but not on its pages: {some(missing)}")] if missing else []
    known = {number for printed in (*shown.values(), *_texts(record, pages)) for number in _NUMBER.findall(printed)}
    orphans = [number for number in dict.fromkeys(_NUMBER.findall(" ".join(texts))) if number not in known]
    if orphans:
        findings.append(note(name, f": numbers in no field, table or sentence of this version: {some(orphans)}"))
    return findings


def _gone(printed: str, ours: str | None, text: str, here: str) -> bool:
    """Whether a field that this version prints is missing in the text of the written document."""
    return bool(ours) and squeeze(ours or "") in here and squeeze(printed) not in text


def _texts(record: dict[str, Any], pages: Sequence[Sequence[Piece]]) -> list[str]:
    entries = [str(entry) for table in record["tables"].values() for row in table["rows"] for entry in row]
    headings = [str(heading) for table in record["tables"].values() for heading in table["headings"]]
    return [*entries, *headings, *(piece.text for page in pages for piece in page)]


def squeeze(text: str) -> str:
    """Return a text without white space and break points, which typesetting may move."""
    return "".join(text.replace("\u200b", "").split())
