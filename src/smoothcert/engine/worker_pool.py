"""A pool of workers: which images each samples, and what is sampled again when a worker dies or sends invalid lines.

Only the process that runs the pool writes the ledger; a lost worker costs only the images it had.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from smoothcert.config import Spec
from smoothcert.data import ImageSet
from smoothcert.engine.local import OnEvent
from smoothcert.engine.measure import Meter
from smoothcert.engine.messages import (
    Closed,
    Died,
    Heartbeat,
    InvalidResultError,
    Message,
    Pool,
    Ready,
    Refusal,
    Results,
    ResultValidator,
)
from smoothcert.errors import SmoothcertError
from smoothcert.formats.line import Line

START_SECONDS = 900.0
"""How long the run waits without any worker: a cluster takes minutes to start new machines."""
MOST_INVALID = 3
"""Workers with invalid results after which the run stops."""
WORKER_SECONDS = 600
"""Default time after which a worker that has images and finishes no batch is replaced."""
ASK_SECONDS = 5.0
"""Silence after which a worker is asked for a heartbeat."""
MOST_PASSED = 5.0
"""Longest time counted between two checks: if this process was suspended, the workers did not hang."""
SHOWN = 5
"""Images that a message names."""


@dataclass
class WorkerState:
    """One worker.

    Attributes:
        ready: it has loaded its classifiers.
        refused: it could not load them, and is left out.
        open: it is sampling a noise level.
        given: images it has that are not decided.
        samples: noise samples it has drawn at this noise level.
        closing: no more images of this noise level follow.
        silent: seconds since it finished a batch, while it has work.
        asked: a heartbeat was asked for and has not arrived.
        drawn: samples drawn at its last heartbeat.
    """

    ready: bool = False
    refused: bool = False
    open: bool = False
    given: set[int] = field(default_factory=set)
    samples: int = 0
    closing: bool = False
    silent: float = 0.0
    asked: bool = False
    drawn: int | None = None


class WorkerStates:
    """The states of a fixed number of workers: those that die are replaced, within limits."""

    def __init__(self, pool: Pool, count: int, on_event: OnEvent, seconds: float = WORKER_SECONDS) -> None:
        """Start no worker yet.

        Args:
            pool: where workers run.
            count: how many to keep running, if the cluster has room for them.
            on_event: called for each worker that joins, is left out or is lost.
            seconds: a worker that finishes no batch for so long hangs.
        """
        self._pool, self._count, self._on_event, self._seconds = pool, count, on_event, seconds
        self._all: dict[str, WorkerState] = {}
        self._started = self._invalid = self._deaths = 0
        self._suspects: set[int] | None = None
        self._alive = self._checked = time.monotonic()

    @property
    def all(self) -> Mapping[str, WorkerState]:
        """All workers by name: running, starting, and left out."""
        return self._all

    @property
    def running(self) -> dict[str, WorkerState]:
        """The workers that have loaded their classifiers."""
        return {name: state for name, state in self._all.items() if state.ready}

    def fill(self) -> None:
        """Start the missing workers.

        Raises:
            SmoothcertError: no worker could be started for a long time.
        """
        while len(self._all) < self._count:
            name = f"ray-{self._started}"
            self._started += 1
            self._all[name] = WorkerState()
            self._pool.start(name)
        now = time.monotonic()
        self._alive = now if self.running else self._alive
        if now - self._alive > START_SECONDS:
            raise stopped(f"no worker could be started for {START_SECONDS / 60:.0f} minutes; the cluster has no room")

    def waited(self) -> None:
        """Restart the clock of `fill`: no worker was needed until now."""
        self._alive = time.monotonic()

    def joined(self, name: str, ready: Ready) -> None:
        """Record that a worker has loaded its classifiers."""
        self._all[name].ready = True
        self._on_event({"worker": name, "state": "joined", "node": ready.node, "pid": ready.pid})

    def hanging(self) -> list[str]:
        """Return the workers that have work and finished no batch for too long; ask silent ones for a heartbeat."""
        now = time.monotonic()
        passed, self._checked = min(now - self._checked, MOST_PASSED), now
        for name, state in self._all.items():
            state.silent = state.silent + passed if state.given or state.closing else 0.0
            if state.silent > ASK_SECONDS and not state.asked:
                state.asked = True
                self._pool.ask(name)
        return [name for name, state in self._all.items() if state.silent > self._seconds]

    def alive(self, name: str, message: Message) -> None:
        """Record a message as a sign of life, unless it is a heartbeat without progress."""
        state = self._all[name]
        if isinstance(message, Heartbeat):
            state.asked = False
            if message.samples == state.drawn:
                return
            state.drawn = message.samples
        state.silent = 0.0

    def valid(self) -> None:
        """Record a valid line: workers do not die one after the other."""
        self._deaths, self._suspects = 0, None

    def refused(self, name: str, refusal: Refusal) -> None:
        """Leave out a worker that cannot load. An error during sampling would happen to every worker.

        Raises:
            SmoothcertError: the worker's error, if no worker is left or it was sampling.
        """
        if self._all[name].ready:
            raise refusal.error()
        self._all[name].refused = True
        self._on_event({"worker": name, "state": "left out", "reason": refusal.text})
        self._pool.stop(name)
        if all(state.refused for state in self._all.values()):
            raise refusal.error()

    def died(self, name: str, reason: str) -> list[int]:
        """Remove a worker that is gone, and return the images it had.

        Raises:
            SmoothcertError: too many died one after the other; the message names the images they had in common.
        """
        self._deaths += 1
        given = self._lose(name, reason)
        self._suspects = set(given) if self._suspects is None else self._suspects & set(given)
        if self._deaths > 2 * self._count + 2:
            which = f"; all of them had {_images(self._suspects)}" if self._suspects else ""
            raise stopped(
                f"{self._deaths} workers ended one after the other without a result{which}; the last: {reason}"
            )
        return given

    def invalid(self, name: str, fault: str) -> list[int]:
        """Remove a worker that sent an invalid line, and return the images it had.

        Raises:
            SmoothcertError: too many workers did.
        """
        self._invalid += 1
        given = self._lose(name, f"invalid result: {fault}")
        if self._invalid >= MOST_INVALID:
            raise stopped(f"{self._invalid} workers sent invalid results; the last: {fault}")
        return given

    def _lose(self, name: str, reason: str) -> list[int]:
        given = sorted(self._all.pop(name).given)
        self._on_event({"worker": name, "state": "lost", "reason": reason, "images_again": len(given)})
        self._pool.stop(name)
        return given


def _images(indices: set[int]) -> str:
    shown = [str(index) for index in sorted(indices)[:SHOWN]]
    return f"image{'s' * (len(indices) > 1)} {', '.join(shown)}{' and others' * (len(indices) > SHOWN)}"


def stopped(reason: str) -> SmoothcertError:
    """Return the error of a run that cannot continue with its workers."""
    return SmoothcertError(
        f"The run was stopped: {reason.rstrip('.')}. Every written line is kept: fix the cause and continue with "
        "`smoothcert resume RUN`, on any engine.",
        code="E-RUN-012",
    )


MOST_GIVEN = 128
"""Images a worker has at a time: two windows of the usual sampler, so that it never waits for more."""
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class _Level:
    """One noise level: the images that no worker has, and the validator of its lines."""

    sigma: float
    queue: deque[int]
    validator: ResultValidator


class WorkerPool:
    """An engine of several workers, which are replaced when they die."""

    worker = "ray"

    def __init__(
        self,
        pool: Pool,
        spec: Spec,
        images: ImageSet,
        workers: int,
        recipe: str | None,
        seconds: float = WORKER_SECONDS,
    ) -> None:
        """Prepare; workers are started with the first image.

        Args:
            pool: where they run.
            spec: the locked spec.
            images: its images.
            workers: how many to keep running, if the cluster has room for them.
            recipe: name of the numeric recipe, if it is not that of the spec.
            seconds: a worker that finishes no batch for so long is replaced.
        """
        self._pool, self._spec, self._images, self._recipe = pool, spec, images, recipe
        self._seconds = seconds
        self._on_event: OnEvent = lambda _: None
        self._workers = WorkerStates(pool, workers, lambda facts: self._on_event(facts), seconds)
        self._least = -(-spec.recipe.batch_size // spec.looks[0])  # so many first looks fill a batch
        self._samples = 0

    @property
    def samples(self) -> int:
        """Noise samples drawn so far, those of lost workers included."""
        return self._samples + sum(state.samples for state in self._workers.all.values())

    def meter(self) -> Meter:
        """Return a meter that reads nothing: the workers may run on other machines."""
        return Meter("unknown: several workers are not metered")

    def sample(self, sigma: float, indices: Iterable[int], on_event: OnEvent) -> Iterator[list[Line]]:
        """Sample images of one noise level until they are decided.

        Args:
            sigma: one of the spec's noise levels.
            indices: the images.
            on_event: called for each worker that joins, is left out or is lost.

        Yields:
            Validated lines as they arrive (possibly none).

        Raises:
            SmoothcertError: a worker refused the work, or workers keep failing; the yielded lines are valid.
        """
        self._on_event = on_event
        level = _Level(sigma, deque(indices), ResultValidator(self._spec, self._images, sigma, self._recipe))
        self._workers.waited()
        while level.queue or any(state.given for state in self._workers.all.values()):
            self._workers.fill()
            self._give(level)
            for name, message in self._messages():
                yield self._take(level, name, message)
        self._close(level)

    def _give(self, level: _Level) -> None:
        """Hand out images: each worker has a share of those left, ever smaller, so that all finish together.

        Images of a lost worker come last: if one of them is the cause, the others are decided before.
        """
        running = self._workers.running
        left = len(level.queue) + sum(len(state.given) for state in running.values())
        for name, state in running.items():
            if not state.open:
                state.open = True
                self._pool.open(name, level.sigma)
            room = share_of(left, len(running), self._least) - len(state.given)
            more = [level.queue.popleft() for _ in range(min(room, len(level.queue)))]
            if more:
                state.given.update(more)
                self._pool.feed(name, level.sigma, more)

    def _messages(self) -> Iterator[tuple[str, Message]]:
        """Yield the messages of workers, and then `Died` for each that hangs."""
        yield from self._pool.wait(POLL_SECONDS)
        for name in self._workers.hanging():
            yield name, Died(f"it finished no batch for {self._seconds:g} s")

    def _take(self, level: _Level, name: str, message: Message) -> list[Line]:
        if name not in self._workers.all:  # it was stopped meanwhile
            return []
        self._workers.alive(name, message)
        match message:
            case Ready():
                self._workers.joined(name, message)
            case Results():
                return self._read(level, name, message)
            case Refusal():
                self._workers.refused(name, message)
            case Died() | Closed():
                self._samples += self._workers.all[name].samples
                reason = message.reason if isinstance(message, Died) else "it stopped before its images were decided"
                level.queue.extend(self._workers.died(name, reason))
        return []

    def _read(self, level: _Level, name: str, results: Results) -> list[Line]:
        state, lines = self._workers.all[name], list[Line]()
        try:
            for text in results.lines:
                line = level.validator.read(text, name, state.given)
                state.given.discard(line.index)
                lines.append(line)
                self._workers.valid()
            state.samples = results.samples
        except InvalidResultError as error:
            self._samples += state.samples
            level.queue.extend(self._workers.invalid(name, str(error)))
        return lines

    def _close(self, level: _Level) -> None:
        """End the level at every worker, so that all are idle when the next level begins."""
        for name, state in self._workers.all.items():
            if state.open:
                state.closing = True
                self._pool.feed(name, level.sigma, [], last=True)
        while any(state.open for state in self._workers.all.values()):
            for name, message in self._messages():
                if isinstance(message, Closed) and name in self._workers.all:
                    self._closed(self._workers.all[name])
                else:
                    self._take(level, name, message)

    def _closed(self, state: WorkerState) -> None:
        self._samples += state.samples
        state.open, state.closing, state.samples = False, False, 0


def share_of(left: int, workers: int, least: int) -> int:
    """Return how many images a worker should have: half its share of those left, within limits.

    Args:
        left: images that are not decided.
        workers: how many share them.
        least: images that fill a batch; a worker has fewer only if fewer are left.

    >>> [share_of(left, 2, 6) for left in (10_000, 100, 20, 10, 3, 0)]
    [128, 25, 6, 5, 2, 0]
    """
    part = -(-left // workers)
    return min(part, max(least, min(MOST_GIVEN, -(-part // 2))))
