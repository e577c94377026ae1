"""Reading files that anybody may have written: regular files of bounded size, and JSON that says one thing only."""

from __future__ import annotations

import json
import math
import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from smoothcert.errors import EvidenceError, InputError

DEEPEST = 32
"""Levels of nesting in JSON: more than any file of this package has, and few enough for every reader."""
LEAST, MOST = -(2**63), 2**64 - 1
"""Whole numbers that fit 64 bits, signed or unsigned."""
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened: Windows knows the second alone, other systems the first."""
_DEEP = f"expected lists and objects nested at most {DEEPEST} deep, got more"


def open_regular(path: Path, error: type[InputError] = EvidenceError) -> BinaryIO:
    """Open a regular file for reading, without waiting for whoever may hold the other end of a pipe.

    Args:
        path: the file.
        error: class of the refusal.

    Raises:
        InputError: of the class `error`: there is no such file, or it is a folder, a pipe or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _AT_ONCE)
    except (OSError, ValueError) as reason:
        told = reason.strerror if isinstance(reason, OSError) else str(reason)
        raise error(f"Cannot read {path}: {told}.") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(f"Cannot read {path}: expected a regular file, got a folder, a pipe or a device.")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, largest: int, error: type[InputError] = EvidenceError) -> bytes:
    """Read a regular file whole.

    Args:
        path: the file.
        largest: bytes it may have.
        error: class of the refusal.

    Raises:
        InputError: of the class `error`: it cannot be read, is not a regular file, or is larger.
    """
    try:
        with open_regular(path, error) as file:
            data = file.read(largest + 1)
    except OSError as reason:
        raise error(f"Cannot read {path}: {reason.strerror}.") from None
    if len(data) > largest:
        raise error(f"{path} is too large: expected at most {largest:,} bytes, got more.")
    return data


def parse(text: str | bytes, name: object, error: type[InputError] = EvidenceError) -> Any:
    """Read JSON.

    Args:
        text: the JSON; bytes must be UTF-8.
        name: what the refusal calls it, such as the path.
        error: class of the refusal.

    Returns:
        Plain values. Numbers are finite, and whole numbers fit 64 bits.

    Raises:
        InputError: of the class `error`: not JSON (RFC 8259); a key twice in one object, a number that is not finite or
            does not fit, half a surrogate pair in a string, or nesting deeper than `DEEPEST`.

    >>> parse('{"alpha": 0.001, "alpha": 0.1}', "spec.json")
    Traceback (most recent call last):
        ...
    smoothcert.errors.EvidenceError: spec.json: duplicate key 'alpha'.
    """
    try:
        return decode(text)
    except json.JSONDecodeError as reason:
        raise error(f"{name}: expected JSON, got a mistake in line {reason.lineno}: {reason.msg}.") from None
    except ValueError as reason:
        raise error(f"{name}: {reason}.") from None


def decode(text: str | bytes, bounded: bool = True) -> Any:
    """Read JSON as `parse` does.

    Args:
        text: the JSON; bytes must be UTF-8.
        bounded: whether to check nesting and that whole numbers fit 64 bits. It takes longer than all the rest, so a
            reader of many small records that checks each of their values itself leaves it out.

    Raises:
        ValueError: the reason, without a name and a full stop.
    """
    try:
        whole = text if isinstance(text, str) else text.decode("utf-8")
        value = (_BOUNDED if bounded else _UNBOUNDED).decode(whole)
        if "\\u" in whole:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise ValueError("expected UTF-8 text without half surrogate pairs, got other bytes") from None
    except RecursionError:
        raise ValueError(_DEEP) from None
    if bounded and whole.count("[") + whole.count("{") > DEEPEST and _is_deep(value):
        raise ValueError(_DEEP)
    return value


def _is_deep(value: Any) -> bool:
    level: Sequence[Any] = [value]
    for _ in range(DEEPEST):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return bool(level)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"duplicate key {key!r:.60}")
    return record


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {text:.40}")
    return value


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 20 else MOST + 1
    if not LEAST <= value <= MOST:
        raise ValueError(f"expected whole numbers of at most 64 bits, got {text:.40}")
    return value


_BOUNDED, _UNBOUNDED = (
    json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_int=integer, parse_constant=_finite)
    for integer in (_whole, int)
)
