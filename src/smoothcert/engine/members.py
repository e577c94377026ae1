"""The workers of a fleet: who is at work with which images, who replaces whom, and when too many were lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from smoothcert.engine.local import Hear
from smoothcert.engine.messages import Beat, Message, Pool, Ready, Refusal
from smoothcert.errors import SmoothcertError

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
class Member:
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


class Members:
    """As many workers as are wanted: those that die are replaced, within limits."""

    def __init__(self, pool: Pool, wanted: int, hear: Hear, seconds: float = WORKER_SECONDS) -> None:
        """Start nobody yet.

        Args:
            pool: where workers run.
            wanted: how many to keep at work, as far as there is room for them.
            hear: told of each that joins or leaves.
            seconds: after which a worker that finishes no batch hangs.
        """
        self._pool, self._wanted, self._hear, self._seconds = pool, wanted, hear, seconds
        self._all: dict[str, Member] = {}
        self._started = self._wrong = self._deaths = 0
        self._suspects: set[int] | None = None
        self._alive = self._looked = time.monotonic()

    @property
    def all(self) -> Mapping[str, Member]:
        """Everybody by name: at work, starting, and left out."""
        return self._all

    @property
    def at_work(self) -> dict[str, Member]:
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
            self._all[name] = Member()
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
        if isinstance(message, Beat):
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
