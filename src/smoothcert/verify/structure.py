"""Is the evidence whole: events chained, spec unchanged, ledger as sealed, votes that can be, labels unchanged?"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator

from smoothcert.evidence import FINISHED, LOCKED, Event, Ledger, Line, Run, RunDirectory, broken_link
from smoothcert.spec import Spec


def damage(run: Run) -> Iterator[str]:
    """Yield what shows at a glance that a run was changed: its chain of events, its spec, its seal."""
    events = run.directory.read_events()
    yield from check_events(run.directory, run.spec, events)
    yield from check_seal(events, run.ledger)


def check_events(run: RunDirectory, spec: Spec, events: tuple[Event, ...]) -> Iterator[str]:
    """Yield what is wrong with the chain of events and the lock of the spec."""
    number = broken_link(run.events)
    if number is not None:
        yield f"events.jsonl: line {number} does not follow the line before it; the log was reordered or changed"
    if not events or events[0].event != LOCKED:
        yield "events.jsonl: the first event is not the locking of the spec"
    elif events[0].facts.get("spec_sha256") != spec.sha256():
        yield "spec.json is not the spec that was locked before the first image (a setting such as alpha was changed)"


def check_seal(events: tuple[Event, ...], ledger: Ledger) -> Iterator[str]:
    """Yield where the ledger is not the one that was sealed."""
    seals = [event for event in events if event.event == FINISHED]
    if not seals:
        return
    sealed = seals[-1].facts
    if sealed.get("lines") != len(ledger.lines):
        yield f"ledger: {len(ledger.lines)} lines, but {sealed.get('lines')} were sealed; lines were added or deleted"
    elif sealed.get("ledger_sha256") != ledger.sha256():
        yield "ledger: the lines are not the ones that were sealed; a count, a label or another field was changed"


def check_lines(spec: Spec, ledger: Ledger, sealed: bool) -> Iterator[str]:
    """Yield what is wrong with the lines: extra or missing images, votes that cannot be, labels that were changed."""
    wanted = {(float(sigma), index) for sigma in spec.request.sigma for index in spec.indices}
    present = ledger.keys()
    for sigma, index in sorted(present - wanted):
        yield f"ledger: sigma {sigma:g}, image {index} is not an image of the spec"
    missing = sorted(wanted - present)
    if missing and sealed:
        sigma, index = missing[0]
        yield f"ledger: {len(missing)} images without a line, the first is sigma {sigma:g}, image {index}"
    for line in ledger.lines:
        if line.key in wanted:
            yield from _check_votes(spec, line)
    yield from _check_labels(spec, ledger)
    yield from _check_subgroups(spec, ledger)


def _check_votes(spec: Spec, line: Line) -> Iterator[str]:
    name = f"ledger: sigma {line.sigma:g}, image {line.index}:"
    if tuple(n for n, _ in line.looks) != spec.looks[: len(line.looks)]:
        yield f"{name} looks at {[n for n, _ in line.looks]} are not the spec's"
    wants_selection = spec.request.selects
    if wants_selection != (line.selection is not None):
        yield f"{name} selection votes are {'missing' if wants_selection else 'there, but no class was selected'}"
    stages = [("selection", spec.request.n0, line.selection)] if line.selection is not None else []
    stages += [(f"look {n}", n, votes) for n, votes in line.looks]
    for stage, n, votes in stages:
        if sum((votes or {}).values()) != n:
            yield f"{name} {stage} has {sum((votes or {}).values())} votes, not {n}; a count was changed"
        if any(c >= spec.classes for c in votes or {}):
            yield f"{name} {stage} has votes for a class that does not exist"
    for (_, before), (n, after) in zip(line.looks, line.looks[1:], strict=False):
        if any(after.get(c, 0) < votes for c, votes in before.items()):
            yield f"{name} look {n} has fewer votes of a class than the look before; a count was changed"
    if not 0 <= line.label < spec.classes:
        yield f"{name} label {line.label} is not a class"


def _check_labels(spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Labels must be the ones hashed before the first image, for every noise level that is complete."""
    position = {index: i for i, index in enumerate(spec.indices)}
    for sigma in spec.request.sigma:
        lines = [line for line in ledger.at(sigma) if line.index in position]
        if len(lines) != spec.data.images:
            continue
        labels = [line.label for line in sorted(lines, key=lambda line: position[line.index])]
        if labels_sha256(labels) != spec.data.labels_sha256:
            yield f"ledger: at sigma {sigma:g} the labels are not those of the spec; a label was changed"
        counts = Counter(labels)
        if tuple(counts[c] for c in range(spec.classes)) != spec.data.class_counts:
            yield f"ledger: at sigma {sigma:g} the class counts are not those of the spec"


def _check_subgroups(spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Each line must have a value in exactly the columns of the spec, the same at every noise level."""
    columns, first = sorted(spec.data.subgroups), {line.index: line for line in reversed(ledger.lines)}
    for line in ledger.lines:
        name = f"ledger: sigma {line.sigma:g}, image {line.index}:"
        if sorted(line.subgroups) != columns:
            yield f"{name} subgroup columns are {sorted(line.subgroups)}, those of the spec {columns}"
        elif line.subgroups != first[line.index].subgroups:
            yield f"{name} subgroups are not those of the same image at sigma {first[line.index].sigma:g}"


def labels_sha256(labels: list[int]) -> str:
    """Return the hash of labels as `spec.json` records it: shape and type in words, then little-endian int64."""
    head = f"({len(labels)},) int64\n".encode()
    return "sha256:" + hashlib.sha256(head + struct.pack(f"<{len(labels)}q", *labels)).hexdigest()
