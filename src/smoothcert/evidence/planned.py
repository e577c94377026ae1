"""A run and its plan: what they must share, and the forecast in the run's event log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smoothcert.evidence.events import PLANNED, Event
from smoothcert.evidence.forecast import Forecast
from smoothcert.spec import Place, Spec
from smoothcert.stats import full

__all__ = ["NAMED", "PLANNED", "difference", "first_unnamed", "forecast_of", "named_cells", "settings_of"]

NAMED = "cells named before the pilot"


def settings_of(spec: Spec) -> dict[str, str]:
    """Return what a run must share with its plan, in words, in the order in which a difference is named."""
    request = spec.request
    listed: dict[str, Iterable[Any]] = {
        "sigma": map(float, request.sigma),
        "k": request.k,
        "radius": request.radius,
        "alpha": (request.alpha,),
        "n_max": (request.n_max,),
        "bound": (request.bound,),
        "stopping": (request.stopping,),
        "n0": (request.n0,),
        "target": map(request.target_of, request.k),
        "noise": (request.noise,),
        "images": (spec.data.images,),
        "data": (spec.data.sha256,),
    }
    settings = {name: ", ".join(map(str, values)) for name, values in listed.items()}
    return settings | {f"classifier at sigma {full(each.sigma)}": each.sha256 for each in spec.models}


def named_cells(spec: Spec) -> dict[str, str]:
    """Return the primary cell and those of the criteria in words, as a setting of a plan."""
    return {NAMED: "; ".join(place.words for place in _places(spec))}


def _places(spec: Spec) -> tuple[Place, ...]:
    request = spec.request
    return (*((request.primary,) if request.primary else ()), *request.criteria)


def first_unnamed(forecast: Forecast, spec: Spec) -> Place | None:
    """Return the first cell that a run singles out and its plan did not, or None.

    A pilot looks at images of the run. The bound of a single cell holds for a cell that was chosen before any look at
    them; for one that was chosen afterwards only the bound for all cells together does.
    """
    known = forecast.settings.get(NAMED, "").split("; ")
    return next((place for place in _places(spec) if place.words not in known), None)


def difference(forecast: Forecast, spec: Spec) -> str | None:
    """Return in words the first setting in which a run is not the one that was planned, or None."""
    planned = {name: value for name, value in forecast.settings.items() if name != NAMED}
    present = settings_of(spec)
    for name in (*present, *planned):
        if planned.get(name) != present.get(name):
            return f"{name}: planned {_short(planned.get(name))}, now {_short(present.get(name))}"
    return None


def _short(setting: str | None) -> str:
    if setting is None:
        return "nothing"
    return f"{setting[:19]}..." if setting.startswith("sha256:") else setting


def forecast_of(events: Iterable[Event]) -> Forecast | None:
    """Return the forecast a run was certified with, or None.

    Raises:
        EvidenceError: the event holds something else.
    """
    for event in events:
        if event.event == PLANNED:
            return Forecast.from_record(event.facts.get("forecast", {}))
    return None
