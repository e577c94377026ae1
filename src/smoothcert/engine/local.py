"""The local engine: one process samples the missing images of one noise level and yields ledger lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from smoothcert.config import Spec
from smoothcert.engine.measure import Meter, meter_of
from smoothcert.engine.workload import Workload
from smoothcert.evidence.events import utc_now
from smoothcert.evidence.outcomes import plan_of
from smoothcert.formats.line import Line
from smoothcert.sampling.protocol import Counts, ImageVotes, protocol_of
from smoothcert.sampling.protocol import init_state as begin
from smoothcert.sampling.protocol import update as settle
from smoothcert.sampling.sampler import Sampler, keep_freed_memory
from smoothcert.sampling.scheduler import continuous_batching

OnEvent = Callable[[dict[str, Any]], None]
"""Told what is worth an entry in the event log: workers that come and go, with their facts."""


class Engine(Protocol):
    """Turns the missing images of one noise level after the other into ledger lines."""

    @property
    def worker(self) -> str:
        """Name of the ledger file, and of this session in the event log."""

    @property
    def copies(self) -> int:
        """Noisy copies drawn so far, at all noise levels."""

    def sample(self, sigma: float, indices: Iterable[int], hear: OnEvent) -> Iterator[list[Line]]:
        """Sample images of one noise level until they are decided, and yield their lines as they are."""

    def meter(self) -> Meter:
        """Return the meter of the energy this engine uses."""


@dataclass(eq=False)
class LocalEngine:
    """Samples on this machine's processor or accelerator.

    Attributes:
        spec: the locked spec.
        work: its images and classifiers.
        worker: name written into ledger lines.
        recipe_name: name of the numeric recipe where it is not the spec's own.
        copies: noisy copies drawn by `sample` so far.
    """

    spec: Spec
    work: Workload
    worker: str = "local-0"
    recipe_name: str | None = None
    copies: int = 0
    _ready: dict[float, Sampler] = field(default_factory=dict, repr=False)

    def sampler(self, sigma: float) -> Sampler:
        """Return the sampler of one noise level; only the last one asked for is kept in memory."""
        if sigma not in self._ready:
            self._ready.clear()
            self._ready[sigma] = self.work.sampler(sigma, self.spec.seed)
        return self._ready[sigma]

    def sample(self, sigma: float, indices: Iterable[int], hear: OnEvent = lambda _: None) -> Iterator[list[Line]]:
        """Sample images until they are decided.

        Args:
            sigma: one of the spec's noise levels.
            indices: images to do, in any order; the order changes no vote.
            hear: told nothing: this engine is one worker.

        Yields:
            After each wave, the lines of the images it decided (possibly none).
        """
        sampler = self.sampler(sigma)
        before, drawn = self.copies, sampler.copies
        for lines in self.lines(sigma, sampler, indices):
            self.copies = before + sampler.copies - drawn
            yield lines

    @property
    def drawn(self) -> int:
        """Copies the sampler at hand has drawn, batch by batch; another thread may ask while it samples."""
        return sum(sampler.copies for sampler in list(self._ready.values()))

    def meter(self) -> Meter:
        """Return the meter of the device."""
        return meter_of(self.work.recipe.device)

    def lines(self, sigma: float, sampler: Sampler, indices: Iterable[int]) -> Iterator[list[Line]]:
        """Do the same with a sampler of one's own."""
        keep_freed_memory()
        protocol = protocol_of(self.spec, plan_of(self.spec, sigma))
        images = self.work.images
        place = {int(index): i for i, index in enumerate(images.indices)}

        def fresh(index: int) -> ImageVotes:
            return begin(protocol, index, int(images.labels[place[index]]))

        # a map, not a generator: one that has run dry goes on when more images have come (see `Feed`)
        for decided in continuous_batching(map(fresh, indices), sampler, partial(settle, protocol)):
            yield [self._line(sigma, image, place[image.index]) for image in decided]

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
        )


def local_engine(spec: Spec, work: Workload) -> LocalEngine:
    """Return the engine of this process; its lines name the numeric recipe where it is not the spec's own."""
    return LocalEngine(spec, work, recipe_name=None if work.recipe == spec.recipe else work.recipe.name)


def _votes(counts: Counts) -> dict[int, int]:
    return {int(c): int(counts[c]) for c in counts.nonzero()[0]}
