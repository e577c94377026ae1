"""The images of the page as packed columns: outcome, radius, votes and bounds at each sigma and k."""

from __future__ import annotations

import base64
import heapq
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.evidence.line_store import columns_of, indices_of, some_of
from smoothcert.evidence.outcomes import Outcomes, winner
from smoothcert.formats.line import Line
from smoothcert.stats.rounding import round_down, round_up

MICRO = 1_000_000
"""Radii and probabilities are stored as whole millionths, so that the page compares them exactly."""


def pack(values: NDArray[Any], steps: bool = False) -> dict[str, Any]:
    """Return whole numbers as base64 of deflated little-endian bytes.

    Args:
        values: whole numbers from 0 to 2^32 - 1, any shape; read row by row.
        steps: store differences, which deflate well where the values are sorted.

    Returns:
        bytes (per number: 1, 2 or 4), steps, data.

    Raises:
        ValueError: a number is out of range.
    """
    flat = np.asarray(values).reshape(-1)
    if len(flat) and not (flat.min() >= 0 and flat.max() < 2**32):
        raise ValueError(f"expected whole numbers from 0 to 2^32 - 1, got {flat.min()} to {flat.max()}")
    width = next(w for w in (1, 2, 4) if not len(flat) or flat.max() < 2 ** (8 * w))
    whole = flat.astype(f"<u{width}")
    stored = np.diff(whole, prepend=whole.dtype.type(0)) if steps else whole  # wraps around, and back when added up
    packed = base64.b64encode(zlib.compress(stored.tobytes(), 9)).decode("ascii")
    return {"bytes": width, "steps": steps, "data": packed}


def micro_down(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return non-negative values as whole millionths, rounded down.

    >>> micro_down(np.array([0.25, 0.1234569])).tolist()
    [250000, 123456]
    """
    return np.rint(round_down(values) * MICRO).astype(np.int64)


def micro_up(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return non-negative values as whole millionths, rounded up.

    >>> micro_up(np.array([0.25, 0.1234561])).tolist()
    [250000, 123457]
    """
    return np.rint(round_up(values) * MICRO).astype(np.int64)


def unpack(record: Mapping[str, Any], most: int) -> list[int]:
    """Return the whole numbers that `pack` packed, as one list.

    Args:
        record: what `pack` returned.
        most: maximum number of values.

    Raises:
        ValueError: the record is invalid, or contains more values.

    >>> unpack(pack(np.array([3, 1, 2]), steps=True), 10)
    [3, 1, 2]
    """
    width = record.get("bytes")
    if width not in (1, 2, 4):
        raise ValueError("expected numbers of 1, 2 or 4 bytes")
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b64decode(str(record.get("data")), validate=True), most * width + 1)
    except (zlib.error, ValueError):
        raise ValueError("expected base64 of deflated numbers") from None
    if len(data) > most * width or len(data) % width or not inflate.eof or inflate.unused_data:
        raise ValueError(f"expected at most {most:,} numbers of {width} bytes")
    numbers = np.frombuffer(data, dtype=f"<u{width}")
    found: list[int] = (np.cumsum(numbers, dtype=numbers.dtype) if record.get("steps") is True else numbers).tolist()
    return found


UNDECIDED, CERTIFIED, ABSTAINED, WRONG = range(4)
RIVALS = 4  # classes shown in a certificate beside the label; the largest k of the spec if that is more
HASH = 8  # bytes of the hash of an image that the page contains
LISTED, ROWS = 100_000, 240_000
"""Maximum number of images on the page, and of rows (one per image, sigma and k; about 35 bytes each in the file)."""

Whole = NDArray[np.int64]


def image_columns(spec: Spec, lines: Sequence[Line]) -> dict[str, Any]:
    """Return the columns that do not depend on sigma: index, reference label, first bytes of the hash.

    Args:
        spec: the locked spec.
        lines: all ledger lines. The label of an image without a line is the number of classes.
    """
    index = listed(spec)
    label = np.full(len(index), spec.classes)
    digest = np.zeros((len(index), HASH), dtype=np.uint8)
    places, ours = _places(spec, lines)
    for place, line in zip(places, ours, strict=True):
        label[place] = line.label
        digest[place] = _beginning(line.image)
    return {"index": pack(index, steps=True), "label": pack(label), "hash": pack(digest)}


def _beginning(image: str) -> list[int]:
    text = image.removeprefix("sha256:")[: 2 * HASH]
    try:
        return list(bytes.fromhex(text).ljust(HASH, b"\0"))
    except ValueError:
        return [0] * HASH


def level_columns(spec: Spec, lines: Sequence[Line]) -> dict[str, Any]:
    """Return the votes of one sigma, one row per listed image, zeros for images without a line.

    Returns:
        selected (winner of the selection votes, or the number of classes if nothing was selected), support (its
        votes), copies (all samples, selection included), n (samples at the last look), and the votes at that look as
        `slots` pairs voted, votes: the label first, then its strongest rivals; classes without a vote are left out.
    """
    m, slots = len(listed(spec)), slots_of(spec)
    selected, support, samples, n = np.full(m, spec.classes), *(np.zeros(m, dtype=np.int64) for _ in range(3))
    voted, votes = np.full((m, slots), spec.classes), np.zeros((m, slots), dtype=np.int64)
    for place, line in zip(*_places(spec, lines), strict=True):
        chosen = winner(line)
        if chosen is not None and line.selection:
            selected[place], support[place] = chosen, line.selection[chosen]
        samples[place] = line.samples
        if line.looks:
            n[place], last = line.looks[-1]
            rivals = heapq.nsmallest(slots - 1, ((-got, c) for c, got in last.items() if c != line.label and got))
            shown = [(line.label, last.get(line.label, 0)), *((c, -got) for got, c in rivals)]
            voted[place, : len(shown)], votes[place, : len(shown)] = zip(*shown, strict=True)
    columns = {"selected": selected, "support": support, "copies": samples, "n": n, "voted": voted, "votes": votes}
    return {name: pack(values) for name, values in columns.items()}


def slots_of(spec: Spec) -> int:
    """Return the number of classes in a certificate: the label and its strongest rivals."""
    return min(spec.classes, 1 + max(RIVALS, *spec.request.k))


def certificate_columns(spec: Spec, found: Outcomes) -> dict[str, Any]:
    """Return the certificates of one sigma and k, one row per listed image.

    Returns:
        outcome, radius (millionths, rounded down; 0 if nothing is certified), reached (number of radii of the spec
        that are certified), and where the rule has bounds: least (lower bound of the probability of the label in
        millionths, rounded down) and most (upper bounds of its k rivals, rounded up).
    """
    order = listed(spec)
    ours = np.isin(found.index, order)
    m, places = len(order), np.searchsorted(order, found.index[ours])
    held = np.where(~found.wrong & (found.radius > 0), found.radius, 0.0)
    values: dict[str, tuple[Any, int]] = {
        "outcome": (np.where(found.wrong, WRONG, np.where(found.abstained, ABSTAINED, CERTIFIED)), UNDECIDED),
        "radius": (micro_down(held), 0),
        "reached": (sum(found.certified_correct(r).astype(np.int64) for r in spec.request.radius), 0),
    }
    if found.bounds is not None:
        values["least"] = MICRO - micro_up(found.bounds.q), 0
        values["most"] = micro_up(found.bounds.u), MICRO
    columns = {}
    for name, (decided, without_line) in values.items():
        column = np.full((m, *np.shape(decided)[1:]), without_line)
        column[places] = np.asarray(decided)[ours]
        columns[name] = pack(column)
    return columns


def listed(spec: Spec) -> Whole:
    """Return the indices of the images on the page, increasing: all, or a random subset if there are too many.

    The subset follows from the seed of the run, which was fixed before the first vote.
    """
    order, most = np.sort(indices_of(spec)), min(LISTED, ROWS // (len(spec.request.sigma) * len(spec.request.k)))
    if len(order) <= most:
        return order
    return np.sort(np.random.default_rng(spec.seed).choice(order, most, replace=False))


def _places(spec: Spec, lines: Sequence[Line]) -> tuple[Whole, Iterable[Line]]:
    """Return the row of each line and the lines, without those of images that are not on the page."""
    order, index = listed(spec), columns_of(lines).index
    ours = np.flatnonzero(np.isin(index, order))
    return np.searchsorted(order, index[ours]), some_of(lines, ours)
