"""The event log: each line names the hash of the line before it, so that a changed or reordered log shows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError
from smoothcert.formats.event import (
    CHANGED,
    CLEAN,
    ENERGY,
    FINISHED,
    LEVEL,
    LOCKED,
    MERGED,
    PLANNED,
    RATES,
    REPEATED,
    REPORTED,
    RESUMED,
    SESSION_ENDED,
    SHARD_FINISHED,
    SIGNED,
    STARTED,
    WORKER,
    Event,
    event_line,
    parse_event,
)
from smoothcert.formats.strict import read_bytes

__all__ = [
    "BEGINNING",
    "CHANGED",
    "CLEAN",
    "ENERGY",
    "FINISHED",
    "LEVEL",
    "LOCKED",
    "MERGED",
    "PLANNED",
    "RATES",
    "REPEATED",
    "REPORTED",
    "RESUMED",
    "SESSION_ENDED",
    "SHARD_FINISHED",
    "SIGNED",
    "STARTED",
    "WORKER",
    "Event",
    "append_event",
    "broken_link",
    "end_of",
    "finish_digest",
    "first_digest",
    "last_digest",
    "read_events",
    "utc_now",
]

BEGINNING = "0" * 64
LARGEST = 1 << 26
"""Bytes of a log: a million events take more, and no run has so many."""


def utc_now() -> str:
    """Return the time as text, in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_event(path: Path, event: str, not_before: str = "", /, **facts: Any) -> None:
    """Append one event, chained to the last, and make it durable; never dated before the last, whatever the clock.

    Args:
        path: the log.
        event: what happened.
        not_before: another time that the event is not dated before.
        facts: its facts.
    """
    lines = _whole_lines(path)
    previous = _digest(lines[-1]) if lines else BEGINNING
    dated = _parsed(path, len(lines), lines[-1]).at if lines else ""
    at = max(utc_now(), dated, not_before)
    with path.open("ab") as file:
        file.truncate(sum(len(line) + 1 for line in lines))
        file.write(event_line(Event(event, at, previous, facts)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_events(path: Path) -> tuple[Event, ...]:
    """Read the log without judging its chain.

    Raises:
        EvidenceError: the log is missing or too large, or a line is not an event of this format; the message names it.
    """
    if not path.exists():
        raise EvidenceError(f"Expected the event log {path}, found none.")
    return tuple(_parsed(path, number, line) for number, line in enumerate(_whole_lines(path), 1))


def broken_link(path: Path) -> int | None:
    """Return the number of the first line that does not follow the one before it, or None for a sound chain."""
    previous = BEGINNING
    for number, (line, event) in enumerate(zip(_whole_lines(path), read_events(path), strict=True), 1):
        if event.previous != previous:
            return number
        previous = _digest(line)
    return None


def end_of(events: Sequence[Event]) -> Event | None:
    """Return the first event that vouches for the ledger: the finish, or for a shard the end of its part."""
    return next((event for event in events if event.event in (FINISHED, SHARD_FINISHED)), None)


def finish_digest(path: Path) -> str | None:
    """Return the SHA-256 of the first finish line of a log, None where there is none."""
    places = (i for i, event in enumerate(read_events(path)) if event.event == FINISHED)
    place = next(places, None)
    return None if place is None else _digest(_whole_lines(path)[place])


def first_digest(path: Path) -> str:
    """Return the SHA-256 of the first whole line of a log: the lock of the spec."""
    lines = _whole_lines(path)
    return _digest(lines[0]) if lines else BEGINNING


def last_digest(path: Path) -> str:
    """Return the SHA-256 of the last whole line of a log; the chain makes it vouch for every line before."""
    lines = _whole_lines(path)
    return _digest(lines[-1]) if lines else BEGINNING


def _whole_lines(path: Path) -> list[bytes]:
    return read_bytes(path, LARGEST).split(b"\n")[:-1] if path.exists() else []


def _parsed(path: Path, number: int, line: bytes) -> Event:
    try:
        return parse_event(line)
    except ValueError as reason:
        raise EvidenceError(f"Line {number} of {path} is not an event: {reason}.") from None


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
