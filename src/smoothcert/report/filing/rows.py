"""Rows for a risk management file and for a trace matrix, as CSV: what was verified, what remains, and where it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from smoothcert.evidence import Run
from smoothcert.formats.results import Entry
from smoothcert.report.claims import ONE_SUPPLY, guarantees
from smoothcert.report.markup import inert
from smoothcert.report.memo.blocks import Grid
from smoothcert.report.memo.claim_box import entry_words
from smoothcert.report.memo.context import MemoContext, gather
from smoothcert.report.memo.memo import Memo
from smoothcert.report.tables import MET
from smoothcert.stats.rounding import full

RISKS, TRACE = "risk_rows.csv", "requirements_trace.csv"
_RISKS = (
    *("row", "topic", "verified", "not verified", "count", "condition of the count", "evidence"),
    *("risk id", "severity", "probability", "control"),
)
"""The last four are the sponsor's, and left empty."""
_TRACE = (
    *("row", "source", "requirement", "result", "verdict", "evidence", "memo", "how to check again"),
    *("requirement id", "assessment"),
)
"""The last two are the sponsor's, and left empty."""
CHECK = "smoothcert verify RUN"
_EVIDENCE = "ledger, spec.json, results/results.json"
_PROVISIONS = "provision"


def rows_texts(run: Run, memo: Memo) -> dict[str, str]:
    """Return both files by name.

    Args:
        run: the run, complete or partial.
        memo: its memo, with the map of provisions and the result of verify.
    """
    found = gather(run, memo.sponsor, memo.checked)
    return {
        RISKS: _csv(_RISKS, [*_remaining(found), *_topics(run)], 4),
        TRACE: _csv(_TRACE, [*_criteria(found), *_provisions(memo)], 2),
    }


def _csv(headings: Sequence[str], rows: Sequence[Sequence[str]], empty: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    for number, row in enumerate(rows, 1):
        writer.writerow((str(number), *(str(inert(each)) for each in row), *([""] * empty)))
    return text.getvalue()


def _remaining(found: MemoContext) -> Iterator[tuple[str, ...]]:
    """Yield what remains at the entry of page 1, with counts."""
    entry, spec = found.shown, found.run.spec
    condition = f"{entry_words(entry)}, up to {spec.request.n_max:,} noise samples per image, on these images alone"
    if not entry.attainable:
        beyond = "beyond the sampling budget: nothing was tested at this radius"
        yield "image without a certificate", "", "every image", f"all {entry.images:,} images", beyond, _EVIDENCE
        return
    for topic, verified, remains, count in _counted(entry):
        yield topic, verified, remains, f"{count:,} of {entry.images:,} images", condition, _EVIDENCE
    if entry.lines < entry.images:
        missing = f"{entry.images - entry.lines:,} of {entry.images:,} images"
        yield "image without a result", "", "these images: the run is partial", missing, condition, _EVIDENCE
    yield (
        "wrong certificate",
        f"for each image, probability at most alpha = {full(spec.request.alpha)} over its noise",
        "that no certificate is wrong",
        f"at least {entry.sample:,} of {entry.images:,} images",
        f"certified rightly at {entry_words(entry)}, with probability at least 95 % over the noise",
        _EVIDENCE,
    )
    yield (
        "perturbation of L2 norm r or more",
        "",
        f"every change of L2 norm {full(entry.radius)} or more",
        "",
        f"{entry_words(entry)}; sizes in image units: results/tables/units.csv",
        "results/tables/units.csv",
    )


def _counted(entry: Entry) -> Iterator[tuple[str, str, str, int]]:
    yield (
        "image with a certificate",
        "the smoothed classifier returns the supplied label for every change of L2 norm below r, subject to alpha",
        "that the supplied label is right",
        entry.certified,
    )
    yield (
        "image without a certificate",
        "",
        "stability below r; not certified is not the same as shown to be attackable",
        entry.images - entry.certified,
    )
    yield "abstention", "counted as not certified", "a usable answer", entry.abstained
    yield (
        "another class than the supplied label",
        "counted as not certified",
        "that the answer is right: a wrong answer can be stable",
        entry.wrong,
    )


def _topics(run: Run) -> Iterator[tuple[str, ...]]:
    """Yield what the certificates cover and do not cover, whatever was counted."""
    for topic, covered, not_covered in guarantees(run.arithmetic_covered, run.spec.denoised).rows:
        verified = "" if covered == "nothing" else covered
        yield topic, verified, not_covered, "", "", "memo, what the bound does and does not guarantee"


def _criteria(found: MemoContext) -> Iterator[tuple[str, ...]]:
    """Yield the acceptance criteria that were fixed before the first image."""
    source = "acceptance criterion of this run"
    if found.verdicts and not found.locked_first:
        source += "; not shown to be fixed before the first image"
    for verdict in found.verdicts:
        reached, judged = verdict.reached, MET[verdict.met]
        where = "acceptance criteria, results"
        yield source, verdict.promised, reached, judged, f"spec.json, {_EVIDENCE}", where, CHECK


def _provisions(memo: Memo) -> Iterator[tuple[str, ...]]:
    """Yield the provisions of the memo's map; no verdict is given on any."""
    tables = (block for page in memo.pages for block in page if isinstance(block, Grid))
    for grid in tables:
        if grid.headings[:1] == (_PROVISIONS,):
            for row in grid.rows:
                provision, topic, where = (each if isinstance(each, str) else each.text for each in row)
                yield provision, topic, ONE_SUPPLY, "none given", "results/memo.pdf", where, CHECK
