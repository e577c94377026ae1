"""Creating run directories, new or merged from shards: atomically, and never over an existing run.

Only sound runs of the same spec can be merged, each once; anything else is refused with its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smoothcert.config import Share, Spec
from smoothcert.errors import EvidenceError
from smoothcert.evidence.directory import RunDirectory, Shard, file_sha256, refuse_occupied, write_json
from smoothcert.evidence.events import LOCKED, MERGED, SIGNED, append_event, last_digest
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import Columns
from smoothcert.evidence.seal import LOCK_SIGNATURE, lock_text, seal_facts, seal_run, sign
from smoothcert.evidence.soundness import log_faults, own_faults


@contextmanager
def fresh_run(path: Path) -> Iterator[RunDirectory]:
    """Create a run directory atomically: in a temporary folder, renamed to `path` when the context ends.

    Raises:
        EvidenceError: the path is occupied or cannot be written.
    """
    refuse_occupied(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            fresh = RunDirectory(Path(folder) / "run")
            fresh.ledger.mkdir(parents=True)
            fresh.results.mkdir()
            yield fresh
            with suppress(OSError):  # not there, or not empty
                path.rmdir()  # Windows moves nothing over an empty folder
            fresh.path.rename(path)
    except OSError as error:
        raise EvidenceError(f"Cannot create the run directory {path}: {error.strerror}.", code="E-RUN-020") from None


def lock_spec(fresh: RunDirectory, spec: Spec, **part: str) -> None:
    """Write the first event of a log: the hashes of the spec and of environment.json."""
    hashes = {"spec_sha256": spec.sha256(), "environment_sha256": file_sha256(fresh.environment)}
    append_event(fresh.events, LOCKED, smoothcert=spec.smoothcert, **hashes, **part)


def create_run(
    path: Path, spec: Spec, environment: dict[str, Any], share: Share | None = None, sign_lock: Path | None = None
) -> RunDirectory:
    """Create a run directory and lock its spec, atomically.

    Args:
        path: a new or empty folder.
        spec: the spec.
        environment: record of this machine.
        share: shard of the images that this directory samples (default: all images).
        sign_lock: SSH key that signs the lock.

    Raises:
        EvidenceError: the path is occupied or cannot be written.
        InputError: signing failed.
    """
    with fresh_run(path) as fresh:
        fresh.spec.write_bytes(spec.to_json().encode())
        write_json(fresh.environment, environment)
        part = {} if share is None else {"shard": str(share)}
        lock_spec(fresh, spec, **part)
        if sign_lock is not None:
            signature = sign(lock_text(fresh.events), sign_lock)
            (fresh.path / LOCK_SIGNATURE).write_bytes(signature)
            append_event(fresh.events, SIGNED, sha256=hashlib.sha256(signature).hexdigest())
    return RunDirectory(path)


@dataclass(frozen=True, eq=False)
class Part:
    """One run that is merged: its directory, and its record in the merge event."""

    run: RunDirectory
    shard: Shard


def refuse_differing(runs: Sequence[RunDirectory]) -> Spec:
    """Return the spec of all runs, which must be equal byte for byte.

    Raises:
        EvidenceError: a run is named twice, or two specs differ; the message names the first field that differs.
        SpecError: a spec is damaged.
    """
    for i, run in enumerate(runs):
        if run.path.resolve() in [other.path.resolve() for other in runs[:i]]:
            raise EvidenceError(f"Duplicate run {run.path}; name each run once.", code="E-RUN-021")
    first, spec = runs[0], runs[0].read_spec()
    text = first.spec.read_bytes()
    for run in runs[1:]:
        run.read_spec()
        if run.spec.read_bytes() != text:
            found = _differences(json.loads(text), json.loads(run.spec.read_bytes()), "")
            difference = next(found, "spec.json is formatted differently")
            raise EvidenceError(
                f"{first.path} and {run.path} are not shards of one run: {difference}. Shards need the same settings, "
                "classifiers, images, numeric recipe and --seed.",
                code="E-RUN-022",
            )
    return spec


def _differences(mine: Any, other: Any, place: str) -> Iterator[str]:
    """Yield where two JSON values differ, with both values."""
    if isinstance(mine, dict) and isinstance(other, dict):
        for name in sorted({*mine, *other}):
            yield from _differences(mine.get(name), other.get(name), f"{place}.{name}" if place else name)
    elif isinstance(mine, list) and isinstance(other, list) and len(mine) == len(other):
        for i, (left, right) in enumerate(zip(mine, other, strict=True)):
            yield from _differences(left, right, f"{place}[{i}]")
    elif mine != other:
        yield f"{place} is {_shown(mine)} in the first, {_shown(other)} in the second"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parts_of(runs: Sequence[RunDirectory], spec: Spec) -> list[Part]:
    """Return the runs as parts of one run, in the order of their shards.

    Raises:
        EvidenceError: a run is damaged, a merged run, a copy of another, or has an image in common with another.
    """
    heads: dict[str, RunDirectory] = {}
    found = []
    for run in runs:
        if run.shards:
            raise EvidenceError(
                f"{run.path} is a merged run; merge the runs that it was merged from.", code="E-RUN-023"
            )
        head = last_digest(run.events)
        other = heads.setdefault(head, run)
        if other is not run:
            raise EvidenceError(
                f"{run.path} is a copy of {other.path} (equal event logs); name each run once.", code="E-RUN-024"
            )
        found.append((run, _sound(run, spec), head))
    found.sort(key=lambda each: _place(each[0].share))
    _refuse_overlap([run for run, _, _ in found], [ledger.columns for _, ledger, _ in found])
    names, parts = list[str](), list[Part]()
    for run, ledger, head in found:
        names.append(_name(run.share, names))
        share = None if run.share is None else str(run.share)
        facts = seal_facts(ledger)
        parts.append(Part(run, Shard(names[-1], share, facts["lines"], facts["ledger_sha256"], head, facts["files"])))
    return parts


def _sound(run: RunDirectory, spec: Spec) -> Ledger:
    """Return the ledger of a run after checking it against its log."""
    fault = next(log_faults(run.events, spec), None)
    ledger = run.read_ledger(spec)
    fault = fault or next(own_faults(run, spec, ledger), None)
    if fault is not None:
        raise EvidenceError(
            f"{run.path} cannot be merged: {fault}. Restore it from a copy, or leave it out.", code="E-RUN-025"
        )
    return ledger


def _place(share: Share | None) -> tuple[int, int]:
    """Return the sort key of a part: shard i of n by n and i; a run that is not a shard comes first."""
    return (0, 0) if share is None else (share.of, share.number)


def _name(share: Share | None, taken: Sequence[str]) -> str:
    """Return an unused name for folder and files, such as shard-03-of-16."""
    name = "run-0" if share is None else f"shard-{share.number:0{len(str(share.of))}}-of-{share.of}"
    again = sum(other == name or other.startswith(f"{name}.") for other in taken)
    return f"{name}.{again}" if again else name


def _refuse_overlap(runs: Sequence[RunDirectory], columns: Sequence[Columns]) -> None:
    """Raise if two runs have a (sigma, image) in common, even if they agree on it.

    Raises:
        EvidenceError: two runs overlap; the message names the first overlap.
    """
    owner = np.repeat(np.arange(len(runs)), [len(each) for each in columns])
    sigma, index = (np.concatenate([getattr(each, name) for each in columns]) for name in ("sigma", "index"))
    order = np.lexsort((owner, index, sigma))
    sigma, index, owner = sigma[order], index[order], owner[order]
    again = np.flatnonzero((sigma[1:] == sigma[:-1]) & (index[1:] == index[:-1]))
    for i in again[:1].tolist():
        one, other = (runs[owner[place]].path for place in (i, i + 1))
        raise EvidenceError(
            f"{one} and {other} both have a result for sigma {sigma[i]:g}, image {index[i]} (results in common: "
            f"{len(again):,}). Leave out one of them: shards must be disjoint, so that no result is chosen.",
            code="E-RUN-026",
        )


_BLOCK = 1 << 16


def merge(runs: Sequence[Path], out: Path) -> RunDirectory:
    """Merge runs of one spec and disjoint images into one run, atomically; the runs are not changed.

    Logs and ledger files are copied byte for byte (an incomplete last line is cut off). If no image is
    missing, the merged run is sealed and has the same ledger hash as an unsharded run; otherwise `resume` continues it.

    Args:
        runs: two or more run directories: shards, finished or interrupted.
        out: a new or empty folder.

    Raises:
        EvidenceError: the runs do not fit together, one is damaged or being written, or `out` is occupied.
    """
    if len(runs) < 2:
        raise EvidenceError(f"Expected two or more run directories to merge, got {len(runs)}.", code="E-RUN-027")
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
    """Copy spec, logs, environments and ledger files; each ledger file is prefixed with the name of its shard."""
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
    """Copy a file durably; an incomplete last line of a .jsonl file is cut off."""
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        if target.suffix == ".jsonl":
            file.truncate(_end_of_lines(target))
        os.fsync(file.fileno())


def _end_of_lines(path: Path) -> int:
    """Return the length of a file up to its last line break, searched from the end."""
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
    """Combine the machine records of shards: equal values once, different values joined by slashes."""
    if all(isinstance(record, dict) for record in records):
        names = dict.fromkeys(name for record in records for name in record)
        return {name: _common([record.get(name) for record in records]) for name in names}
    values = list(dict.fromkeys(map(str, records)))
    if len(values) == 1:
        return records[0]
    joined = " / ".join(values)
    return joined if len(joined) <= 60 else f"{len(values)} in the shards, see shards/"
