"""What a plan says in words: how its numbers were made, what they mean, and what they do not."""

from __future__ import annotations

from collections.abc import Iterator

from smoothcert.evidence.forecast import Planned
from smoothcert.stats.rounding import full, percent_exact, percent_up


def reading(planned: Planned) -> Iterator[str]:
    """Yield how to read a plan, a sentence or two each."""
    asked, reaches = planned.settings, planned.outlook.reaches
    beyond = sum(not each.attainable for each in reaches)
    rule = "sequential looks" if asked.stopping == "looks" else "a fixed number of copies"
    yield (
        f"Settings: alpha {full(asked.alpha)}, bound {asked.bound}, up to {asked.n_max:,} noisy copies an image after "
        f"{asked.n0} for selection, {rule}; {planned.classes} classes, {planned.images:,} images."
    )
    yield (
        f"{beyond} of {len(reaches)} cells {'is' if beyond == 1 else 'are'} not attainable with these settings, "
        "whatever the classifier."
        if beyond
        else "Every cell is attainable."
    )
    yield (
        "Unanimous votes: how many one look with all of alpha takes; at look: where the run decides such an image. "
        "95 % power from p: the probability of the label that suffices if all other votes go, in equal parts, to its k "
        "strongest rivals, the hardest case."
    )
    yield from _forecast(planned)
    yield (
        "Margin: how far the true radius lies above r, in units of sigma; votes are those of one look with all of "
        "alpha, against the k strongest rivals in equal parts."
    )
    yield (
        f"Images for >= {percent_exact(asked.population)} %: how many it takes until the 95 % lower bound on the "
        "robust share of the population is so high, if so large a share of them is certified and they are independent "
        "draws."
    )
    yield from planned.notes


def _forecast(planned: Planned) -> Iterator[str]:
    forecast, basis = planned.forecast, planned.basis
    if forecast is None:
        return
    pilot = forecast.pilot
    yield (
        f"Pilot: {pilot.images:,} images drawn at random, {pilot.copies:,} noisy copies each at each sigma "
        f"({pilot.drawn:,} in {pilot.seconds:,.0f} s on {pilot.device}, {pilot.precision}); none of them is a vote of "
        "the run."
    )
    yield (
        "A forecast is an estimate, not a certificate. Its interval holds the run's own value in about 95 % of pilots; "
        "it covers which images and which noise the pilot happened to see, and the noise of the run."
    )
    if any(cell.telling(pilot.copies) for cell in forecast.cells):
        yield (
            "Pilot too short to tell: even unanimous votes of the pilot leave open whether an image is certified. "
            "There is no forecast there: the interval says what is possible, and mean copies in brackets are as "
            "uncertain."
        )
    if basis is not None and basis.abstention is not None:
        yield (
            f"An estimated {percent_up(basis.abstention)} % of such images would get no prediction at the "
            "number of votes of the cost table."
        )
