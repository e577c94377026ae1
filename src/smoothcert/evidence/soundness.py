"""What must hold of every run, merged or not: a chained log that locks the spec, and the ledger that was sealed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from smoothcert.evidence.columns import indices_of
from smoothcert.evidence.events import LOCKED, RESUMED, STARTED, Event, broken_link, read_events
from smoothcert.evidence.ledger import Ledger
from smoothcert.spec import Recipe, Spec


def log_faults(log: Path, spec: Spec, name: str = "events.jsonl") -> Iterator[str]:
    """Yield what is wrong with a log of events: a broken chain, another spec than the one locked first.

    Args:
        log: the file.
        spec: the spec of the run.
        name: how the log is called in a fault.

    Raises:
        EvidenceError: there is no log, or a line is not an event.
    """
    events, number = read_events(log), broken_link(log)
    if number is not None:
        yield f"{name}: line {number} does not follow the line before it; the log was reordered or changed"
    if not events or events[0].event != LOCKED:
        yield f"{name}: the first event is not the locking of the spec"
    elif events[0].facts.get("spec_sha256") != spec.sha256():
        told = "the spec that was locked before the first image (a setting such as alpha was changed)"
        yield f"spec.json is not {told}" if name == log.name else f"{name}: spec.json is not {told}"


def seal_faults(seal: Event | None, ledger: Ledger) -> Iterator[str]:
    """Yield where a ledger is not the one that an event vouches for with `lines` and `ledger_sha256`."""
    if seal is None:
        return
    lines = seal.facts.get("lines")
    if lines != len(ledger.lines):
        yield f"ledger: {len(ledger.lines)} lines, but {lines} were sealed; lines were added or deleted"
    elif seal.facts.get("ledger_sha256") != ledger.sha256():
        yield "ledger: the lines are not the ones that were sealed; a count, a label or another field was changed"


def origin_faults(events: Sequence[Event], ledger: Ledger) -> Iterator[str]:
    """Yield the first line that is older than the lock of the spec, and the first of a recipe that no event accepted.

    Args:
        events: the run's own log, which begins with the lock.
        ledger: its ledger; no line of it is read.
    """
    columns, locked, accepted = ledger.columns, events[0].at, {None, *_recipes(events)}
    for i in _first([at < locked for at in columns.at.values], columns.at.codes):
        yield f"ledger: {_place(ledger, i)} was decided before the spec was locked ({locked})"
    for i in _first([recipe not in accepted for recipe in columns.recipe.values], columns.recipe.codes):
        recipe = columns.recipe.values[columns.recipe.codes[i]]
        yield f"ledger: {_place(ledger, i)} names the numeric recipe {recipe!r:.40}, which no event accepted"


def image_faults(spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Yield each line that is about an image, or a noise level, which the spec does not have; no line is read."""
    sigmas = [float(sigma) for sigma in spec.request.sigma]
    known = np.isin(ledger.columns.index, indices_of(spec)) & np.isin(ledger.columns.sigma, sigmas)
    for i in np.flatnonzero(~known).tolist():
        yield f"ledger: {_place(ledger, i)} is not an image of the spec"


def _first(faulty: Sequence[bool], codes: NDArray[np.int32]) -> list[int]:
    """Return the first line whose value is a faulty one, or none."""
    places: list[int] = np.flatnonzero(np.array(faulty, dtype=np.bool_)[codes])[:1].tolist()
    return places


def _place(ledger: Ledger, i: int) -> str:
    return f"sigma {ledger.columns.sigma[i]:g}, image {ledger.columns.index[i]}"


def _recipes(events: Sequence[Event]) -> Iterator[str]:
    """Yield the names of the recipes, other than the spec's, with which a run was begun or resumed."""
    for event in events:
        recipe = event.facts.get("recipe")
        if event.event in (STARTED, RESUMED) and isinstance(recipe, dict):
            try:
                yield Recipe.model_validate(recipe).name
            except ValidationError:
                continue
