"""A plan: everything it found, and whether a run is the one that was planned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from smoothcert.config import Place, Spec
from smoothcert.config.plan import PlanSettings
from smoothcert.evidence.events import PLANNED, Event
from smoothcert.formats.cost import Basis
from smoothcert.formats.plan import Forecast, Outlook
from smoothcert.stats.rounding import full

__all__ = ["NAMED", "PLANNED", "Planned", "difference", "first_unnamed", "forecast_of", "named_entries", "settings_of"]

NAMED = "cells named before the pilot"
"""Key of the settings that holds the entries singled out before the pilot."""


@dataclass(frozen=True)
class Planned:
    """The result of planning a run.

    Attributes:
        settings: settings of the plan.
        classes: number of classes.
        images: m, images of the run.
        outlook: what follows from the settings, and from the pilot's forecast if there is one.
        forecast: forecast of the run; None without a pilot.
        basis: what costs are extrapolated from; None without a pilot.
        notes: remarks on how the plan was made.
    """

    settings: PlanSettings
    classes: int
    images: int
    outlook: Outlook
    forecast: Forecast | None = None
    basis: Basis | None = None
    notes: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return a plain record for JSON."""
        return {
            "settings": self.settings.plain(),
            "classes": self.classes,
            "images": self.images,
            **asdict(self.outlook),
            "forecast": None if self.forecast is None else self.forecast.to_record(),
            "basis": None if self.basis is None else asdict(self.basis),
            "notes": list(self.notes),
        }


def settings_of(spec: Spec) -> dict[str, str]:
    """Return the settings that a run must share with its plan, as text, in the order in which they are compared."""
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


def named_entries(spec: Spec) -> dict[str, str]:
    """Return the primary entry and those of the criteria as text, as a setting of a plan."""
    return {NAMED: "; ".join(place.words for place in _places(spec))}


def _places(spec: Spec) -> tuple[Place, ...]:
    request = spec.request
    return (*((request.primary,) if request.primary else ()), *request.criteria)


def first_unnamed(forecast: Forecast, spec: Spec) -> Place | None:
    """Return the first entry that a run singles out and its plan did not, or None.

    A pilot samples images of the run. The bound of a single entry holds only if that entry was chosen before; for one
    that was chosen afterwards, only the joint bound over all entries holds.
    """
    known = forecast.settings.get(NAMED, "").split("; ")
    return next((place for place in _places(spec) if place.words not in known), None)


def difference(forecast: Forecast, spec: Spec) -> str | None:
    """Describe the first setting in which a run differs from the plan; None if it is the planned run."""
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
    """Return the forecast that a run was certified with, or None.

    Raises:
        EvidenceError: the event does not hold a forecast.
    """
    for event in events:
        if event.event == PLANNED:
            return Forecast.from_record(event.facts.get("forecast", {}))
    return None
