"""The tables of a plan: attainable radii, power, images and forecast, and the forecast beside the realised run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from smoothcert.config import Production
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import columns_of
from smoothcert.evidence.run import Planned, forecast_of
from smoothcert.evidence.scenarios import scenarios
from smoothcert.formats.plan import (
    AttainableRadius,
    Change,
    EntryCost,
    EntryForecast,
    Estimate,
    Forecast,
    LevelForecast,
    Power,
    PriceEffect,
    Width,
)
from smoothcert.formats.results import PARTIAL, Entry
from smoothcert.report.cost import scenario_table, time_up
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import format_down, format_up, full, percent_down, percent_exact, percent_up


def forecast_table(forecast: Forecast) -> Table:
    """Return the forecast of certified accuracy, with sequential looks and with a fixed number of samples."""
    samples = forecast.pilot.copies
    rows = tuple(
        (
            full(entry.sigma),
            str(entry.k),
            full(entry.radius),
            *_printed(entry, entry.looks),
            *_printed(entry, entry.fixed),
            "-" if entry.telling(samples) is None else f"{entry.telling(samples):,}",
        )
        for entry in forecast.cells
    )
    headings = ("sigma", "k", "r", "sequential: %", "95 % interval", "fixed: %", "interval", "pilot samples needed")
    records = tuple(
        {
            **{name: getattr(entry, name) for name in ("sigma", "k", "radius", "r_max", "needed")},
            **_flat("looks", entry.looks),
            **_flat("fixed", entry.fixed),
            "pilot_copies_that_tell": entry.telling(samples),
        }
        for entry in forecast.cells
    )
    return Table(headings, rows, records)


def _printed(entry: EntryForecast, estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return f"not attainable (R_max {format_down(entry.r_max, 4)})", "-"
    if estimate.value is None:
        return "undecided: pilot too short", percents(estimate)
    return f"{100 * estimate.value:.1f}", percents(estimate)


def percents(estimate: Estimate) -> str:
    """Return an interval of shares, rounded outwards."""
    return f"{percent_down(estimate.low)} to {percent_up(estimate.high)}"


def outwards(estimate: Estimate, decimals: int) -> str:
    """Return an interval of numbers, rounded outwards."""
    low, high = float(format_down(estimate.low, decimals)), float(format_up(estimate.high, decimals))
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def _flat(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    parts = ("value", "low", "high")
    return {f"{name}_{part}": None if estimate is None else getattr(estimate, part) for part in parts}


def samples_table(forecast: Forecast) -> Table:
    """Return samples per image, forward passes and device time of the run, one row per sigma and one in total."""
    rows, records = [], []
    for level in forecast.levels:
        samples, seconds = forecast.copies(level), forecast.seconds(level)
        median = level.looks_median if forecast.stopping == "looks" else level.fixed_median
        passes = forecast.images * (samples.value or 0.0)
        fixed = level.fixed.value or 0.0
        rows.append(
            (
                full(level.sigma),
                f"{samples.value or 0:,.0f}",
                outwards(samples, 0),
                f"{median:,.0f}",
                f"{fixed:,.0f}",
                f"{passes:,.0f}",
                f"{time_up(seconds.value or 0)} ({time_up(seconds.low)} to {time_up(seconds.high)})",
            )
        )
        records.append(
            {"sigma": level.sigma, **_flat("copies", samples), "median": median, "fixed": fixed}
            | {"passes": passes, **_flat("seconds", seconds)}
        )
    headings = ("sigma", "mean samples", "95 % interval", "median", "mean if fixed", "forward passes", "device time")
    return Table(headings, (*rows, _total(forecast)), tuple(records))


def _total(forecast: Forecast) -> tuple[str, ...]:
    passes = sum(forecast.images * (forecast.copies(level).value or 0.0) for level in forecast.levels)
    seconds = [forecast.seconds(level) for level in forecast.levels]
    value, low, high = (sum(getattr(each, part) or 0.0 for each in seconds) for part in ("value", "low", "high"))
    time = f"{time_up(value)} ({time_up(low)} to {time_up(high)})"
    return ("all", "", "", "", "", f"{passes:,.0f}", time)


def rates_table(forecast: Forecast) -> Table:
    """Return the samples per second in each precision: median, slowest and fastest round."""
    first = forecast.levels[0]
    rows = tuple(
        (
            rate.precision,
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f} to {rate.high:,.0f}",
            "yes" if rate.precision == forecast.pilot.precision else "no",
        )
        for rate in first.rates
    )
    records = tuple({"device": forecast.pilot.device, "sigma": first.sigma, **asdict(rate)} for rate in first.rates)
    return Table(("precision", "samples per second", "slowest to fastest round", "used by this run"), rows, records)


TITLES = {
    "reach": "Attainable radii",
    "forecast": "Certified accuracy, forecast",
    "copies": "Samples and device time, forecast",
    "rates": "Rate in each precision, measured",
    "cost": "Cost, extrapolated from the pilot",
    "images": "Width of the interval, by number of images",
    "power": "Votes for 95 % power at a single look, by margin",
    "changes": "Effect of other settings",
    "entries": "What each entry costs, forecast",
    "prices": "What a price costs, forecast",
}
"""Titles of the tables, in order."""


def tables(planned: Planned, production: Production | None = None) -> dict[str, Table]:
    """Return the tables of a plan by name, in order; without a pilot those of the forecast are missing."""
    outlook, forecast = planned.outlook, planned.forecast
    found = {"reach": reach_table(outlook.reaches)}
    if forecast is not None:
        found |= {"forecast": forecast_table(forecast), "copies": samples_table(forecast)}
        found |= {"rates": rates_table(forecast)}
    if planned.basis is not None:
        asked = production or Production()
        found["cost"] = scenario_table(scenarios(planned.basis, asked))
    found |= {"images": images_table(outlook.widths), "power": power_table(outlook.powers)}
    found["changes"] = changes_table(outlook.changes, forecast is not None)
    if outlook.entries:
        found["entries"] = entries_table(outlook.entries)
    if outlook.prices:
        found["prices"] = prices_table(outlook.prices)
    return found


def reach_table(reaches: Sequence[AttainableRadius]) -> Table:
    """Return which entries are attainable, with how many unanimous votes, and from which probability."""
    headings = (
        "sigma",
        "k",
        "r",
        "R_max",
        "unanimous votes",
        "at look",
        "95 % power at one look from p",
        "of the run there",
    )
    return Table(headings, tuple(_reach(each) for each in reaches), tuple(asdict(each) for each in reaches))


def _reach(each: AttainableRadius) -> tuple[str, ...]:
    votes = "over ten million" if each.votes is None else f"{each.votes:,}"
    look = "not attainable" if each.look is None else f"{each.look:,}"
    p = "-" if each.probability is None else format_up(each.probability, 4)
    power = "-" if each.power is None else f"{percent_down(each.power, 0)} %"
    return (full(each.sigma), str(each.k), full(each.radius), format_down(each.r_max, 4), votes, look, p, power)


def images_table(widths: Sequence[Width]) -> Table:
    """Return the width of the interval over the images, and the images needed for the population bound."""
    wanted = widths[0].wanted
    rows = tuple(
        (
            f"{100 * each.share:.1f}",
            each.origin,
            f"{each.images:,}",
            f"{percent_down(each.low)} to {percent_up(each.high)}",
            percent_down(each.population),
            *("share too low" if n is None else f"{n:,}" for n in (each.needed, each.likely, each.very_likely)),
        )
        for each in widths
    )
    bound = f"images for >= {percent_exact(wanted)} %"
    chances = ("for 80 % chance", "for 95 % chance")
    headings = ("certified %", "at", "images", "95 % interval", "population >= %", bound, *chances)
    return Table(headings, rows, tuple(asdict(each) for each in widths))


def power_table(powers: Sequence[Power]) -> Table:
    """Return the votes with which a single look certifies with 95 % power, one column per margin in units of sigma."""
    margins = tuple(dict.fromkeys(each.margin for each in powers))
    rows = []
    for (sigma, k, r), found in groupby(powers, key=lambda each: (each.sigma, each.k, each.radius)):
        votes = ("over a billion" if each.copies is None else f"{each.copies:,}" for each in found)
        rows.append((full(sigma), str(k), full(r), *votes))
    headings = ("sigma", "k", "r", *(f"margin {margin:g}" for margin in margins))
    return Table(headings, tuple(rows), tuple(asdict(each) for each in powers))


def changes_table(changes: Sequence[Change], forecast: bool) -> Table:
    """Return R_max at other settings; with a pilot also certified accuracy and mean samples."""
    rows = tuple(tuple(_changed(list(group), forecast)) for _, group in groupby(changes, key=_key))
    sigmas = " / ".join(full(sigma) for sigma in dict.fromkeys(each.sigma for each in changes))
    headings: tuple[str, ...] = ("setting", "value", f"R_max at sigma {sigmas}")
    if forecast:
        headings = (*headings, f"certified % at r = {full(changes[0].radius)}", "mean samples")
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
        yield " / ".join(_samples(each) for each in group)


def _samples(change: Change) -> str:
    """Return mean samples, in brackets if the pilot is too short to decide some entry."""
    if change.copies is None:
        return "-"
    return f"{change.copies:,.0f}" if change.told else f"({change.copies:,.0f})"


def entries_table(entries: Sequence[EntryCost]) -> Table:
    """Return the mean samples of a run with each entry alone, and those that leaving it out saves."""
    rows = tuple(
        (
            full(each.sigma),
            str(each.k),
            full(each.radius),
            "not attainable" if each.alone is None else f"{each.alone:,.0f}",
            "-" if each.alone is None else f"{each.saved:,.0f}",
        )
        for each in entries
    )
    headings = ("sigma", "k", "r", "mean samples alone", "saved if left out")
    return Table(headings, rows, tuple(asdict(each) for each in entries))


def prices_table(prices: Sequence[PriceEffect]) -> Table:
    """Return mean samples and lost points of certified accuracy at several prices, against futility."""
    rows = tuple(
        (
            full(each.sigma),
            ("futility" if each.price is None else f"{each.price:,.0f}") + (" (plan)" if each.now else ""),
            f"{each.copies:,.0f}",
            "-" if each.price is None else f"{100 * each.lost:.1f}",
            "-" if each.price is None else f"{100 * each.most:.1f}",
        )
        for each in prices
    )
    headings = ("sigma", "price", "mean samples", "points lost, mean", "largest")
    return Table(headings, rows, tuple(asdict(each) for each in prices))


HEADINGS = ("sigma", "k", "r", "quantity", "forecast", "95 % interval", "realised", "inside")
SHARE, SAMPLES, SECONDS = "certified accuracy %", "mean samples", "device seconds"


def plan_table(run: Run) -> Table:
    """Return the forecast of the plan beside the realised run; no rows if the run had no plan.

    An entry that the pilot was too short to decide has an interval but no forecast. An unfinished run has no realised
    values, because images that are decided quickly finish first.
    """
    forecast = forecast_of(run.events)
    records = [] if forecast is None else list(_records(run, forecast))
    return Table(HEADINGS, tuple(_row(each) for each in records), tuple(records))


def inside(run: Run) -> str:
    """Return a sentence on how many realised values are in their intervals; empty without a plan or before the end."""
    found = [each["inside"] for each in plan_table(run).records if each["inside"] is not None]
    if not found:
        return ""
    return (
        f"{sum(found)} of {len(found)} realised values are in their 95 % prediction intervals. Values of one sigma "
        "come from the same images, so they tend to be inside or outside together."
    )


def _records(run: Run, forecast: Forecast) -> Iterator[dict[str, Any]]:
    realised = {(entry.sigma, entry.k, entry.radius): entry for entry in run.results()}
    for entry in forecast.cells:
        yield _of_entry(run, forecast, entry, realised.get((entry.sigma, entry.k, entry.radius)))
    for level in forecast.levels:
        yield from _of_level(run, forecast, level)


def _of_entry(run: Run, forecast: Forecast, entry: EntryForecast, found: Entry | None) -> dict[str, Any]:
    share = forecast.share(entry)
    value = found.observed if found is not None and found.attainable and not run.missing else None
    more = None if share is None or share.value is not None else entry.telling(forecast.pilot.copies)
    return _record((entry.sigma, entry.k, entry.radius), SHARE, share, value) | {"pilot_copies_that_tell": more}


def _of_level(run: Run, forecast: Forecast, level: LevelForecast) -> Iterator[dict[str, Any]]:
    place, columns = (level.sigma, None, None), columns_of(run.ledger.at(level.sigma))
    whole_run = bool(len(columns)) and not run.missing
    samples = int(columns.samples.sum()) / len(columns) if whole_run else None
    yield _record(place, SAMPLES, forecast.copies(level), samples) | {"pilot_copies_that_tell": None}
    recipe, pilot = run.spec.recipe, forecast.pilot
    seconds = columns.total_seconds() if whole_run else None
    if (recipe.device, recipe.precision) == (pilot.device, pilot.precision):
        yield _record(place, SECONDS, forecast.seconds(level), seconds) | {"pilot_copies_that_tell": None}


def _record(
    place: tuple[float, int | None, float | None], quantity: str, predicted: Estimate | None, realised: float | None
) -> dict[str, Any]:
    sigma, k, r = place
    known = predicted is not None and realised is not None
    return {
        "sigma": sigma,
        "k": k,
        "radius": r,
        "quantity": quantity,
        "attainable": predicted is not None,
        "forecast": predicted and predicted.value,
        "low": predicted and predicted.low,
        "high": predicted and predicted.high,
        "realised": realised,
        "inside": predicted.holds(realised) if known and predicted and realised is not None else None,
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    k, r = record["k"], record["radius"]
    place = (full(record["sigma"]), "-" if k is None else str(k), "-" if r is None else full(r), record["quantity"])
    if not record["attainable"]:
        return (*place, "not attainable", "-", "-", "-")
    estimate = Estimate(record["forecast"], record["low"], record["high"])
    share, decimals = record["quantity"] == SHARE, 2 if record["quantity"] == SECONDS else 0
    forecast = "undecided: pilot too short"
    if estimate.value is not None:
        forecast = f"{100 * estimate.value:.1f}" if share else f"{estimate.value:,.{decimals}f}"
    realised = PARTIAL
    if record["realised"] is not None:
        realised = percent_down(record["realised"]) if share else f"{record['realised']:,.{decimals}f}"
    held = {True: "yes", False: "NO", None: "-"}[record["inside"]]
    return (*place, forecast, percents(estimate) if share else outwards(estimate, decimals), realised, held)
