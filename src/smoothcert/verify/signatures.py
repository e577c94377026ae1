"""Who signed a run: its sealed evidence, and the spec when it was locked, before the first vote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smoothcert.errors import EvidenceError, InputError
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.seal import EVIDENCE_SIGNATURE, LOCK_SIGNATURE, evidence_text, lock_text, signed_by


@dataclass(frozen=True)
class Signed:
    """What the signatures of a run say.

    Attributes:
        faults: signatures that are missing, of another text, or of nobody who may sign.
        notes: who signed what; and what nobody signed.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]


def check_signatures(path: Path, allowed: Path, signer: str | None = None) -> Signed:
    """Check the signatures of a run whose evidence has been verified; evidence that nobody signed is a fault.

    Args:
        path: the run directory.
        allowed: file of allowed signers, as ssh-keygen reads it.
        signer: who must have signed; left out, anybody whom `allowed` names.

    Raises:
        InputError: there is no such file, or no ssh-keygen.
    """
    if not allowed.is_file():
        raise InputError(
            f"--allowed-signers: expected a file of allowed signers (man ssh-keygen), found none at {allowed}."
        )
    run = RunDirectory(path)
    faults, notes = list[str](), list[str]()
    if run.seal() is None:
        faults.append("the run is not sealed, so nobody has signed its evidence")
    else:
        _check(evidence_text(run), path / EVIDENCE_SIGNATURE, (allowed, signer), (faults, notes), "the evidence")
    for folder, words in _locks(run):
        if (folder.path / LOCK_SIGNATURE).exists():
            text = lock_text(folder.events)
            _check(
                text, folder.path / LOCK_SIGNATURE, (allowed, signer), (faults, notes), f"the spec{words}, when locked"
            )
        else:
            notes.append(f"nobody signed the spec{words} when it was locked: there is no {LOCK_SIGNATURE}")
    return Signed(tuple(faults), tuple(notes))


def _locks(run: RunDirectory) -> Iterator[tuple[RunDirectory, str]]:
    """Yield the folders in which a spec was locked before votes were counted: the run, or its shards."""
    shards = run.shards
    if not shards:
        yield run, ""
    for shard in shards:
        yield run.of_shard(shard.name), f" of {shard.name}"


def _check(
    text: bytes, file: Path, who: tuple[Path, str | None], found: tuple[list[str], list[str]], what: str
) -> None:
    faults, notes = found
    try:
        notes.append(f"{what}: signed by {signed_by(text, file, *who)}")
    except EvidenceError as error:
        faults.append(f"{what}: {error}")
