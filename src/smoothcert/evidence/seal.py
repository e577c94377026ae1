"""The end of a run of which nothing is missing: its results, and the event that vouches for its ledger, for ever."""

from __future__ import annotations

from typing import Any

from smoothcert.errors import EvidenceError, printable
from smoothcert.evidence.derived import write_json
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.events import FINISHED, SHARD_FINISHED, Event, append_event, end_of, finish_digest
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import results_record
from smoothcert.spec import Spec


def seal_run(run: RunDirectory, spec: Spec, ledger: Ledger) -> None:
    """Write `results.json`, and the finish event with the hashes of the ledger.

    Args:
        run: a run directory that nobody else writes.
        spec: its locked spec.
        ledger: its ledger, a line for every result of the spec.

    Raises:
        EvidenceError: the run is sealed already; a seal is never renewed.
    """
    refuse_finished(run)
    write_json(run.results / "results.json", results_record(spec, ledger))
    append_event(run.events, FINISHED, _last_date(ledger), **seal_facts(ledger))


def finish_shard(run: RunDirectory, ledger: Ledger) -> None:
    """Write the event that vouches for the ledger of a shard, which nothing is missing in.

    Raises:
        EvidenceError: the shard is finished already.
    """
    refuse_finished(run)
    append_event(run.events, SHARD_FINISHED, _last_date(ledger), shard=str(run.share), **seal_facts(ledger))


def seal_facts(ledger: Ledger) -> dict[str, Any]:
    """Return what a seal says of a ledger.

    Returns:
        `lines` and `ledger_sha256`: the lines that count, as the canonical ledger. `files`: for every file, by its name
        without .gz, the number of its lines and their hash as they stand in it, duplicates and dates included.
        `unfinished`: names of files that end in half a line; left out where none does.
    """
    torn = sorted(name for name, file in ledger.files.items() if file.torn)
    facts = {"lines": len(ledger.lines), "ledger_sha256": ledger.sha256(), "files": seal_files(ledger)}
    return {**facts, "unfinished": torn} if torn else facts


def seal_files(ledger: Ledger) -> dict[str, Any]:
    """Return the number of lines and the hash of each file of a ledger, by its name without .gz."""
    return {name: file.record() for name, file in sorted(ledger.files.items())}


def refuse_finished(run: RunDirectory) -> None:
    """Refuse to write evidence into a run that is sealed, or a shard that is finished.

    Raises:
        EvidenceError: it is.
    """
    if end_of(run.own_events()) is not None:
        raise EvidenceError(
            f"{run.path} is finished: its seal stands for ever, and nothing may be added to it or sampled again. "
            "Restore what was changed from a copy, or certify anew into another --out."
        )


def fingerprint(run: RunDirectory) -> str | None:
    """Return the evidence fingerprint of a run: the SHA-256 of its first finish event, as it stands in the log.

    The event names the hash of the ledger, and the chain before it the hash of the spec and everything measured.

    Returns:
        64 hex digits; None where the run is not sealed.

    Raises:
        EvidenceError: there is no log, or a line is not an event.
    """
    return finish_digest(run.events)


def supersedes(event: Event, first: str | None) -> bool:
    """Whether a later finish event says which one it supersedes, by its hash, and why; the first counts still."""
    reason = event.facts.get("reason")
    return first is not None and event.facts.get("supersedes") == first and isinstance(reason, str) and bool(reason)


def seal_remark(run: RunDirectory) -> str:
    """Return what every document must say of a run's seal; "" where there is nothing to say, as of every run so far.

    No version writes a finish event that supersedes another: one that does was added by other means.
    """
    first = fingerprint(run)
    for event in run.own_events():
        if event.event == FINISHED and supersedes(event, first):
            reason = printable(event.facts["reason"])
            return f"A later finish event of {event.at} claims to supersede the seal ({reason:.200}); the first counts"
    return ""


def in_groups(sha256: str) -> str:
    """Return the first 32 hex digits of a hash in groups of four, as documents print a fingerprint.

    Example:
        >>> in_groups("0123456789abcdef" * 4)
        '0123 4567 89ab cdef 0123 4567 89ab cdef'
    """
    return " ".join(sha256[i : i + 4] for i in range(0, 32, 4))


def fingerprint_words(run: RunDirectory) -> str:
    """Return the fingerprint of a run as documents print it, with what they must say of its seal."""
    found, remark = fingerprint(run), seal_remark(run)
    words = "none, as the run is not sealed" if found is None else in_groups(found)
    return f"{words}. {remark}" if remark else words


def _last_date(ledger: Ledger) -> str:
    """Return the latest time of a line: no seal is older than what it seals, even where a clock was set back."""
    return max(ledger.columns.at.distinct(), default="")
