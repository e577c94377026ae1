"""A finished, running or interrupted run, opened for reading, and how it compares with the plan recorded with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import UNSTATED, DenoiserFacts, ModelFacts, Place, Spec, Stated, factory_of, identity
from smoothcert.config.plan import PlanSettings
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.events import LEVEL, PLANNED, Change, Clean, Event, Rates, changes_of, clean_of, rates_of
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import columns_of
from smoothcert.evidence.outcomes import Outcomes, outcomes_by_k, pairwise_probabilities
from smoothcert.evidence.results import entries, repeats
from smoothcert.formats.cost import Basis
from smoothcert.formats.plan import Forecast, Outlook
from smoothcert.formats.results import REPEATS, Entry
from smoothcert.stats.rounding import full, scientific_up


@dataclass(frozen=True)
class Run:
    """Spec and ledger of a run directory, and what is stated about its images; the rest is derived on demand."""

    directory: RunDirectory
    spec: Spec
    ledger: Ledger
    stated: Stated = UNSTATED
    """What the sponsor states about how the images were drawn."""

    @property
    def expected(self) -> int:
        """Number of results of a complete run: one per (sigma, image)."""
        return self.spec.expected

    @property
    def missing(self) -> int:
        """Number of (sigma, image) pairs without a line."""
        return self.expected - len(self.ledger.lines)

    @cached_property
    def images(self) -> int:
        """Number of images of this directory: all of the spec, or those of its shard."""
        share = self.directory.share
        return self.spec.data.images if share is None else len(share.part(self.spec.indices))

    @cached_property
    def unsampled(self) -> int:
        """Number of (sigma, image) pairs of this directory without a line."""
        return len(self.spec.request.sigma) * self.images - len(self.ledger.lines)

    @cached_property
    def done(self) -> bool:
        """Whether nothing is left to sample and an event vouches for the lines: a sealed run or a finished shard."""
        return self.unsampled == 0 and self.directory.vouched() is not None

    @cached_property
    def sealed(self) -> bool:
        """Whether a finish event vouches for the ledger."""
        return self.directory.seal() is not None

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The event log."""
        return self.directory.read_events()

    def clean(self, sigma: float) -> Clean | None:
        """Return the clean accuracy of the base classifier of one noise level; None if it was not recorded."""
        return clean_of(self.events, float(sigma))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """L2 norms of simple perturbations of the images; empty if they were not measured."""
        return changes_of(self.events)

    @cached_property
    def rates(self) -> Rates | None:
        """Noise samples per second in each precision; None if they were not measured."""
        return rates_of(self.events)

    @cached_property
    def arithmetic(self) -> str:
        """Whether the certificates cover floating-point arithmetic, as text."""
        levels = [event for event in self.events if event.event == LEVEL]
        if self.spec.request.noise == "float":
            return "not covered (ordinary floating-point noise)"
        if not levels:
            return "not tested yet (no image has been sampled)"
        tests = [event.facts.get("self_test") for event in levels]
        if not all(isinstance(test, dict) and test.get("bit_equal") is True for test in tests):
            why = "the logits of a noise sample depend on the other rows of its batch, or on chance"
            return f"not covered (self-test: {why})"
        worst = max(model.eta for model in self.spec.models)
        step = f"1/{self.spec.data.levels}"
        return (
            f"covered (integer noise in steps of {step}, within {scientific_up(worst)} of Gaussian in total variation)"
        )

    @property
    def arithmetic_covered(self) -> bool:
        """Whether the certificates cover floating-point arithmetic."""
        return self.arithmetic.startswith("covered")

    @cached_property
    def repeats(self) -> int:
        """Number of images that repeat another one, counted at the first noise level; see `repeats`."""
        return repeats(self.spec, columns_of(self.ledger.at(self.spec.request.sigma[0])))

    @property
    def no_interval(self) -> str | None:
        """Why no interval over images is printed; None if one is, under the condition `stated.assumed`."""
        repeated = f"{REPEATS}: {self.repeats:,} of {self.spec.data.images:,}" if self.repeats else None
        return self.stated.no_interval or repeated

    def results(self, radii: Sequence[float] = ()) -> Sequence[Entry]:
        """Return the results table, one entry per (sigma, k, r); see `entries`."""
        return entries(self.spec, self.ledger, radii, self.certificates)

    def certificates(self, sigma: float, k: int = 1) -> Outcomes:
        """Return the certificates of one noise level and k; those of all k of the spec are derived together, once."""
        level, ks = float(sigma), self.spec.request.k
        if (level, k) not in self._known:
            by_k = outcomes_by_k(self.spec, self.ledger.at(level), level, ks if k in ks else (k,))
            self._known.update({(level, each): outcomes for each, outcomes in by_k.items()})
        return self._known[level, k]

    def pairwise_probabilities(self, sigma: float) -> NDArray[np.float64]:
        """Return the pairwise probability of the two leading classes of each image; see `pairwise_probabilities`."""
        if float(sigma) not in self._pairwise:
            self._pairwise[float(sigma)] = pairwise_probabilities(self.ledger.at(sigma))
        return self._pairwise[float(sigma)]

    @cached_property
    def _pairwise(self) -> dict[float, NDArray[np.float64]]:
        return {}

    @cached_property
    def _known(self) -> dict[tuple[float, int], Outcomes]:
        return {}


def open_run(path: str | Path) -> Run:
    """Open a run directory for reading; torch is not needed.

    Args:
        path: the run directory.

    Raises:
        EvidenceError: the path is not a run, or its ledger is damaged.
        SpecError: its spec is damaged.
    """
    directory = RunDirectory(Path(path))
    spec = directory.read_spec()
    return Run(directory, spec, directory.read_ledger(spec))


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
        "stop": (request.stops_by,) if request.stop or request.bound == "betting" else (),
        "price": (request.worth_samples,) if request.stops_by == "worth" else (),
        "n0": (request.n0,),
        "target": map(request.target_of, request.k),
        "noise": (request.noise,),
        "images": (spec.data.images,),
        "data": (spec.data.sha256,),
    }
    settings = {name: ", ".join(map(str, values)) for name, values in listed.items()}
    settings = {name: text for name, text in settings.items() if text or name not in ("stop", "price")}
    settings |= {f"classifier at sigma {full(each.sigma)}": each.sha256 for each in spec.models}
    before = {each.sigma: each.denoiser for each in spec.models if each.denoiser is not None}
    settings |= {f"denoiser at sigma {full(sigma)}": each.sha256 for sigma, each in before.items()}
    settings |= {f"{_CODE} classifier at sigma {full(each.sigma)}": _code(each) for each in spec.models}
    return settings | {f"{_CODE} denoiser at sigma {full(sigma)}": _code(each) for sigma, each in before.items()}


_CODE = "code of the"


def _code(network: ModelFacts | DenoiserFacts) -> str:
    """Return what defines a network besides its weights: the built-in name, or function, steps around it and source."""
    name = network.arch or factory_of(network.reference) or "no function"
    return ", ".join((name, *network.adapted, *([] if network.source_sha256 is None else [network.source_sha256])))


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
        if name.startswith(_CODE) and name not in planned:  # an earlier version made the plan
            continue
        if planned.get(name) != present.get(name):
            return f"{name}: planned {_short(planned.get(name))}, now {_short(present.get(name))}"
    return None


def _short(setting: str | None) -> str:
    if setting is None:
        return "nothing"
    if setting.startswith("sha256:"):
        return identity(setting)
    return re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]+", r"\1...", setting)


def forecast_of(events: Iterable[Event]) -> Forecast | None:
    """Return the forecast that a run was certified with, or None.

    Raises:
        EvidenceError: the event does not hold a forecast.
    """
    for event in events:
        if event.event == PLANNED:
            return Forecast.from_record(event.facts.get("forecast", {}))
    return None
