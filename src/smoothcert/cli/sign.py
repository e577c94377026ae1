"""`smoothcert sign`: sign sealed evidence with an SSH key."""

from __future__ import annotations

from pathlib import Path


def sign(run: Path, /, *, key: Path) -> int:
    """Sign the sealed evidence of a run: ssh-keygen writes evidence.sig beside it. The evidence is verified first.

    The signature stands for spec, ledger and log together. `smoothcert verify RUN --allowed-signers FILE` checks it.

    Args:
        run: Run directory.
        key: File of an SSH key; ssh-keygen asks for its passphrase. Of a key that an agent holds, the public file.
    """
    from smoothcert.cli.terminal import tell
    from smoothcert.errors import EvidenceError, printable
    from smoothcert.evidence import RunDirectory
    from smoothcert.evidence.directory import write_derived
    from smoothcert.evidence.seal import EVIDENCE_SIGNATURE, evidence_text, expect_key
    from smoothcert.evidence.seal import sign as signature_of
    from smoothcert.verify import verify

    expect_key(key)
    directory, path = RunDirectory(run), run / EVIDENCE_SIGNATURE
    if path.exists():
        raise EvidenceError(f"{path} is there already; move it away to sign anew.")
    with directory.at_rest():
        report = verify(run)
        for fault in report.faults:
            tell(f"FAULT  {printable(fault)}")
        if report.faults:
            tell(f"{run} does NOT verify, and was not signed.")
            return 1
        text = evidence_text(directory)
        write_derived(path, signature_of(text, key))
    tell(f"{path} signs this text:")
    for line in text.decode().splitlines():
        tell(line, indent=2)
    return 0
