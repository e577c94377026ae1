"""The pieces that records on disk are made of: strict typed records, and why one is refused."""

from __future__ import annotations

import datetime
import re
import reprlib
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

MOST_COUNTED = 2**63 - 1
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_R = TypeVar("_R", bound="Record")


class Record(BaseModel):
    """A record on disk: nothing is converted, no number is infinite, keys that it does not know are left alone."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


@lru_cache(maxsize=4096)
def utc(text: str) -> str:
    """Return a time as files hold it, `2026-01-31T12:00:00Z`.

    Raises:
        ValueError: it is not such a time.
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
"""i/n."""


def checked(kind: type[_R], record: Any) -> _R:
    """Return a typed record.

    Raises:
        ValueError: a value is missing, of another type or out of range; the reason names it.
    """
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        raise ValueError(reason(error)) from None


def reason(error: ValidationError) -> str:
    """Return the first complaint of a validation error: where, what was expected, what came."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:80]
    told = first["msg"].removeprefix("Value error, ")
    if first["type"] != "missing":
        told += f", got {reprlib.repr(first['input'])}"
    return f"{place}: {told[0].lower()}{told[1:]}" if place else told
