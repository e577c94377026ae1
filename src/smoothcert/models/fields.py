"""The fields of a card: how each is checked, and what is expected of it."""

import math
from collections.abc import Callable
from typing import Any

MAX_CLASSES = 1_000_000


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(_number(item) for item in _sequence(value))


def _sequence(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(value)


def _positive(value: Any) -> tuple[float, ...]:
    numbers = _numbers(value)
    if any(number <= 0 for number in numbers):
        raise ValueError
    return numbers


def _shape(value: Any) -> tuple[int, int, int]:
    channels, height, width = _sequence(value)
    return _whole(channels, 1, 4096), _whole(height, 1, 65536), _whole(width, 1, 65536)


def _sigma(value: Any) -> float:
    sigma = _number(value)
    if sigma < 0:
        raise ValueError
    return sigma


def _range(value: Any) -> tuple[float, float]:
    low, high = _numbers(value)
    if low >= high:
        raise ValueError
    return low, high


def _word(known: tuple[str, ...]) -> tuple[Callable[[Any], str], str]:
    def convert(value: Any) -> str:
        if value not in known:
            raise ValueError
        return str(value)

    return convert, " or ".join(known)


WORDS = {"layout": ("NCHW", "NHWC"), "channels": ("RGB", "BGR"), "output": ("logit", "probability")}
CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "arch": (_text, "the name of an architecture"),
    "num_classes": (lambda value: _whole(value, 2, MAX_CLASSES), "a whole number from 2"),
    "in_channels": (lambda value: _whole(value, 1, 4096), "a whole number from 1"),
    "input_shape": (_shape, "three whole numbers (C, H, W)"),
    "mean": (_numbers, "numbers"),
    "std": (_positive, "numbers above 0"),
    "sigma": (_sigma, "a number from 0"),
    "value_range": (_range, "two numbers, the lower first"),
    "class_names": (lambda value: tuple(_text(name) for name in _sequence(value)), "a list of names"),
    "recipe": (dict, "a table"),
    **{name: _word(known) for name, known in WORDS.items()},
}
"""Field -> (conversion that raises on nonsense, what was expected)."""
