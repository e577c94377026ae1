"""Many shards, one run: their evidence is copied side by side, and sealed where nothing is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError
from smoothcert.evidence.creation import fresh_run, lock_spec
from smoothcert.evidence.derived import write_json
from smoothcert.evidence.directory import RunDirectory, refuse_occupied
from smoothcert.evidence.events import MERGED, append_event
from smoothcert.evidence.mergeable import Part, parts_of, refuse_differing
from smoothcert.evidence.seal import seal_run
from smoothcert.evidence.signatures import LOCK_SIGNATURE

_BLOCK = 1 << 16


def merge(runs: Sequence[Path], out: Path) -> RunDirectory:
    """Merge runs of one spec and disjoint images into one, all of it or nothing; the runs are not changed.

    Logs and ledger files are copied byte for byte (half a line at the end of a file, left by a crash, is cut off). If
    every image is there, the run is sealed as one that sampled all itself, with the same hash; else `resume` goes on.

    Args:
        runs: run directories, finished shards or interrupted ones, two or more.
        out: a new or empty folder.

    Raises:
        EvidenceError: the runs do not belong together, one is damaged or being written, or `out` is occupied.
    """
    if len(runs) < 2:
        raise EvidenceError(f"Expected two or more run directories to merge, got {len(runs)}.")
    refuse_occupied(out)
    directories = [RunDirectory(path) for path in runs]
    with ExitStack() as held:
        spec = refuse_differing(directories)
        for run in directories:
            held.enter_context(run.at_rest())
        parts = parts_of(directories, spec)
        with fresh_run(out) as fresh:
            _copy(parts, fresh)
            lock_spec(fresh, spec)
            append_event(fresh.events, MERGED, shards=[asdict(part.shard) for part in parts])
            ledger = fresh.read_ledger()
            if len(ledger.lines) == spec.expected:
                seal_run(fresh, spec, ledger)
    return RunDirectory(out)


def _copy(parts: Sequence[Part], fresh: RunDirectory) -> None:
    """Copy spec, logs, environments and ledger files; each ledger file gets its shard's name before its own."""
    _copy_file(parts[0].run.spec, fresh.spec)
    records = []
    for part in parts:
        folder = fresh.of_shard(part.shard.name)
        folder.path.mkdir(parents=True)
        _copy_file(part.run.events, folder.events)
        if (part.run.path / LOCK_SIGNATURE).is_file():
            _copy_file(part.run.path / LOCK_SIGNATURE, folder.path / LOCK_SIGNATURE)
        if part.run.environment.is_file():
            _copy_file(part.run.environment, folder.environment)
            records.append(folder.read_environment())
        for path in part.run.ledger_files():
            _copy_file(path, fresh.ledger / f"{part.shard.name}-{path.name}")
    write_json(fresh.environment, _common(records))


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file durably; of JSON lines, half a line at the end is left out."""
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        if target.suffix == ".jsonl":
            file.truncate(_end_of_lines(target))
        os.fsync(file.fileno())


def _end_of_lines(path: Path) -> int:
    """Return the length of a file up to its last line break, found from the end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _common(records: Sequence[Any]) -> Any:
    """Return what shards recorded of their machines as one record: equal values once, others beside each other."""
    if all(isinstance(record, dict) for record in records):
        names = dict.fromkeys(name for record in records for name in record)
        return {name: _common([record.get(name) for record in records]) for name in names}
    told = list(dict.fromkeys(map(str, records)))
    if len(told) == 1:
        return records[0]
    together = " / ".join(told)
    return together if len(together) <= 60 else f"{len(told)} in the shards, see shards/"
