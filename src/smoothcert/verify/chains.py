"""Event logs of a run and its shards: unbroken chains, spec unchanged, ledger as sealed and merged; signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError, InputError
from smoothcert.evidence import Run, RunDirectory
from smoothcert.evidence.directory import Shard
from smoothcert.evidence.events import MERGED, RESUMED, SESSION_ENDED, STARTED, Event, last_digest
from smoothcert.evidence.ledger import Ledger, prefixes, read_lines
from smoothcert.evidence.seal import (
    EVIDENCE_SIGNATURE,
    LOCK_SIGNATURE,
    SIGNATURES,
    evidence_text,
    lock_text,
    seal_facts,
    seal_remark,
    signed_by,
)
from smoothcert.evidence.soundness import late_faults, log_faults, sampling_faults, seal_faults, signature_faults
from smoothcert.formats.event import unknown_of


@dataclass(frozen=True)
class Signed:
    """The result of checking the signatures of a run.

    Attributes:
        faults: signatures that are missing, of another text, or not by an allowed signer.
        notes: who signed what, and what is not signed.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]


def check_signatures(path: Path, allowed: Path, signer: str | None = None) -> Signed:
    """Check the signatures of a run whose evidence has been verified; unsigned evidence is a fault.

    Args:
        path: the run directory.
        allowed: file of allowed signers, as ssh-keygen reads it.
        signer: who must have signed (default: anyone in `allowed`).

    Raises:
        InputError: the file or ssh-keygen is missing.
    """
    if not allowed.is_file():
        raise InputError(
            f"--allowed-signers: expected a file of allowed signers (man ssh-keygen), found none at {allowed}.",
            code="E-INPUT-041",
        )
    run = RunDirectory(path)
    faults, notes = list[str](), list[str]()
    if run.seal() is None:
        faults.append("the run is not sealed, so its evidence is not signed")
    else:
        _check(evidence_text(run), path / EVIDENCE_SIGNATURE, (allowed, signer), (faults, notes), "the evidence")
    for folder, words in _locks(run):
        if (folder.path / LOCK_SIGNATURE).exists():
            text = lock_text(folder.events)
            _check(
                text, folder.path / LOCK_SIGNATURE, (allowed, signer), (faults, notes), f"the spec{words}, when locked"
            )
        else:
            notes.append(f"the spec{words} was not signed when it was locked: there is no {LOCK_SIGNATURE}")
    return Signed(tuple(faults), tuple(notes))


def _locks(run: RunDirectory) -> Iterator[tuple[RunDirectory, str]]:
    """Yield the folders in which the spec was locked before sampling: the run, or its shards."""
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


SHOWN = 6
"""Unknown keys that a note names."""


def check_merged(run: RunDirectory, spec: Spec) -> Iterator[str]:
    """Yield the faults of a merge and of the logs of its shards; none for a run that was not merged."""
    shards = run.shards
    yield from _check_merge(run, shards)
    for shard in shards:
        name, kept = f"shards/{shard.name}/events.jsonl", run.of_shard(shard.name)
        yield from log_faults(kept.events, spec, name)
        yield from late_faults(kept.own_events(), None, name)
        yield from (f"{shard.name}: {fault}" for fault in signature_faults(kept))
        if last_digest(kept.events) != shard.head:
            yield f"{name}: its last event is not the one in the merge event; the log was changed after the merge"
        own = None if kept.share is None else str(kept.share)
        if own != shard.shard:
            yield f"events.jsonl: {shard.name} is shard {shard.shard} in the merge event, but {own} in its own log"


def _check_merge(run: RunDirectory, shards: Sequence[Shard]) -> Iterator[str]:
    """Yield contradictions between the merge event, the folder of shards and the ledger files."""
    own = [event.event for event in run.own_events()]
    if MERGED in own and (own.count(MERGED) > 1 or own.index(MERGED) != 1):
        yield "events.jsonl: expected one merge event, as the second event"
    named = {shard.name for shard in shards}
    kept = {path.name for path in (run.path / "shards").iterdir()} if (run.path / "shards").is_dir() else set()
    for name in sorted(kept - named):
        yield f"shards/{name} is not in the merge event"
    if shards and RESUMED not in own and _own_files(run, shards):
        yield f"ledger/{_own_files(run, shards)[0].name} is not a file of a shard, and the merged run was not resumed"


def check_shards(run: RunDirectory) -> Iterator[str]:
    """Yield differences between the ledger files of a merged run and what was sealed and merged; reads each file once.

    Raises:
        EvidenceError: a log or a ledger file is damaged.
    """
    shards = run.shards
    for shard in shards:
        ledger = _of_shard(run, f"{shard.name}-")
        yield from (f"{shard.name}: {fault}" for fault in _shard_faults(run.of_shard(shard.name), shard, ledger))
    if shards:
        yield from sampling_faults(run.own_events(), Ledger(*read_lines(_own_files(run, shards))))


def _of_shard(run: RunDirectory, begin: str) -> Ledger:
    """Return the ledger of one shard, with the file names it had there."""
    ledger = Ledger(*read_lines(run.ledger_files(begin)))
    return replace(ledger, files={name.removeprefix(begin): file for name, file in ledger.files.items()})


def _shard_faults(kept: RunDirectory, shard: Shard, ledger: Ledger) -> Iterator[str]:
    events, ours = kept.own_events(), seal_facts(ledger)
    merged = {"lines": shard.lines, "ledger_sha256": shard.ledger_sha256, "files": shard.files or ours["files"]}
    if any(ours[name] != merged[name] for name in merged):
        yield (
            f"ledger: its {ours['lines']} lines are not the {shard.lines} lines that were merged; "
            "a line was changed, added, deleted or moved"
        )
    else:
        yield from seal_faults(kept.vouched(), ledger, events)
    yield from sampling_faults(events, ledger)


def _own_files(run: RunDirectory, shards: Sequence[Shard]) -> list[Path]:
    """Return the ledger files that a merged run wrote itself when it was resumed."""
    begins = tuple(f"{shard.name}-" for shard in shards)
    return [path for path in run.ledger_files() if not path.name.startswith(begins)]


def log_notes(run: Run) -> Iterator[str]:
    """Yield what a reader of a run should know, although it is not a fault.

    Raises:
        EvidenceError: a log or a ledger file is damaged.
    """
    directory = run.directory
    later = [f"{name} of spec.json" for name in run.spec.unknown]
    later += dict.fromkeys(name for event in run.events for name in unknown_of(event))
    if later:
        yield f"written by a newer version and not checked: {', '.join(later[:SHOWN])}"
    if remark := seal_remark(directory):
        yield remark
    if number := sum(run.ledger.uncounted.values()):
        yield f"{number} lines with a duplicate key do not count; the worker whose name sorts first counts"
    shards = directory.shards
    places = [(directory.path, ""), *((directory.of_shard(each.name).path, f"shards/{each.name}/") for each in shards)]
    strange = [f"{begin}{each.name}" for path, begin in places for each in path.iterdir() if each.name not in _PARTS]
    if strange:
        names = ", ".join(f"{name:.80}" for name in sorted(strange)[:SHOWN])
        more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
        yield f"beside the evidence, and not checked: {names}{more}"
    yield from lost_lines(run)


_PARTS = ("spec.json", "events.jsonl", "environment.json", "ledger", "results", "shards", "lock", *SIGNATURES)
"""What a run directory holds; anything else is the user's."""


def lost_lines(run: Run) -> Iterator[str]:
    """Yield ledger files that no longer start with the lines that the log recorded, those of shards included.

    Raises:
        EvidenceError: a log or a ledger file is damaged.
    """
    directory, shards = run.directory, run.directory.shards
    yield from _lost(directory.own_events(), _own_files(directory, shards), "")
    for shard in shards:
        begin = f"{shard.name}-"
        yield from _lost(directory.of_shard(shard.name).own_events(), directory.ledger_files(begin), begin)


def _lost(events: Sequence[Event], paths: Sequence[Path], begin: str) -> Iterator[str]:
    """Yield ledger files that no longer start with the lines that the log recorded."""
    marks = list(_marks(events, begin))
    lengths: dict[str, set[int]] = {}
    for _, name, lines, _ in marks:
        lengths.setdefault(name, set()).add(lines)
    found = prefixes(paths, lengths) if marks else {}
    for when, name, lines, sha256 in marks:
        if found.get((name, lines)) != sha256:
            yield (
                f"ledger/{name}: at least one of the {lines:,} lines recorded {when} was removed or changed; "
                "its image was or will be sampled again"
            )


def _marks(events: Sequence[Event], begin: str) -> Iterator[tuple[str, str, int, str]]:
    """Yield the recorded states of files at the start or end of a session: when, file name, lines, hash."""
    session = 0
    for event in events:
        session += event.event in (STARTED, RESUMED)
        files = event.facts.get("files")
        if event.event not in (STARTED, RESUMED, SESSION_ENDED) or not isinstance(files, dict):
            continue
        when = f"at the {'end' if event.event == SESSION_ENDED else 'start'} of session {session}"
        for name, file in files.items():
            lines, sha256 = (file.get("lines"), file.get("sha256")) if isinstance(file, dict) else (None, None)
            if type(lines) is int and lines > 0 and isinstance(sha256, str):
                yield when, f"{begin}{name}", lines, sha256
