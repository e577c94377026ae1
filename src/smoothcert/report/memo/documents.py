"""The second check of `verify`: do the written documents say what the votes say, and nothing else?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError, InputError, MissingExtraError
from smoothcert.evidence import REPORTED, Run
from smoothcert.evidence.derived import file_sha256
from smoothcert.report.cost import COST, recomputed
from smoothcert.report.memo.build import FIELDS, FILES, PAGES, printed_pages
from smoothcert.report.memo.compare import against, differences
from smoothcert.report.memo.memo import VERSION, Memo, make_memo
from smoothcert.report.memo.pdftext import page_texts
from smoothcert.report.memo.sponsor import make_sponsor
from smoothcert.report.memo.sponsored import ANNEX, annex
from smoothcert.report.memo.wording import check_fields, check_pdf, refused
from smoothcert.verify import Report

FIGURES = Path("figures") / "figure_data.json"
SUMS = "SHA256SUMS"


def check_documents(run: Run, checked: Report | None = None) -> Iterator[str]:
    """Check whatever documents lie in `results/`; needs neither torch nor typst, but pypdf to read the memo.

    Args:
        run: the run.
        checked: what verify says about the evidence; left out, it is asked.

    Yields:
        What does not hold, in words; nothing where all documents hold, or there are none.
    """
    folder = run.directory.results
    yield from _checksums(run, folder)
    yield from _memo(run, folder, checked)
    yield from _cost(run, folder)
    yield from _figures(run, folder / FIGURES)


def _memo(run: Run, folder: Path, checked: Report | None) -> Iterator[str]:
    names = [name for name in FILES.values() if (folder / name).is_file()]
    if not (folder / FIELDS).is_file():
        for name in names:
            yield f"results/{name}: its numbers cannot be traced, as results/{FIELDS} is missing"
        return
    try:
        record = _read(folder / FIELDS)
        sponsor = make_sponsor(record["sponsor"])
    except (ValueError, OSError, KeyError, TypeError, InputError) as error:
        yield f"results/{FIELDS} cannot be read: {_why(error)}"
        return
    if record.get("smoothcert") != VERSION:
        written = str(record.get("smoothcert"))[:20]
        yield f"results/{FIELDS} names smoothcert {written}, this is {VERSION}: check with that one, or report anew"
        return
    memo = make_memo(run, sponsor, checked)
    yield from (f"results/{FIELDS}: {each.words}" for each in check_fields(record))
    yield from (f"results/{FIELDS}: {told}" for told in differences(record, json.loads(json.dumps(memo.record()))))
    yield from (f"memo: {each.words}" for each in refused(memo.pages, sponsor))
    for name in names:
        yield from (f"results/{name}{told}" for told in _pdf(folder / name, memo))
    if annex(sponsor) != _text(folder / ANNEX):
        yield f"results/{ANNEX} does not hold the sponsor's full texts"


def _pdf(path: Path, memo: Memo) -> Iterator[str]:
    """Yield what is wrong with one PDF: pages, numbers, text, wording."""
    try:
        texts = page_texts(path.read_bytes())
    except MissingExtraError as missing:
        yield f": its text could not be read, so it was not checked. {missing}"
        return
    except (EvidenceError, OSError) as error:
        yield f" cannot be read: {error}"
        return
    if len(texts) != PAGES:
        yield f" has {len(texts)} pages, not {PAGES}"
    for number, (found, wanted) in enumerate(zip(texts, printed_pages(memo), strict=False), 1):
        yield from (f", page {number}: {told}" for told in against(found, wanted))
        yield from (f": {each.words}" for each in check_pdf(found, wanted, f"page {number}"))


def _figures(run: Run, path: Path) -> Iterator[str]:
    """Yield where the numbers that the figures draw are not what the votes give."""
    if not path.is_file():
        return
    from smoothcert.report.figures import figure_data

    name = f"results/{FIGURES.as_posix()}"
    try:
        written = _read(path)
        changes = {each.name: each.median for each in run.changes} if written["image_units"] else None
        radius = float(written["classes"][0]["radius"])
        computed = json.loads(json.dumps(figure_data(run, changes, radius)))
    except (ValueError, OSError, KeyError, TypeError, IndexError, InputError) as error:
        yield f"{name} cannot be read: {_why(error)}"
        return
    for part, value in computed.items():
        if written.get(part) != value:
            yield f"{name}: {part} is not what the votes give"
            return
    if set(written) != set(computed):
        yield f"{name} holds more than the figures draw"


def _cost(run: Run, folder: Path) -> Iterator[str]:
    """Yield where the cost scenarios are not what ledger and events give, or not for the sponsor's production."""
    if not (folder / COST).is_file():
        return
    try:
        record = _read(folder / COST)
        if record["smoothcert"] != VERSION:
            written = str(record["smoothcert"])[:20]
            yield f"results/{COST} names smoothcert {written}, this is {VERSION}: check with that one, or report anew"
            return
        yield from (f"results/{COST}: {told}" for told in recomputed(run, record))
        used = record["production"] if record["stated_by_user"] else None
        if (folder / FIELDS).is_file() and _read(folder / FIELDS)["sponsor"]["production"] != used:
            yield f"results/{COST}: production is not the section that the memo was written with"
    except (ValueError, OSError, KeyError, TypeError, InputError) as error:
        yield f"results/{COST} cannot be read: {_why(error)}"


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else type(error).__name__


def _checksums(run: Run, folder: Path) -> Iterator[str]:
    """Yield files that are not the ones listed when the documents were written."""
    sums = _text(folder / SUMS)
    reported = [event for event in run.events if event.event == REPORTED]
    if not sums:
        if reported:
            yield f"results/{SUMS} is missing, but the log of events names it"
        return
    if reported and reported[-1].facts.get("sha256sums") != file_sha256(folder / SUMS):
        yield f"results/{SUMS} is not the list that the log of events names"
    for line in sums.splitlines():
        wanted, _, name = line.partition("  ")
        if not name or not (folder / name).resolve().is_relative_to(folder.resolve()):
            yield f"results/{SUMS}: a line is not a hash and a file of results/"
        elif not (folder / name).is_file():
            yield f"results/{name} is listed in {SUMS}, but missing"
        elif file_sha256(folder / name) != wanted:
            yield f"results/{name} is not the file listed in {SUMS}; it was changed or replaced"


def _read(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise ValueError("not a record")
    return record


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
