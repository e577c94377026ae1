"""Sealing a complete run: its results, the event that vouches for its ledger, and signatures.

Signatures are made and checked by ssh-keygen; this package does no cryptography. What is signed is a short text of
hashes that anyone can compute from the run.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError, InputError, printable
from smoothcert.evidence.directory import RunDirectory, file_sha256, write_json
from smoothcert.evidence.events import (
    FINISHED,
    LOCKED,
    SHARD_FINISHED,
    Event,
    append_event,
    end_of,
    finish_digest,
    first_digest,
    read_events,
)
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import results_record


def seal_run(run: RunDirectory, spec: Spec, ledger: Ledger) -> None:
    """Write `results.json`, and the finish event with the hashes of the ledger.

    Args:
        run: a run directory that no other process writes.
        spec: its locked spec.
        ledger: its ledger, with a line for every result of the spec.

    Raises:
        EvidenceError: the run is already sealed; a seal is never replaced.
    """
    refuse_finished(run)
    write_json(run.results / "results.json", results_record(spec, ledger))
    append_event(run.events, FINISHED, _last_date(ledger), **seal_facts(ledger))


def finish_shard(run: RunDirectory, ledger: Ledger) -> None:
    """Write the event that vouches for the ledger of a complete shard.

    Raises:
        EvidenceError: the shard is already finished.
    """
    refuse_finished(run)
    append_event(run.events, SHARD_FINISHED, _last_date(ledger), shard=str(run.share), **seal_facts(ledger))


def seal_facts(ledger: Ledger) -> dict[str, Any]:
    """Return the facts of a seal.

    Returns:
        `lines` and `ledger_sha256`: number of lines that count, and canonical hash. `files`: for each file,
        by its name without .gz, number and hash of its lines as they are, duplicates and times included. `unfinished`:
        names of files with an incomplete last line; left out if there are none.
    """
    torn = sorted(name for name, file in ledger.files.items() if file.torn)
    facts = {"lines": len(ledger.lines), "ledger_sha256": ledger.sha256(), "files": seal_files(ledger)}
    return {**facts, "unfinished": torn} if torn else facts


def seal_files(ledger: Ledger) -> dict[str, Any]:
    """Return number and hash of the lines of each file of a ledger, by its name without .gz."""
    return {name: file.record() for name, file in sorted(ledger.files.items())}


def refuse_finished(run: RunDirectory) -> None:
    """Raise if a run is sealed, or is a finished shard.

    Raises:
        EvidenceError: it is.
    """
    if end_of(run.own_events()) is not None:
        raise EvidenceError(
            f"{run.path} is finished, and nothing can be added or sampled again. "
            "Restore what was changed from a copy, or certify again into another --out.",
            code="E-RUN-048",
        )


def fingerprint(run: RunDirectory) -> str | None:
    """Return the evidence fingerprint of a run: the SHA-256 of the line of its first finish event.

    The event contains the hash of the ledger, and the chain before it the hash of the spec and all measurements.

    Returns:
        64 hex digits; None if the run is not sealed.

    Raises:
        EvidenceError: there is no log, or a line is not an event.
    """
    return finish_digest(run.events)


def supersedes(event: Event, first: str | None) -> bool:
    """Whether a later finish event names the first one by its hash and gives a reason; the first still counts."""
    reason = event.facts.get("reason")
    return first is not None and event.facts.get("supersedes") == first and isinstance(reason, str) and bool(reason)


def seal_remark(run: RunDirectory) -> str:
    """Return the remark that every document must have if a later finish event claims to supersede the seal, else "".

    No version writes such an event; it was added by other means.
    """
    first = fingerprint(run)
    for event in run.own_events():
        if event.event == FINISHED and supersedes(event, first):
            reason = printable(event.facts["reason"])
            return f"A later finish event of {event.at} claims to supersede the seal ({reason:.200}); the first counts"
    return ""


def in_groups(sha256: str) -> str:
    """Format the first 32 hex digits of a hash in groups of four.

    Example:
        >>> in_groups("0123456789abcdef" * 4)
        '0123 4567 89ab cdef 0123 4567 89ab cdef'
    """
    return " ".join(sha256[i : i + 4] for i in range(0, 32, 4))


def fingerprint_words(run: RunDirectory) -> str:
    """Return the fingerprint of a run as text, with `seal_remark`."""
    found, remark = fingerprint(run), seal_remark(run)
    words = "none, as the run is not sealed" if found is None else in_groups(found)
    return f"{words}. {remark}" if remark else words


def _last_date(ledger: Ledger) -> str:
    """Return the latest time of a line: a seal is never older than its lines, even if a clock was set back."""
    return max(ledger.columns.at.distinct(), default="")


EVIDENCE_SIGNATURE, LOCK_SIGNATURE = "evidence.sig", "lock.sig"
SIGNATURES = (EVIDENCE_SIGNATURE, LOCK_SIGNATURE)
_NAMESPACE = "smoothcert"
_SIGNING, _CHECKING = 300, 30  # timeouts in seconds; signing may ask for a passphrase
_LARGEST = 100_000  # bytes of a signature; those of ssh-keygen have a few hundred
_KEY = re.compile(r"key (SHA256:[A-Za-z0-9+/=]+)")


def lock_text(log: Path) -> bytes:
    """Return the text that `lock.sig` signs: the hashes of spec.json and of the event that locked it.

    Args:
        log: the event log of the run.

    Raises:
        EvidenceError: the log does not start with the lock of a spec.
    """
    events = read_events(log)
    if not events or events[0].event != LOCKED:
        raise EvidenceError(f"{log} does not start with the lock of a spec.", code="E-RUN-049")
    spec = printable(str(events[0].facts.get("spec_sha256")))
    return f"smoothcert lock, version 1\nspec.json SHA-256 {spec}\nlock event SHA-256 {first_digest(log)}\n".encode()


def evidence_text(run: RunDirectory) -> bytes:
    """Return the text that `evidence.sig` signs: the hashes of spec.json and canonical ledger, and the fingerprint.

    Raises:
        EvidenceError: the run is not sealed.
    """
    seal, found = run.seal(), fingerprint(run)
    if seal is None or found is None:
        raise EvidenceError(f"{run.path} is not sealed, so its evidence cannot be signed yet.", code="E-RUN-050")
    ledger = printable(str(seal.facts.get("ledger_sha256")))
    return (
        f"smoothcert evidence, version 1\nspec.json SHA-256 {file_sha256(run.spec)}\nledger SHA-256 {ledger}\n"
        f"fingerprint {found}\n"
    ).encode()


def sign(text: bytes, key: Path) -> bytes:
    """Sign a text with an SSH key.

    Args:
        text: the text to sign.
        key: file of the private key, or of the public key if an agent holds the private one. ssh-keygen asks for the
            passphrase.

    Returns:
        The armored signature.

    Raises:
        InputError: the key or ssh-keygen is missing, or ssh-keygen failed.
    """
    expect_key(key)
    return _ssh_keygen(["-Y", "sign", "-f", str(key), "-n", _NAMESPACE], text, _SIGNING).encode()


def expect_key(key: Path) -> None:
    """Raise if the file of a key does not exist.

    Raises:
        InputError: it does not.
    """
    if not key.is_file():
        raise InputError(
            f"Expected the file of an SSH key, found none at {key}; ssh-keygen -t ed25519 creates one.",
            code="E-INPUT-024",
        )


def signed_by(text: bytes, signature: Path, allowed: Path, signer: str | None = None) -> str:
    """Return who signed a text.

    Args:
        text: the text that must have been signed.
        signature: file of the signature.
        allowed: file of allowed signers, as ssh-keygen reads it.
        signer: who must have signed (default: anyone in `allowed`).

    Returns:
        Name of the signer in `allowed`, and the fingerprint of the key.

    Raises:
        EvidenceError: no allowed signer has signed this text.
        InputError: ssh-keygen is missing.
    """
    if signature.is_symlink() or not signature.is_file() or signature.stat().st_size > _LARGEST:
        raise EvidenceError(f"{signature.name} is missing or not a signature", code="E-RUN-051")
    common = ["-f", str(allowed), "-s", str(signature)]
    try:
        if signer is None:
            found = _ssh_keygen(["-Y", "find-principals", *common], b"", _CHECKING)
            signer = re.split(r"[,\n]", found)[0].strip('" ')
        output = _ssh_keygen(["-Y", "verify", *common, "-I", signer, "-n", _NAMESPACE], text, _CHECKING)
    except _RefusedError:
        who = "anyone in the file of allowed signers" if signer is None else printable(signer)
        raise EvidenceError(f"{signature.name} is not a signature of this run by {who}", code="E-RUN-052") from None
    key = _KEY.search(output)
    return f"{printable(signer)}{f', key {key[1]}' if key else ''}"


class _RefusedError(InputError):
    """ssh-keygen failed; the message is its last line."""


def _ssh_keygen(arguments: list[str], text: bytes, seconds: float) -> str:
    """Run ssh-keygen without a shell and return its output."""
    try:
        done = subprocess.run(  # fixed arguments; paths and names follow flags that take a value
            ["ssh-keygen", *arguments],  # found on PATH, as at the shell
            input=text,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(
            "Signatures need ssh-keygen 8.2 or later; on Debian, install it with `apt install openssh-client`.",
            code="E-INPUT-025",
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(f"ssh-keygen did not finish within {seconds:.0f} seconds.", code="E-INPUT-026") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = printable(lines[-1]) if lines else "failed without a message"
        raise _RefusedError(f"ssh-keygen: {reason}.", code="E-INPUT-052")
    return done.stdout.decode(errors="replace")
