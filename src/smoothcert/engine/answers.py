"""What a worker answers, checked before it is written: an image it was given, votes that can be, decided just then."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator

import numpy as np

from smoothcert.data import ImageSet
from smoothcert.errors import EvidenceError, SmoothcertError
from smoothcert.evidence import Line, Votes, parse_line, plan_of
from smoothcert.sampling.protocol import Counts, Protocol, begin, protocol_of, settle
from smoothcert.spec import Spec
from smoothcert.verify.structure import images_of, line_faults


class WrongAnswerError(SmoothcertError):
    """A line that a sound worker cannot have sent; it is not written."""


class Answers:
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
            raise WrongAnswerError(str(error)) from None
        for fault in self._faults(line, worker, given):
            raise WrongAnswerError(fault)
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
