"""What may be merged: sound runs of one spec, each once; anything else is refused in a sentence that names it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothcert.errors import EvidenceError
from smoothcert.evidence.columns import Columns
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.events import last_digest
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.seal import seal_facts
from smoothcert.evidence.shards import Shard
from smoothcert.evidence.soundness import log_faults, own_faults
from smoothcert.spec import Share, Spec


@dataclass(frozen=True, eq=False)
class Part:
    """One run that is merged: where it is, and how the merge event names it."""

    run: RunDirectory
    shard: Shard


def refuse_differing(runs: Sequence[RunDirectory]) -> Spec:
    """Return the spec that all runs have, byte for byte.

    Raises:
        EvidenceError: a run is named twice, or two specs differ; the sentence names the first field that does.
        SpecError: a spec is damaged.
    """
    for i, run in enumerate(runs):
        if run.path.resolve() in [other.path.resolve() for other in runs[:i]]:
            raise EvidenceError(f"{run.path} is named twice; name each run once.")
    first, spec = runs[0], runs[0].read_spec()
    text = first.spec.read_bytes()
    for run in runs[1:]:
        run.read_spec()
        if run.spec.read_bytes() != text:
            found = _differences(json.loads(text), json.loads(run.spec.read_bytes()), "")
            told = next(found, "spec.json is laid out differently")
            raise EvidenceError(
                f"{first.path} and {run.path} are not shards of one run: {told}. Shards are certified with the same "
                "settings, classifiers, images, numeric recipe and --seed."
            )
    return spec


def _differences(mine: Any, other: Any, place: str) -> Iterator[str]:
    """Yield where two JSON values differ, with both values."""
    if isinstance(mine, dict) and isinstance(other, dict):
        for name in sorted({*mine, *other}):
            yield from _differences(mine.get(name), other.get(name), f"{place}.{name}" if place else name)
    elif isinstance(mine, list) and isinstance(other, list) and len(mine) == len(other):
        for i, (left, right) in enumerate(zip(mine, other, strict=True)):
            yield from _differences(left, right, f"{place}[{i}]")
    elif mine != other:
        yield f"{place} is {_shown(mine)} in the first, {_shown(other)} in the second"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parts_of(runs: Sequence[RunDirectory], spec: Spec) -> list[Part]:
    """Return the runs as parts of one, in the order of their shards.

    Raises:
        EvidenceError: a run is damaged, merged itself, a copy of another, or has an image that another has.
    """
    heads: dict[str, RunDirectory] = {}
    found = []
    for run in runs:
        if run.shards:
            raise EvidenceError(f"{run.path} is a merged run itself; merge the runs it was made of.")
        head = last_digest(run.events)
        other = heads.setdefault(head, run)
        if other is not run:
            raise EvidenceError(f"{run.path} is a copy of {other.path} (equal logs of events); name each run once.")
        found.append((run, _sound(run, spec), head))
    found.sort(key=lambda each: _place(each[0].share))
    _refuse_overlap([run for run, _, _ in found], [ledger.columns for _, ledger, _ in found])
    names, parts = list[str](), list[Part]()
    for run, ledger, head in found:
        names.append(_name(run.share, names))
        share = None if run.share is None else str(run.share)
        facts = seal_facts(ledger)
        parts.append(Part(run, Shard(names[-1], share, facts["lines"], facts["ledger_sha256"], head, facts["files"])))
    return parts


def _sound(run: RunDirectory, spec: Spec) -> Ledger:
    """Return the ledger of a run after everything was checked that its log says of it."""
    fault = next(log_faults(run.events, spec), None)
    ledger = run.read_ledger(spec)
    fault = fault or next(own_faults(run, spec, ledger), None)
    if fault is not None:
        raise EvidenceError(f"{run.path} cannot be merged. {fault}. Restore it from a copy, or leave it out.")
    return ledger


def _place(share: Share | None) -> tuple[int, int]:
    """Return by what parts are sorted: shard i of n by n and i, a run that is no shard before all."""
    return (0, 0) if share is None else (share.of, share.number)


def _name(share: Share | None, taken: Sequence[str]) -> str:
    """Return a name for folder and files, such as shard-03-of-16."""
    name = "run-0" if share is None else f"shard-{share.number:0{len(str(share.of))}}-of-{share.of}"
    again = sum(other == name or other.startswith(f"{name}.") for other in taken)
    return f"{name}.{again}" if again else name


def _refuse_overlap(runs: Sequence[RunDirectory], columns: Sequence[Columns]) -> None:
    """Refuse runs that have a (sigma, image) in common, even where they agree on it; name the first.

    Raises:
        EvidenceError: two have.
    """
    owner = np.repeat(np.arange(len(runs)), [len(each) for each in columns])
    sigma, index = (np.concatenate([getattr(each, name) for each in columns]) for name in ("sigma", "index"))
    order = np.lexsort((owner, index, sigma))
    sigma, index, owner = sigma[order], index[order], owner[order]
    again = np.flatnonzero((sigma[1:] == sigma[:-1]) & (index[1:] == index[:-1]))
    for i in again[:1].tolist():
        one, other = (runs[owner[place]].path for place in (i, i + 1))
        raise EvidenceError(
            f"{one} and {other} both hold sigma {sigma[i]:g}, image {index[i]} (results held twice: {len(again):,}). "
            "Shards must be disjoint, so that nobody chooses between two results; leave out one of them."
        )
