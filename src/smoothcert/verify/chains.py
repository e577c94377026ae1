"""Are the logs of events sound, in every shard: chained, the spec unchanged, the ledger as it was sealed and merged?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from smoothcert.evidence import MERGED, RESUMED, Ledger, RunDirectory
from smoothcert.evidence.events import last_digest
from smoothcert.evidence.reading import read_lines
from smoothcert.evidence.shards import Shard
from smoothcert.evidence.soundness import log_faults, origin_faults, seal_faults
from smoothcert.spec import Spec


def check_events(run: RunDirectory, spec: Spec) -> Iterator[str]:
    """Yield what is wrong with the chain of events and the lock of the spec; of a merged run, in every shard."""
    yield from log_faults(run.events, spec)
    shards = run.shards
    yield from _check_merge(run, shards)
    for shard in shards:
        name, kept = f"shards/{shard.name}/events.jsonl", run.of_shard(shard.name)
        yield from log_faults(kept.events, spec, name)
        if last_digest(kept.events) != shard.head:
            yield f"{name}: its last event is not the one that the merge event names; the log was changed after it"
        own = None if kept.share is None else str(kept.share)
        if own != shard.shard:
            yield f"events.jsonl: the merge event calls {shard.name} shard {shard.shard}, its own log {own}"


def _check_merge(run: RunDirectory, shards: Sequence[Shard]) -> Iterator[str]:
    """Yield where the merge event, the folder of shards and the ledger files do not belong together."""
    own = [event.event for event in run.own_events()]
    if MERGED in own and (own.count(MERGED) > 1 or own.index(MERGED) != 1):
        yield "events.jsonl: the merge is not the second event, and the only one of its kind"
    named = {shard.name for shard in shards}
    kept = {path.name for path in (run.path / "shards").iterdir()} if (run.path / "shards").is_dir() else set()
    for name in sorted(kept - named):
        yield f"shards/{name} is not named by a merge event"
    if shards and RESUMED not in own and _own_files(run, shards):
        yield f"ledger/{_own_files(run, shards)[0].name} belongs to no shard, and the merged run was not resumed"


def check_shards(run: RunDirectory) -> Iterator[str]:
    """Yield where a merged run's ledger files do not hold what each shard sealed, and what was merged; reads each once.

    Raises:
        EvidenceError: a log or a ledger file is damaged.
    """
    shards = run.shards
    for shard in shards:
        ledger = Ledger(*read_lines(run.ledger_files(f"{shard.name}-")))
        yield from (f"{shard.name}: {fault}" for fault in _shard_faults(run.of_shard(shard.name), shard, ledger))
    if shards:
        yield from origin_faults(run.own_events(), Ledger(*read_lines(_own_files(run, shards))))


def _shard_faults(kept: RunDirectory, shard: Shard, ledger: Ledger) -> Iterator[str]:
    if (len(ledger.lines), ledger.sha256()) != (shard.lines, shard.ledger_sha256):
        yield (
            f"ledger: its {len(ledger.lines)} lines are not the {shard.lines} that were merged; "
            "a line was changed, added, deleted or moved"
        )
    else:
        yield from seal_faults(kept.vouched(), ledger)
    yield from origin_faults(kept.own_events(), ledger)


def _own_files(run: RunDirectory, shards: Sequence[Shard]) -> list[Path]:
    """Return the ledger files that the merged run wrote itself, when it was resumed."""
    begins = tuple(f"{shard.name}-" for shard in shards)
    return [path for path in run.ledger_files() if not path.name.startswith(begins)]
