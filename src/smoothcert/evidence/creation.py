"""How a run directory comes into being: all of it or nothing, and never over another."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError
from smoothcert.evidence.derived import file_sha256, write_json
from smoothcert.evidence.directory import RunDirectory, refuse_occupied
from smoothcert.evidence.events import LOCKED, SIGNED, append_event
from smoothcert.evidence.signatures import LOCK_SIGNATURE, lock_text, sign
from smoothcert.spec import Share, Spec


@contextmanager
def fresh_run(path: Path) -> Iterator[RunDirectory]:
    """Have a run directory written beside its place, and move it there when the context ends: all of it or nothing.

    Raises:
        EvidenceError: the place already holds something, or cannot be written.
    """
    refuse_occupied(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            fresh = RunDirectory(Path(folder) / "run")
            fresh.ledger.mkdir(parents=True)
            fresh.results.mkdir()
            yield fresh
            fresh.path.rename(path)
    except OSError as error:
        raise EvidenceError(f"Cannot create the run directory {path}: {error.strerror}.") from None


def lock_spec(fresh: RunDirectory, spec: Spec, **part: str) -> None:
    """Write the first event of a log: the hashes of the spec and of environment.json, which lie there."""
    hashes = {"spec_sha256": spec.sha256(), "environment_sha256": file_sha256(fresh.environment)}
    append_event(fresh.events, LOCKED, smoothcert=spec.smoothcert, **hashes, **part)


def create_run(
    path: Path, spec: Spec, environment: dict[str, Any], share: Share | None = None, sign_lock: Path | None = None
) -> RunDirectory:
    """Lock a spec into a new run directory, all of it or nothing.

    Args:
        path: a new or empty folder.
        spec: the spec.
        environment: what is known of this machine.
        share: the part of the images that this directory is about; left out, all of them.
        sign_lock: SSH key that signs the lock.

    Raises:
        EvidenceError: the place already holds something, or cannot be written.
        InputError: the key cannot sign.
    """
    with fresh_run(path) as fresh:
        fresh.spec.write_text(spec.to_json(), encoding="utf-8")
        write_json(fresh.environment, environment)
        part = {} if share is None else {"shard": str(share)}
        lock_spec(fresh, spec, **part)
        if sign_lock is not None:
            signature = sign(lock_text(fresh.events), sign_lock)
            (fresh.path / LOCK_SIGNATURE).write_bytes(signature)
            append_event(fresh.events, SIGNED, sha256=hashlib.sha256(signature).hexdigest())
    return RunDirectory(path)
