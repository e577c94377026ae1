"""Runs for the memo: votes by formula, written as a run directory whose spec was locked before the first image."""

from dataclasses import replace

import numpy as np

from evidence.handmade import a_line, a_spec, dated
from report.finished import with_subgroups
from smoothcert.evidence import open_run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import LEVEL, STARTED, append_event, utc_now
from smoothcert.evidence.ledger import LedgerWriter
from smoothcert.evidence.seal import seal_run

LOOKS = {"looks": (131, 197, 296, 444, 666, 1000), "fixed": (1000,)}
PRIMARY = {"sigma": 0.5, "radius": 0.25, "k": 1}
CRITERIA = ({**PRIMARY, "at_least": 0.5, "of": "population"}, {**PRIMARY, "at_least": 0.999, "of": "joint"})


def a_run(path, images=40, classes=4, p=None, drop=0, data=None, groups=None, equal=True, subgroups=None, **request):
    """Write and open a run; sealed, unless the last `drop` lines are missing.

    `p` is the label's probability of every image (random where None); `data` overrides facts of the data; `equal` is
    the outcome of the self-test; `subgroups` holds a value an image for each column.
    """
    rng = np.random.default_rng(5)
    asked = {"sigma": "0.25,0.5", "stopping": "looks", "radius": "0.1,0.25,0.5", **request}
    labels = np.arange(images) % classes
    spec = a_spec(labels.tolist(), classes=min(classes, 10), looks=LOOKS[asked["stopping"]], **asked)
    counts = tuple(np.bincount(labels, minlength=classes).tolist())
    facts = {"class_names": tuple(f"kind {c}" for c in range(classes)), "class_counts": counts, **(data or {})}
    facts |= {"grouped": groups is not None, "subgroups": tuple(subgroups or ())}
    spec = spec.model_copy(update={"data": spec.data.model_copy(update=facts)})
    run = create_run(path, spec, {"packages": {"torch": "2.11.0"}, "code_sha256": "e" * 64})
    append_event(run.events, STARTED, lines=0)
    tests = {"self_test": {"bit_equal": equal}, "noise_test": {"passed": True}}
    for sigma in spec.request.sigma:
        append_event(run.events, LEVEL, sigma=float(sigma), **tests)
    lines = [
        _line(rng, spec, sigma, i, int(c), p, groups) for sigma in spec.request.sigma for i, c in enumerate(labels)
    ]
    lines = with_subgroups(lines, subgroups or {})
    _finish(run, spec, lines[: len(lines) - drop], drop)
    return open_run(path)


def _finish(run, spec, lines, drop):
    with LedgerWriter(run.ledger / "local-0.jsonl") as writer:
        writer.append(dated(lines))
    if not drop:
        seal_run(run, spec, run.read_ledger())


def _line(rng, spec, sigma, index, label, p, groups):
    """Votes of one image; half of the images stop early, where they may."""
    own = rng.beta(12, 1.2) if p is None else p
    chances = np.insert((1 - own) * rng.dirichlet(np.ones(spec.classes - 1)), label, own)
    taken = len(spec.looks) if index % 2 else int(rng.integers(1, len(spec.looks) + 1))
    steps = np.diff((0, *spec.looks[:taken]))
    looks = [_votes(look) for look in np.cumsum([rng.multinomial(n, chances) for n in steps], axis=0)]
    selects = spec.request.selects
    selection = _votes(rng.multinomial(spec.request.n0, chances)) if selects else None
    group = None if groups is None else f"patient {index % groups}"
    return replace(a_line(index, label, selection, looks, sigma, group), at=utc_now())


def _votes(counts):
    return {int(c): int(counts[c]) for c in np.flatnonzero(counts)}


LONG = "lorem ipsum dolor sit amet 12345 " * 160
FULL = {
    "device": "Cell reader 2.1",
    "intended_use": "Second reading of blood smears",
    "users": "Laboratory physicians",
    "population": "Adults, all indications",
    "reference_standard": "Consensus of two readers",
    "data_origin": "One hospital, 2015 to 2019",
    "independence": {"statement": "One image a patient", "independent": True, "sampling": "random"},
    "data_role": "internal test images",
    "threat_model": "Access to the image archive",
    "smoothing": {"in_release": True, "sigma": 0.5, "copies": 1000},
    "thresholds": "Scanner noise stays below r",
    "risk_ids": ["RM-031"],
    "production": {
        "devices": [
            {"name": "Reader", "source": "a quote", "hour": {"amount": 2.4, "currency": "EUR", "date": "2026-10-01"}}
        ]
    },
    "approvals": [{"role": "Author", "name": "A. Example"}],
    "revisions": [{"version": "1.0", "date": "2026-11-20", "change": "first"}],
}
TEXTS = ("device", "intended_use", "users", "population", "reference_standard", "data_origin", "data_role")
OVERLONG = {
    **FULL,
    **dict.fromkeys((*TEXTS, "threat_model", "thresholds"), LONG),
    "population": "x" * 5000,
    "independence": {"statement": LONG, "independent": True, "sampling": "class-stratified"},
    "smoothing": {"in_release": False},
    "production": {
        "studies_a_day": [7, 10**7, 10**8, 10**9],
        "devices": [
            {
                "name": LONG[:900],
                "source": LONG[:900],
                "copies_per_second": 1.5,
                "watts": 999_999,
                "hour": {"amount": 999_999.5, "currency": LONG[:900], "date": "2026-10-01"},
            }
        ],
    },
    "risk_ids": [LONG] * 40,
    "approvals": [{"role": LONG, "name": LONG, "date": "2026-01-01"}] * 9,
    "revisions": [{"version": LONG, "date": "2026-01-01", "change": LONG}] * 9,
    "demonstration": True,
}
