"""The tables of a forecast: certified accuracy, noisy copies and time, and the rate in each precision."""

from __future__ import annotations

from dataclasses import asdict

from smoothcert.evidence.forecast import CellForecast, Estimate, Forecast
from smoothcert.report.production import time_up
from smoothcert.report.table import Table
from smoothcert.stats.rounding import format_down, format_up, full, percent_down, percent_up


def forecast_table(forecast: Forecast) -> Table:
    """Certified accuracy of the run, with sequential looks and with a fixed number of copies."""
    copies = forecast.pilot.copies
    rows = tuple(
        (
            full(cell.sigma),
            str(cell.k),
            full(cell.radius),
            *_told(cell, cell.looks),
            *_told(cell, cell.fixed),
            "-" if cell.telling(copies) is None else f"{cell.telling(copies):,}",
        )
        for cell in forecast.cells
    )
    headings = ("sigma", "k", "r", "sequential: %", "95 % interval", "fixed: %", "interval", "pilot copies needed")
    records = tuple(
        {
            **{name: getattr(cell, name) for name in ("sigma", "k", "radius", "r_max", "needed")},
            **_flat("looks", cell.looks),
            **_flat("fixed", cell.fixed),
            "pilot_copies_that_tell": cell.telling(copies),
        }
        for cell in forecast.cells
    )
    return Table(headings, rows, records)


def _told(cell: CellForecast, estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return f"not attainable (R_max {format_down(cell.r_max, 4)})", "-"
    if estimate.value is None:
        return "pilot too short to tell", percents(estimate)
    return f"{100 * estimate.value:.1f}", percents(estimate)


def percents(estimate: Estimate) -> str:
    """Print an interval of shares, rounded outwards."""
    return f"{percent_down(estimate.low)} to {percent_up(estimate.high)}"


def outwards(estimate: Estimate, decimals: int) -> str:
    """Print an interval of numbers, rounded outwards."""
    low, high = float(format_down(estimate.low, decimals)), float(format_up(estimate.high, decimals))
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def _flat(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    parts = ("value", "low", "high")
    return {f"{name}_{part}": None if estimate is None else getattr(estimate, part) for part in parts}


def copies_table(forecast: Forecast) -> Table:
    """Noisy copies an image, forward passes and device time of the run, a row a sigma and one for all."""
    rows, records = [], []
    for level in forecast.levels:
        copies, seconds = forecast.copies(level), forecast.seconds(level)
        median = level.looks_median if forecast.stopping == "looks" else level.fixed_median
        passes = forecast.images * (copies.value or 0.0)
        fixed = level.fixed.value or 0.0
        rows.append(
            (
                full(level.sigma),
                f"{copies.value or 0:,.0f}",
                outwards(copies, 0),
                f"{median:,.0f}",
                f"{fixed:,.0f}",
                f"{passes:,.0f}",
                f"{time_up(seconds.value or 0)} ({time_up(seconds.low)} to {time_up(seconds.high)})",
            )
        )
        records.append(
            {"sigma": level.sigma, **_flat("copies", copies), "median": median, "fixed": fixed}
            | {"passes": passes, **_flat("seconds", seconds)}
        )
    headings = ("sigma", "copies mean", "95 % interval", "median", "mean if fixed", "forward passes", "device time")
    return Table(headings, (*rows, _total(forecast)), tuple(records))


def _total(forecast: Forecast) -> tuple[str, ...]:
    passes = sum(forecast.images * (forecast.copies(level).value or 0.0) for level in forecast.levels)
    seconds = [forecast.seconds(level) for level in forecast.levels]
    value, low, high = (sum(getattr(each, part) or 0.0 for each in seconds) for part in ("value", "low", "high"))
    time = f"{time_up(value)} ({time_up(low)} to {time_up(high)})"
    return ("all", "", "", "", "", f"{passes:,.0f}", time)


def rates_table(forecast: Forecast) -> Table:
    """Noisy copies a second in each precision, slowest, median and fastest round."""
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
    return Table(("precision", "noisy copies a second", "slowest to fastest round", "of this run"), rows, records)
