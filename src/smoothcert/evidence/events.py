"""The event log: each line names the hash of the line before it, so that a changed or reordered log shows."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError

BEGINNING = "0" * 64
LOCKED, STARTED, RESUMED, LEVEL, FINISHED = "spec locked", "start", "resume", "noise level", "finish"
SHARD_FINISHED, MERGED = "shard finished", "merge"
CLEAN, CHANGED, RATES, ENERGY, REPORTED = "without noise", "changed images", "rates", "energy", "report"
WORKER = "worker"
"""A worker of a fleet joined, was left out, or was lost."""


@dataclass(frozen=True)
class Event:
    """One entry: what happened, when, and its facts."""

    event: str
    at: str
    previous: str
    facts: dict[str, Any]


def utc_now() -> str:
    """Return the time as text, in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_event(path: Path, event: str, **facts: Any) -> None:
    """Append one event, chained to the last, and make it durable; never dated before the last, whatever the clock."""
    lines = _whole_lines(path)
    previous = _digest(lines[-1]) if lines else BEGINNING
    record = {"event": event, "at": max(utc_now(), _last_time(lines)), "previous": previous, **facts}
    with path.open("ab") as file:
        file.truncate(sum(len(line) + 1 for line in lines))
        file.write(json.dumps(record, sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_events(path: Path) -> tuple[Event, ...]:
    """Read the log without judging its chain.

    Raises:
        EvidenceError: the log is missing or a line is not an event.
    """
    if not path.is_file():
        raise EvidenceError(f"Expected the event log {path}, found none.")
    events = []
    for number, line in enumerate(_whole_lines(path), 1):
        try:
            record = json.loads(line)
            event, at, previous = (str(record.pop(name)) for name in ("event", "at", "previous"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise EvidenceError(f"Line {number} of {path} is not an event.") from None
        events.append(Event(event, at, previous, record))
    return tuple(events)


def broken_link(path: Path) -> int | None:
    """Return the number of the first line that does not follow the one before it, or None for a sound chain."""
    previous = BEGINNING
    for number, (line, event) in enumerate(zip(_whole_lines(path), read_events(path), strict=True), 1):
        if event.previous != previous:
            return number
        previous = _digest(line)
    return None


def last_digest(path: Path) -> str:
    """Return the SHA-256 of the last whole line of a log; the chain makes it vouch for every line before."""
    lines = _whole_lines(path)
    return _digest(lines[-1]) if lines else BEGINNING


def _whole_lines(path: Path) -> list[bytes]:
    data = path.read_bytes() if path.is_file() else b""
    return data.split(b"\n")[:-1]


def _last_time(lines: list[bytes]) -> str:
    """Return the time of the last event that has one, "" where none has."""
    try:
        return str(json.loads(lines[-1])["at"])
    except (IndexError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
