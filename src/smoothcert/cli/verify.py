"""`smoothcert verify`: recompute everything from the votes."""

from __future__ import annotations

from pathlib import Path


def verify(run: Path, /) -> int:
    """Recompute hashes, bounds, radii and results of a run from its stored votes, twice, and name what fails.

    Needs no classifier, no image and no GPU; writes nothing. Exit status 1 if something does not hold, or an acceptance
    criterion of the run is not met.

    Args:
        run: Run directory.
    """
    from smoothcert.cli.terminal import tell
    from smoothcert.verify import NOT_SHOWN
    from smoothcert.verify import verify as check

    report = check(run)
    for fault in report.faults:
        tell(f"FAULT  {fault}")
    if not report.passed:
        tell(f"{run} does NOT verify: {len(report.faults)} {'fault' if len(report.faults) == 1 else 'faults'} named.")
        return 1
    tell(
        f"{run} verifies: {report.lines:,} lines, {report.bounds:,} confidence bounds and {report.decisions:,} "
        f"decisions recomputed by two implementations, {'sealed' if report.sealed else 'NOT SEALED'}."
    )
    if report.missing:
        tell(f"Partial run: {report.missing:,} of {report.lines + report.missing:,} results are missing.")
    for verdict in report.criteria:
        tell(f"{'FAILED ' if verdict.met is False else ''}criterion: {verdict.words}")
    tell(f"Not shown by this: {NOT_SHOWN}.")
    return 1 if any(verdict.met is False for verdict in report.criteria) else 0
