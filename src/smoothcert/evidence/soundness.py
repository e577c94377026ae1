"""Soundness of a run, merged or not: an unbroken log that locks the spec, tests passed, the ledger as sealed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from smoothcert.config import Recipe, Spec
from smoothcert.evidence.directory import RunDirectory, file_sha256
from smoothcert.evidence.events import (
    FINISHED,
    LEVEL,
    LOCKED,
    MERGED,
    REPORTED,
    RESUMED,
    SESSION_ENDED,
    SIGNED,
    STARTED,
    WORKER,
    Event,
    broken_link,
    end_of,
    read_events,
)
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import indices_of
from smoothcert.evidence.seal import LOCK_SIGNATURE, fingerprint, seal_facts, supersedes

_LEDGER_NAME = re.compile(r"[^.].*\.jsonl(\.gz)?", re.DOTALL)


def own_faults(run: RunDirectory, spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Yield the faults of a run's own log and of its ledger; for a merged run, not those of the logs of its shards.

    Raises:
        EvidenceError: there is no log, or a line is not an event.
    """
    yield from log_faults(run.events, spec)
    events = run.own_events()
    yield from late_faults(events, fingerprint(run))
    yield from signature_faults(run)
    yield from environment_faults(run)
    yield from folder_faults(run.ledger)
    yield from seal_faults(end_of(events), ledger, run.read_events())
    if not any(event.event == MERGED for event in events):
        yield from sampling_faults(events, ledger)
    yield from image_faults(spec, ledger)


def log_faults(log: Path, spec: Spec, name: str = "events.jsonl") -> Iterator[str]:
    """Yield the faults of an event log: a broken chain, or a spec other than the locked one.

    Args:
        log: the file.
        spec: the spec of the run.
        name: name of the log in the message.

    Raises:
        EvidenceError: there is no log, or a line is not an event.
    """
    events, number = read_events(log), broken_link(log)
    if number is not None:
        yield f"{name}: line {number} does not follow the line before it; the log was reordered or changed"
    if not events or events[0].event != LOCKED:
        yield f"{name}: the first event is not the lock of the spec"
    elif events[0].facts.get("spec_sha256") != spec.sha256():
        where = "" if name == log.name else f"{name}: "
        yield f"{where}spec.json is not the spec that was locked before the first image; a setting was changed"


def late_faults(events: Sequence[Event], first: str | None, name: str = "events.jsonl") -> Iterator[str]:
    """Yield events after the one that vouches for the ledger, other than reports.

    Args:
        events: the log.
        first: SHA-256 of its first finish event, or None.
        name: name of the log in the message.
    """
    end = end_of(events)
    if end is None:
        return
    for event in events[events.index(end) + 1 :]:
        if event.event == FINISHED and not supersedes(event, first):
            yield f"{name}: a second finish event, of {event.at}; the run was sealed at {end.at}"
        elif event.event not in (FINISHED, REPORTED):
            yield f"{name}: event {event.event!r:.40} of {event.at} follows the seal of {end.at}"


def environment_faults(run: RunDirectory) -> Iterator[str]:
    """Yield a fault if environment.json is not the file whose hash is in the lock of the spec."""
    events = run.own_events()
    expected = events[0].facts.get("environment_sha256") if events else None
    if expected is not None and not (run.environment.is_file() and file_sha256(run.environment) == expected):
        yield "environment.json is missing, or was changed after the spec was locked"


def signature_faults(run: RunDirectory) -> Iterator[str]:
    """Yield a fault if the signature of the lock is not the file in the log; who signed is checked by ssh-keygen."""
    for event in run.own_events():
        path = run.path / LOCK_SIGNATURE
        if event.event == SIGNED and not (path.is_file() and file_sha256(path) == event.facts["sha256"]):
            yield f"{LOCK_SIGNATURE} is missing, or was changed after the spec was locked"


def folder_faults(folder: Path) -> Iterator[str]:
    """Yield what is in a ledger folder but is not a ledger file: another name, a hidden file, a folder, a device."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_file() or not _LEDGER_NAME.fullmatch(path.name):
            yield f"ledger/{path.name!r:.80} is not a ledger file"


def seal_faults(seal: Event | None, ledger: Ledger, events: Sequence[Event]) -> Iterator[str]:
    """Yield the first difference between a ledger and the event that vouches for it.

    Args:
        seal: the event, or None if there is none yet.
        ledger: the ledger.
        events: all events of the workers that wrote it, including those of shards.
    """
    if seal is None:
        return
    ours, lines = seal_facts(ledger), seal.facts.get("lines")
    if lines != ours["lines"]:
        yield f"ledger: {ours['lines']} lines, but {lines} were sealed; lines were added or deleted"
    elif seal.facts.get("ledger_sha256") != ours["ledger_sha256"]:
        yield "ledger: the lines are not those that were sealed; a count, a label or another field was changed"
    elif "files" in seal.facts:
        yield from _file_faults(seal.facts, ours)
    else:
        yield from _unsealed_faults(ledger, events)


def _file_faults(sealed: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first file that differs from its sealed state, also if its lines do not count."""
    files = sealed["files"] if isinstance(sealed["files"], dict) else {}
    for name in sorted({*files, *ours["files"]}):
        if name not in ours["files"]:
            yield f"ledger/{name} was sealed and is missing"
        elif name not in files:
            yield f"ledger/{name} was added after the ledger was sealed"
        elif files[name] != ours["files"][name]:
            yield f"ledger/{name} is not as sealed; a line was changed, added, deleted or moved"
        elif name in ours.get("unfinished", ()) and name not in _texts(sealed.get("unfinished")):
            yield f"ledger/{name} ends in an incomplete line that was added after the ledger was sealed"
        else:
            continue
        return


def _unsealed_faults(ledger: Ledger, events: Sequence[Event]) -> Iterator[str]:
    """Yield lines and files that a seal without file names (version 0.1.0) does not cover and no log explains."""
    named = {event.facts.get("worker") for event in events if event.event in (STARTED, RESUMED, WORKER)}
    for worker, other in sorted(ledger.uncounted):
        if worker == other or not {worker, other} <= named:
            number, names = ledger.uncounted[worker, other], f"{worker!r:.40} and {other!r:.40}"
            yield f"ledger: {number} lines with a duplicate key, of workers {names}; the log does not name both"
    writers = {event.facts.get("worker") for event in events if event.event in (STARTED, RESUMED)}
    for name in sorted(ledger.files) if None not in writers else ():
        if not any(name == f"{writer}.jsonl" or name.endswith(f"-{writer}.jsonl") for writer in writers):
            yield f"ledger/{name} belongs to a worker that the log does not name"


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def sampling_faults(events: Sequence[Event], ledger: Ledger) -> Iterator[str]:
    """Yield faults in how the lines of one log were sampled: their times, their recipes, the tests before them.

    Args:
        events: the own log of a run or shard, which starts with the lock.
        ledger: its lines; only their columns are used.
    """
    if not events or not len(ledger.columns):
        return
    yield from origin_faults(events, ledger)
    yield from _test_faults(events, ledger)


def origin_faults(events: Sequence[Event], ledger: Ledger) -> Iterator[str]:
    """Yield the first line older than the lock of the spec, newer than the seal, or with an unknown recipe.

    Args:
        events: the own log of the run, which starts with the lock.
        ledger: its ledger; only its columns are used.
    """
    columns, locked, end, accepted = ledger.columns, events[0].at, end_of(events), {None, *_recipes(events)}
    for i in _first([at < locked for at in columns.at.values], columns.at.codes):
        yield f"ledger: {_place(ledger, i)} was decided before the spec was locked ({locked})"
    for i in _first([end is not None and at > end.at for at in columns.at.values], columns.at.codes):
        yield f"ledger: {_place(ledger, i)} was decided after the ledger was sealed ({end.at if end else ''})"
    for i in _first([recipe not in accepted for recipe in columns.recipe.values], columns.recipe.codes):
        recipe = columns.recipe.values[columns.recipe.codes[i]]
        yield f"ledger: {_place(ledger, i)} has the numeric recipe {recipe!r:.40}, which no event of the log names"


def _test_faults(events: Sequence[Event], ledger: Ledger) -> Iterator[str]:
    """Yield noise levels that have lines but no passed tests, and sampling after a failed test."""
    levels = [event for event in events if event.event == LEVEL]
    for sigma in np.unique(ledger.columns.sigma).tolist():
        own = [event for event in levels if event.facts.get("sigma") == sigma]
        if not any(_passed(event) for event in own):
            yield f"events.jsonl: no passed noise test with a self-test is recorded for sigma {sigma:g}"
    for event, then in pairwise(events):
        if event.event == LEVEL and not _passed(event) and then.event not in (RESUMED, SESSION_ENDED, REPORTED):
            yield f"events.jsonl: sampling continued at {then.at} after a failed noise test"


def _passed(level: Event) -> bool:
    noise, own = level.facts.get("noise_test"), level.facts.get("self_test")
    return isinstance(noise, dict) and noise.get("passed") is True and isinstance(own, dict) and "bit_equal" in own


def image_faults(spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Yield each line whose image or noise level is not in the spec; only columns are used."""
    sigmas = [float(sigma) for sigma in spec.request.sigma]
    known = np.isin(ledger.columns.index, indices_of(spec)) & np.isin(ledger.columns.sigma, sigmas)
    for i in np.flatnonzero(~known).tolist():
        yield f"ledger: {_place(ledger, i)} is not an image of the spec"


def _first(faulty: Sequence[bool], codes: NDArray[np.int32]) -> list[int]:
    """Return the index of the first line with a faulty value, if any."""
    places: list[int] = np.flatnonzero(np.array(faulty, dtype=np.bool_)[codes])[:1].tolist()
    return places


def _place(ledger: Ledger, i: int) -> str:
    return f"sigma {ledger.columns.sigma[i]:g}, image {ledger.columns.index[i]}"


def _recipes(events: Sequence[Event]) -> Iterator[str]:
    """Yield the names of the recipes other than the spec's with which a run was started or resumed."""
    for event in events:
        recipe = event.facts.get("recipe")
        if event.event in (STARTED, RESUMED) and isinstance(recipe, dict):
            try:
                yield Recipe.model_validate(recipe).name
            except ValidationError:
                continue
