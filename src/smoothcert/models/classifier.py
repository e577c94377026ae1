"""A classifier as the rest of the package sees it: a module and what is declared about it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from smoothcert.spec import Inputs
from smoothcert.usercode import Consent

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
        cls, asked: Inputs, weights: str | None, num_classes: int, in_channels: int, consent: Consent
    ) -> "ModelOptions":
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

    module: "nn.Module"
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
