"""The pieces settings are made of: frozen values, lists as people type them, and a noise level that keeps its text."""

from __future__ import annotations

import reprlib
from contextlib import suppress
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import core_schema


class Sigma(float):
    """A noise level that remembers how it was written, so that `{sigma}` in a file name means what was typed."""

    text: str

    def __new__(cls, value: str | float) -> Sigma:
        """Read a number; `text` is what was written."""
        self = super().__new__(cls, value)
        self.text = value.strip() if isinstance(value, str) else repr(float(value))
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> core_schema.CoreSchema:
        """Tell pydantic how to read a noise level, and that it is written as a number."""
        as_number = core_schema.plain_serializer_function_ser_schema(float)
        return core_schema.no_info_plain_validator_function(_sigma, serialization=as_number)


def split(value: object) -> object:
    """Turn "0.25,0.5", "0.25 0.5" and lists of such strings into one flat list."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    flat: list[object] = []
    for part in parts:
        flat += part.replace(",", " ").split() if isinstance(part, str) else [part]
    return flat


def _sigma(value: object) -> Sigma:
    if isinstance(value, Sigma):
        return value
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            return Sigma(value)
    raise ValueError(f"expected a number, got {reprlib.repr(value)}")


def _probability(alpha: float) -> float:
    if not 1e-12 <= alpha < 0.5:
        raise ValueError(f"expected a probability from 1e-12 to below 0.5, got {alpha}; 0.001 is usual")
    return alpha


def _count(value: int) -> int:
    if not 1 <= value <= MOST:
        raise ValueError(f"expected a whole number from 1 to {MOST:,}, got {value}")
    return value


MOST = 10_000_000
"""The largest number of copies or images that is taken for meant."""
Alpha = Annotated[float, AfterValidator(_probability)]
Count = Annotated[int, AfterValidator(_count)]
Floats = Annotated[tuple[float, ...], BeforeValidator(split)]
Ints = Annotated[tuple[int, ...], BeforeValidator(split)]


class Frozen(BaseModel):
    """A value: immutable, with no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)
