"""Complete sealed runs without torch: votes drawn from multinomials, and ways to tamper with them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from evidence.handmade import PASSED, a_line, a_spec, dated
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import FINISHED, LEVEL, REPEATED, STARTED, append_event
from smoothcert.evidence.ledger import LedgerWriter
from smoothcert.evidence.seal import seal_facts, seal_run

LOOKS = {"looks": (131, 197, 296, 444, 666, 1000), "fixed": (1000,)}
CLASSES = 6


def simulate(
    path,
    images=8,
    seed=0,
    stopping="looks",
    drop=0,
    subgroups=None,
    groups=None,
    sign_lock=None,
    samples=None,
    **request,
):
    """Write a run over simulated votes; sealed, unless the last `drop` lines are missing.

    `subgroups` holds a value an image for each column, `groups` a group an image. `samples` is how many images an event
    says repeat others, and makes image 1 a copy of image 0; None says nothing, and "untold" copies and says nothing.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, images)
    asked = {"sigma": "0.25,0.5", "bound": "rankcp", "radius": "0.1,0.25", "stopping": stopping, **request}
    spec = a_spec(labels.tolist(), classes=CLASSES, looks=LOOKS[stopping], seed=seed, grouped=bool(groups), **asked)
    data = spec.data.model_copy(update={"subgroups": tuple(subgroups or ())})
    spec = spec.model_copy(update={"data": data})
    run = create_run(path, spec, {"threads": 1}, sign_lock=sign_lock)
    append_event(run.events, STARTED, lines=0)
    if isinstance(samples, int):
        append_event(run.events, REPEATED, images=images, repeats=samples)
    lines = []
    for sigma in spec.request.sigma:
        append_event(run.events, LEVEL, sigma=float(sigma), **PASSED)
        lines += [_line(rng, spec, sigma, i, int(label)) for i, label in enumerate(labels)]
    values = [{name: of[line.index] for name, of in (subgroups or {}).items()} for line in lines]
    if samples is not None:
        lines = [replace(line, image=lines[0].image) if line.index == 1 else line for line in lines]
    lines = [replace(line, group=groups[line.index]) for line in lines] if groups else lines
    lines = [replace(line, subgroups=own) for line, own in zip(lines, values, strict=True)][: len(lines) - drop]
    with LedgerWriter(run.ledger / "local-0.jsonl") as writer:
        writer.append(dated(lines))
    if not drop:
        seal_run(run, spec, run.read_ledger())
    return path


def _line(rng, spec, sigma, index, label):
    """Votes of one image: its label has most of the probability; some stop early, and some select another class."""
    p = rng.dirichlet(np.full(CLASSES, 0.3)) * 0.4
    p[label] += 0.6
    targets = {spec.request.target_of(k) for k in spec.request.k}
    selection = _votes(rng.multinomial(spec.request.n0, p)) if "prediction" in targets else None
    if selection and index == 3:
        return a_line(index, label, {(label + 1) % CLASSES: spec.request.n0}, [], sigma)
    taken = len(spec.looks) if index % 2 else int(rng.integers(1, len(spec.looks) + 1))
    steps = np.diff((0, *spec.looks[:taken]))
    looks = np.cumsum([rng.multinomial(n, p) for n in steps], axis=0)
    return a_line(index, label, selection, [_votes(look) for look in looks], sigma)


def _votes(counts):
    return {int(c): int(counts[c]) for c in np.flatnonzero(counts)}


def edit_lines(run, change):
    """Rewrite the ledger: `change` receives the list of JSON records and changes it in place."""
    path = run / "ledger" / "local-0.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def edit_json(path, change):
    """Rewrite a JSON file: `change` receives its content and changes it in place."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def rechain(run):
    """Forge the event log anew, with its dates, so that it vouches for spec and ledger as they are now."""
    directory = RunDirectory(run)
    events, ledger = directory.read_events(), directory.read_ledger()
    facts = {
        "spec locked": {"spec_sha256": directory.read_spec().sha256()},
        FINISHED: seal_facts(ledger),
    }
    texts, previous = [], "0" * 64
    for event in events:
        told = {**event.facts, **facts.get(event.event, {})}
        record = {"event": event.event, "at": event.at, "previous": previous, **told}
        texts.append(json.dumps(record, sort_keys=True))
        previous = hashlib.sha256(texts[-1].encode()).hexdigest()
    directory.events.write_text("".join(f"{text}\n" for text in texts))


def snapshot(folder: Path):
    """Names, bytes and times of everything in a folder."""
    paths = sorted(folder.rglob("*"))
    return [(path, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in paths]
