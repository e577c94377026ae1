"""Signatures beside a run, made and checked by ssh-keygen: whose key stood for a locked spec, or for sealed evidence.

No cryptography is done here. What is signed is a short text of hashes that anybody can compute from the run.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from smoothcert.errors import EvidenceError, InputError, printable
from smoothcert.evidence.derived import file_sha256
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.events import LOCKED, first_digest, read_events
from smoothcert.evidence.seal import fingerprint

EVIDENCE_SIGNATURE, LOCK_SIGNATURE = "evidence.sig", "lock.sig"
SIGNATURES = (EVIDENCE_SIGNATURE, LOCK_SIGNATURE)
_NAMESPACE = "smoothcert"
_SIGNING, _CHECKING = 300, 30  # seconds: whoever signs may have to type a passphrase
_LARGEST = 100_000  # bytes of a signature; those of ssh-keygen have a few hundred
_KEY = re.compile(r"key (SHA256:[A-Za-z0-9+/=]+)")


def lock_text(log: Path) -> bytes:
    """Return what `lock.sig` signs: the hashes of spec.json and of the event that locked it.

    Args:
        log: the run's log of events.

    Raises:
        EvidenceError: the log does not begin with a lock.
    """
    events = read_events(log)
    if not events or events[0].event != LOCKED:
        raise EvidenceError(f"{log} does not begin with the locking of a spec.")
    spec = printable(str(events[0].facts.get("spec_sha256")))
    return f"smoothcert lock, version 1\nspec.json SHA-256 {spec}\nlock event SHA-256 {first_digest(log)}\n".encode()


def evidence_text(run: RunDirectory) -> bytes:
    """Return what `evidence.sig` signs: the hashes of spec.json and of the canonical ledger, and the fingerprint.

    Raises:
        EvidenceError: the run is not sealed.
    """
    seal, found = run.seal(), fingerprint(run)
    if seal is None or found is None:
        raise EvidenceError(f"{run.path} is not sealed, so there is no evidence to sign yet.")
    ledger = printable(str(seal.facts.get("ledger_sha256")))
    return (
        f"smoothcert evidence, version 1\nspec.json SHA-256 {file_sha256(run.spec)}\nledger SHA-256 {ledger}\n"
        f"fingerprint {found}\n"
    ).encode()


def sign(text: bytes, key: Path) -> bytes:
    """Sign a text with an SSH key.

    Args:
        text: what to sign.
        key: file of the private key, or of the public one where an agent holds the private one. ssh-keygen itself asks
            for a passphrase.

    Returns:
        The signature, armored.

    Raises:
        InputError: there is no such key, no ssh-keygen, or it refused.
    """
    expect_key(key)
    return _ssh_keygen(["-Y", "sign", "-f", str(key), "-n", _NAMESPACE], text, _SIGNING).encode()


def expect_key(key: Path) -> None:
    """Refuse a key that is no file.

    Raises:
        InputError: it is none.
    """
    if not key.is_file():
        raise InputError(f"Expected the file of an SSH key, found none at {key}; ssh-keygen -t ed25519 makes one.")


def signed_by(text: bytes, signature: Path, allowed: Path, signer: str | None = None) -> str:
    """Return who signed a text.

    Args:
        text: what must have been signed.
        signature: file of the signature.
        allowed: file of allowed signers, as ssh-keygen reads it.
        signer: who must have signed; left out, anybody whom `allowed` names.

    Returns:
        The signer as `allowed` names him, and the fingerprint of his key.

    Raises:
        EvidenceError: nobody who may has signed this text.
        InputError: there is no ssh-keygen.
    """
    if signature.is_symlink() or not signature.is_file() or signature.stat().st_size > _LARGEST:
        raise EvidenceError(f"{signature.name} is missing or no signature")
    common = ["-f", str(allowed), "-s", str(signature)]
    try:
        if signer is None:
            found = _ssh_keygen(["-Y", "find-principals", *common], b"", _CHECKING)
            signer = re.split(r"[,\n]", found)[0].strip('" ')
        told = _ssh_keygen(["-Y", "verify", *common, "-I", signer, "-n", _NAMESPACE], text, _CHECKING)
    except _RefusedError:
        who = "nobody whom the file of allowed signers names" if signer is None else printable(signer)
        raise EvidenceError(f"{signature.name} is no signature of this run by {who}") from None
    key = _KEY.search(told)
    return f"{printable(signer)}{f', key {key[1]}' if key else ''}"


class _RefusedError(InputError):
    """What ssh-keygen said instead of doing it."""


def _ssh_keygen(arguments: list[str], text: bytes, seconds: float) -> str:
    """Run ssh-keygen, without a shell, and return what it prints."""
    try:
        done = subprocess.run(  # fixed arguments; paths and names follow flags that take a value
            ["ssh-keygen", *arguments],  # the user's own, as at the shell
            input=text,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(
            "Signatures need the program ssh-keygen 8.2 or later; on Debian, `apt install openssh-client` installs it."
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(f"ssh-keygen gave no answer within {seconds:.0f} seconds.") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise _RefusedError(f"ssh-keygen: {printable(lines[-1]) if lines else 'it gave no reason'}.")
    return done.stdout.decode(errors="replace")
