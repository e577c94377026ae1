"""The card of a classifier, version 1: what its weights file (or its author) declares, checked field by field.

In a safetensors file it is the metadata entry `smoothcert`: one JSON object with sorted keys, those of `Card` below.
`layout`, `channels` and `output` came after the format was fixed and are left out where nothing is declared; any other
key may be null, empty or left out. Keys that this version does not know are left alone.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from smoothcert.errors import ModelError
from smoothcert.formats.strict import decode

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


@dataclass(frozen=True)
class Card:
    """Declared facts; None, () and {} mean that nothing is declared.

    Args:
        arch: one of our architectures.
        num_classes: at least 2.
        in_channels: at least 1.
        input_shape: (C, H, W).
        mean: per channel, for images in `value_range`.
        std: per channel, above 0; as many as `mean`.
        sigma: noise used in training, in units of the [0, 1] range.
        value_range: lowest and highest pixel value.
        class_names: one a class.
        layout: "NCHW" or "NHWC": channels first or last in the network's input.
        channels: "RGB" or "BGR": the order of colours; mean and std are in this order.
        output: "logit" or "probability": what the one output of a binary classifier is.
        recipe: how it was trained; kept, never interpreted.
    """

    arch: str | None = None
    num_classes: int | None = None
    in_channels: int | None = None
    input_shape: tuple[int, int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sigma: float | None = None
    value_range: tuple[float, float] = (0.0, 1.0)
    class_names: tuple[str, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    layout: Literal["NCHW", "NHWC"] | None = None
    channels: Literal["RGB", "BGR"] | None = None
    output: Literal["logit", "probability"] | None = None

    @property
    def planes(self) -> int | None:
        """The number of channels, if anything declared tells it."""
        shape = self.input_shape
        return (len(self.mean) if len(self.mean) > 1 else None) or self.in_channels or (shape[0] if shape else None)

    def as_json(self) -> str:
        """One line of JSON, keys sorted; the words that came later are left out where nothing is declared."""
        values = {name: value for name, value in asdict(self).items() if value is not None or name not in WORDS}
        return json.dumps(values, sort_keys=True, ensure_ascii=False)


def card_from_json(text: str, reference: str) -> Card:
    """The card a weights file carries.

    Raises:
        ModelError: not JSON, or a field is not what it should be.
    """
    try:
        values = decode(text)
    except ValueError as reason:
        raise ModelError(
            f"{reference}: its 'smoothcert' metadata are not JSON ({reason}); save the weights again."
        ) from None
    return card_from_values(values, reference)


def card_from_values(values: Any, reference: str) -> Card:
    """A card from plain values; fields this version does not know are left out.

    Raises:
        ModelError: a field is not what it should be.

    >>> card_from_values({"mean": [0.5], "std": [0]}, "net.safetensors")
    Traceback (most recent call last):
    smoothcert.errors.ModelError: net.safetensors: the declared std [0] is not usable; expected numbers above 0.
    """
    if not isinstance(values, dict):
        raise ModelError(f"{reference}: a table of declared facts is expected, got {type(values).__name__}.")
    checked = {name: _checked(name, values[name], reference) for name in CHECKS if values.get(name) is not None}
    card = Card(**checked)
    if len(card.mean) != len(card.std):
        raise ModelError(f"{reference}: mean and std need one value a channel each, got {card.mean} and {card.std}.")
    channels = {len(card.mean) or None, card.in_channels, card.input_shape[0] if card.input_shape else None}
    if len(channels - {None}) > 1:
        raise ModelError(f"{reference}: mean, in_channels and input_shape declare different numbers of channels.")
    if card.class_names and card.num_classes not in (None, len(card.class_names)):
        raise ModelError(
            f"{reference}: {card.num_classes} classes and {len(card.class_names)} class names are declared."
        )
    return card


def _checked(name: str, value: Any, reference: str) -> Any:
    convert, expected = CHECKS[name]
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError):
        shown = repr(value)[:60]
        raise ModelError(f"{reference}: the declared {name} {shown} is not usable; expected {expected}.") from None
