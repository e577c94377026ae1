"""The record `cost.json`: basis, production as given, scenarios, and what is measured, extrapolated or unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smoothcert import version
from smoothcert.errors import InputError
from smoothcert.evidence import Run
from smoothcert.evidence.cost import basis_of, costs
from smoothcert.evidence.scenarios import Basis, scenarios
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.spec import Production, make_production

COST = "cost.json"
FORMAT = 1
LARGEST = 1 << 20
"""Bytes of a cost.json."""
READING = {
    "measured": "recorded while this run was sampled: copies, seconds, and energy where the device reports it",
    "extrapolated": "computed from measured or stated numbers, for work that was not done",
    "stated": "a setting of the run, or given by the user with its source: votes, and rate of a device",
    "low, high": (
        "at the highest and lowest rate of ten consecutive parts of the noise level, and at the mean number of copies "
        "less and plus two standard errors over the images; a stated rate has no spread of its own"
    ),
    "hours, kwh, money": "at work: in all for what is done once, a day for production; idle devices use power too",
    "held": "price of the devices needed, each paid for all 24 hours",
    "devices": "device-hours a day / (24 x utilisation), rounded up",
    "latency": "seconds of one study alone on a device, in whole batches at the rate of full batches",
    "abstention": (
        "an estimate from stored votes: for each image the leader's share against the runner-up, then the exact odds "
        "of the test between two classes; images in production may differ"
    ),
}


def cost_record(run: Run, production: Production | None, sponsor_sha256: str | None = None) -> dict[str, Any]:
    """Return `cost.json` as plain values.

    Args:
        run: the run, with at least one decided image.
        production: the user's section, or None for the defaults.
        sponsor_sha256: hash of the file it stands in.
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
    """Yield what is not known, and why."""
    if basis.rate is None:
        yield "rate and time of the device of the run: no time was recorded"
    if basis.joules is None:
        yield f"energy of the device of the run: {basis.energy_source.removeprefix('unknown: ')}"
    elif basis.metered < basis.passes:
        yield f"energy of {basis.passes - basis.metered:,} of {basis.passes:,} copies: extrapolated from the others"
    here = production.here
    if here is None or here.hour is None:
        yield "price of the device of the run: not stated"
    for device in production.devices:
        if device is not here and device.watts is None:
            yield f"energy of {device.name}: no power was stated"
        if device is not here and device.hour is None:
            yield f"price of {device.name}: not stated"


def stated(record: dict[str, Any]) -> Production | None:
    """Return the production section of a written `cost.json`, or None where the defaults were used.

    Raises:
        KeyError, TypeError, InputError: it is not such a record.
    """
    return make_production(record["production"]) if record["stated_by_user"] else None


def read_stated(folder: Path) -> Production | None:
    """Return the production section that the documents of a folder were written with; None: the defaults."""
    try:
        return stated(parse(read_bytes(folder / COST, LARGEST), COST))
    except (KeyError, TypeError, InputError):
        return None
