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
    from smoothcert.verify import NOT_SHOWN
    from smoothcert.verify import verify as check

    report = check(run)
    for fault in report.faults:
        print(f"FAULT  {fault}")
    if not report.passed:
        print(f"{run} does NOT verify: {len(report.faults)} {'fault' if len(report.faults) == 1 else 'faults'} named.")
        return 1
    print(
        f"{run} verifies: {report.lines:,} lines, {report.bounds:,} confidence bounds and {report.decisions:,} "
        f"decisions recomputed by two implementations, {'sealed' if report.sealed else 'NOT SEALED'}."
    )
    if report.missing:
        print(f"Partial run: {report.missing} images have no line yet.")
    for verdict in report.criteria:
        print(f"{'FAILED ' if verdict.met is False else ''}criterion: {verdict.words}")
    print(f"Not shown by this: {NOT_SHOWN}.")
    return 1 if any(verdict.met is False for verdict in report.criteria) else 0
