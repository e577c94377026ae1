"""The tables of a plan in their order, and those that need no pilot: reach, power, images, other settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from smoothcert.evidence.forecast import Change, Planned, Power, Reach, Width
from smoothcert.evidence.scenarios import scenarios
from smoothcert.report.plan.predicted import copies_table, forecast_table, rates_table
from smoothcert.report.production import scenario_table
from smoothcert.report.table import Table
from smoothcert.spec import Production
from smoothcert.stats.rounding import format_down, format_up, full, percent_down, percent_exact, percent_up

TITLES = {
    "reach": "Within reach of these settings",
    "forecast": "Certified accuracy, forecast",
    "copies": "Noisy copies and time, forecast",
    "rates": "Rate in each precision, measured",
    "cost": "Cost, extrapolated from the pilot",
    "images": "What so many images leave open",
    "power": "Votes of one look for 95 % power, by margin",
    "changes": "What other settings would do",
}
"""The tables in their order."""


def tables(planned: Planned, production: Production | None = None) -> dict[str, Table]:
    """Return the tables of a plan by name, in their order; without a pilot those of the forecast are missing."""
    outlook, forecast = planned.outlook, planned.forecast
    found = {"reach": reach_table(outlook.reaches)}
    if forecast is not None:
        found |= {"forecast": forecast_table(forecast), "copies": copies_table(forecast)}
        found |= {"rates": rates_table(forecast)}
    if planned.basis is not None:
        asked = production or Production()
        found["cost"] = scenario_table(scenarios(planned.basis, asked))
    found |= {"images": images_table(outlook.widths), "power": power_table(outlook.powers)}
    return found | {"changes": changes_table(outlook.changes, forecast is not None)}


def reach_table(reaches: Sequence[Reach]) -> Table:
    """Which cells can be certified at all, with how many unanimous votes, and from which probability on."""
    headings = ("sigma", "k", "r", "R_max", "unanimous votes", "at look", "95 % power from p")
    return Table(headings, tuple(_reach(each) for each in reaches), tuple(asdict(each) for each in reaches))


def _reach(each: Reach) -> tuple[str, ...]:
    votes = "over ten million" if each.votes is None else f"{each.votes:,}"
    look = "not attainable" if each.look is None else f"{each.look:,}"
    p = "-" if each.probability is None else format_up(each.probability, 4)
    return (full(each.sigma), str(each.k), full(each.radius), format_down(each.r_max, 4), votes, look, p)


def images_table(widths: Sequence[Width]) -> Table:
    """How wide the interval over the images will be, and how many images the wanted population bound takes."""
    wanted = widths[0].wanted
    rows = tuple(
        (
            f"{100 * each.share:.1f}",
            each.origin,
            f"{each.images:,}",
            f"{percent_down(each.low)} to {percent_up(each.high)}",
            percent_down(each.population),
            "share too low" if each.needed is None else f"{each.needed:,}",
        )
        for each in widths
    )
    bound = f"images for >= {percent_exact(wanted)} %"
    headings = ("certified %", "at", "images", "95 % interval", "population >= %", bound)
    return Table(headings, rows, tuple(asdict(each) for each in widths))


def power_table(powers: Sequence[Power]) -> Table:
    """Votes of one look that certify with 95 % power, a column a margin in units of sigma."""
    margins = tuple(dict.fromkeys(each.margin for each in powers))
    rows = []
    for (sigma, k, r), found in groupby(powers, key=lambda each: (each.sigma, each.k, each.radius)):
        votes = ("over a billion" if each.copies is None else f"{each.copies:,}" for each in found)
        rows.append((full(sigma), str(k), full(r), *votes))
    headings = ("sigma", "k", "r", *(f"margin {margin:g}" for margin in margins))
    return Table(headings, tuple(rows), tuple(asdict(each) for each in powers))


def changes_table(changes: Sequence[Change], forecast: bool) -> Table:
    """Other alpha, n_max, k and stopping rules: R_max, and with a pilot certified accuracy and mean copies."""
    rows = tuple(tuple(_changed(list(group), forecast)) for _, group in groupby(changes, key=_key))
    sigmas = " / ".join(full(sigma) for sigma in dict.fromkeys(each.sigma for each in changes))
    headings: tuple[str, ...] = ("setting", "value", f"R_max at sigma {sigmas}")
    if forecast:
        headings = (*headings, f"certified % at r = {full(changes[0].radius)}", "copies mean")
    return Table(headings, rows, tuple(asdict(each) for each in changes))


def _key(change: Change) -> tuple[str, str]:
    return change.setting, change.value


def _changed(group: list[Change], forecast: bool) -> Iterator[str]:
    first = group[0]
    yield first.setting
    yield f"{first.value} (plan)" if first.now else first.value
    yield " / ".join(format_down(each.r_max, 4) for each in group)
    if forecast:
        yield " / ".join("-" if each.certified is None else f"{100 * each.certified:.1f}" for each in group)
        yield " / ".join(_copies(each) for each in group)


def _copies(change: Change) -> str:
    """Print mean copies, in brackets where the pilot is too short to tell some cell."""
    if change.copies is None:
        return "-"
    return f"{change.copies:,.0f}" if change.told else f"({change.copies:,.0f})"
