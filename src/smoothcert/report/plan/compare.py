"""Predicted against realised: what a plan said of a run, beside what the run showed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smoothcert.evidence import Run
from smoothcert.evidence.forecast import CellForecast, Estimate, Forecast, LevelForecast, forecast_of
from smoothcert.evidence.line_store import columns_of
from smoothcert.evidence.results import PARTIAL, Cell
from smoothcert.report.plan.predicted import outwards, percents
from smoothcert.report.table import Table
from smoothcert.stats.rounding import full, percent_down

HEADINGS = ("sigma", "k", "r", "quantity", "forecast", "95 % interval", "realised", "inside")
SHARE, COPIES, SECONDS = "certified accuracy %", "copies mean", "device seconds"


def plan_table(run: Run) -> Table:
    """Return what the run's plan predicted beside what was realised; no rows where it was certified without a plan.

    A cell the pilot was too short to tell has an interval but no forecast; a run that is not finished has nothing
    realised, as quickly decided images finish first.
    """
    forecast = forecast_of(run.events)
    records = [] if forecast is None else list(_records(run, forecast))
    return Table(HEADINGS, tuple(_row(each) for each in records), tuple(records))


def inside(run: Run) -> str:
    """Return in a sentence how many of the predicted values lay in their intervals; empty without a plan or the end."""
    found = [each["inside"] for each in plan_table(run).records if each["inside"] is not None]
    if not found:
        return ""
    return (
        f"{sum(found)} of {len(found)} realised values lie in their 95 % prediction intervals. Values of one sigma "
        "come from the same images, so they tend to be inside or outside together."
    )


def _records(run: Run, forecast: Forecast) -> Iterator[dict[str, Any]]:
    realised = {(cell.sigma, cell.k, cell.radius): cell for cell in run.results()}
    for cell in forecast.cells:
        yield _of_cell(run, forecast, cell, realised.get((cell.sigma, cell.k, cell.radius)))
    for level in forecast.levels:
        yield from _of_level(run, forecast, level)


def _of_cell(run: Run, forecast: Forecast, cell: CellForecast, found: Cell | None) -> dict[str, Any]:
    share = forecast.share(cell)
    value = found.observed if found is not None and found.attainable and not run.missing else None
    more = None if share is None or share.value is not None else cell.telling(forecast.pilot.copies)
    return _record((cell.sigma, cell.k, cell.radius), SHARE, share, value) | {"pilot_copies_that_tell": more}


def _of_level(run: Run, forecast: Forecast, level: LevelForecast) -> Iterator[dict[str, Any]]:
    place, columns = (level.sigma, None, None), columns_of(run.ledger.at(level.sigma))
    whole_run = bool(len(columns)) and not run.missing
    copies = int(columns.samples.sum()) / len(columns) if whole_run else None
    yield _record(place, COPIES, forecast.copies(level), copies) | {"pilot_copies_that_tell": None}
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
    told = "pilot too short to tell"
    if estimate.value is not None:
        told = f"{100 * estimate.value:.1f}" if share else f"{estimate.value:,.{decimals}f}"
    realised = PARTIAL
    if record["realised"] is not None:
        realised = percent_down(record["realised"]) if share else f"{record['realised']:,.{decimals}f}"
    held = {True: "yes", False: "NO", None: "-"}[record["inside"]]
    return (*place, told, percents(estimate) if share else outwards(estimate, decimals), realised, held)
