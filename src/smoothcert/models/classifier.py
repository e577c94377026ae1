"""`Classifier` and `Denoiser`: a module and the declarations about it; a card completed by the user's options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from smoothcert.config import Declared, ModelConfig
from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.import_factory import Consent

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelOptions:
    """Settings of a model besides its reference.

    Args:
        arch: architecture of a weights file (`smoothcert.models.resnet.ARCHITECTURES`), or None.
        weights: weights file for ``module:factory``, or None.
        trust_model: True allows loading files that are code (``.pt2``), and running ``.onnx`` files without limits.
        named: True if a person named the model, in Python or on the command line; False if a file did, which may
            never name code.
        num_classes: number of classes of the data, or None if not known.
        in_channels: number of channels of the data, or None if not known.
        input_range: lowest and highest pixel value the classifier expects, or None: as declared, else [0, 1].
        mean: per channel, in units of the input range, or None: as declared.
        std: per channel, above 0, in units of the input range, or None: as declared.
        layout: channels first or last in its input, or None: as declared, else first.
        channels: channel order it expects, or None: RGB.
        output: type of the one output of a binary classifier, or None: inferred from its values.
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
        cls, config: ModelConfig, weights: str | None, num_classes: int, in_channels: int, consent: Consent
    ) -> ModelOptions:
        """Return the options of a run's settings.

        Args:
            config: the settings.
            weights: their weights file, with ``{sigma}`` replaced.
            num_classes: number of classes of the data.
            in_channels: number of channels of the data.
            consent: what may be run; `trust_model` in the settings is only a record and gives no consent.
        """
        return cls(
            arch=config.arch,
            weights=weights,
            trust_model=consent.trust,
            named=consent.model or consent.trust,
            num_classes=num_classes,
            in_channels=in_channels,
        ).with_declared(config)

    def with_declared(self, declared: Declared) -> ModelOptions:
        """Return the options with what the user declares about the classifier's input and output."""
        span = declared.input_range
        return replace(
            self,
            input_range=None if span is None else (span[0], span[1]),
            mean=declared.mean,
            std=declared.std,
            layout=declared.layout,
            channels=declared.channels,
            output=declared.output,
        )


@dataclass(frozen=True)
class Runtime:
    """The library that computes a classifier's outputs, if it is not torch.

    Args:
        name: with its version, such as "onnxruntime 1.32.0".
        devices: devices available on this machine: "cpu", "cuda".
    """

    name: str
    devices: tuple[str, ...] = ("cpu",)

    def __str__(self) -> str:
        """Return the name, for messages."""
        return self.name


@dataclass(frozen=True)
class Denoiser:
    """A denoiser: a module in eval mode that maps noisy images and the noise level to images, with its declarations.

    Args:
        module: float32, takes float (n, C, H, W), images in [0, 1] with noise added, and sigma in the same units;
            returns images of the same shape, in [0, 1].
        sha256: "sha256:..." of the weights file, or of the state dict if there is no file.
        reference: the denoiser as the user named it.
        arch: name of the built-in denoiser, which may be cast and folded; None: the user's own.
        sigma_low: lowest noise level of its training, in units of the [0, 1] range, if declared.
        sigma: highest noise level of its training, if declared.
        adapted: descriptions of the steps around the network.
        source_sha256: "sha256:..." of the source file, if the user's code builds it; of a diffusion model, of its
            configuration.
        state_sha256: "sha256:..." of the state dict when it was loaded; None: not loaded from a reference.
        structure: what the module was besides its tensors when it was loaded; None: not loaded from a reference.
    """

    module: nn.Module
    sha256: str
    reference: str
    arch: str | None = None
    sigma_low: float | None = None
    sigma: float | None = None
    adapted: tuple[str, ...] = ()
    source_sha256: str | None = None
    state_sha256: str | None = None
    structure: str | None = None


@dataclass(frozen=True)
class Classifier:
    """A base classifier: a module in eval mode that maps images to logits, with its declarations.

    Args:
        module: float32, takes float (n, C, H, W), returns logits (n, c).
        num_classes: c, or None if not declared.
        input_shape: (C, H, W), or None if not declared.
        mean: per channel, which the caller subtracts from images in [0, 1], RGB; (): none; (m,): for all channels.
        std: per channel, by which the caller then divides; (): none.
        sha256: "sha256:..." of the weights file, or of the state dict if there is no file.
        reference: the model as the user named it.
        built_in: whether it is a built-in architecture, which may be cast and folded.
        arch: name of the built-in architecture, or None.
        sigma: noise level of its training, in units of the [0, 1] range, if declared.
        class_names: as declared, or ().
        adapted: descriptions of the steps around the network besides normalisation.
        output: type of the one output of a binary classifier, if set.
        runtime: the library that computes it; None: torch.
        source_sha256: "sha256:..." of the source file, if the user's code builds it.
        trained_behind: name and hash of the denoiser behind which it was trained, if declared.
        state_sha256: "sha256:..." of the state dict when it was loaded; None: not loaded from a reference.
        structure: what the module was besides its tensors when it was loaded; None: not loaded from a reference.
        denoiser: the denoiser that `module` applies first, or None.
        behind: the classifier behind that denoiser, without it; None if there is none.
    """

    module: nn.Module
    num_classes: int | None
    input_shape: tuple[int, int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    reference: str
    built_in: bool
    arch: str | None
    sigma: float | None
    class_names: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    output: Literal["logit", "probability"] | None = None
    runtime: Runtime | None = None
    source_sha256: str | None = None
    trained_behind: tuple[str, str] | None = None
    state_sha256: str | None = None
    structure: str | None = None
    denoiser: Denoiser | None = None
    behind: Classifier | None = None


UNIT = (0.0, 1.0)
_FLAGS = {
    "value_range": "--input-range",
    "mean": "--mean",
    "std": "--std",
    "layout": "--layout",
    "channels": "--channels",
    "output": "--output",
}


def card_with_options(card: Card, options: ModelOptions, reference: str) -> Card:
    """Return a card completed by the user's options.

    A card that declares mean and std also declares its range ([0, 1] by default). One number of mean or std is used
    for every channel, as in torchvision's ``Normalize``.

    Args:
        card: declared for the classifier.
        options: set by the user.
        reference: the classifier's name, for messages.

    Raises:
        ModelError: the options contradict the card, or mean and std do not match the channels.
    """
    planes = card.planes or options.in_channels
    mean, std = (_spread(values, planes, reference) for values in (options.mean, options.std))
    settings: dict[str, Any] = {"value_range": options.input_range, "mean": mean, "std": std}
    settings |= {name: getattr(options, name) for name in ("layout", "channels", "output")}
    known = {name: value for name, value in settings.items() if value is not None}
    for name, value in known.items():
        _check_agrees(name, _declared(card, name, planes), value, reference)
    filled = replace(card, **known)
    if filled.channels == "BGR" and planes not in (None, 3):
        raise ModelError(
            f"{reference}: --channels BGR needs images with 3 channels, got {planes}; leave it out.", code="E-MODEL-039"
        )
    if filled.value_range != UNIT and not filled.mean:
        filled = replace(filled, mean=(0.0,) * (planes or 1), std=(1.0,) * (planes or 1))
    return filled


def unit_normalisation(card: Card) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for images in [0, 1], RGB: z = (low + x (high - low) - mean) / std, channel by channel.

    Args:
        card: with mean and std in units of its range, in its channel order.

    Returns:
        Mean and std in units of the [0, 1] range; unchanged if that is the card's range.

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
    """Return a field of the card as declared, or None if it is not declared."""
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
            "use one number per channel, or one for all.",
            code="E-MODEL-040",
        )
    return values * planes


def _check_agrees(name: str, declared: Any, value: Any, reference: str) -> None:
    if declared is not None and declared != value:
        flag, field = _FLAGS[name], name.replace("_", " ")
        raise ModelError(
            f"{reference} declares {field} {_text(declared)}, but {flag} is {_text(value)}; leave out {flag}, or "
            "correct the declaration.",
            code="E-MODEL-041",
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(f"{number:g}" for number in value)
