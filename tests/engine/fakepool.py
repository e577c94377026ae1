"""Workers that are only pretended: their lines were sampled before; they die, lie and refuse as a test wishes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from smoothcert.engine.messages import Closed, Died, Heartbeat, Message, Ready, Refusal, Results
from smoothcert.formats.line import Line

SAMPLES_PER_LINE = 7


@dataclass
class Pretended:
    """One worker: what it was fed, whether it says that it is ready, what it says next."""

    images: list[int] = field(default_factory=list)
    sigma: float | None = None
    told: bool = False
    last: bool = False
    samples: int = 0
    asked: bool = False


class FakePool:
    """Answers at once, a few images at a time, in any order.

    Args:
        known: the line of every (sigma, image).
        seed: of the order in which workers speak.
        strange: called before a worker speaks, with its name and itself; what it returns is said instead.
        never: names of workers for which there is no room.
        still: of a worker's name and itself, whether it says nothing now; what it is asked, it answers.
        pass_time: called with the seconds that go by where nobody has anything to say.
    """

    def __init__(
        self,
        known: Mapping[tuple[float, int], Line],
        seed: int = 0,
        strange: Callable[[str, Pretended], Message | None] = lambda name, worker: None,
        never: frozenset[str] = frozenset(),
        still: Callable[[str, Pretended], bool] = lambda name, worker: False,
        pass_time: Callable[[float], None] | None = None,
    ) -> None:
        self.known, self.strange, self.never = known, strange, never
        self.workers: dict[str, Pretended] = {}
        self.still, self.pass_time = still, pass_time
        self.stopped: list[str] = []
        self.most_given = 0
        self._random = random.Random(seed)

    def start(self, name: str) -> None:
        assert name not in self.workers
        assert name not in self.stopped
        self.workers[name] = Pretended()

    def open(self, name: str, sigma: float) -> None:
        worker = self.workers[name]
        assert worker.told
        assert worker.sigma is None, "a level was opened twice"
        worker.sigma, worker.last, worker.samples = sigma, False, 0

    def feed(self, name: str, sigma: float, indices: list[int], last: bool = False) -> None:
        worker = self.workers[name]
        assert worker.sigma == sigma
        assert not worker.last
        worker.images += indices
        worker.last = last
        self.most_given = max(self.most_given, len(worker.images))

    def ask(self, name: str) -> None:
        worker = self.workers[name]
        assert not worker.asked, "it was asked twice"
        worker.asked = True

    def beat(self, worker: Pretended) -> Heartbeat | None:
        """What a worker that is asked says."""
        worker.asked = False
        return Heartbeat(worker.samples)

    def stop(self, name: str) -> None:
        del self.workers[name]
        self.stopped.append(name)

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        speaking = [name for name, worker in self.workers.items() if self._has_word(name, worker)]
        beats: list[tuple[str, Message]] = []
        if self.pass_time is not None:
            self.pass_time(seconds)
            asked = [(name, worker) for name, worker in self.workers.items() if worker.asked]
            beats = [(name, beat) for name, worker in asked if (beat := self.beat(worker)) is not None]
        assert speaking or self.pass_time, "nobody would ever say anything"
        if not speaking:
            return beats
        chosen = self._random.sample(speaking, self._random.randint(1, len(speaking)))
        return beats + [(name, self._word(name, self.workers[name])) for name in chosen]

    def _has_word(self, name: str, worker: Pretended) -> bool:
        return (
            name not in self.never
            and not self.still(name, worker)
            and (not worker.told or bool(worker.images) or worker.last)
        )

    def _word(self, name: str, worker: Pretended) -> Message:
        instead = self.strange(name, worker)
        if isinstance(instead, Died | Refusal):
            worker.last, worker.images = False, []
        if instead is not None:
            return instead
        if not worker.told:
            worker.told = True
            return Ready("here", 1)
        if not worker.images:
            worker.sigma, worker.last = None, False
            return Closed()
        return self.wave(name, worker, self._random.randint(0, min(3, len(worker.images))))

    def wave(self, name: str, worker: Pretended, count: int) -> Results:
        """Some of the images a worker has, decided."""
        lines = []
        for _ in range(count):
            index = worker.images.pop(self._random.randrange(len(worker.images)))
            line = self.known[worker.sigma or 0.0, index]
            lines.append(as_sent(line, name))
        worker.samples += SAMPLES_PER_LINE * count
        return Results(tuple(lines), worker.samples)


def as_sent(line: Line, name: str, **changes: object) -> str:
    """A line as some worker would send it."""
    from dataclasses import replace

    return replace(line, worker=name, **changes).to_json()
