"""Typeset the memo as PDF/A with typst; exactly four pages, or an error."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from smoothcert.errors import InputError, MissingExtraError
from smoothcert.evidence import Run
from smoothcert.evidence.directory import write_derived, write_json
from smoothcert.report.memo import text
from smoothcert.report.memo.blocks import Piece, pieces, record
from smoothcert.report.memo.memo import Memo, make_memo
from smoothcert.report.memo.pdftext import page_count
from smoothcert.report.memo.sponsor import ANNEX, FIELDS, Sponsor, annex, read_sponsor

Paper = Literal["a4", "us-letter"]
FILES: dict[Paper, str] = {"a4": "memo.pdf", "us-letter": "memo-letter.pdf"}
PAGES = 4
_LONG, _HASH, _STEP = 30, 64, 8  # characters: longer words, except hashes, may break after every _STEP
_TIED = re.compile(r"p_L = \(q_L − alpha\) / \(1 − alpha\)|\d %|≥ %|\b[rknm] = \d|\bsigma \d|\bsections? \d")
_TEMPLATE = "memo.typ"


def write_memo(
    run: Run, folder: Path, sponsor: Sponsor | Path | Memo | None = None, papers: Sequence[Paper] = ("a4", "us-letter")
) -> list[Path]:
    """Write the four-page memo as PDF/A, and the values that it prints; the same run gives the same bytes.

    Args:
        run: the run, complete or partial.
        folder: the folder, created if it does not exist.
        sponsor: the sponsor's fields or their YAML file, or the memo made from them. Default: all fields open.
        papers: paper sizes; memo.pdf is A4, memo-letter.pdf US Letter.

    Returns:
        The files: memo_fields.json, one PDF per paper size, and memo_annex.txt if a text of the sponsor does not fit.

    Raises:
        InputError: the sponsor's file is invalid, or the memo does not fit four pages; nothing was written.
        MissingExtraError: typst, pypdf or matplotlib is not installed.
    """
    memo = sponsor if isinstance(sponsor, Memo) else make_memo(run, _fields_of(sponsor))
    documents = typeset_all(memo.sponsor.of(run), memo, papers)
    rest = annex(memo.sponsor)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FIELDS, memo.record())
        for name, pdf in documents.items():
            write_derived(folder / name, pdf)
        if rest:
            write_derived(folder / ANNEX, rest)
        else:
            (folder / ANNEX).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write the memo to {folder}: {error.strerror}.", code="E-INPUT-036") from None
    return [folder / name for name in (FIELDS, *documents, *((ANNEX,) if rest else ()))]


def _fields_of(sponsor: Sponsor | Path | None) -> Sponsor:
    return sponsor if isinstance(sponsor, Sponsor) else read_sponsor(sponsor)


def typeset_all(run: Run, memo: Memo, papers: Sequence[Paper]) -> dict[str, bytes]:
    """Return the PDF for each paper size by file name; raises like `typeset`."""
    figure = _figure(run, memo.fields["figure_k"].value)
    return {FILES[paper]: typeset(memo, figure, paper) for paper in papers}


def typeset(memo: Memo, figure: str, paper: Paper) -> bytes:
    """Return the PDF.

    Args:
        memo: the content.
        figure: the figure, as SVG.
        paper: paper size.

    Raises:
        InputError: the result does not have four pages.
        MissingExtraError: typst or pypdf is not installed.
    """
    try:
        import typst
    except ImportError:
        raise MissingExtraError("The memo", "report") from None
    template = files(__package__).joinpath(_TEMPLATE).read_bytes()
    inputs = {"data": json.dumps(_sheet(memo, paper)), "figure": figure}
    pdf = typst.compile(
        template,
        format="pdf",
        sys_inputs=inputs,
        ignore_system_fonts=True,
        pdf_standards=["a-2a", "ua-1"],
        timestamp=_stamp(memo),
    )
    count = page_count(pdf)
    if count != PAGES:
        raise InputError(
            f"The memo has {count} pages on {paper} paper, expected {PAGES}. Shorten the sponsor's texts or class "
            "names. If that does not help, report it with spec.json and sponsor.yaml.",
            code="E-INPUT-037",
        )
    return pdf


def _stamp(memo: Memo) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(memo.fields["dated"].printed.replace(" UTC", "+00:00")).timestamp())


def _sheet(memo: Memo, paper: Paper) -> dict[str, Any]:
    """Return the input of the template; words that are too long for a line may be broken."""
    printed = {name: field.printed for name, field in memo.fields.items()}
    sheet = {
        "paper": paper,
        "title": text.TITLE,
        "author": "smoothcert",
        "description": f"{text.STATUS}, run {printed['run_id']}",
        "keywords": ["certified robustness", "randomized smoothing", printed["run_id"]],
        "date": [int(part) for part in re.findall(r"\d+", printed["dated"])],
        **dict(zip(("marks", "run", "document"), edges(memo)[:3], strict=True)),
        "footers": list(edges(memo)[3:]),
        "pages": [[record(block) for block in page] for page in memo.pages],
    }
    return {name: _breakable(value) if name == "pages" else value for name, value in sheet.items()}


def edges(memo: Memo) -> tuple[str, ...]:
    """Return the texts of header and footer: marks, run, document, and the number of each page."""
    printed = {name: memo.fields[name].printed for name in ("marks", "run_id", "document_id")}
    numbers = (f"Page {i} of {PAGES}" for i in range(1, PAGES + 1))
    return (printed["marks"], f"Run {printed['run_id']}", f"Document {printed['document_id']}", *numbers)


def printed_pages(memo: Memo) -> list[list[Piece]]:
    """Return the strings of each page in printing order, header and footer included."""
    marks, run, document, *numbers = (Piece(each) for each in edges(memo))
    title = [[Piece(text.TITLE)], *([] for _ in numbers[1:])]
    parts = zip(title, memo.pages, numbers, strict=True)
    return [[marks, run, *first, *pieces(page), document, number] for first, page, number in parts]


def _breakable(value: Any) -> Any:
    """Return values with break points in long words, and no line break between a number and its unit or symbol."""
    if isinstance(value, str):
        kept = _TIED.sub(lambda match: match[0].replace(" ", "\u00a0"), value)
        return re.sub(r"\S+", lambda match: _broken(match[0]), kept)
    if isinstance(value, dict):
        return {name: part if name == "kind" else _breakable(part) for name, part in value.items()}
    return [_breakable(part) for part in value] if isinstance(value, list | tuple) else value


def _broken(word: str) -> str:
    if len(word) <= _LONG or len(word) == _HASH:
        return word
    return "\u200b".join(word[i : i + _STEP] for i in range(0, len(word), _STEP))


def _figure(run: Run, k: int) -> str:
    from smoothcert.report.figures import curve_figure
    from smoothcert.report.figures.style import drawn

    return drawn(curve_figure(run, k), "svg").decode()
