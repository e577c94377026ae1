"""A `Classifier`: a module and what is declared about its input; declarations and options become one card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from smoothcert.config import ModelConfig
from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.import_factory import Consent

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelOptions:
    """What the user says about a model besides its name.

    Args:
        arch: architecture of a weights file (`smoothcert.models.resnet.ARCHITECTURES`), or None.
        weights: weights file for ``module:factory``, or None.
        trust_model: True lets a file that is code (``.pt2``) be loaded, and an ``.onnx`` file run without limits.
        named: a person named the model, in Python or on the command line; False: a file, which never names code.
        num_classes: classes of the data, or None if not known.
        in_channels: channels of the data, or None if not known.
        input_range: lowest and highest pixel value the classifier expects, or None: as declared, else [0, 1].
        mean: per channel, in units of the input range, or None: as declared.
        std: per channel, above 0, in units of the input range, or None: as declared.
        layout: whether channels come first or last in its input, or None: as declared, else first.
        channels: the order of colours it expects, or None: RGB.
        output: what the one output of a binary classifier is, or None: told from its values.
    """

    arch: str | None = None
    weights: str | None = None
    trust_model: bool = False
    named: bool = True
    num_classes: int | None = None
    in_channels: int | None = None
    input_range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Literal["NCHW", "NHWC"] | None = None
    channels: Literal["RGB", "BGR"] | None = None
    output: Literal["logit", "probability"] | None = None

    @classmethod
    def of(
        cls, asked: ModelConfig, weights: str | None, num_classes: int, in_channels: int, consent: Consent
    ) -> ModelOptions:
        """What a person's settings say about a model.

        Args:
            asked: the settings.
            weights: their weights file, with ``{sigma}`` filled in.
            num_classes: classes of the data.
            in_channels: channels of the data.
            consent: what may be run. What the settings themselves say of trust is a record, and gives none.
        """
        return cls(
            arch=asked.arch,
            weights=weights,
            trust_model=consent.trust,
            named=consent.model or consent.trust,
            num_classes=num_classes,
            in_channels=in_channels,
            input_range=None if asked.input_range is None else (asked.input_range[0], asked.input_range[1]),
            mean=asked.mean,
            std=asked.std,
            layout=asked.layout,
            channels=asked.channels,
            output=asked.output,
        )


@dataclass(frozen=True)
class Runtime:
    """What computes a classifier's numbers, where that is not torch.

    Args:
        name: with its version, such as "onnxruntime 1.32.0".
        devices: where it can compute here: "cpu", "cuda".
    """

    name: str
    devices: tuple[str, ...] = ("cpu",)

    def __str__(self) -> str:
        """The name, for messages."""
        return self.name


@dataclass(frozen=True)
class Classifier:
    """A module in eval mode that maps images to logits, with what its source declares.

    Args:
        module: float32, takes float (n, C, H, W), returns logits (n, c).
        num_classes: c, or None if not declared.
        input_shape: (C, H, W), or None if not declared.
        mean: per channel, to be subtracted by the caller from images in [0, 1], RGB; () means none, (m,) all channels.
        std: per channel, to divide by afterwards; () means none.
        sha256: "sha256:..." of the weights file, or of the state dict where there is no file.
        reference: the model as the user named it.
        own: one of our architectures, which may be cast and folded.
        arch: its name, if it is our own.
        sigma: the noise it was trained with, in units of the [0, 1] range, if declared.
        class_names: as declared, or ().
        adapted: what lies between the noisy image and the module besides normalisation, in words.
        output: what the one output of a binary classifier is, if that was said.
        runtime: what computes it instead of torch, as it is stored; None: torch.
        source_sha256: "sha256:..." of the source file that builds it, where code of the user's does.
    """

    module: nn.Module
    num_classes: int | None
    input_shape: tuple[int, int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    reference: str
    own: bool
    arch: str | None
    sigma: float | None
    class_names: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    output: Literal["logit", "probability"] | None = None
    runtime: Runtime | None = None
    source_sha256: str | None = None


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
