"""The run directory: where a run's spec, evidence and results lie, and how they are written without loss."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError
from smoothcert.evidence.events import FINISHED, LOCKED, Event, append_event, read_events
from smoothcert.evidence.ledger import Ledger, read_ledger
from smoothcert.spec import Spec, read_spec


@dataclass(frozen=True)
class RunDirectory:
    """Paths inside one run directory."""

    path: Path

    @property
    def spec(self) -> Path:
        """The locked spec."""
        return self.path / "spec.json"

    @property
    def events(self) -> Path:
        """The hash-chained event log."""
        return self.path / "events.jsonl"

    @property
    def ledger(self) -> Path:
        """The folder of ledger files."""
        return self.path / "ledger"

    @property
    def results(self) -> Path:
        """The folder of everything derived."""
        return self.path / "results"

    def read_spec(self) -> Spec:
        """Read the locked spec.

        Raises:
            EvidenceError: there is no run here.
            SpecError: the spec is damaged.
        """
        try:
            return read_spec(self.spec.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise EvidenceError(f"Expected a run directory with a spec.json, found none in {self.path}.") from None
        except UnicodeDecodeError:
            raise EvidenceError(f"{self.spec} is damaged: it is not text.") from None
        except OSError as error:
            raise EvidenceError(f"Cannot read {self.spec}: {error.strerror}.") from None

    def read_ledger(self) -> Ledger:
        """Read the evidence."""
        return read_ledger(self.ledger)

    def read_events(self) -> tuple[Event, ...]:
        """Read the event log."""
        return read_events(self.events)

    def seal(self) -> Event | None:
        """Return the last finish event, or None for a run that is not sealed."""
        finished = [event for event in self.read_events() if event.event == FINISHED]
        return finished[-1] if finished else None

    @property
    def busy(self) -> bool:
        """Whether a process is writing this run at this moment."""
        try:
            with (self.path / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; a crash releases it.

        Raises:
            EvidenceError: another process is writing this run.
        """
        with (self.path / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise EvidenceError(f"Another process is writing {self.path}. Wait for it, or stop it.") from None
            yield


def refuse_occupied(path: Path) -> None:
    """Refuse a place that already holds something.

    Raises:
        EvidenceError: the place is a file, or a folder that is not empty.
    """
    if RunDirectory(path).spec.exists():
        raise EvidenceError(
            f"{path} already holds a run, and a run is never overwritten. "
            f"Continue it with `smoothcert resume {path}`, or choose another --out."
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise EvidenceError(f"{path} exists and is not an empty folder. Choose another --out.")
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        raise EvidenceError(f"{path} lies below something that is not a folder. Choose another --out.")


def create_run(path: Path, spec: Spec, environment: dict[str, Any]) -> RunDirectory:
    """Lock a spec into a new run directory, all of it or nothing.

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
            fresh.spec.write_text(spec.to_json(), encoding="utf-8")
            write_json(fresh.path / "environment.json", environment)
            append_event(fresh.events, LOCKED, spec_sha256=spec.sha256(), smoothcert=spec.smoothcert)
            fresh.path.rename(path)
    except OSError as error:
        raise EvidenceError(f"Cannot create the run directory {path}: {error.strerror}.") from None
    return RunDirectory(path)


def write_json(path: Path, value: Any) -> None:
    """Write a derived JSON file in one step."""
    write_derived(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_derived(path: Path, content: str | bytes) -> None:
    """Write a derived file beside its place and move it there in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(beside, path)
