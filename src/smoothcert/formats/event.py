"""A line of `events.jsonl` and `shards/NAME/events.jsonl`, version 1.

Each line is one JSON object with sorted keys. Every event has

* `event`: str, the kind, one of the constants below;
* `at`: str, UTC time such as `2026-01-31T12:00:00Z`, never before that of the line above;
* `previous`: str, SHA-256 of the bytes of the line above without its newline; 64 zeros in the first line;

and the facts of its kind, documented key by key by the classes below. A kind or a fact that this version does not know
comes from a newer version: it is kept and covered by the chain, but never interpreted.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from smoothcert.formats.strict import Amount, Rank, Record, Sha256, ShardName, Tally, checked, decode, utc

LOCKED, STARTED, RESUMED, LEVEL, FINISHED = "spec locked", "start", "resume", "noise level", "finish"
SHARD_FINISHED, MERGED, PLANNED = "shard finished", "merge", "planned"
CLEAN, CHANGED, RATES, ENERGY, REPORTED = "without noise", "changed images", "rates", "energy", "report"
REPEATED = "repeated images"
WORKER = "worker"
"""A worker joined the pool, was left out, or was lost."""

SIGNED = "lock signed"
"""The lock was signed before the first vote."""
SESSION_ENDED = "session end"
"""A session was interrupted."""

_DIGEST = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Event:
    """One line of the log: what happened, when, and its facts."""

    event: str
    at: str
    previous: str
    facts: dict[str, Any]


class Locked(Record):
    """`spec locked`: the first event of every log."""

    spec_sha256: Sha256
    """Hash of the canonical text of spec.json."""
    smoothcert: str
    """Version that locked it."""
    shard: ShardName | None = None
    """The shard of images that this run samples; left out for a whole run."""
    environment_sha256: Sha256 | None = None
    """Hash of environment.json; left out before version 0.2.0."""


class SealedFile(Record):
    """State of one ledger file, unpacked, at the time of an event."""

    lines: Tally
    """Number of complete lines."""
    sha256: Sha256
    """Hash of their bytes."""


SealedFiles = dict[str, SealedFile]
"""By file name without .gz. If a packed and a plain file share a name, the lines of the packed one come first."""


class LockSigned(Record):
    """`lock signed`: `lock.sig` was made before the first vote."""

    sha256: Sha256
    """Hash of the file."""


class Session(Record):
    """`start` and `resume`: a process begins to sample."""

    lines: Tally
    """Number of results in the ledger."""
    files: SealedFiles | None = None
    """The ledger files."""
    worker: str | None = None
    """Name of the first ledger file, without its ending."""
    recipe: dict[str, Any] | None = None
    """The numeric recipe where it is not the spec's own."""
    code_sha256: Sha256 | None = None
    """Hash over the package's source files."""
    shard: ShardName | None = None
    """As in `spec locked`."""


class Planned(Record):
    """`planned`: the forecast that the run was certified with."""

    forecast: dict[str, Any]
    """The forecast of a plan.json."""


class WithoutNoise(Record):
    """`without noise`: clean accuracy of the base classifier of one noise level."""

    sigma: float
    """The noise level."""
    images: Tally
    """Images of the run."""
    correct: dict[Rank, list[Tally]]
    """For each k: images of each class whose label is among the k highest logits."""
    alone: dict[Rank, list[Tally]] | None = None
    """With a denoiser, the same for the classifier without it; else left out."""


class _Moved(Record):
    median: Amount
    """Median L2 norm, in units of the [0, 1] range."""
    within: list[Tally]
    """For each radius: images whose perturbation has an L2 norm below it."""


class ChangedImages(Record):
    """`changed images`: L2 norms of simple perturbations of the images."""

    images: Tally
    """Images measured."""
    radius: list[Amount]
    """Radii of the run."""
    changes: dict[str, _Moved]
    """By the name of the perturbation."""

    @model_validator(mode="after")
    def _each_radius(self) -> ChangedImages:
        if any(len(moved.within) != len(self.radius) for moved in self.changes.values()):
            raise ValueError("expected one number per radius for each change")
        return self


class RepeatedImages(Record):
    """`repeated images`: how many images are bit-identical to another one, counted when a run starts."""

    images: Tally
    """Images of the run."""
    repeats: Tally
    """Images that repeat another one; if images come in groups, one of another group."""
    source: Tally | None = None
    """Images of the source, of which the run has only the first; left out without a limit."""


class Rated(Record):
    """`rates`: noise samples per second in each precision."""

    sigma: float | None = None
    """Noise level of the classifier that was timed."""
    device: str
    """The device."""
    batch_size: Tally
    """Noise samples per forward pass."""
    rates: dict[str, Amount]
    """Noise samples per second, by precision."""
    left_out: dict[str, str]
    """Precisions that do not run on this device, with the reason."""


class _SelfTest(Record):
    bit_equal: bool
    """Whether logits are independent of the other rows of a batch, their order, and threads."""
    rows: Tally | None = None
    """Rows compared."""
    largest_difference: float | None = None
    """Largest absolute difference of a logit; null if it is not finite."""


class _NoiseTest(Record):
    passed: bool
    """Whether the delivered noise has the required distribution."""
    values: Tally | None = None
    """Values tested."""
    chi_square_p: float | None = None
    """p-value of the chi-square test."""
    mean_z: float | None = None
    """z-score of the mean."""
    variance_z: float | None = None
    """z-score of the variance."""
    neighbour_z: float | None = None
    """Largest z-score of the correlations between neighbours."""


class NoiseLevel(Record):
    """`noise level`: a session begins a noise level, after the self-test and the noise test."""

    sigma: float | None = None
    """The noise level."""
    self_test: _SelfTest | None = None
    """The self-test of the numeric recipe."""
    noise_test: _NoiseTest | None = None
    """The test of the delivered noise."""


class Energy(Record):
    """`energy`: energy that a session used at one noise level."""

    sigma: float
    """The noise level."""
    copies: Tally
    """Noise samples classified."""
    joules: Amount | None
    """Energy; null if unknown."""
    source: str
    """The meter, or why there is none."""
    seconds: Amount
    """Wall-clock time."""


class Worker(Record):
    """`worker`: a worker joined the pool, was left out, or was lost."""

    worker: str
    """Its name."""
    state: str
    """joined, left out or lost."""
    node: str | None = None
    """Machine of a worker that joined."""
    pid: Tally | None = None
    """Its process id."""
    reason: str | None = None
    """Why it was left out or lost."""
    images_again: Tally | None = None
    """Images of a lost worker that are sampled again."""


class SessionEnded(Record):
    """`session end`: a session was interrupted."""

    files: SealedFiles
    """The ledger files at its end."""


class Finished(Record):
    """`finish`: the run is complete and this line seals it. The first one counts; only `report` events may follow."""

    lines: Tally
    """Results in the ledger."""
    ledger_sha256: Sha256
    """Hash of the canonical ledger: the lines that count."""
    files: SealedFiles | None = None
    """All lines of all files; left out by version 0.1.0."""
    unfinished: list[str] | None = None
    """Files that end in half a line; left out where none does."""
    supersedes: Sha256 | None = None
    """Of a later finish, which does not count: hash of the first. No version writes one."""
    reason: str | None = None
    """Of a later finish: why."""


class ShardFinished(Finished):
    """`shard finished`: the same for a shard; it does not seal the run."""

    shard: ShardName
    """As in `spec locked`."""


class MergedShard(Record):
    """One of the runs that a merge event names."""

    name: Annotated[str, Field(pattern="^(shard|run)-[0-9][0-9a-z.-]{0,60}$")]
    """Its folder in shards/, and the prefix of its ledger files."""
    shard: ShardName | None
    """Its part of the images; null for a run that was not a shard."""
    lines: Tally
    """Number of results in its ledger."""
    ledger_sha256: Sha256
    """Hash of its canonical ledger."""
    head: Sha256
    """SHA-256 of the last line of its own log."""
    files: SealedFiles | None = None
    """Its ledger files; not written by version 0.1.0."""


class Merged(Record):
    """`merge`: the second event of a run merged from shards."""

    shards: list[MergedShard]
    """The shards, in their order."""


class Reported(Record):
    """`report`: documents were written."""

    files: Tally
    """Number of documents."""
    sha256sums: Sha256 | None = None
    """SHA-256 of results/SHA256SUMS."""
    documents: dict[str, Sha256] | None = None
    """SHA-256 of each document, by its name relative to `results/`; not written by version 0.1.0."""


KINDS: dict[str, type[Record]] = {
    LOCKED: Locked,
    SIGNED: LockSigned,
    STARTED: Session,
    RESUMED: Session,
    PLANNED: Planned,
    CLEAN: WithoutNoise,
    CHANGED: ChangedImages,
    REPEATED: RepeatedImages,
    RATES: Rated,
    LEVEL: NoiseLevel,
    ENERGY: Energy,
    WORKER: Worker,
    SESSION_ENDED: SessionEnded,
    FINISHED: Finished,
    SHARD_FINISHED: ShardFinished,
    MERGED: Merged,
    REPORTED: Reported,
}
"""The facts of each kind that this version knows."""


def event_line(event: Event) -> bytes:
    """Return the line of an event without its newline; non-finite numbers are written as null."""
    record = {"event": event.event, "at": event.at, "previous": event.previous, **event.facts}
    return json.dumps(_finite(record), sort_keys=True, allow_nan=False).encode()


def parse_event(line: bytes) -> Event:
    """Read the line of an event.

    Raises:
        ValueError: the line is not an event, or its facts do not fit its kind; the message has no full stop.
    """
    record = decode(line)
    if not isinstance(record, dict):
        raise ValueError("expected an object with event, at and previous")
    kind, at, previous = (record.pop(name, None) for name in ("event", "at", "previous"))
    if not (isinstance(kind, str) and isinstance(at, str) and isinstance(previous, str)):
        raise ValueError("expected event, at and previous as texts")
    if len(previous) != 64 or not _DIGEST.issuperset(previous):
        raise ValueError(f"expected previous as a SHA-256, got {previous!r:.40}")
    if kind in KINDS:
        try:
            checked(KINDS[kind], record)
        except ValueError as reason:
            raise ValueError(f"{kind!r}: {reason}") from None
    return Event(kind, utc(at), previous, record)


def unknown_of(event: Event) -> list[str]:
    """Describe what this version does not know of an event: its kind, or some of its facts; empty if it knows all."""
    if event.event not in KINDS:
        return [f"the event {event.event!r:.60}"]
    return [f"{name!r:.60} of {event.event!r}" for name in event.facts if name not in KINDS[event.event].model_fields]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
