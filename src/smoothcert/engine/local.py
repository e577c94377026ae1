"""The local engine: one process samples the missing images of one noise level and yields ledger lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from smoothcert.engine.work import Work
from smoothcert.evidence import Line, plan_of, utc_now
from smoothcert.sampling.memory import keep_freed_memory
from smoothcert.sampling.protocol import Counts, ImageVotes, begin, protocol_of, settle
from smoothcert.sampling.sampler import Sampler
from smoothcert.sampling.waves import waves
from smoothcert.spec import Spec


@dataclass(frozen=True, eq=False)
class LocalEngine:
    """Samples on this machine's processor or accelerator.

    Attributes:
        spec: the locked spec.
        work: its images and classifiers.
        worker: name written into ledger lines.
        recipe_name: name of the numeric recipe where it is not the spec's own.
    """

    spec: Spec
    work: Work
    worker: str = "local-0"
    recipe_name: str | None = None

    def lines(self, sigma: float, sampler: Sampler, indices: Iterable[int]) -> Iterator[list[Line]]:
        """Sample images until they are decided.

        Args:
            sigma: one of the spec's noise levels.
            sampler: a sampler of that level.
            indices: images to do, in any order; the order changes no vote.

        Yields:
            After each wave, the lines of the images it decided (possibly none).
        """
        keep_freed_memory()
        protocol = protocol_of(self.spec, plan_of(self.spec, sigma))
        images = self.work.images
        place = {int(index): i for i, index in enumerate(images.indices)}
        fresh = (begin(protocol, index, int(images.labels[place[index]])) for index in indices)
        for decided in waves(fresh, sampler, partial(settle, protocol)):
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


def _votes(counts: Counts) -> dict[int, int]:
    return {int(c): int(counts[c]) for c in counts.nonzero()[0]}
