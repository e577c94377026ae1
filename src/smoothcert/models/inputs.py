"""What a classifier expects of its input: what is declared and what the user states become one card, or a refusal."""

from dataclasses import replace
from typing import Any

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models.classifier import ModelOptions

UNIT = (0.0, 1.0)
_FLAGS = {
    "value_range": "--input-range",
    "mean": "--mean",
    "std": "--std",
    "layout": "--layout",
    "channels": "--channels",
    "output": "--output",
}


def stated(card: Card, options: ModelOptions, reference: str) -> Card:
    """The card of a classifier, filled in with what the user states about it.

    A card that declares mean and std declares its range too ([0, 1] where it names none). One number of mean or std
    stands for every channel, as in torchvision's ``Normalize``.

    Args:
        card: what is declared.
        options: what the user says.
        reference: the classifier's name, for messages.

    Raises:
        ModelError: the user states something else than is declared, or mean and std do not fit the channels.
    """
    planes = card.planes or options.in_channels
    mean, std = (_spread(values, planes, reference) for values in (options.mean, options.std))
    said: dict[str, Any] = {"value_range": options.input_range, "mean": mean, "std": std}
    said |= {name: getattr(options, name) for name in ("layout", "channels", "output")}
    known = {name: value for name, value in said.items() if value is not None}
    for name, value in known.items():
        _check_agrees(name, _declared(card, name, planes), value, reference)
    filled = replace(card, **known)
    if filled.channels == "BGR" and planes not in (None, 3):
        raise ModelError(f"{reference}: colours in the order BGR need images of 3 channels, got {planes}.")
    if filled.value_range != UNIT and not filled.mean:
        filled = replace(filled, mean=(0.0,) * (planes or 1), std=(1.0,) * (planes or 1))
    return filled


def unit_normalisation(card: Card) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std as images in [0, 1], RGB, need them: z = (low + x (high - low) - mean) / std, channel by channel.

    Args:
        card: with mean and std in units of its range, in the order of colours it expects.

    Returns:
        Mean and std in units of the [0, 1] range; the very same numbers where that is the card's range.

    >>> unit_normalisation(Card(mean=(51.0,), std=(102.0,), value_range=(0.0, 255.0)))
    ((0.2,), (0.4,))
    """
    low, high = card.value_range
    mean, std = card.mean, card.std
    if card.value_range != UNIT:
        mean = tuple((value - low) / (high - low) for value in mean or (0.0,))
        std = tuple(value / (high - low) for value in std or (1.0,))
    order = -1 if card.channels == "BGR" else 1
    return mean[::order], std[::order]


def _declared(card: Card, name: str, planes: int | None) -> Any:
    """What a card says about its input, or None where it says nothing."""
    value = getattr(card, name)
    if name == "value_range":
        return value if value != UNIT or card.mean else None
    return value * (planes or 1) if name in ("mean", "std") and len(value) == 1 else value or None


def _spread(values: tuple[float, ...] | None, planes: int | None, reference: str) -> tuple[float, ...] | None:
    if values is None or planes is None or len(values) == planes:
        return values
    if len(values) > 1:
        channels = "1 channel" if planes == 1 else f"{planes} channels"
        raise ModelError(
            f"{reference}: --mean and --std have {len(values)} numbers each, but its images have {channels}; "
            "give one number a channel, or one for all."
        )
    return values * planes


def _check_agrees(name: str, declared: Any, value: Any, reference: str) -> None:
    if declared is not None and declared != value:
        flag, here, there = _FLAGS[name], _shown(value), _shown(declared)
        raise ModelError(
            f"{reference} declares {name.replace('_', ' ')} {there}, but {flag} says {here}. Leave out {flag}, or "
            "correct what is declared."
        )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(f"{number:g}" for number in value)
