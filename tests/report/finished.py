"""Finished and partial runs of every kind, for what is derived from them: votes are drawn by formula."""

from dataclasses import replace

import numpy as np

from evidence.handmade import PASSED, a_line, a_spec, dated
from smoothcert.evidence import open_run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import FINISHED, LEVEL, STARTED, append_event
from smoothcert.evidence.forecast import PLANNED
from smoothcert.evidence.ledger import LedgerWriter
from smoothcert.evidence.seal import seal_facts
from verify.simulated import LOOKS


def finished(path, images=60, classes=4, p=None, drop=0, data=None, subgroups=None, planned=None, **request):
    """Write a run and open it; sealed, unless the last `drop` lines are missing.

    Each image's label has probability p (drawn for each image where p is None); `data` overrides facts of the data;
    `subgroups` holds a value an image for each column; `planned` makes the record of a forecast of the spec.
    """
    rng = np.random.default_rng(3)
    asked = {"sigma": "0.25,0.5", "stopping": "looks", "radius": "0.1,0.25,0.5", **request}
    labels = np.arange(images) % classes
    spec = a_spec(labels.tolist(), classes=min(classes, 10), looks=LOOKS[asked["stopping"]], **asked)
    facts = {
        "class_names": tuple(f"kind {c}" for c in range(classes)),
        "class_counts": tuple(np.bincount(labels, minlength=classes).tolist()),
        "subgroups": tuple(subgroups or ()),
        **(data or {}),
    }
    spec = spec.model_copy(update={"data": spec.data.model_copy(update=facts)})
    lines = [_line(rng, spec, sigma, i, int(c), p) for sigma in spec.request.sigma for i, c in enumerate(labels)]
    lines = with_subgroups(lines, subgroups or {})
    return written(path, spec, lines[: len(lines) - drop], sealed=not drop, planned=planned)


def with_subgroups(lines, subgroups):
    """Give each line its image's value in each column."""
    return [replace(line, subgroups={name: of[line.index] for name, of in subgroups.items()}) for line in lines]


def written(path, spec, lines, sealed=True, planned=None):
    """Write lines as a run directory and open it."""
    run = create_run(path, spec, {"threads": 1})
    if planned is not None:
        append_event(run.events, PLANNED, forecast=planned(spec))
    append_event(run.events, STARTED, lines=0)
    for sigma in spec.request.sigma:
        append_event(run.events, LEVEL, sigma=float(sigma), **PASSED)
    with LedgerWriter(run.ledger / "local-0.jsonl") as writer:
        writer.append(dated(lines))
    if sealed:
        append_event(run.events, FINISHED, **seal_facts(run.read_ledger()))
    return open_run(path)


def _line(rng, spec, sigma, index, label, p):
    """Votes of one image; every other image stops at some look."""
    own = rng.beta(12, 1.2) if p is None else p
    chances = np.insert((1 - own) * rng.dirichlet(np.ones(spec.classes - 1)), label, own)
    taken = len(spec.looks) if index % 2 else int(rng.integers(1, len(spec.looks) + 1))
    looks = np.cumsum([rng.multinomial(n, chances) for n in np.diff((0, *spec.looks[:taken]))], axis=0)
    by_prediction = spec.request.selects
    selection = _votes(rng.multinomial(spec.request.n0, chances)) if by_prediction else None
    return a_line(index, label, selection, [_votes(look) for look in looks], sigma)


def _votes(counts):
    return {int(c): int(counts[c]) for c in np.flatnonzero(counts)}
