"""`smoothcert verify`: recompute everything from the votes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoothcert.report.documents import Documents
    from smoothcert.verify import Report


def verify(run: Path, /, *, bundle: Path | None = None) -> int:
    """Recompute hashes, bounds, radii, results and documents of a run from its stored votes, and name what fails.

    Needs no classifier, no image and no GPU; writes nothing. Exit status 1 if something does not hold, or an acceptance
    criterion of the run is not met.

    Args:
        run: Run directory.
        bundle: Bundle directory: say too whether it is what this run certified, or name each difference.
    """
    from smoothcert.cli.terminal import tell
    from smoothcert.errors import printable
    from smoothcert.evidence.bundle.files import expect_bundle
    from smoothcert.verify import NOT_SHOWN
    from smoothcert.verify import verify as check

    if bundle is not None:
        expect_bundle(bundle)
    report = check(run)
    documents = _documents(run, report) if report.passed else None
    faults = [*report.faults, *(documents.faults if documents else ())]
    for fault in faults:
        tell(f"FAULT  {fault}")
    if faults:
        tell(f"{run} does NOT verify: {len(faults)} {'fault' if len(faults) == 1 else 'faults'} named.")
        return 1
    tell(
        f"{run} verifies: {report.lines:,} lines; {report.bounds:,} confidence bounds, {report.radii:,} radii, "
        f"{report.decisions:,} decisions and {report.claims:,} claims over all images recomputed by two "
        f"implementations, {'sealed' if report.sealed else 'NOT SEALED'}."
    )
    if documents and documents.held:
        tell(f"The documents hold: {len(documents.held):,} derived again from votes, log and sponsor's fields.")
    for note in documents.notes if documents else ():
        tell(f"NOTE  {printable(note)}")
    if report.missing:
        tell(f"Partial run: {report.missing:,} of {report.lines + report.missing:,} results are missing.")
    for verdict in report.criteria:
        tell(f"{'FAILED ' if verdict.met is False else ''}criterion: {verdict.words}")
    tell(f"Not shown by this: {NOT_SHOWN}.")
    other = _deployed(run, bundle) if bundle is not None else 0
    return 1 if any(verdict.met is False for verdict in report.criteria) else other


def _deployed(run: Path, bundle: Path) -> int:
    """Say whether a bundle is what the run certified; return the exit status."""
    from smoothcert.cli.terminal import tell
    from smoothcert.errors import printable
    from smoothcert.evidence import open_run
    from smoothcert.verify import NOT_SHOWN_OF_BUNDLE, verify_bundle

    found = verify_bundle(open_run(run), bundle)
    for fault in found.faults:
        tell(f"FAULT  {printable(f'{bundle}: {fault}')}")
    if found.faults:
        count = f"{len(found.faults)} {'difference' if len(found.faults) == 1 else 'differences'} named"
        tell(f"{printable(str(bundle))} is NOT what this run certified: {count}.")
        return 1
    tell(
        f"{printable(str(bundle))} is what this run certified at sigma {found.sigma:g}: {found.weights}; noise, grid, "
        "image shape, preprocessing, normalisation, class names and numeric recipe are the run's."
    )
    if not found.named:
        tell("The bundle itself names no certification run; `smoothcert bundle` makes one that does.")
    tell(f"Not shown by this: {NOT_SHOWN_OF_BUNDLE}.")
    return 0


def _documents(run: Path, report: Report) -> Documents:
    """Return what verify finds in the documents of the run's `results/`."""
    from smoothcert.evidence import open_run
    from smoothcert.report.documents import check_documents

    return check_documents(open_run(run), report)
