"""Whether the evidence is complete and consistent: possible votes, the images of the spec, labels unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import ArrayLike

from smoothcert.config import Spec
from smoothcert.evidence import Run
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import Columns, columns_of, indices_of
from smoothcert.evidence.soundness import own_faults
from smoothcert.formats.line import Line
from smoothcert.verify.chains import check_merged


def damage(run: Run) -> Iterator[str]:
    """Yield the faults of the event chain, spec, tests and seal of a run, without recomputing any number."""
    yield from own_faults(run.directory, run.spec, run.ledger)
    yield from check_merged(run.directory, run.spec)


def check_lines(spec: Spec, ledger: Ledger, sealed: bool) -> Iterator[str]:
    """Yield faults of the ledger as a whole: missing images, changed labels; only columns are used."""
    indices, sigmas = indices_of(spec), sorted(float(sigma) for sigma in spec.request.sigma)
    missing = [(sigma, np.setdiff1d(indices, columns_of(ledger.at(sigma)).index)) for sigma in sigmas]
    count = sum(len(found) for _, found in missing)
    if count and sealed:
        sigma, found = next((sigma, found) for sigma, found in missing if len(found))
        yield f"ledger: {count} results are missing, the first is sigma {sigma:g}, image {found[0]}"
    for sigma in spec.request.sigma:
        yield from _check_labels(spec, columns_of(ledger.at(sigma)), sigma)
    yield from _check_subgroups(spec, ledger.columns)


def images_of(spec: Spec) -> Container[int]:
    """Return the image indices of a spec as a container with fast membership tests."""
    return range(spec.data.images) if spec.data.indices is None else frozenset(spec.data.indices)


def line_faults(spec: Spec, line: Line, images: Container[int] | None = None) -> Iterator[str]:
    """Yield the faults of a single line: an image, look, class or column that is not in the spec; wrong sums.

    Args:
        spec: the locked spec.
        line: any line, from a ledger or about to be written.
        images: `images_of(spec)`, to be reused for many lines.
    """
    known = line.index in (images_of(spec) if images is None else images)
    if not known or line.sigma not in spec.request.sigma:
        yield f"ledger: sigma {line.sigma:g}, image {line.index} is not an image of the spec"
        return
    yield from _check_votes(spec, line)
    columns = sorted(spec.data.subgroups)
    if sorted(line.subgroups) != columns:
        yield f"{_name(line)} expected the subgroup columns {columns}, got {sorted(line.subgroups)}"


def _name(line: Line) -> str:
    return f"ledger: sigma {line.sigma:g}, image {line.index}:"


def _check_votes(spec: Spec, line: Line) -> Iterator[str]:
    name = _name(line)
    if line.compact != spec.compact_lines:
        yield f"{name} expected a line of version {1 + spec.compact_lines}, got version {1 + line.compact}"
    if tuple(n for n, _ in line.looks) != spec.looks[: len(line.looks)]:
        yield f"{name} looks at {[n for n, _ in line.looks]} are not those of the spec"
    if spec.request.selects != (line.selection is not None):
        yield f"{name} selection votes are {'missing' if spec.request.selects else 'not expected'}"
    stages = [("selection", spec.request.n0, line.selection)] if line.selection is not None else []
    stages += [(f"look {n}", n, votes) for n, votes in line.looks]
    for stage, n, votes in stages:
        if sum((votes or {}).values()) != n:
            yield f"{name} {stage} has {sum((votes or {}).values())} votes, not {n}; a count was changed"
        if any(c >= spec.classes for c in votes or {}):
            yield f"{name} {stage} has votes for a class that is not in the spec"
    for (_, before), (n, after) in zip(line.looks, line.looks[1:], strict=False):
        if any(after.get(c, 0) < votes for c, votes in before.items()):
            yield f"{name} look {n} has fewer votes of a class than the look before; a count was changed"
    if not 0 <= line.label < spec.classes:
        yield f"{name} label {line.label} is not a class of the spec"


def _check_labels(spec: Spec, columns: Columns, sigma: float) -> Iterator[str]:
    """Yield a fault if the labels of a complete noise level are not those hashed in the spec."""
    indices = indices_of(spec)
    if not np.isin(indices, columns.index).all():
        return
    labels = columns.label[np.searchsorted(columns.index, indices)]
    if labels_sha256(labels) != spec.data.labels_sha256:
        yield f"ledger: at sigma {sigma:g} the labels are not those of the spec; a label was changed"
    counts = np.bincount(labels[labels < spec.classes], minlength=spec.classes)
    if tuple(counts.tolist()) != spec.data.class_counts:
        yield f"ledger: at sigma {sigma:g} the class counts are not those of the spec"


def _check_subgroups(spec: Spec, columns: Columns) -> Iterator[str]:
    """Yield lines whose subgroup values differ from those of the same image at another noise level."""
    names, codes = sorted(spec.data.subgroups), columns.subgroups.codes
    whole = np.array([[name for name, _ in pairs] == names for pairs in columns.subgroups.values], dtype=np.bool_)
    first = np.unique(columns.index, return_index=True)[1]
    same = first[np.searchsorted(columns.index[first], columns.index)]
    for i in np.flatnonzero((codes != codes[same]) & whole[codes]).tolist():
        name = f"ledger: sigma {columns.sigma[i]:g}, image {columns.index[i]}:"
        yield f"{name} subgroups differ from those of the same image at sigma {columns.sigma[same[i]]:g}"


def labels_sha256(labels: ArrayLike) -> str:
    """Return the hash of labels as in `spec.json`: shape and type as text, then little-endian int64."""
    whole = np.asarray(labels, dtype="<i8")
    return "sha256:" + hashlib.sha256(f"({len(whole)},) int64\n".encode() + whole.tobytes()).hexdigest()
