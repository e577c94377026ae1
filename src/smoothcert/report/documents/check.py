"""The second check of `verify`: the written documents must follow from the votes, and contain nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smoothcert.errors import EvidenceError
from smoothcert.evidence import Run
from smoothcert.evidence.events import FINISHED, LEVEL, RESUMED, STARTED
from smoothcert.report.documents.filing import check_filing
from smoothcert.report.documents.found import (
    OURS,
    Finding,
    Findings,
    Written,
    check_list,
    fault,
    files_of,
    note,
    reports,
)
from smoothcert.report.documents.html import check_page
from smoothcert.report.documents.memo import check_memo
from smoothcert.report.documents.notebook import check_notebook
from smoothcert.report.documents.tables import check_certificates, check_cost, check_figures, check_results
from smoothcert.report.documents.word import check_word
from smoothcert.report.filing import RISKS
from smoothcert.report.memo.sponsor import FIELDS, as_stated
from smoothcert.report.word.memo import MEMO
from smoothcert.report.write import CHECKSUMS
from smoothcert.verify import Report

CHECKS: dict[str, Callable[[Written], Findings]] = {
    FIELDS: check_memo,
    MEMO: check_word,
    RISKS: check_filing,
    "results.json": check_results,
    "cost.json": check_cost,
    "figures/figure_data.json": check_figures,
    "certificates.parquet": check_certificates,
    "report.html": check_page,
    "notebook.ipynb": check_notebook,
}
"""The check of each kind of document, by its main file."""


@dataclass(frozen=True)
class Documents:
    """The result of the check of the documents.

    Attributes:
        faults: contradictions with evidence or log, in words; empty if everything that was checked holds.
        notes: what was not checked, and why; each names its document.
        held: names of the documents that were derived again from votes, log and sponsor's fields, and hold.
        brief: `notes` with one line, a count, per document that another version wrote.
    """

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()


def check_documents(run: Run, checked: Report | None = None) -> Documents:
    """Check the documents in `results/`. Needs no torch; a check that needs a missing library becomes a note.

    The log lists the documents of the last report: missing, altered and foreign ones are faults. Numbers of documents
    of any version are compared by their keys and headings; words, layout and bytes only if this code wrote them.

    Args:
        run: the run.
        checked: the result of verify for the evidence. Default: verify is run.
    """
    folder = run.directory.results
    findings = list(check_list(run, folder))
    if _continued(run):
        outdated = "the documents were written before the run continued; `smoothcert report` writes them again"
        return Documents(faults=(f"results/: {outdated}", *(each.words for each in findings if each.kind == "fault")))
    written = Written(_as_reported(run), folder, checked)
    for name, check in CHECKS.items():
        findings += _findings(name, check, written)
    faulty = {each.name for each in findings if each.kind == "fault"}
    held = [each.name for each in findings if each.kind == "held" and each.name not in faulty]
    named = {each.name for each in findings}
    listed = [name for name in files_of(folder) if OURS.fullmatch(name) and name not in {*named, CHECKSUMS}]
    listed = listed if reports(run) else []
    if listed:
        findings.append(note("", f": not derived again, compared by the hashes in the log alone: {', '.join(listed)}"))
    return Documents(
        faults=tuple(dict.fromkeys(each.words for each in findings if each.kind == "fault")),
        notes=tuple(dict.fromkeys(each.words for each in findings if each.kind == "note")),
        held=tuple(dict.fromkeys(held)),
        brief=_brief([each for each in findings if each.kind == "note"]),
    )


def _brief(notes: Sequence[Finding]) -> tuple[str, ...]:
    """Return the notes, those on parts that another version wrote as one line per document."""
    parts: Counter[str] = Counter()
    for each in notes:
        parts[each.name] += each.parts
    lines = (
        f"results/{each.name}: another version wrote it; parts not compared: {parts[each.name]:,}"
        if each.parts
        else each.words
        for each in notes
    )
    return tuple(dict.fromkeys(lines))


def _continued(run: Run) -> bool:
    """Whether sampling continued after the last report."""
    last = reports(run)[-1:]
    after = run.events[run.events.index(last[0]) + 1 :] if last else ()
    return any(event.event in (STARTED, RESUMED, LEVEL, FINISHED) for event in after)


def _as_reported(run: Run) -> Run:
    """Return the run as of its last report, without later events."""
    stated = as_stated(run).stated
    then = Run(run.directory, run.spec, run.ledger)
    last = reports(run)[-1:]
    events = run.events[: run.events.index(last[0])] if last else run.events
    then.__dict__.update({**run.__dict__, "events": events, "stated": stated})  # keep what is cached
    return then


def _findings(name: str, check: Callable[[Written], Findings], written: Written) -> list[Finding]:
    found: list[Finding] = []
    try:
        found += check(written)
    except EvidenceError as error:
        found.append(fault(name, f" cannot be read: {error}"))
    return found
