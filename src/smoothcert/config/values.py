"""Building blocks of settings: frozen models, lists as typed on the command line, a noise level that keeps its text."""

from __future__ import annotations

import re
import reprlib
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import core_schema

from smoothcert.errors import SpecError


class Sigma(float):
    """A noise level that remembers its text, so that `{sigma}` in a file name is replaced by what was typed."""

    text: str

    def __new__(cls, value: str | float) -> Sigma:
        """Parse a number; `text` is the text as given."""
        self = super().__new__(cls, value)
        self.text = value.strip() if isinstance(value, str) else repr(float(value))
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> core_schema.CoreSchema:
        """Validate a noise level, and serialise it as a number."""
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
"""The largest number of noise samples or images that is accepted."""
Alpha = Annotated[float, AfterValidator(_probability)]
Count = Annotated[int, AfterValidator(_count)]
Floats = Annotated[tuple[float, ...], BeforeValidator(split)]
Ints = Annotated[tuple[int, ...], BeforeValidator(split)]


class Frozen(BaseModel):
    """An immutable model without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)


_Settings = TypeVar("_Settings", bound=Frozen)


def make(kind: type[_Settings], **fields: Any) -> _Settings:
    """Build settings of one kind from plain values.

    Raises:
        SpecError: a field is unknown, missing or out of range; the message names it.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        raise SpecError(explain(error), code="E-SPEC-005") from None


def explain(error: ValidationError) -> str:
    """Return the first entry of a validation error as one sentence, without internal paths or URLs."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    kind, message = first["type"], first["msg"]
    if kind == "value_error":
        message = re.sub(r"\d{30,}", lambda long: f"{long[0][:9]}...", message.removeprefix("Value error, "))
    elif kind == "missing":
        message = "this setting is required but was not given"
    elif kind == "extra_forbidden":
        message = "there is no such setting"
    elif kind != "json_invalid":
        message = f"{message[0].lower()}{message[1:]}, got {reprlib.repr(first['input'])}"
    if name or kind == "value_error":
        return f"{name}: {message}." if name else f"{message}."
    return f"{message[0].upper()}{message[1:]}."
