"""A pool of workers that come and go: which images each samples, and what is redone when one dies or answers wrongly.

The process that runs the pool alone writes the ledger; a lost worker costs only the images it had.
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
"""How long nobody may be at work: machines that a cluster orders anew take minutes to come."""
MOST_WRONG = 3
"""Workers with wrong answers after which the run is stopped."""
WORKER_SECONDS = 600
"""How long a worker with images may finish no batch, where nothing else is asked."""
ASK_SECONDS = 5.0
"""How long it is silent before it is asked how far it is."""
MOST_PASSED = 5.0
"""Time that counts at most between two looks: if this process was suspended, it was not the workers that hung."""
SHOWN = 5
"""Images that a message names."""


@dataclass
class WorkerState:
    """One worker.

    Attributes:
        ready: it has loaded its classifiers.
        refused: it could not, and is left out.
        open: it is sampling a noise level.
        given: images it has and has not answered for.
        copies: noisy copies it has drawn at this noise level.
        closing: no more images of this noise level come.
        silent: seconds for which it has owed an answer and finished no batch.
        asked: it has been asked how far it is, and has not said.
        drawn: how far it was when it last said.
    """

    ready: bool = False
    refused: bool = False
    open: bool = False
    given: set[int] = field(default_factory=set)
    copies: int = 0
    closing: bool = False
    silent: float = 0.0
    asked: bool = False
    drawn: int | None = None


class WorkerStates:
    """As many workers as are wanted: those that die are replaced, within limits."""

    def __init__(self, pool: Pool, wanted: int, hear: OnEvent, seconds: float = WORKER_SECONDS) -> None:
        """Start nobody yet.

        Args:
            pool: where workers run.
            wanted: how many to keep at work, as far as there is room for them.
            hear: told of each that joins or leaves.
            seconds: after which a worker that finishes no batch hangs.
        """
        self._pool, self._wanted, self._hear, self._seconds = pool, wanted, hear, seconds
        self._all: dict[str, WorkerState] = {}
        self._started = self._wrong = self._deaths = 0
        self._suspects: set[int] | None = None
        self._alive = self._looked = time.monotonic()

    @property
    def all(self) -> Mapping[str, WorkerState]:
        """Everybody by name: at work, starting, and left out."""
        return self._all

    @property
    def at_work(self) -> dict[str, WorkerState]:
        """Those that have loaded."""
        return {name: member for name, member in self._all.items() if member.ready}

    def fill(self) -> None:
        """Start who is missing.

        Raises:
            SmoothcertError: nobody could be started for a long time.
        """
        while len(self._all) < self._wanted:
            name = f"ray-{self._started}"
            self._started += 1
            self._all[name] = WorkerState()
            self._pool.start(name)
        now = time.monotonic()
        self._alive = now if self.at_work else self._alive
        if now - self._alive > START_SECONDS:
            raise stopped(f"no worker could be started for {START_SECONDS / 60:.0f} minutes; the cluster has no room")

    def waited(self) -> None:
        """Take note that nobody was needed until now."""
        self._alive = time.monotonic()

    def joined(self, name: str, ready: Ready) -> None:
        """Take note that a worker has loaded."""
        self._all[name].ready = True
        self._hear({"worker": name, "state": "joined", "node": ready.node, "pid": ready.pid})

    def hanging(self) -> list[str]:
        """Name those that owe an answer and have finished no batch for too long; ask the silent how far they are."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, MOST_PASSED), now
        for name, member in self._all.items():
            member.silent = member.silent + passed if member.given or member.closing else 0.0
            if member.silent > ASK_SECONDS and not member.asked:
                member.asked = True
                self._pool.ask(name)
        return [name for name, member in self._all.items() if member.silent > self._seconds]

    def heard(self, name: str, message: Message) -> None:
        """Take note of a sign of life: any word but the one that a worker is no further than before."""
        member = self._all[name]
        if isinstance(message, Heartbeat):
            member.asked = False
            if message.copies == member.drawn:
                return
            member.drawn = message.copies
        member.silent = 0.0

    def answered(self) -> None:
        """Take note that a line was good: workers are not dying one after the other."""
        self._deaths, self._suspects = 0, None

    def refused(self, name: str, refusal: Refusal) -> None:
        """Leave out a worker that cannot load, while others can; what one meets while sampling, all would meet.

        Raises:
            SmoothcertError: what the worker met, where nobody is left or it was sampling.
        """
        if self._all[name].ready:
            raise refusal.error()
        self._all[name].refused = True
        self._hear({"worker": name, "state": "left out", "reason": refusal.text})
        self._pool.stop(name)
        if all(member.refused for member in self._all.values()):
            raise refusal.error()

    def died(self, name: str, reason: str) -> list[int]:
        """Take out a worker that is gone, and return the images it had.

        Raises:
            SmoothcertError: too many have died one after the other; what all of them had is named.
        """
        self._deaths += 1
        given = self._lose(name, reason)
        self._suspects = set(given) if self._suspects is None else self._suspects & set(given)
        if self._deaths > 2 * self._wanted + 2:
            which = f"; all of them had {_images(self._suspects)}" if self._suspects else ""
            raise stopped(
                f"{self._deaths} workers ended one after the other without an answer{which}; the last: {reason}"
            )
        return given

    def wrong(self, name: str, fault: str) -> list[int]:
        """Take out a worker with an answer that cannot be, and return the images it had.

        Raises:
            SmoothcertError: too many have given such answers.
        """
        self._wrong += 1
        given = self._lose(name, f"wrong answer: {fault}")
        if self._wrong >= MOST_WRONG:
            raise stopped(f"{self._wrong} workers gave answers that cannot be; the last: {fault}")
        return given

    def _lose(self, name: str, reason: str) -> list[int]:
        given = sorted(self._all.pop(name).given)
        self._hear({"worker": name, "state": "lost", "reason": reason, "images_again": len(given)})
        self._pool.stop(name)
        return given


def _images(indices: set[int]) -> str:
    shown = [str(index) for index in sorted(indices)[:SHOWN]]
    return f"image{'s' * (len(indices) > 1)} {', '.join(shown)}{' and others' * (len(indices) > SHOWN)}"


def stopped(reason: str) -> SmoothcertError:
    """Return the error of a run that cannot go on with its workers."""
    return SmoothcertError(
        f"The run was stopped: {reason.rstrip('.')}. Every line that was written is kept: mend it and continue with "
        "`smoothcert resume RUN`, on any engine."
    )


MOST_GIVEN = 128
"""Images a worker has at a time: two windows of the usual sampler, so that it never waits for the next."""
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class _Level:
    """One noise level on its way: images nobody has, and what may be answered."""

    sigma: float
    queue: deque[int]
    answers: ResultValidator


class WorkerPool:
    """An engine of many workers, which are replaced when they die."""

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
            workers: how many to keep at work, as far as there is room for them.
            recipe: name of the numeric recipe where it is not the spec's own.
            seconds: after which a worker that finishes no batch is replaced.
        """
        self._pool, self._spec, self._images, self._recipe = pool, spec, images, recipe
        self._seconds = seconds
        self._hear: OnEvent = lambda _: None
        self._members = WorkerStates(pool, workers, lambda facts: self._hear(facts), seconds)
        self._least = -(-spec.recipe.batch_size // spec.looks[0])  # so many first looks fill a batch
        self._copies = 0

    @property
    def copies(self) -> int:
        """Noisy copies drawn so far, those of workers that were lost included."""
        return self._copies + sum(member.copies for member in self._members.all.values())

    def meter(self) -> Meter:
        """Return no meter: the workers' machines are not this one."""
        return Meter("unknown: several workers are not metered")

    def sample(self, sigma: float, indices: Iterable[int], hear: OnEvent) -> Iterator[list[Line]]:
        """Have images of one noise level sampled until they are decided.

        Args:
            sigma: one of the spec's noise levels.
            indices: images to do.
            hear: told of each worker that joins or leaves.

        Yields:
            Lines as they arrive, checked (possibly none).

        Raises:
            SmoothcertError: a worker refused the work, or workers keep failing; what was yielded counts.
        """
        self._hear = hear
        level = _Level(sigma, deque(indices), ResultValidator(self._spec, self._images, sigma, self._recipe))
        self._members.waited()
        while level.queue or any(member.given for member in self._members.all.values()):
            self._members.fill()
            self._give(level)
            for name, message in self._said():
                yield self._take(level, name, message)
        self._close(level)

    def _give(self, level: _Level) -> None:
        """Hand out images: each worker has a part of those left, ever smaller, so that all end together.

        Those a worker was lost with come last: one that is the cause then keeps no other from being decided.
        """
        at_work = self._members.at_work
        left = len(level.queue) + sum(len(member.given) for member in at_work.values())
        for name, member in at_work.items():
            if not member.open:
                member.open = True
                self._pool.open(name, level.sigma)
            room = share_of(left, len(at_work), self._least) - len(member.given)
            more = [level.queue.popleft() for _ in range(min(room, len(level.queue)))]
            if more:
                member.given.update(more)
                self._pool.feed(name, level.sigma, more)

    def _said(self) -> Iterator[tuple[str, Message]]:
        """What workers say, and after it that those that hang are lost."""
        yield from self._pool.wait(POLL_SECONDS)
        for name in self._members.hanging():
            yield name, Died(f"it finished no batch for {self._seconds:g} s")

    def _take(self, level: _Level, name: str, message: Message) -> list[Line]:
        if name not in self._members.all:  # it was stopped meanwhile
            return []
        self._members.heard(name, message)
        match message:
            case Ready():
                self._members.joined(name, message)
            case Results():
                return self._read(level, name, message)
            case Refusal():
                self._members.refused(name, message)
            case Died() | Closed():
                self._copies += self._members.all[name].copies
                reason = message.reason if isinstance(message, Died) else "it stopped before its images were done"
                level.queue.extend(self._members.died(name, reason))
        return []

    def _read(self, level: _Level, name: str, wave: Results) -> list[Line]:
        member, lines = self._members.all[name], list[Line]()
        try:
            for text in wave.lines:
                line = level.answers.read(text, name, member.given)
                member.given.discard(line.index)
                lines.append(line)
                self._members.answered()
            member.copies = wave.copies
        except InvalidResultError as error:
            self._copies += member.copies
            level.queue.extend(self._members.wrong(name, str(error)))
        return lines

    def _close(self, level: _Level) -> None:
        """End the level at every worker, so that the next one finds them idle."""
        for name, member in self._members.all.items():
            if member.open:
                member.closing = True
                self._pool.feed(name, level.sigma, [], last=True)
        while any(member.open for member in self._members.all.values()):
            for name, message in self._said():
                if isinstance(message, Closed) and name in self._members.all:
                    self._closed(self._members.all[name])
                else:
                    self._take(level, name, message)

    def _closed(self, member: WorkerState) -> None:
        self._copies += member.copies
        member.open, member.closing, member.copies = False, False, 0


def share_of(left: int, workers: int, least: int) -> int:
    """Return how many images a worker should have: half its part of all that are left, within limits.

    Args:
        left: images that are not decided.
        workers: how many share them.
        least: images that fill a batch; fewer only where there are not so many.

    >>> [share_of(left, 2, 6) for left in (10_000, 100, 20, 10, 3, 0)]
    [128, 25, 6, 5, 2, 0]
    """
    part = -(-left // workers)
    return min(part, max(least, min(MOST_GIVEN, -(-part // 2))))
