"""Cost scenarios as tables and as the record `cost.json`: measured, extrapolated, stated or unknown.

Costs are rounded up. An unknown cost is never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smoothcert import version
from smoothcert.config import Device, Price, Production, make_production
from smoothcert.errors import InputError
from smoothcert.evidence import Run
from smoothcert.evidence.cost import basis_of, costs
from smoothcert.evidence.scenarios import scenarios
from smoothcert.formats.cost import AMOUNTS, RUN, Amount, Basis, Scenario, around
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import (
    format_down,
    format_up,
    full,
    percent_down,
    percent_exact,
    percent_up,
    scientific_up,
)

HEADINGS = ("studies per day", "task", "device", "samples", "latency", "devices", "device time", "energy")
_LARGE = 1e8
DEVICE = HEADINGS.index("device")
UNKNOWN, NOT_STATED = "unknown", "not stated"
_UNITS = (("h", 3600.0, 7200.0), ("min", 60.0, 120.0), ("s", 1.0, 1.0), ("ms", 0.001, 0.0))
"""Name, length in seconds, and the time in seconds from which it is used."""


def production_table(run: Run, production: Production | None = None) -> Table:
    """Return the cost scenarios of a run; without a production section, the defaults on the device of the run.

    The table has no rows if no image is decided.
    """
    asked = production or Production()
    return scenario_table(scenarios(basis_of(run, asked), asked) if run.ledger.lines else ())


def scenario_table(rows: Sequence[Scenario]) -> Table:
    """Return scenarios as a table, with a device column if there are several and money columns if one has a price."""
    currencies = {row.currency for row in rows if row.currency}
    unit = next(iter(currencies)) if len(currencies) == 1 else "money"
    headings = (*HEADINGS, *((f"{unit} at work", f"{unit} held 24 h") if currencies else ()))
    printed = [(*_cells(row), *(_money(row, unit) if currencies else ())) for row in rows]
    named = len({row.device for row in rows}) > 1
    kept = [i for i in range(len(headings)) if named or i != DEVICE]
    entries = tuple(tuple(each[i] for i in kept) for each in printed)
    return Table(tuple(headings[i] for i in kept), entries, tuple(_flat(row) for row in rows))


def device_tables(rows: Sequence[Scenario]) -> dict[str, Table]:
    """Return scenarios as one table per device, keyed by device name."""
    names = dict.fromkeys(row.device for row in rows)
    return {name: scenario_table([row for row in rows if row.device == name]) for name in names}


def _cells(row: Scenario) -> tuple[str, ...]:
    served = row.studies is not None
    return (
        f"{row.studies:,}" if served else "once",
        _task(row),
        row.device,
        _whole(row.copies, served),
        (UNKNOWN if row.latency is None else time_up(row.latency.value)) if served else "-",
        _whole(row.devices) if served else "-",
        UNKNOWN if row.hours is None else _time(row.hours.times(3600)),
        energy_up(row.kwh),
    )


def _money(row: Scenario, unit: str) -> tuple[str, str]:
    """Return the price at work and held all day, with the currency unless the headings name it."""
    if row.currency is None:
        return NOT_STATED, "-" if row.studies is None else NOT_STATED
    currency = "" if unit == row.currency else row.currency
    return price(row.money, currency), "-" if row.studies is None else price(row.held, currency)


def _task(row: Scenario) -> str:
    """Return the task, marked as measured if it was; every other row is extrapolated."""
    done = row.task == RUN and row.copies is not None and row.copies.origin == "measured"
    return f"{row.task}, measured" if done else row.task


def price(amount: Amount | None, currency: str) -> str:
    """Return an amount of money rounded up, or "unknown"."""
    return UNKNOWN if amount is None else f"{digits_up(amount.value, 2)} {currency}".strip()


def digits_up(x: float, decimals: int | None = None) -> str:
    """Return a cost rounded up, to three digits or to `decimals`; very large values get an exponent.

    >>> digits_up(0.0123456), digits_up(12.31), digits_up(1234567.1), digits_up(2.0, 0), digits_up(7.01e9)
    ('0.0124', '12.4', '1,234,568', '2', '7.1e+09')
    """
    if x >= _LARGE:
        return scientific_up(x)
    places = _places(x) if decimals is None else decimals
    return f"{float(format_up(x, places)):,.{places}f}"


def time_up(seconds: float) -> str:
    """Return a time rounded up, in a suitable unit.

    >>> [time_up(s) for s in (0.0625, 12.6, 300, 7200, 12_000_000)]
    ['62.5 ms', '12.6 s', '5.00 min', '2.00 h', '3,334 h']
    """
    unit, length = _unit(seconds)
    return f"{digits_up(seconds / length)} {unit}"


def energy_up(kwh: Amount | None) -> str:
    """Return an energy rounded up, in a suitable unit, or "unknown".

    >>> energy_up(None), energy_up(Amount(0.00123, 0.001, 0.002, "measured"))
    ('unknown', '1.23 Wh')
    """
    if kwh is None:
        return UNKNOWN
    return f"{digits_up(kwh.value)} kWh" if kwh.value >= 0.1 else f"{digits_up(1000 * kwh.value)} Wh"


def _unit(seconds: float) -> tuple[str, float]:
    return next((name, length) for name, length, least in _UNITS if seconds >= least)


def scientific_down(x: float) -> str:
    """Return a large number with two digits, rounded down.

    >>> scientific_down(7.19e9), scientific_down(1e9)
    ('7.1e+09', '1.0e+09')
    """
    up = scientific_up(x)
    return up if float(up) <= x else f"{float(up) - 10.0 ** (math.floor(math.log10(x)) - 1):.1e}"


def _places(x: float) -> int:
    """Return the decimals that show three digits; 0 from 100 on."""
    return min(15, max(0, 2 - math.floor(math.log10(x)))) if x > 0 else 0


def _whole(amount: Amount | None, spread: bool = True) -> str:
    if amount is None:
        return UNKNOWN
    return _ranged(amount, 0) if spread else f"{math.ceil(amount.value):,}"


def _time(seconds: Amount) -> str:
    unit, length = _unit(seconds.value)
    return _ranged(seconds.times(1 / length), _places(seconds.value / length), unit)


def _ranged(amount: Amount, places: int, unit: str = "") -> str:
    """Return a number rounded up, with its spread if it has one."""
    value = f"{digits_up(amount.value, places)} {unit}".strip()
    low = f"{float(format_down(amount.low, places)):,.{places}f}"
    low = low if amount.low < _LARGE else scientific_down(amount.low)
    return value if amount.low == amount.high else f"{value} ({low} to {digits_up(amount.high, places)})"


def _flat(row: Scenario) -> dict[str, Any]:
    record = {name: value for name, value in asdict(row).items() if name not in AMOUNTS}
    for name in AMOUNTS:
        found = getattr(row, name)
        for part in ("value", "low", "high", "origin"):
            record[name if part == "value" else f"{name}_{part}"] = None if found is None else getattr(found, part)
    return record


def devices_table(basis: Basis, production: Production) -> Table:
    """Return what the scenarios assume of each device: rate, energy and price, each with its source."""
    here = production.here
    rows = [_here(basis, here), *(_stated(each) for each in production.devices if each is not here)]
    headings = ("device", "samples per second", "energy", "price per hour", "source")
    return Table(headings, tuple(rows), tuple(dict(zip(headings, row, strict=True)) for row in rows))


def _here(basis: Basis, device: Device | None) -> tuple[str, ...]:
    rate, measured = UNKNOWN, "pilot" if basis.origin == "pilot" else "run"
    if basis.rate is not None and basis.rate_low is not None and basis.rate_high is not None:
        low, high = f"{math.floor(basis.rate_low):,}", f"{math.ceil(basis.rate_high):,}"
        rate = f"{math.floor(basis.rate):,} ({low} to {high}), measured"
    energy = UNKNOWN
    if basis.joules is not None:
        energy = f"{digits_up(1000 * basis.joules)} mJ per sample, measured ({basis.energy_source})"
    elif device is not None and device.watts is not None:
        energy = f"{device.watts:g} W, stated"
    about = f"this {measured}: {basis.device}, {basis.precision}, sigma {full(basis.sigma)}"
    source = about if device is None else f"{about}; {device.source}"
    return (device.name if device else basis.device, rate, energy, _hour(device.hour if device else None), source)


def _stated(device: Device) -> tuple[str, ...]:
    energy = UNKNOWN if device.watts is None else f"{device.watts:g} W, stated"
    rate = f"{device.copies_per_second or 0:,.0f}, stated"
    return (device.name, rate, energy, _hour(device.hour), device.source)


def _hour(stated: Price | None) -> str:
    return NOT_STATED if stated is None else f"{stated.amount:,.2f} {stated.currency}, {stated.date}"


def rates_table(run: Run) -> Table:
    """Return the rate in each precision on the device of the run; no rows if none was measured."""
    found = run.rates
    headings = ("precision", "samples per second", "used by this run")
    if found is None:
        return Table(headings, (), ())
    own = run.spec.recipe.precision
    rows = [(name, f"{math.floor(rate):,}", "yes" if name == own else "no") for name, rate in found.rates.items()]
    rows += [(name, "not on this device", "no") for name in found.left_out]
    records = [{"precision": name, "copies_per_second": rate} for name, rate in found.rates.items()]
    records += [{"precision": name, "copies_per_second": None} for name in found.left_out]
    return Table(headings, tuple(rows), tuple({**each, "device": found.device} for each in records))


def assumptions(basis: Basis, production: Production) -> str:
    """Return in words what the scenarios assume of production, and how often a prediction abstains."""
    abstention = "It is not known how many studies get no prediction."
    if basis.abstention is not None:
        found = around(basis.abstention, basis.abstention_error, 0, 1, "extrapolated")
        low, high = percent_down(found.low), percent_up(found.high)
        abstention = f"An estimated {percent_up(found.value)} % ({low} to {high}) of such images get no prediction."
    return (
        f"Predictions of up to {production.votes:,} samples at alpha = {full(production.alpha)}, batched with others "
        f"so that batches are full; devices at work {percent_exact(production.utilisation)} % of the day. {abstention} "
        "What is not marked as measured is extrapolated."
    )


COST = "cost.json"
FORMAT = 1
LARGEST = 1 << 20
"""Maximum size of a cost.json, in bytes."""
READING = {
    "measured": "recorded while this run was sampled: samples, seconds, and energy if the device reports it",
    "extrapolated": "computed from measured or stated numbers, for work that was not done",
    "stated": "a setting of the run, or given by the user with its source: votes, and rate of a device",
    "low, high": (
        "at the highest and lowest rate of ten consecutive parts of the noise level, and at the mean number of samples "
        "minus and plus two standard errors over the images; a stated rate has no spread"
    ),
    "hours, kwh, money": "at work: in total for tasks done once, per day for production; idle devices use power too",
    "held": "price of the devices needed, each paid for 24 hours",
    "devices": "device-hours per day / (24 x utilisation), rounded up",
    "latency": "seconds for one study alone on a device, in whole batches at the rate of full batches",
    "abstention": (
        "an estimate from stored votes: for each image the leader's vote share against the runner-up, then the exact "
        "power of the test between two classes; images in production may differ"
    ),
}


def cost_record(run: Run, production: Production | None, sponsor_sha256: str | None = None) -> dict[str, Any]:
    """Return `cost.json` as plain values.

    Args:
        run: the run, with at least one decided image.
        production: the user's section, or None for the defaults.
        sponsor_sha256: hash of the file that contains it.
    """
    asked = production or Production()
    basis = basis_of(run, asked)
    record = {
        "format": FORMAT,
        "smoothcert": version.__version__,
        "ledger_sha256": run.ledger.sha256(),
        "production": asked.model_dump(mode="json"),
        "stated_by_user": production is not None,
        "sponsor_sha256": sponsor_sha256,
        "basis": asdict(basis),
        "precisions": None if run.rates is None else asdict(run.rates),
        "run": [asdict(each) for each in costs(run)],
        "scenarios": [asdict(row) for row in scenarios(basis, asked)],
        "unknown": list(unknown(basis, asked)),
        "reading": READING,
    }
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain


def unknown(basis: Basis, production: Production) -> Iterator[str]:
    """Yield what is unknown, and why."""
    if basis.rate is None:
        yield "rate and time of the device of the run: no time was recorded"
    if basis.joules is None:
        yield f"energy of the device of the run: {basis.energy_source.removeprefix('unknown: ')}"
    elif basis.metered < basis.passes:
        yield f"energy of {basis.passes - basis.metered:,} of {basis.passes:,} samples: extrapolated from the others"
    here = production.here
    if here is None or here.hour is None:
        yield "price of the device of the run: not stated"
    for device in production.devices:
        if device is not here and device.watts is None:
            yield f"energy of {device.name}: no power was stated"
        if device is not here and device.hour is None:
            yield f"price of {device.name}: not stated"


def stated(record: dict[str, Any]) -> Production | None:
    """Return the production section of a written `cost.json`, or None if the defaults were used.

    Raises:
        KeyError, TypeError, InputError: the record is not a `cost.json`.
    """
    return make_production(record["production"]) if record["stated_by_user"] else None


def read_stated(folder: Path) -> Production | None:
    """Return the production section that the documents in a folder were written with, or None for the defaults."""
    try:
        return stated(parse(read_bytes(folder / COST, LARGEST), COST))
    except (KeyError, TypeError, InputError):
        return None
