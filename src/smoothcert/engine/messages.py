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
from smoothcert.sampling.protocol import init_state as begin
from smoothcert.sampling.protocol import update as settle
from smoothcert.verify.structure import images_of, line_faults


@dataclass(frozen=True)
class Job:
    """What every worker of a session is told once; the images come beside it.

    Attributes:
        spec: text of the locked `spec.json`.
        request: the request as it was resolved: same batch shape and kind of device, places of moved files.
        recipe: numeric recipe of the process that writes the ledger.
        folder: its working directory, from which file names and `module:factory` are understood.
        threads: of each worker.
        consent: what the person who started the session allows to be run.
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
    """Images decided in one wave.

    Attributes:
        lines: their ledger lines as text; the receiver reads and checks them.
        copies: noisy copies the worker has drawn so far at this noise level.
    """

    lines: tuple[str, ...]
    copies: int


@dataclass(frozen=True)
class Heartbeat:
    """How far a worker is: copies its sampler has drawn, those of a wave on its way included."""

    copies: int


@dataclass(frozen=True)
class Refusal:
    """An error that a person must see, as the worker that met it would have said it.

    Attributes:
        kind: name of the error's class.
        text: its message.
    """

    kind: str
    text: str

    def error(self) -> SmoothcertError:
        """Return the error, to be raised.

        >>> Refusal("ModelError", "no classifier").error()
        ModelError('no classifier')
        """
        kind = getattr(errors, self.kind, SmoothcertError)
        known = isinstance(kind, type) and issubclass(kind, SmoothcertError) and "__init__" not in vars(kind)
        return kind(self.text) if known else SmoothcertError(self.text)


@dataclass(frozen=True)
class Died:
    """A worker is gone, with the images it had. `reason` says why, as far as it is known."""

    reason: str


@dataclass(frozen=True)
class Closed:
    """A worker has done all images of a noise level and expects the next level."""


Message = Ready | Results | Heartbeat | Refusal | Died | Closed


class Pool(typing.Protocol):
    """Where workers are started, and how one talks to them; only `wait` waits."""

    def start(self, name: str) -> None:
        """Begin to start a worker; it says `Ready`, `Refusal` or `Died`, and nothing while no machine is free."""

    def open(self, name: str, sigma: float) -> None:
        """Have a worker sample one noise level; it says `Results`s, then `Closed`."""

    def feed(self, name: str, sigma: float, indices: list[int], last: bool = False) -> None:
        """Give a worker more images of that level; after the last it closes the level."""

    def ask(self, name: str) -> None:
        """Ask a worker how far it is; it says `Heartbeat`, unless it hangs."""

    def stop(self, name: str) -> None:
        """End a worker at once; nothing more is heard of it."""

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return what workers said, waiting no longer than that for the first word."""


class InvalidResultError(SmoothcertError):
    """A line that a sound worker cannot have sent; it is not written."""


class ResultValidator:
    """The lines that may come back at one noise level."""

    def __init__(self, spec: Spec, images: ImageSet, sigma: float, recipe: str | None) -> None:
        """Take note of what was asked.

        Args:
            spec: the locked spec.
            images: its images.
            sigma: the noise level.
            recipe: name of the numeric recipe that lines must bear.
        """
        self._spec, self._images, self._sigma, self._recipe = spec, images, sigma, recipe
        self._known = images_of(spec)
        self._place = {int(index): i for i, index in enumerate(images.indices)}
        self._protocol = protocol_of(spec, plan_of(spec, sigma))

    def read(self, text: object, worker: str, given: Container[int]) -> Line:
        """Read one line.

        Args:
            text: what came.
            worker: who sent it.
            given: the images that worker was given and has not answered for.

        Raises:
            WrongAnswerError: no sound worker can have sent this.
        """
        try:
            line = parse_line(text if isinstance(text, str) else "")
        except EvidenceError as error:
            raise InvalidResultError(str(error)) from None
        for fault in self._faults(line, worker, given):
            raise InvalidResultError(fault)
        return line

    def _faults(self, line: Line, worker: str, given: Container[int]) -> Iterator[str]:
        if line.sigma != self._sigma or line.index not in given:
            yield f"it answers for sigma {line.sigma:g}, image {line.index}, which it was not asked for"
            return
        yield from line_faults(self._spec, line, self._known)
        yield from self._foreign(line, worker)
        reason = _undecided(self._protocol, line)
        if reason:
            yield f"image {line.index}: {reason}"

    def _foreign(self, line: Line, worker: str) -> Iterator[str]:
        """Yield what is not as the data and the worker are."""
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
            yield f"image {line.index}: it took {line.seconds} seconds"


def _undecided(protocol: Protocol, line: Line) -> str | None:
    """Return why an image with these votes is not decided exactly at its last look, or None where it is."""
    image = begin(protocol, line.index, line.label)
    for counts in _needs(line, protocol.plan.classes):
        if image.need is None:
            return "sampling went on after it was decided"
        settle(protocol, [image], counts[None])
    return None if image.need is None else "it is not decided by these votes"


def _needs(line: Line, classes: int) -> Iterator[Counts]:
    """Yield the votes of each need, int (classes,): selection, then what every look adds to the one before."""
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
