"""The local engine: one process samples the missing images of one noise level and yields ledger lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, Protocol

from smoothcert.config import Spec
from smoothcert.engine.measure import Meter, meter_of
from smoothcert.engine.workload import Workload
from smoothcert.evidence.events import utc_now
from smoothcert.evidence.outcomes import plan_of
from smoothcert.formats.line import Line
from smoothcert.sampling.protocol import Counts, ImageVotes, protocol_of
from smoothcert.sampling.sampler import Sampler, keep_freed_memory
from smoothcert.sampling.scheduler import Scheduler

OnEvent = Callable[[dict[str, Any]], None]
"""Called with the facts of an entry for the event log: a worker that joined, left or was lost."""


class Engine(Protocol):
    """Turns the missing images of one noise level after the other into ledger lines."""

    @property
    def worker(self) -> str:
        """Name of the ledger file, and of this session in the event log."""

    @property
    def samples(self) -> int:
        """Noise samples drawn so far, at all noise levels."""

    def sample(self, sigma: float, indices: Iterable[int], on_event: OnEvent) -> Iterator[list[Line]]:
        """Sample images of one noise level until they are decided; yield their ledger lines."""

    def meter(self) -> Meter:
        """Return the meter of the energy this engine uses."""


class WorkQueue:
    """Image indices for an engine, put in by one thread and taken out by another."""

    def __init__(self, indices: Iterable[int] = (), closed: bool = False) -> None:
        """Start with some indices.

        Args:
            indices: the first ones.
            closed: no more will be put in.
        """
        self._waiting = deque(indices)
        self._closed = closed
        self._changed = Condition()

    def put(self, indices: Iterable[int]) -> None:
        """Add indices."""
        with self._changed:
            self._waiting.extend(indices)
            self._changed.notify_all()

    def close(self) -> None:
        """Promise that no more indices are put in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, most: int, wait: bool) -> list[int]:
        """Take out up to `most` indices.

        Args:
            most: how many, at most.
            wait: block until there is an index or the queue is closed.

        Returns:
            The indices; none, if there are none now. With `wait`, none means that the queue is closed.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._waiting or self._closed)
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]


@dataclass(eq=False)
class LocalEngine:
    """Samples on this machine's processor or accelerator.

    Attributes:
        spec: the locked spec.
        work: its images and classifiers.
        worker: name written into ledger lines.
        recipe_name: name of the numeric recipe, if it is not that of the spec.
        samples: noise samples drawn so far.
    """

    spec: Spec
    work: Workload
    worker: str = "local-0"
    recipe_name: str | None = None
    samples: int = 0
    _ready: dict[float, Sampler] = field(default_factory=dict, repr=False)

    def sampler(self, sigma: float) -> Sampler:
        """Return the sampler of one noise level; only the last one is kept in memory."""
        if sigma not in self._ready:
            self._ready.clear()
            self._ready[sigma] = self.work.sampler(sigma, self.spec.seed)
        return self._ready[sigma]

    def sample(self, sigma: float, indices: Iterable[int], on_event: OnEvent = lambda _: None) -> Iterator[list[Line]]:
        """Sample images until they are decided.

        Args:
            sigma: one of the spec's noise levels.
            indices: the images, in any order; the order changes no vote.
            on_event: not called: this engine is one worker.

        Yields:
            After each step of the scheduler, the lines of the images it decided (possibly none).
        """
        yield from self.sample_queue(sigma, WorkQueue(indices, closed=True))

    def sample_queue(self, sigma: float, queue: WorkQueue) -> Iterator[list[Line]]:
        """Sample the images of a queue until it is closed and all are decided; otherwise like `sample`."""
        keep_freed_memory()
        sampler, labels = self.sampler(sigma), self.work.images.labels
        protocol = protocol_of(self.spec, plan_of(self.spec, sigma))
        place = {int(index): i for i, index in enumerate(self.work.images.indices)}
        scheduler = Scheduler(sampler, protocol)
        earlier = self.samples - sampler.samples
        while True:
            for index in queue.get(scheduler.free, wait=scheduler.idle):
                scheduler.add(protocol.init_state(index, int(labels[place[index]])))
            if scheduler.idle:
                return  # the queue is closed, and every image is decided
            decided = scheduler.step()
            self.samples = earlier + sampler.samples
            yield [self._line(sigma, image, place[image.index]) for image in decided]

    @property
    def drawn(self) -> int:
        """Samples drawn by the current sampler, batch by batch; safe to call from another thread."""
        return sum(sampler.samples for sampler in list(self._ready.values()))

    def meter(self) -> Meter:
        """Return the meter of the device."""
        return meter_of(self.work.recipe.device)

    def _line(self, sigma: float, image: ImageVotes, place: int) -> Line:
        images = self.work.images
        return Line(
            sigma=float(sigma),
            index=image.index,
            image=images.image_sha256(place),
            label=int(images.labels[place]),
            group=None if images.groups is None else images.groups[place],
            selection=None if image.selection is None else _votes(image.selection),
            looks=tuple((n, _votes(counts)) for n, counts in image.looks),
            seconds=image.seconds,
            worker=self.worker,
            at=utc_now(),
            recipe=self.recipe_name,
            subgroups={name: values[place] for name, values in images.subgroups.items()},
            compact=self.spec.compact_lines,
        )


def local_engine(spec: Spec, work: Workload) -> LocalEngine:
    """Return the engine of this process; its lines name the numeric recipe where it is not the spec's own."""
    return LocalEngine(spec, work, recipe_name=None if work.recipe == spec.recipe else work.recipe.name)


def _votes(counts: Counts) -> dict[int, int]:
    return {int(c): int(counts[c]) for c in counts.nonzero()[0]}
