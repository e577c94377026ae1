"""Reading untrusted files: regular files of bounded size, strict JSON, and strict typed records."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import reprlib
import stat
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from smoothcert.errors import EvidenceError, InputError

DEEPEST = 32
"""Largest nesting depth of JSON: more than any file of this package has, and few enough for every reader."""
LEAST, MOST = -(2**63), 2**64 - 1
"""Whole numbers that fit 64 bits, signed or unsigned."""
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags of `os.open`: O_NONBLOCK exists on POSIX, O_BINARY on Windows."""
_DEEP = f"expected lists and objects nested at most {DEEPEST} deep, got more"


def open_regular(path: Path, error: type[InputError] = EvidenceError) -> BinaryIO:
    """Open a regular file for reading; never waits, even if the path is a pipe.

    Args:
        path: the file.
        error: class of the error that is raised.

    Raises:
        InputError: of the class `error`: there is no such file, or it is a folder, a pipe or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _AT_ONCE)
    except (OSError, ValueError) as reason:
        text = reason.strerror if isinstance(reason, OSError) else str(reason)
        raise error(f"Cannot read {path}: {text}.", code="E-FILE-001") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(
            f"Cannot read {path}: expected a regular file, got a folder, a pipe or a device.", code="E-FILE-002"
        )
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, largest: int, error: type[InputError] = EvidenceError) -> bytes:
    """Read the whole of a regular file.

    Args:
        path: the file.
        largest: maximum number of bytes.
        error: class of the error that is raised.

    Raises:
        InputError: of the class `error`: it cannot be read, is not a regular file, or is larger.
    """
    try:
        with open_regular(path, error) as file:
            data = file.read(largest + 1)
    except OSError as reason:
        raise error(f"Cannot read {path}: {reason.strerror}.", code="E-FILE-001") from None
    if len(data) > largest:
        raise error(f"{path} is too large: expected at most {largest:,} bytes, got more.", code="E-FILE-004")
    return data


def parse(text: str | bytes, name: object, error: type[InputError] = EvidenceError) -> Any:
    """Read JSON.

    Args:
        text: the JSON; bytes must be UTF-8.
        name: name in the message, such as the path.
        error: class of the error that is raised.

    Returns:
        Plain values. Numbers are finite, and whole numbers fit 64 bits.

    Raises:
        InputError: of the class `error`: not JSON (RFC 8259), a duplicate key, a number that is not finite or does not
            fit 64 bits, an unpaired surrogate in a string, or nesting deeper than `DEEPEST`.

    >>> parse('{"alpha": 0.001, "alpha": 0.1}', "spec.json")
    Traceback (most recent call last):
        ...
    smoothcert.errors.EvidenceError: spec.json: duplicate key 'alpha'.
    """
    try:
        return decode(text)
    except json.JSONDecodeError as reason:
        raise error(
            f"{name}: expected JSON, got a syntax error in line {reason.lineno}: {reason.msg}.", code="E-FILE-005"
        ) from None
    except ValueError as reason:
        raise error(f"{name}: {reason}.", code="E-FILE-006") from None


def decode(text: str | bytes, bounded: bool = True) -> Any:
    """Read JSON as `parse` does.

    Args:
        text: the JSON; bytes must be UTF-8.
        bounded: whether to check nesting and that whole numbers fit 64 bits. These checks take longer than all others;
            a reader of many small records that checks each value itself leaves them out.

    Raises:
        ValueError: as `parse`; the message has no name and no full stop.
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


MOST_COUNTED = 2**63 - 1
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_R = TypeVar("_R", bound="Record")


class Record(BaseModel):
    """A record on disk: no type is converted, all numbers are finite, unknown keys are ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


@lru_cache(maxsize=4096)
def utc(text: str) -> str:
    """Return a UTC time in the form `2026-01-31T12:00:00Z`.

    Raises:
        ValueError: the text has another form.
    """
    if not _UTC.fullmatch(text):
        raise ValueError(f"expected a UTC time such as 2026-01-31T12:00:00Z, got {text!r:.40}")
    datetime.datetime.fromisoformat(text)
    return text


Time = Annotated[str, AfterValidator(utc)]
"""UTC, to the second."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""64 lower-case hexadecimal digits."""
Tally = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
"""A whole number from 0 to 2^63 - 1."""
Amount = Annotated[float, Field(ge=0, le=1e15)]
"""A finite number from 0; sums of a million of them are finite too."""
Rank = Annotated[str, Field(pattern="^[1-9][0-9]{0,6}$")]
"""k as the key of an object."""
ShardName = Annotated[str, Field(pattern="^[0-9]{1,7}/[0-9]{1,7}$")]
"""i/n, shard i of n."""


def checked(kind: type[_R], record: Any) -> _R:
    """Return a typed record.

    Raises:
        ValueError: a value is missing, of another type or out of range; the message names it.
    """
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        raise ValueError(reason(error)) from None


def reason(error: ValidationError) -> str:
    """Return the first entry of a validation error as text: where, what was expected, what came."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:80]
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] != "missing":
        text += f", got {reprlib.repr(first['input'])}"
    return f"{place}: {text[0].lower()}{text[1:]}" if place else text
