"""`smoothcert verify`: recompute everything from the votes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoothcert.verify import Report


def verify(run: Path, /) -> int:
    """Recompute hashes, bounds, radii, results and documents of a run from its stored votes, and name what fails.

    Needs no classifier, no image and no GPU; writes nothing. Exit status 1 if something does not hold, or an acceptance
    criterion of the run is not met.

    Args:
        run: Run directory.
    """
    from smoothcert.cli.terminal import tell
    from smoothcert.verify import NOT_SHOWN
    from smoothcert.verify import verify as check

    report = check(run)
    documents = _documents(run, report) if report.passed else []
    faults = [*report.faults, *documents]
    for fault in faults:
        tell(f"FAULT  {fault}")
    if faults:
        tell(f"{run} does NOT verify: {len(faults)} {'fault' if len(faults) == 1 else 'faults'} named.")
        return 1
    tell(
        f"{run} verifies: {report.lines:,} lines, {report.bounds:,} confidence bounds and {report.decisions:,} "
        f"decisions recomputed by two implementations, {'sealed' if report.sealed else 'NOT SEALED'}."
    )
    if (run / "results" / "memo_fields.json").is_file():
        tell("The documents hold: every printed number and figure is what the votes give, four pages, wording.")
    if report.missing:
        tell(f"Partial run: {report.missing:,} of {report.lines + report.missing:,} results are missing.")
    for verdict in report.criteria:
        tell(f"{'FAILED ' if verdict.met is False else ''}criterion: {verdict.words}")
    tell(f"Not shown by this: {NOT_SHOWN}.")
    return 1 if any(verdict.met is False for verdict in report.criteria) else 0


def _documents(run: Path, report: Report) -> list[str]:
    """Return what does not hold in the documents that lie in the run's results; none where there are none."""
    if not (run / "results" / "SHA256SUMS").is_file() and not (run / "results" / "memo_fields.json").is_file():
        return []
    from smoothcert.evidence import open_run
    from smoothcert.report.memo import check_documents

    return list(check_documents(open_run(run), report))
