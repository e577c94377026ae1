"""A fleet of workers that come and go: who samples which images, and what is done again when one dies or answers wrong.

The process that runs the fleet alone writes the ledger; a worker that is lost costs only the images it had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smoothcert.data import ImageSet
from smoothcert.engine.answers import Answers, WrongAnswerError
from smoothcert.engine.energy import Meter
from smoothcert.engine.local import Hear
from smoothcert.engine.members import WORKER_SECONDS, Member, Members
from smoothcert.engine.messages import Closed, Died, Message, Pool, Ready, Refusal, Wave
from smoothcert.evidence import Line
from smoothcert.spec import Spec

MOST_GIVEN = 128
"""Images a worker has at a time: two windows of the usual sampler, so that it never waits for the next."""
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class _Level:
    """One noise level on its way: images nobody has, and what may be answered."""

    sigma: float
    queue: deque[int]
    answers: Answers


class Fleet:
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
        self._hear: Hear = lambda _: None
        self._members = Members(pool, workers, lambda facts: self._hear(facts), seconds)
        self._least = -(-spec.recipe.batch_size // spec.looks[0])  # so many first looks fill a batch
        self._copies = 0

    @property
    def copies(self) -> int:
        """Noisy copies drawn so far, those of workers that were lost included."""
        return self._copies + sum(member.copies for member in self._members.all.values())

    def meter(self) -> Meter:
        """Return no meter: the workers' machines are not this one."""
        return Meter("unknown: several workers are not metered")

    def sample(self, sigma: float, indices: Iterable[int], hear: Hear) -> Iterator[list[Line]]:
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
        level = _Level(sigma, deque(indices), Answers(self._spec, self._images, sigma, self._recipe))
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
            case Wave():
                return self._read(level, name, message)
            case Refusal():
                self._members.refused(name, message)
            case Died() | Closed():
                self._copies += self._members.all[name].copies
                reason = message.reason if isinstance(message, Died) else "it stopped before its images were done"
                level.queue.extend(self._members.died(name, reason))
        return []

    def _read(self, level: _Level, name: str, wave: Wave) -> list[Line]:
        member, lines = self._members.all[name], list[Line]()
        try:
            for text in wave.lines:
                line = level.answers.read(text, name, member.given)
                member.given.discard(line.index)
                lines.append(line)
                self._members.answered()
            member.copies = wave.copies
        except WrongAnswerError as error:
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

    def _closed(self, member: Member) -> None:
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
