"""The run directory: paths of spec, evidence and results, reading them, and writing derived files atomically.

A derived file is written to a temporary file in the same folder and then renamed. For a run merged from shards,
`merged_events` combines the logs of all shards into the one log that reports read.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from smoothcert.config import Share, Spec, parse_share, read_spec
from smoothcert.errors import EvidenceError, SpecError
from smoothcert.evidence.events import FINISHED, LOCKED, MERGED, REPORTED, Event, end_of, read_events
from smoothcert.evidence.ledger import Ledger, files_of, read_ledger
from smoothcert.evidence.lock import at_rest, is_written, writing
from smoothcert.formats.spec import LARGEST
from smoothcert.formats.strict import parse, read_bytes


def write_json(path: Path, value: Any) -> None:
    """Write a derived JSON file atomically."""
    write_derived(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_derived(path: Path, content: str | bytes) -> None:
    """Write a derived file atomically."""
    with written_beside(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Write a file atomically: to a temporary path in the same folder, renamed to `path` when the context ends.

    Yields:
        The temporary path. It is deleted if the context ends with an exception, such as a full disk or Ctrl-C.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_LEFT_OUT = (LOCKED, FINISHED, REPORTED)
"""Events of a shard that are left out of the log of the merged run, which has its own lock and documents."""


@dataclass(frozen=True)
class Shard:
    """One of the merged runs, as recorded by the merge event.

    Attributes:
        name: its folder in `shards/`; its ledger files begin with this name and a hyphen.
        shard: its part of the images, "i/n"; None for a run that was not a shard.
        lines: number of results in its ledger.
        ledger_sha256: hash of its canonical ledger.
        head: SHA-256 of the last line of its event log, which covers all lines before it.
        files: number of lines and hash of each of its ledger files, as in a seal; None if version 0.1.0 merged it.
    """

    name: str
    shard: str | None
    lines: int
    ledger_sha256: str
    head: str
    files: Mapping[str, Any] | None = None


def share_of(events: Sequence[Event]) -> Share | None:
    """Return which shard a run is, by the first event of its own log; None for a run that is not a shard."""
    share = events[0].facts.get("shard") if events and events[0].event == LOCKED else None
    try:
        return parse_share(share) if isinstance(share, str) else None
    except SpecError:
        return None


def shards_of(events: Sequence[Event]) -> tuple[Shard, ...]:
    """Return the shards that a run was merged from, by its event log; empty for a run that was not merged."""
    merged = next((event for event in events if event.event == MERGED), None)
    if merged is None:
        return ()
    names = [field.name for field in fields(Shard)]
    return tuple(Shard(**{name: facts.get(name) for name in names}) for facts in merged.facts["shards"])


def merged_events(own: Sequence[Event], logs: Sequence[Sequence[Event]]) -> tuple[Event, ...]:
    """Return one log for reports: the earliest lock of the spec, the events of each shard, the merge and what followed.

    Every shard locked the same spec; the earliest of these locks precedes the first image of any shard.

    Args:
        own: the log of the merged run.
        logs: the logs of its shards, in their order.
    """
    locks = [log[0] for log in (*logs, own) if log and log[0].event == LOCKED]
    done = [event for log in logs for event in log if event.event not in _LEFT_OUT]
    after = [event for event in own if event.event != LOCKED]
    return (*([min(locks, key=lambda lock: lock.at)] if locks else []), *done, *after)


MOST_TIMES, SPARE = 10, 1000
"""A ledger may have MOST_TIMES lines per result plus SPARE: after a crash, an image may have been sampled again."""


FOLDERS = ("ledger", "results", "shards")


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
    def environment(self) -> Path:
        """Package versions and machine of the run."""
        return self.path / "environment.json"

    @property
    def results(self) -> Path:
        """The folder of all derived files."""
        return self.path / "results"

    def read_spec(self) -> Spec:
        """Read the locked spec.

        Raises:
            EvidenceError: the directory is not a run.
            SpecError: the spec is damaged.
        """
        if not os.path.lexists(self.spec):
            raise EvidenceError(
                f"Expected a run directory with a spec.json, found none in {self.path}.", code="E-RUN-028"
            )
        self._refuse_strange()
        return read_spec(read_bytes(self.spec, LARGEST))

    def read_ledger(self, spec: Spec | None = None) -> Ledger:
        """Read the ledger.

        Args:
            spec: the locked spec, which bounds the number of lines (default: unbounded).

        Raises:
            EvidenceError: a file is damaged; the message names file and line.
        """
        return read_ledger(self.ledger, None if spec is None else SPARE + MOST_TIMES * spec.expected)

    def _refuse_strange(self) -> None:
        """Refuse links, pipes and devices in a run.

        Writing through a link changes files outside of the run, a copy of the run lacks what a link points to, and
        reading a pipe may block. The run directory itself may be a link.

        Raises:
            EvidenceError: the run contains one.
        """
        for name in ("spec.json", "events.jsonl", "environment.json", "lock", "lock.sig", "evidence.sig", *FOLDERS):
            _refuse_strange(self.path / name)
            for folder, folders, files in os.walk(self.path / name):
                for each in (*folders, *files):
                    _refuse_strange(Path(folder, each))

    def read_environment(self) -> dict[str, Any]:
        """Read the record of the machine; empty if it is missing or invalid."""
        try:
            record = parse(read_bytes(self.environment, LARGEST), self.environment)
        except EvidenceError:
            return {}
        return record if isinstance(record, dict) else {}

    def ledger_files(self, begin: str = "") -> list[Path]:
        """Return the ledger files, plain or packed, whose names start with `begin`."""
        return files_of(self.ledger, begin)

    def read_events(self) -> tuple[Event, ...]:
        """Read the event log; for a merged run, combined with the logs of its shards."""
        own = self.own_events()
        shards = shards_of(own)
        return merged_events(own, [read_events(self.of_shard(one.name).events) for one in shards]) if shards else own

    def own_events(self) -> tuple[Event, ...]:
        """Read `events.jsonl` alone."""
        return read_events(self.events)

    def seal(self) -> Event | None:
        """Return the first finish event, which no later one replaces; None if the run is not sealed."""
        return next((event for event in self.own_events() if event.event == FINISHED), None)

    def vouched(self) -> Event | None:
        """Return the first event that vouches for the ledger: the seal, or for a shard its `shard finished`."""
        return end_of(self.own_events())

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The runs that this run was merged from; empty for a run that was not merged."""
        return shards_of(self.own_events())

    @property
    def share(self) -> Share | None:
        """Which shard this run is; None for a whole run and for a merged one."""
        return share_of(self.own_events())

    def of_shard(self, name: str) -> RunDirectory:
        """Return the folder with the log and environment of a shard."""
        return RunDirectory(self.path / "shards" / name)

    @property
    def busy(self) -> bool:
        """Whether a process is currently writing this run."""
        return is_written(self.path / "lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for writing by this process; the OS releases the lock on exit. Creates missing folders.

        Raises:
            EvidenceError: another process is writing this run, or a file is in the place of one of its folders.
        """
        self._refuse_strange()
        with writing(self.path / "lock"):
            for folder in (self.ledger, self.results):  # version control keeps no empty folder
                _have_folder(folder)
            yield

    def at_rest(self) -> AbstractContextManager[None]:
        """Prevent other processes from writing this run.

        Raises:
            EvidenceError: another process is writing it.
        """
        return at_rest(self.path / "lock")


def _refuse_strange(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # not there, or gone
        return
    if stat.S_ISLNK(mode):
        raise EvidenceError(
            f"{path} is a symbolic link. Replace it by its target: a run contains its own files.", code="E-RUN-029"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise EvidenceError(
            f"{path} is neither a file nor a folder. Remove it: a run contains only files and folders.",
            code="E-RUN-030",
        )


def _have_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError:
        raise EvidenceError(
            f"Expected a folder at {path}, found a file; move it away and try again.", code="E-RUN-031"
        ) from None


def refuse_occupied(path: Path) -> None:
    """Raise if an output path is occupied.

    Raises:
        EvidenceError: the path is a file, a folder that is not empty, or below a file.
    """
    if RunDirectory(path).spec.exists():
        raise EvidenceError(
            f"{path} already contains a run, and a run is never overwritten. "
            f"Continue it with `smoothcert resume {path}`, or choose another --out.",
            code="E-RUN-032",
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise EvidenceError(f"{path} exists and is not an empty folder. Choose another --out.", code="E-RUN-033")
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        raise EvidenceError(f"{path} is below a file. Choose another --out.", code="E-RUN-034")
