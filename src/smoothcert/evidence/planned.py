"""A run and its plan: what they must share, and the forecast in the run's event log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smoothcert.evidence.events import Event
from smoothcert.evidence.forecast import Forecast
from smoothcert.spec import Spec

PLANNED = "planned"


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
    return settings | {f"classifier at sigma {each.sigma:g}": each.sha256 for each in spec.models}


def difference(forecast: Forecast, spec: Spec) -> str | None:
    """Return in words the first setting in which a run is not the one that was planned, or None."""
    planned, present = forecast.settings, settings_of(spec)
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
