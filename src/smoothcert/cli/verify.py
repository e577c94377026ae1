"""`smoothcert verify` and `sign`: recompute everything from the votes; sign sealed evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoothcert.evidence import Run
    from smoothcert.evidence.results import Verdict
    from smoothcert.verify import Report


def verify(
    run: Path,
    /,
    *,
    bundle: Path | None = None,
    expect: str | None = None,
    allowed_signers: Path | None = None,
    signer: str | None = None,
    notes: bool = False,
) -> int:
    """Recompute all of a run from its votes, and report each fault.

    Checks hashes, bounds, radii, results and documents. Needs no classifier, no image and no GPU, and writes nothing.
    The exit status is 1 if there is a fault, or if an acceptance criterion of the run is not met.

    Args:
        run: Run directory.
        bundle: Bundle directory to compare with the run. Each difference is named.
        expect: Evidence fingerprint that you expect. 16 to 64 hex digits, received by another way than the run.
        allowed_signers: Allowed signers file, as for ssh-keygen. Checks evidence.sig and lock.sig, and names the
            signer.
        signer: Expected signer, as named in --allowed-signers.
        notes: Print every note in full. Not one line per document that another version wrote.
    """
    from smoothcert.cli.terminal import print_text
    from smoothcert.errors import InputError, printable
    from smoothcert.evidence.bundle.files import expect_bundle
    from smoothcert.evidence.seal import SIGNATURES, in_groups
    from smoothcert.report.documents import check_documents
    from smoothcert.verify import NOT_SHOWN, check_signatures
    from smoothcert.verify import verify as check

    expected = None if expect is None else _digits(expect)
    if signer is not None and allowed_signers is None:
        raise InputError("--signer: expected it with --allowed-signers FILE.", code="E-INPUT-019")
    if bundle is not None:
        expect_bundle(bundle)
    report = check(run)
    documents = check_documents(report.run, report) if report.passed and report.run else None
    signed = None if allowed_signers is None or not report.passed else check_signatures(run, allowed_signers, signer)
    faults = [*report.faults, *_unexpected(report, expected)]
    faults += [fault for found in (documents, signed) if found for fault in found.faults]
    for fault in faults:
        print_text(f"FAULT  {printable(fault)}")
    if faults:
        print_text(f"{run} does NOT verify: {len(faults)} fault{'' if len(faults) == 1 else 's'}.")
        return 1
    print_text(
        f"{run} verifies ({'sealed' if report.sealed else 'NOT SEALED'}): {report.bounds:,} {report.tested}, "
        f"{report.radii:,} radii, {report.decisions:,} decisions and {report.claims:,} claims over all images "
        f"recomputed from {report.lines:,} ledger lines by two implementations."
    )
    if documents and documents.held:
        print_text(f"Documents: {len(documents.held):,} verified against votes, log and sponsor's fields.")
    if report.missing:
        print_text(f"Partial run: {report.missing:,} of {report.lines + report.missing:,} results are missing.")
    criteria = _as_stated(report)
    for verdict in criteria:
        print_text(f"{'FAILED ' if verdict.met is False else ''}criterion: {verdict.words}")
    of_documents = () if documents is None else documents.notes if notes else documents.brief
    for note in (*report.notes, *of_documents, *(signed.notes if signed else ())):
        print_text(f"NOTE  {printable(note)}")
    if documents and not notes and documents.brief != documents.notes:
        print_text("NOTE  --notes lists the parts that were not compared")
    if signed is None and (unchecked := [name for name in SIGNATURES if (run / name).exists()]):
        print_text(f"NOTE  {' and '.join(unchecked)}: not checked; --allowed-signers FILE checks who signed")
    if report.fingerprint:
        print_text(f"Evidence fingerprint: {in_groups(report.fingerprint)}")
    print_text(f"Not shown by this: {NOT_SHOWN}.")
    other = _deployed(report.run, bundle) if bundle is not None and report.run else 0
    return 1 if any(verdict.met is False for verdict in criteria) else other


def _as_stated(report: Report) -> Sequence[Verdict]:
    """Return the verdicts on the criteria, given what the sponsor stated to the last report."""
    from smoothcert.evidence.results import verdicts
    from smoothcert.report.memo.sponsor import as_stated

    if not report.criteria or report.run is None:
        return report.criteria
    run = as_stated(report.run)
    return report.criteria if run is report.run else verdicts(run.spec, run.results(), run.stated)


def _digits(text: str) -> str:
    """Return the hex digits of a fingerprint as it was typed.

    Raises:
        InputError: they are not 16 to 64 hex digits.
    """
    from smoothcert.errors import InputError, printable

    digits = "".join(text.split()).replace("-", "").lower()
    if not 16 <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        raise InputError(
            f"--expect: expected 16 to 64 hex digits of an evidence fingerprint, got {printable(text):.80}.",
            code="E-INPUT-020",
        )
    return digits


def _unexpected(report: Report, expected: str | None) -> list[str]:
    """Return the fault of a run that has another fingerprint than the expected one, or none."""
    from smoothcert.evidence.seal import in_groups

    if expected is None or not (report.passed or report.fingerprint):
        return []
    if report.fingerprint is None:
        return [f"evidence fingerprint: expected {expected:.32}, but the run is not sealed and has none"]
    if report.fingerprint.startswith(expected):
        return []
    return [f"evidence fingerprint: expected {expected:.32}, that of the run is {in_groups(report.fingerprint)}"]


def _deployed(run: Run, bundle: Path) -> int:
    """Print whether a bundle is what the run certified; return the exit status."""
    from smoothcert.cli.terminal import print_text
    from smoothcert.errors import printable
    from smoothcert.verify import NOT_SHOWN_OF_BUNDLE, verify_bundle

    found = verify_bundle(run, bundle)
    for fault in found.faults:
        print_text(f"FAULT  {printable(f'{bundle}: {fault}')}")
    if found.faults:
        count = f"{len(found.faults)} {'difference' if len(found.faults) == 1 else 'differences'} named"
        print_text(f"{printable(str(bundle))} is NOT what this run certified: {count}.")
        return 1
    same = "noise, grid, image shape, preprocessing, normalisation, class names and numeric recipe are the run's"
    if found.page:
        same += ", and the page of the bundle says what its record says"
    if found.tied:
        print_text(
            f"{printable(str(bundle))} is what this run certified at sigma {found.sigma:g}: {found.weights}; {same}."
        )
    else:
        print_text(
            f"NOT CHECKED  {printable(str(bundle))}: whether its weights are those of this run: {found.weights}."
        )
        print_text(f"So it is not shown to be what this run certified at sigma {found.sigma:g}; {same}.")
    for note in found.notes:
        print_text(f"NOT CHECKED  {printable(note)}")
    if found.chosen:
        print_text(f"Chosen at bundling: {'; '.join(found.chosen)}.")
    if not found.named:
        print_text("The bundle itself names no certification run; `smoothcert bundle` makes one that does.")
    print_text(f"Not shown by this: {NOT_SHOWN_OF_BUNDLE}.")
    return 0 if found.passed else 1


def sign(run: Path, /, *, key: Path) -> int:
    """Sign the sealed evidence of a run with an SSH key.

    The evidence is verified first; ssh-keygen writes evidence.sig, which covers spec, ledger and log together.
    `smoothcert verify RUN --allowed-signers FILE` checks it.

    Args:
        run: Run directory.
        key: SSH key file. ssh-keygen asks for its passphrase; if an agent holds the key, give the public file.
    """
    from smoothcert.cli.terminal import print_text
    from smoothcert.errors import EvidenceError, printable
    from smoothcert.evidence import RunDirectory
    from smoothcert.evidence.directory import write_derived
    from smoothcert.evidence.seal import EVIDENCE_SIGNATURE, evidence_text, expect_key
    from smoothcert.evidence.seal import sign as signature_of
    from smoothcert.verify import verify

    expect_key(key)
    directory, path = RunDirectory(run), run / EVIDENCE_SIGNATURE
    if path.exists():
        raise EvidenceError(f"{path} exists; move it away to sign again.", code="E-RUN-003")
    with directory.at_rest():
        report = verify(run)
        for fault in report.faults:
            print_text(f"FAULT  {printable(fault)}")
        if report.faults:
            print_text(f"{run} does NOT verify, and was not signed.")
            return 1
        text = evidence_text(directory)
        write_derived(path, signature_of(text, key))
    print_text(f"{path} signs this text:")
    for line in text.decode().splitlines():
        print_text(line, indent=2)
    return 0
