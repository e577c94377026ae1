"""`plan`: what can be certified, how many votes and images it takes, and from a pilot what a run will show and cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smoothcert.evidence.outlook import Outlook, Planned, Width
from smoothcert.planning.changes import changes
from smoothcert.planning.forecast import Level, forecast_level
from smoothcert.planning.reach import powers, procedure_of, reach
from smoothcert.planning.samples import width
from smoothcert.planning.serving import basis
from smoothcert.spec import Production
from smoothcert.spec.planning import PlanSettings
from smoothcert.stats import Procedure

NO_SHARE = "half of the images"
ASSUMED = "assumed"
MARGINS = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Without a pilot, by how much the certified accuracy is assumed to lie above the wanted population bound."""
WITHOUT_DATA = 400
"""Images of a run where neither data nor --images say how many."""


def plan(
    settings: PlanSettings,
    production: Production | None = None,
    hear: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Planned:
    """Plan a run; without classifier and images nothing is drawn, and torch is not needed.

    Args:
        settings: what is asked.
        production: how the classifier is to be used, for the cost; left out, the defaults.
        hear: hears how many noisy copies of the pilot are drawn.
        say: hears what is being done.

    Raises:
        InputError: settings, images or classifiers were refused.
    """
    if not settings.draws:
        return _without_pilot(settings)
    from smoothcert.planning.pilot import draw_pilot
    from smoothcert.planning.piloted import loaded, predicted

    work, count, notes = loaded(settings)
    rng = np.random.default_rng()
    drawn = draw_pilot(work, count, settings.pilot_copies, rng, hear)
    say("forecasting the run from the pilot's votes")
    m = settings.images or len(work.images)
    procedures = {
        sigma: procedure_of(
            settings, sigma, work.images.num_classes, work.noise(sigma, 0).eta(_values(work.images.shape))
        )
        for sigma in work.classifiers
    }
    levels = {sigma: forecast_level(drawn.votes[sigma], each, m, rng) for sigma, each in procedures.items()}
    forecast = predicted(work, drawn, levels, m)
    return Planned(
        settings=settings,
        classes=work.images.num_classes,
        images=m,
        outlook=_outlook(settings, procedures, m, levels),
        forecast=forecast,
        basis=basis(settings, forecast, levels, drawn.energy_source, production or Production()),
        notes=notes,
    )


def _values(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


def _without_pilot(settings: PlanSettings) -> Planned:
    classes, m = settings.classes or 2, settings.images or WITHOUT_DATA
    procedures = {float(sigma): procedure_of(settings, sigma, classes) for sigma in settings.sigma}
    return Planned(settings, classes, m, _outlook(settings, procedures, m, {}))


def _outlook(settings: PlanSettings, procedures: dict[float, Procedure], m: int, levels: dict[float, Level]) -> Outlook:
    rng, seed = np.random.default_rng(), int(np.random.default_rng().integers(2**32))
    cells = [(sigma, k, r) for sigma in procedures for k in settings.k for r in settings.radius]
    reaches = [reach(procedures[sigma], k, r) for sigma, k, r in cells]
    found = [powers(procedures[each.sigma], each.k, each.radius, rng) for each in reaches if each.k == settings.first_k]
    other = [
        changes(settings, each, levels.get(sigma), settings.pilot_copies, seed) for sigma, each in procedures.items()
    ]
    return Outlook(
        reaches=tuple(reaches),
        powers=tuple(row for rows in found for row in rows),
        widths=tuple(_widths(settings, m, levels)),
        changes=tuple(row for rows in zip(*other, strict=True) for row in rows),
    )


def _widths(settings: PlanSettings, m: int, levels: dict[float, Level]) -> list[Width]:
    """Return a width at one half, and one a cell that is forecast at the first k and radius of each noise level."""
    found = [width(0.5, NO_SHARE, m, settings.alpha, settings.population)]
    if not levels:
        higher = [settings.population + margin for margin in MARGINS if settings.population + margin < 1]
        found += [width(share, ASSUMED, m, settings.alpha, settings.population) for share in higher]
    for level in levels.values():
        for cell in level.cells:
            share = cell.looks if settings.stopping == "looks" else cell.fixed
            if cell.k == settings.first_k and share is not None and share.value is not None:
                place = f"sigma {cell.sigma:g}, k {cell.k}, r {cell.radius:g}"
                found.append(width(share.value, place, m, settings.alpha, settings.population))
    return found
