"""A plan with a pilot: the images and classifiers it is drawn on, and the forecast as a record."""

from __future__ import annotations

from dataclasses import replace

from smoothcert.engine.runner import lock
from smoothcert.engine.work import Work, load_work
from smoothcert.errors import SpecError
from smoothcert.evidence.forecast import Forecast, LevelForecast, Rate
from smoothcert.evidence.planned import named_cells, settings_of
from smoothcert.planning.forecast import Level
from smoothcert.planning.pilot import Piloted
from smoothcert.spec.planning import PlanSettings


def loaded(settings: PlanSettings) -> tuple[Work, int, tuple[str, ...]]:
    """Load what a plan names; return it with the number of pilot images, and what must be said of them.

    Raises:
        InputError: images or classifiers were refused, or --classes contradicts them.
    """
    work = load_work(settings.request())
    classes, m = work.images.num_classes, settings.images or len(work.images)
    if settings.classes not in (None, classes):
        raise SpecError(
            f"classes: {work.images.reference} has {classes} classes, got {settings.classes}; leave it out."
        )
    count = min(settings.pilot, len(work.images), m)
    if count == settings.pilot:
        return work, count, ()
    return work, count, (f"The pilot took all {count:,} images there are, not the {settings.pilot:,} asked for.",)


def predicted(work: Work, drawn: Piloted, levels: dict[float, Level], m: int) -> Forecast:
    """Put the forecast of all noise levels together, with the settings that a run must share."""
    spec = lock(work)
    own = work.recipe.precision
    others = tuple(rate for rate in drawn.other_rates if rate.precision != own)
    return Forecast(
        settings=settings_of(spec) | {"images": str(m)} | named_cells(spec),
        images=m,
        stopping=work.request.stopping,
        pilot=drawn.facts,
        cells=tuple(cell for level in levels.values() for cell in level.cells),
        levels=tuple(_with_rates(level, others) for level in levels.values()),
    )


def _with_rates(level: Level, others: tuple[Rate, ...]) -> LevelForecast:
    return replace(level.level, rates=(*level.level.rates, *others))
