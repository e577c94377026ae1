"""Wire types between workers and the process that writes the ledger, and the validation of their results."""

from __future__ import annotations

import math
import typing
from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from smoothcert import errors
from smoothcert.config import Recipe, Request, Spec
from smoothcert.data import ImageSet
from smoothcert.errors import EvidenceError, SmoothcertError
from smoothcert.evidence.outcomes import plan_of
from smoothcert.formats.line import Line, Votes, parse_line
from smoothcert.import_factory import Consent
from smoothcert.sampling.protocol import Counts, Protocol, protocol_of
from smoothcert.verify.structure import images_of, line_faults


@dataclass(frozen=True)
class Job:
    """What every worker of a session receives once; the images are sent separately.

    Attributes:
        spec: text of the locked `spec.json`.
        request: the resolved request: batch shape, kind of device, paths of moved files.
        recipe: numeric recipe of the process that writes the ledger.
        folder: its working directory: file names and `module:factory` are relative to it.
        threads: threads per worker.
        consent: which code the person who started the session allows to run.
    """

    spec: str
    request: Request
    recipe: Recipe
    folder: str
    threads: int
    consent: Consent


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its classifiers and computes as the run does.

    Attributes:
        node: the machine it runs on, as its cluster names it.
        pid: its process there.
    """

    node: str
    pid: int


@dataclass(frozen=True)
class Results:
    """Images decided in one step of the scheduler.

    Attributes:
        lines: their ledger lines as text; the receiver validates them.
        samples: noise samples the worker has drawn so far at this noise level.
    """

    lines: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class Heartbeat:
    """How many samples the sampler of a worker has drawn, those of an unfinished step included."""

    samples: int


@dataclass(frozen=True)
class Refusal:
    """An error of a worker, for the user.

    Attributes:
        kind: name of the error's class.
        text: its message.
        code: its code.
    """

    kind: str
    text: str
    code: str = ""

    def error(self) -> SmoothcertError:
        """Return the error, to be raised.

        >>> Refusal("ModelError", "no classifier").error()
        ModelError('no classifier')
        """
        kind = getattr(errors, self.kind, SmoothcertError)
        known = isinstance(kind, type) and issubclass(kind, SmoothcertError) and "__init__" not in vars(kind)
        return kind(self.text, code=self.code) if known else SmoothcertError(self.text, code=self.code)


@dataclass(frozen=True)
class Died:
    """A worker is gone, with the images it had; `reason` says why, if that is known."""

    reason: str


@dataclass(frozen=True)
class Closed:
    """A worker has decided all its images of a noise level and waits for the next level."""


Message = Ready | Results | Heartbeat | Refusal | Died | Closed


class Pool(typing.Protocol):
    """Starts workers and exchanges messages with them; only `wait` blocks."""

    def start(self, name: str) -> None:
        """Start a worker; it sends `Ready`, `Refusal` or `Died` once a machine is free."""

    def open(self, name: str, sigma: float) -> None:
        """Let a worker sample one noise level; it sends `Results`, then `Closed`."""

    def feed(self, name: str, sigma: float, indices: list[int], last: bool = False) -> None:
        """Send a worker more images of that level; after the last it closes the level."""

    def ask(self, name: str) -> None:
        """Ask a worker for a `Heartbeat`; one that hangs sends none."""

    def stop(self, name: str) -> None:
        """Kill a worker; no more messages of it are returned."""

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return the messages of workers; block until there is one, for at most so many seconds."""


class InvalidResultError(SmoothcertError):
    """A line that a correct worker cannot have sent; it is not written."""


class ResultValidator:
    """Validates the lines of workers at one noise level."""

    def __init__(self, spec: Spec, images: ImageSet, sigma: float, recipe: str | None) -> None:
        """Store what lines are compared with.

        Args:
            spec: the locked spec.
            images: its images.
            sigma: the noise level.
            recipe: name of the numeric recipe that lines must name.
        """
        self._spec, self._images, self._sigma, self._recipe = spec, images, sigma, recipe
        self._known = images_of(spec)
        self._place = {int(index): i for i, index in enumerate(images.indices)}
        self._protocol = protocol_of(spec, plan_of(spec, sigma))

    def read(self, text: object, worker: str, given: Container[int]) -> Line:
        """Parse and validate one line.

        Args:
            text: the message.
            worker: the worker that sent it.
            given: the images of that worker that are not decided.

        Raises:
            InvalidResultError: no correct worker can have sent this.
        """
        try:
            line = parse_line(text if isinstance(text, str) else "")
        except EvidenceError as error:
            raise InvalidResultError(str(error), code=error.code) from None
        for fault in self._faults(line, worker, given):
            raise InvalidResultError(fault, code="E-WORKER-001")
        return line

    def _faults(self, line: Line, worker: str, given: Container[int]) -> Iterator[str]:
        if line.sigma != self._sigma or line.index not in given:
            yield f"it sent sigma {line.sigma:g}, image {line.index}, which it was not given"
            return
        yield from line_faults(self._spec, line, self._known)
        yield from self._mismatches(line, worker)
        reason = _undecided(self._protocol, line)
        if reason:
            yield f"image {line.index}: {reason}"

    def _mismatches(self, line: Line, worker: str) -> Iterator[str]:
        """Yield each field that differs from the data, the recipe or the worker."""
        images, place = self._images, self._place[line.index]
        expected = {
            "image": images.image_sha256(place),
            "label": int(images.labels[place]),
            "group": None if images.groups is None else images.groups[place],
            "subgroups": {name: values[place] for name, values in images.subgroups.items()},
            "recipe": self._recipe,
            "worker": worker,
        }
        for name, value in expected.items():
            if getattr(line, name) != value:
                yield f"image {line.index}: {name} {getattr(line, name)!r:.80} is not {value!r:.80}"
        if not (math.isfinite(line.seconds) and line.seconds >= 0):
            yield f"image {line.index}: expected seconds of 0 or more, got {line.seconds}"


def _undecided(protocol: Protocol, line: Line) -> str | None:
    """Return why an image with these votes is not decided exactly at its last look, or None if it is."""
    image = protocol.init_state(line.index, line.label)
    for counts in _ranges(line, protocol.plan.classes):
        if image.need is None:
            return "sampling went on after it was decided"
        protocol.update([image], counts[None])
    return None if image.need is None else "it is not decided by these votes"


def _ranges(line: Line, classes: int) -> Iterator[Counts]:
    """Yield the votes of each sample range, int (classes,): selection, then those that each look adds."""
    if line.selection is not None:
        yield _counts(line.selection, classes)
    before = np.zeros(classes, dtype=np.int64)
    for _, votes in line.looks:
        now = _counts(votes, classes)
        yield now - before
        before = now


def _counts(votes: Votes, classes: int) -> Counts:
    counts = np.zeros(classes, dtype=np.int64)
    counts[list(votes)] = list(votes.values())
    return counts
