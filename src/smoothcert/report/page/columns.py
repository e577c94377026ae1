"""Many whole numbers in little text: how columns of a table travel inside the page."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.stats.rounding import round_down, round_up

MICRO = 1_000_000
"""Radii and probabilities travel as whole millionths: the page then compares them exactly."""


def pack(values: NDArray[Any], steps: bool = False) -> dict[str, Any]:
    """Return whole numbers as base64 of deflated little-endian bytes.

    Args:
        values: whole numbers from 0 to 2^32 - 1, any shape; read row by row.
        steps: store differences, which deflate well where the values are sorted.

    Returns:
        bytes: of one number (1, 2 or 4); steps; data.

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
        most: numbers there may be.

    Raises:
        ValueError: it is no such record, or holds more numbers.

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
