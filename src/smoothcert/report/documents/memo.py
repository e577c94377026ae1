"""The memo: its fields and tables by name in any version; text and bytes of the PDF where the same code is at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from smoothcert.errors import EvidenceError, InputError, MissingExtraError
from smoothcert.report.documents.cells import Cells, compare_cells
from smoothcert.report.documents.found import Finding, Findings, Written, describe, fault, held, note
from smoothcert.report.documents.memo_fields import against, differences, squeeze
from smoothcert.report.memo.blocks import DOWN, UP, WORDS, Piece
from smoothcert.report.memo.build import FIELDS, FILES, PAGES, Paper, printed_pages, set_again
from smoothcert.report.memo.memo import Memo, make_memo
from smoothcert.report.memo.pdftext import foreign_parts, page_texts, strange_letters
from smoothcert.report.memo.sponsor import ANNEX, annex, make_sponsor
from smoothcert.report.memo.wording import check_fields, check_pdf, check_text, refused
from smoothcert.verify.keys import Compared, compare, some

IDENTITY = ("run_id", "document_id", "dated")
"""Fields of words that name the run: the same in every version."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_PLAIN = re.compile(r"-?\d[\d,]*(\.\d+)?")


def check_memo(written: Written) -> Findings:
    """Check the fields of the memo, its PDFs and its annex, where there are any."""
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
    memo = make_memo(written.run, sponsor, written.checked)
    if written.same_code:
        yield from _same_fields(record, memo)
    else:
        yield from _known_fields(written, record, memo)
    yield from _pdfs(written, names, memo)
    if (written.folder / ANNEX).is_file() or annex(sponsor):
        same = (written.folder / ANNEX).is_file() and written.text(ANNEX) == annex(sponsor)
        unlike = fault if written.same_code else note
        yield (
            held(ANNEX)
            if same
            else unlike(ANNEX, " does not hold the sponsor's full texts as this version prints them")
        )


def _parts(record: dict[str, Any]) -> None:
    """Raise ValueError where fields and tables are not records of records, as every version writes them."""
    for part in ("fields", "tables"):
        if not isinstance(record[part], dict) or not all(isinstance(each, dict) for each in record[part].values()):
            raise ValueError(part)
    for table in record["tables"].values():
        rows = [table["headings"], *table["rows"]]
        if not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
            raise ValueError("tables")


def _same_fields(record: dict[str, Any], memo: Memo) -> Findings:
    """Compare everything, word by word."""
    told = [fault(FIELDS, f": {each.words}") for each in check_fields(record)]
    told += [fault(FIELDS, f": {each}") for each in differences(record, json.loads(json.dumps(memo.record())))]
    told += [fault(FIELDS, f": {each.words}") for each in refused(memo.pages, memo.sponsor)]
    yield from told or [held(FIELDS)]


def _known_fields(written: Written, record: dict[str, Any], memo: Memo) -> Findings:
    """Compare the fields and tables that this version knows too: values, and that they were rounded by their rule."""
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
    if ours["rule"] == WORDS:
        (found.wrong if name in IDENTITY else found.worded).append(name)
    elif compare(field.get("value"), ours["value"]).wrong:
        found.wrong.append(f"{name}: value {str(field.get('value'))[:40]}, computed {str(ours['value'])[:40]},")
    elif not _rounded(str(field.get("printed")), ours):
        found.wrong.append(f"{name}: printed '{str(field.get('printed'))[:40]}' for {str(ours['value'])[:40]}")
    else:
        found.worded.append(name)


def _rounded(printed: str, ours: dict[str, Any]) -> bool:
    """Whether a printed number is the value of a field, rounded by its rule to whatever number of decimals."""
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
    records = compare(table.get("records"), ours["records"])
    found.wrong += [f"{place}, record {path}" for path in records.wrong]
    found.unknown += [f"{place}, record {path}" for path in records.unknown]
    found.absent += [f"{place}, record {path}" for path in records.absent]
    compare_cells(_cells(table), _cells(ours), place, found)


def _cells(table: dict[str, Any]) -> Cells:
    rows = tuple(tuple(map(str, row)) for row in table["rows"])
    return Cells(tuple(map(str, table["headings"])), rows)


def _pdfs(written: Written, names: list[str], memo: Memo) -> Findings:
    """Check the PDFs: bytes where they can be set anew, else foreign parts, pages, text and letters."""
    again: dict[str, bytes] = {}
    if written.same_libraries and names:
        papers: list[Paper] = [paper for paper, file in FILES.items() if file in names]
        try:
            again = set_again(written.run, memo, papers)
        except (MissingExtraError, InputError) as error:
            yield from (note(name, f": not set anew to compare its bytes. {error}") for name in names)
    for name in names:
        pdf = written.bytes(name)
        if again.get(name) == pdf:
            yield held(name)
            continue
        told = _text(written, name, pdf, memo)
        yield from told
        if any(each.kind == "fault" for each in told):
            continue
        if name in again:
            yield fault(name, " is not the PDF that this version sets from these fields")
            continue
        yield from _unset(written, name, pdf)


def _text(written: Written, name: str, pdf: bytes, memo: Memo) -> list[Finding]:
    """Check foreign parts, pages and text of one PDF."""
    try:
        texts, foreign = page_texts(pdf), foreign_parts(pdf)
    except MissingExtraError as missing:
        return [note(name, f": its text could not be read, so it was not checked. {missing}")]
    except EvidenceError as error:
        return [fault(name, f" cannot be read: {error}")]
    told = [fault(name, f" holds {part}, which no memo holds") for part in foreign]
    told += [fault(name, f" has {len(texts)} pages, not {PAGES}")] if len(texts) != PAGES else []
    return told + (_same_text(name, texts, memo) if written.same_code else _known_text(name, texts, written, memo))


def _unset(written: Written, name: str, pdf: bytes) -> Findings:
    """Say what is not known of a PDF that cannot be set anew, and check its letters."""
    if not written.same_code:
        yield note(name, ": sentences and shapes were not compared, as another version wrote it")
    elif not written.same_libraries:
        yield note(name, ": shapes were not compared, as typst or matplotlib is another version")
    yield from _letters(name, pdf)


def _letters(name: str, pdf: bytes) -> Findings:
    """Check that each letter is drawn as what it is copied as, in a PDF that cannot be set anew."""
    try:
        strange, same = strange_letters(pdf)
    except MissingExtraError as missing:
        yield note(name, f": its letters as they are drawn were not compared. {missing}")
        return
    if strange and same:
        yield fault(name, f": letters are not drawn as in the memo's fonts: {some(strange)}")
        return
    if strange:
        yield note(name, f": letters that another version of typst may draw otherwise: {some(strange)}")
    yield held(name)


def _same_text(name: str, texts: Sequence[str], memo: Memo) -> list[Finding]:
    told = []
    for number, (found, wanted) in enumerate(zip(texts, printed_pages(memo), strict=False), 1):
        told += [fault(name, f", page {number}: {each}") for each in against(found, wanted)]
        told += [fault(name, f": {each.words}") for each in check_pdf(found, wanted, f"page {number}")]
    return told


def _known_text(name: str, texts: Sequence[str], written: Written, memo: Memo) -> list[Finding]:
    """Check that every field and cell that belongs on the pages stands there; name numbers that stand in none."""
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
    told = [note(name, f": {each.words}") for each in refusals[:3]]
    told += [fault(name, f": not on its pages, though fields or tables hold it: {some(missing)}")] if missing else []
    known = {number for printed in (*shown.values(), *_texts(record, pages)) for number in _NUMBER.findall(printed)}
    orphans = [number for number in dict.fromkeys(_NUMBER.findall(" ".join(texts))) if number not in known]
    if orphans:
        told.append(note(name, f": numbers that stand in no field, table or sentence known here: {some(orphans)}"))
    return told


def _gone(printed: str, ours: str | None, text: str, here: str) -> bool:
    """Whether a field that this version prints on a page is missing in the text of the written one."""
    return bool(ours) and squeeze(ours or "") in here and squeeze(printed) not in text


def _texts(record: dict[str, Any], pages: Sequence[Sequence[Piece]]) -> list[str]:
    entries = [str(entry) for table in record["tables"].values() for row in table["rows"] for entry in row]
    headings = [str(heading) for table in record["tables"].values() for heading in table["headings"]]
    return [*entries, *headings, *(piece.text for page in pages for piece in page)]
