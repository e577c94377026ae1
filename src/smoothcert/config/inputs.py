"""`ModelConfig` and `DataConfig`: the classifier and the images, and what must be declared about them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator

from smoothcert.config.values import Count, Floats, Frozen, split

Names = Annotated[tuple[str, ...], BeforeValidator(split)]


class Reading(Frozen):
    """How images are read."""

    quantise: int | None = None
    """Round float images to a grid of 8, 12 or 16 bits. The grid is recorded. For 16-bit files, 12 or 16 says how many
    bits the values have."""
    resize: Count | None = None
    """Resize the shorter side of each image to N pixels. Done before noise is added, and rounded to the grid;
    recorded."""
    crop: Count | None = None
    """Keep the central N x N pixels, after --resize. Recorded."""
    window: Floats | None = None
    """DICOM window: centre and width. In the units of the images; left out, the first window of each file is used."""

    @field_validator("quantise")
    @classmethod
    def _bits(cls, bits: int | None) -> int | None:
        if bits not in (None, 8, 12, 16):
            raise ValueError(f"expected 8, 12 or 16 bits, got {bits}")
        return bits

    @field_validator("window")
    @classmethod
    def _window(cls, window: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if window is not None and not (_pair(window) and window[1] > 0):
            raise ValueError(f"expected centre and width, the width above 0, such as 40,400, got {_list(window)}")
        return window


class DataConfig(Reading):
    """The images: which they are, and how they are read."""

    data: str
    """Folder, .npz, .csv, medmnist:NAME or synthetic:N. Labelled images: FILE.npz[#split], a folder with one subfolder
    per class, a manifest FILE.csv|FILE.parquet[#split], medmnist:NAME[#split], package.module:factory that returns a
    Dataset (your own code, which is run), or synthetic[:N], N drawn images that look like blood smears and are of no
    patient."""
    limit: Count | None = None
    """Certify only the first N images."""
    subgroup: Names = ()
    """Columns by which results are counted separately. Columns of the manifest, or arrays of the .npz file, such as
    sex,scanner."""

    @field_validator("subgroup")
    @classmethod
    def _subgroups(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"expected distinct columns, got {', '.join(names)}")
        return names


class Declared(Frozen):
    """What a classifier expects of its input, where its file does not declare it."""

    input_range: Floats | None = None
    """Lowest and highest input value, such as 0,255 or --input-range=-1,1. What the classifier expects; noise, sigma
    and radii stay in the [0, 1] range, and images are rescaled after the noise is added."""
    mean: Floats | None = None
    """Mean of each input channel; needs --std. What the classifier expects to be subtracted, in units of its input
    range."""
    std: Floats | None = None
    """Standard deviation of each channel; needs --mean. What the classifier expects its input to be divided by, in
    units of its input range."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """Channels first (NCHW) or last (NHWC). The order of the classifier's input."""
    channels: Literal["RGB", "BGR"] | None = None
    """Order of the colour channels. The order that the classifier expects; images are read as RGB."""
    output: Literal["logit", "probability"] | None = None
    """Kind of a single output. For a binary classifier with one output: class 1 is above 0 (logit) or above 0.5
    (probability)."""

    @field_validator("input_range")
    @classmethod
    def _range(cls, pair: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return _rising(pair)

    @field_validator("mean", "std")
    @classmethod
    def _channel_values(cls, values: tuple[float, ...] | None, which: ValidationInfo) -> tuple[float, ...] | None:
        low = 0.0 if which.field_name == "std" else -math.inf
        if values is not None and not (values and all(math.isfinite(v) and v > low for v in values)):
            expected = "numbers above 0" if which.field_name == "std" else "numbers"
            raise ValueError(f"expected {expected}, one per channel, got {_list(values)}")
        return values

    @model_validator(mode="after")
    def _both(self) -> Self:
        if len(self.mean or ()) != len(self.std or ()):
            given = "mean" if self.mean else "std"
            raise ValueError(f"{given}: expected --mean and --std together, one number per channel each")
        return self


class ModelConfig(Declared):
    """The classifier: which it is, and what it expects of its input."""

    model: str
    """Weights file, module:factory, timm:NAME or demo. FILE.safetensors, FILE.onnx, package.module:factory (your own
    code, which is run), timm:NAME, monai:FOLDER, FILE.pt2 or TorchScript with --trust-model, or demo (bundled, for
    synthetic images). {sigma} is replaced by each noise level as it was typed."""
    weights: str | None = None
    """Weights of --model module:factory or timm:NAME. A state dict or a safetensors file; may contain {sigma}."""
    arch: str | None = None
    """Architecture, if the weights file names none. One of resnet8, resnet20, wide20, resnet18."""
    trust_model: bool = False
    """Run code that the model file holds or names. Only if you trust its author: it allows model files that are code
    (.pt2, TorchScript, MONAI bundles), and a package.module:factory that only the --config file names. Not read from
    files."""
    denoiser: str | None = None
    """Denoiser before the classifier. FILE.safetensors from `smoothcert train-denoiser`, package.module:factory (your
    own code, which is run), or diffusers:FOLDER, for a classifier that was trained without noise; {sigma} is replaced
    as in --model. What is certified is the pipeline of both."""
    denoiser_weights: str | None = None
    """Weights of --denoiser module:factory. A state dict or a safetensors file; may contain {sigma}."""
    denoiser_range: Floats | None = None
    """Lowest and highest value of the denoiser's images: --denoiser-range=-1,1. Noise level and images are rescaled to
    it and back; left out, as the denoiser declares, else 0,1."""

    @field_validator("denoiser")
    @classmethod
    def _named(cls, denoiser: str | None) -> str | None:
        if denoiser == "":
            raise ValueError("expected a denoiser, got an empty text; leave it out for none")
        return denoiser

    @field_validator("denoiser_range")
    @classmethod
    def _denoiser_range(cls, pair: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return _rising(pair)

    @model_validator(mode="after")
    def _denoised(self) -> Self:
        for name in ("denoiser_weights", "denoiser_range"):
            if getattr(self, name) is not None and self.denoiser is None:
                raise ValueError(f"{name}: expected --denoiser with it, got none")
        return self


def _rising(pair: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if pair is not None and not (_pair(pair) and pair[0] < pair[1]):
        hint = "" if pair else "; write an equals sign before a negative number: =-1,1"
        raise ValueError(f"expected two numbers, the lower first, such as 0,255, got {_list(pair)}{hint}")
    return pair


def _pair(values: tuple[float, ...]) -> bool:
    return len(values) == 2 and all(map(math.isfinite, values))


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values) or "none"
