"""One printed value of the memo: what it is, how it was rounded, how it is printed, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smoothcert.stats.rounding import format_down, format_up, full

EXACT, DOWN, UP, NEAREST, WORDS = "exact", "lower bound, down", "upper bound, up", "nearest", "words"
_NAMED = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Field:
    """A printed value.

    Attributes:
        value: the raw value, as JSON can hold it.
        rule: how `printed` was rounded from it (`EXACT`, `DOWN`, `UP`, `NEAREST` or `WORDS`).
        printed: what the memo prints.
        source: where the value comes from, in words.
    """

    value: Any
    rule: str
    printed: str
    source: str


Fields = dict[str, Field]


def exact(value: float | str, source: str) -> Field:
    """A value printed in full: whole numbers with thousands separators, settings as short as they read back."""
    printed = f"{value:,}" if isinstance(value, int) else full(value) if isinstance(value, float) else value
    return Field(value, EXACT, printed, source)


def down(value: float, decimals: int, source: str, scale: int = 1) -> Field:
    """A lower bound or share; rounded down after scaling (100 for percent)."""
    return Field(value, DOWN, format_down(value, decimals, scale), source)


def up(value: float, decimals: int, source: str, scale: int = 1) -> Field:
    """An upper bound or cost; rounded up after scaling."""
    return Field(value, UP, format_up(value, decimals, scale), source)


def nearest(value: float, decimals: int, source: str) -> Field:
    """A measurement that bounds nothing; rounded to nearest."""
    return Field(value, NEAREST, f"{value:,.{decimals}f}", source)


def words(printed: str, source: str, value: Any = None) -> Field:
    """A text; `value` is what it was made from, left out where it is the text itself."""
    return Field(printed if value is None else value, WORDS, printed, source)


def fill(text: str, fields: Mapping[str, Field]) -> str:
    """Return a reviewed text with every {name} replaced by the printed string of that field.

    Raises:
        KeyError: there is no such field.

    >>> fill("{m} images", {"m": exact(1000, "spec.json")})
    '1,000 images'
    """
    return _NAMED.sub(lambda match: fields[match[1]].printed, text)
