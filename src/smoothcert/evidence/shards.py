"""A run merged from shards: what its merge event names, and the one log of events that documents read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from smoothcert.errors import SpecError
from smoothcert.evidence.events import FINISHED, LOCKED, MERGED, REPORTED, Event
from smoothcert.spec import Share, parse_share

_LEFT_OUT = (LOCKED, FINISHED, REPORTED)
"""Events of a shard that say nothing of the merged run: its lock is the merged run's, its documents were not taken."""


@dataclass(frozen=True)
class Shard:
    """One of the runs that were merged, as the merge event names it.

    Attributes:
        name: its folder in `shards/`; its ledger files begin with it and a hyphen.
        shard: its part of the images, "i/n", or None for a run that was no shard.
        lines: results in its ledger.
        ledger_sha256: hash of its canonical ledger.
        head: SHA-256 of the last line of its log of events, which vouches for all lines before it.
        files: number of lines and hash of each of its ledger files, as a seal records them; None where version 0.1.0
            merged.
    """

    name: str
    shard: str | None
    lines: int
    ledger_sha256: str
    head: str
    files: Mapping[str, Any] | None = None


def share_of(events: Sequence[Event]) -> Share | None:
    """Return which shard a run is, from the first event of its own log; None for a run that is no shard."""
    share = events[0].facts.get("shard") if events and events[0].event == LOCKED else None
    try:
        return parse_share(share) if isinstance(share, str) else None
    except SpecError:
        return None


def shards_of(events: Sequence[Event]) -> tuple[Shard, ...]:
    """Return the shards that a log of events says its run was merged from; none for a run that sampled all itself."""
    merged = next((event for event in events if event.event == MERGED), None)
    if merged is None:
        return ()
    names = [field.name for field in fields(Shard)]
    return tuple(Shard(**{name: facts.get(name) for name in names}) for facts in merged.facts["shards"])


def told_together(own: Sequence[Event], logs: Sequence[Sequence[Event]]) -> tuple[Event, ...]:
    """Return one log for documents: the first lock of the spec, what each shard did, then the merge and what followed.

    Every shard locked the same spec; the first of these locks came before the first image of any.

    Args:
        own: the log of the merged run.
        logs: the logs of its shards, in their order.
    """
    locks = [log[0] for log in (*logs, own) if log and log[0].event == LOCKED]
    done = [event for log in logs for event in log if event.event not in _LEFT_OUT]
    after = [event for event in own if event.event != LOCKED]
    return (*([min(locks, key=lambda lock: lock.at)] if locks else []), *done, *after)
