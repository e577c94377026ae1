"""The event log, a hash chain: each line contains the hash of the previous one, so that changes are detected.

Also the record of the environment in which a run was made, and the measurements that a log contains besides votes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from smoothcert import version
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

PACKAGES = ("smoothcert", "torch", "numpy", "scipy", "numba", "mpmath", "safetensors", "pydantic")
SOURCES = (".py", ".typ", ".j2", ".css", ".js")
HUBS = {"diffusers": "diffusers", "timm": "timm", "monai": "monai"}
"""Libraries that build a network, by the prefix of the reference that names them."""
DRAWING = ("matplotlib", "typst")
"""Libraries whose versions determine the bytes of figures and memo."""


def environment(threads: int, networks: Iterable[str] = ()) -> dict[str, Any]:
    """Return package versions, processor and thread count as a plain record.

    Args:
        threads: number of threads.
        networks: the references of networks, whose libraries are listed, too.
    """
    hubs = dict.fromkeys(HUBS[prefix] for prefix in (each.partition(":")[0] for each in networks) if prefix in HUBS)
    return {
        "packages": {**{name: _version(name) for name in (*PACKAGES, *hubs)}, "smoothcert": version.__version__},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "generator": "Philox4x64-10, addressed",
        "code_sha256": code_sha256(),
    }


def writer() -> dict[str, Any]:
    """Return the code and library versions that determine the wording and the bytes of documents."""
    libraries = {name: _version(name) for name in DRAWING}
    return {"smoothcert": version.__version__, "code_sha256": code_sha256(), "libraries": libraries}


def processor() -> str:
    """Return the name of the processor, if the operating system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def code_sha256() -> str:
    """Return one hash over the source files of this package: code, and the templates of documents."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(path for path in root.rglob("*") if path.suffix in SOURCES):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


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
"""Largest number of bytes of a log."""


def utc_now() -> str:
    """Return the time as text, in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_event(path: Path, event: str, not_before: str = "", /, **facts: Any) -> None:
    """Append one event to the chain, durably; its time is never before that of the last event.

    Args:
        path: the log.
        event: the kind of event.
        not_before: another lower bound for its time.
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
    """Read the log without checking its chain.

    Raises:
        EvidenceError: the log is missing or too large, or a line is not an event; the message names it.
    """
    if not path.exists():
        raise EvidenceError(f"Expected the event log {path}, found none.", code="E-RUN-035")
    return tuple(_parsed(path, number, line) for number, line in enumerate(_whole_lines(path), 1))


def broken_link(path: Path) -> int | None:
    """Return the number of the first line that does not continue the chain; None if the chain is sound."""
    previous = BEGINNING
    for number, (line, event) in enumerate(zip(_whole_lines(path), read_events(path), strict=True), 1):
        if event.previous != previous:
            return number
        previous = _digest(line)
    return None


def end_of(events: Sequence[Event]) -> Event | None:
    """Return the first event that vouches for the ledger: `finish`, or `shard finished`."""
    return next((event for event in events if event.event in (FINISHED, SHARD_FINISHED)), None)


def finish_digest(path: Path) -> str | None:
    """Return the SHA-256 of the first finish line of a log, or None."""
    places = (i for i, event in enumerate(read_events(path)) if event.event == FINISHED)
    place = next(places, None)
    return None if place is None else _digest(_whole_lines(path)[place])


def first_digest(path: Path) -> str:
    """Return the SHA-256 of the first line of a log: the lock of the spec."""
    lines = _whole_lines(path)
    return _digest(lines[0]) if lines else BEGINNING


def last_digest(path: Path) -> str:
    """Return the SHA-256 of the last complete line of a log, which covers all lines before it."""
    lines = _whole_lines(path)
    return _digest(lines[-1]) if lines else BEGINNING


def _whole_lines(path: Path) -> list[bytes]:
    return read_bytes(path, LARGEST).split(b"\n")[:-1] if path.exists() else []


def _parsed(path: Path, number: int, line: bytes) -> Event:
    try:
        return parse_event(line)
    except ValueError as reason:
        raise EvidenceError(f"Line {number} of {path} is not an event: {reason}.", code="E-RUN-036") from None


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


@dataclass(frozen=True)
class Clean:
    """Clean accuracy of the base classifier of one noise level on the images of the run.

    Attributes:
        sigma: the noise level.
        images: m, all images of the run.
        correct: for each k, the number of images of each class whose label is among the k highest logits.
        alone: with a denoiser, the same for the classifier without it; None if it was not recorded.
    """

    sigma: float
    images: int
    correct: dict[int, tuple[int, ...]]
    alone: dict[int, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Change:
    """A simple perturbation of the images, measured in L2.

    Attributes:
        name: name of the perturbation.
        median: median L2 norm, in units of the [0, 1] range.
        within: (r, number of images with an L2 norm below r), for each radius of the run.
        images: number of images measured.
    """

    name: str
    median: float
    within: tuple[tuple[float, int], ...]
    images: int


@dataclass(frozen=True)
class Rates:
    """Noise samples per second on the device of the run, in each precision it supports, not compiled.

    Attributes:
        device: the device.
        batch_size: noise samples per forward pass.
        rates: noise samples per second, by precision.
        left_out: precisions that do not run on the device, with the reason.
    """

    device: str
    batch_size: int
    rates: dict[str, float]
    left_out: dict[str, str]


def clean_of(events: Iterable[Event], sigma: float) -> Clean | None:
    """Return the clean accuracy of the base classifier of one noise level; None if it was not recorded."""
    for event in events:
        if event.event == CLEAN and event.facts.get("sigma") == sigma:
            correct, alone = (_by_k(event.facts.get(name)) for name in ("correct", "alone"))
            return Clean(sigma, int(event.facts["images"]), correct or {}, alone)
    return None


def _by_k(counts: Any) -> dict[int, tuple[int, ...]] | None:
    return None if counts is None else {int(k): tuple(each) for k, each in counts.items()}


def changes_of(events: Iterable[Event]) -> tuple[Change, ...]:
    """Return the perturbations that were measured, in order; empty if there are none."""
    for event in events:
        if event.event == CHANGED:
            return tuple(_change(name, found, event.facts) for name, found in event.facts["changes"].items())
    return ()


def rates_of(events: Iterable[Event]) -> Rates | None:
    """Return the rates in each precision; None if they were not recorded."""
    for event in events:
        if event.event == RATES:
            facts = event.facts
            return Rates(str(facts["device"]), int(facts["batch_size"]), dict(facts["rates"]), dict(facts["left_out"]))
    return None


def _change(name: str, found: dict[str, Any], facts: dict[str, Any]) -> Change:
    within = tuple(zip(facts["radius"], found["within"], strict=True))
    return Change(name, float(found["median"]), within, int(facts["images"]))
