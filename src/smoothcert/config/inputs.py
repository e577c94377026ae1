"""`ModelConfig` and `DataConfig`: classifier and images as a person names them, and what only a person can say."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator

from smoothcert.config.values import Count, Floats, Frozen, split

Names = Annotated[tuple[str, ...], BeforeValidator(split)]


class Reading(Frozen):
    """How images are read."""

    quantise: int | None = None
    """Put float images on a grid of 8, 12 or 16 bits, which is recorded; for 16-bit files, 12 or 16 says how many bits
    their values have."""
    resize: Count | None = None
    """Bring the shorter side of every image to N pixels, before noise and back on the grid; recorded."""
    crop: Count | None = None
    """Keep the N x N pixels in the middle of every image, after --resize; recorded."""
    window: Floats | None = None
    """Centre and width of the window for DICOM images, in their own units; left out, the file's first is used."""

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
    """Labelled images: FILE.npz[#split], a folder with one subfolder per class, a manifest
    FILE.csv|FILE.parquet[#split], medmnist:NAME[#split], package.module:factory returning a Dataset, or synthetic[:N],
    N drawn images of blood-smear-like cells that are no patient's."""
    limit: Count | None = None
    """Certify only the first N images."""
    subgroup: Names = ()
    """Columns of the manifest, or arrays of the .npz file, for which results are also counted separately, such as sex,
    scanner."""

    @field_validator("subgroup")
    @classmethod
    def _subgroups(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"expected distinct columns, got {', '.join(names)}")
        return names


class ModelConfig(Frozen):
    """The classifier: which it is, and what it expects of its input."""

    model: str
    """Classifier: FILE.safetensors, FILE.onnx, package.module:factory (your own code, it is run), timm:NAME,
    monai:FOLDER, FILE.pt2 or TorchScript with --trust-model, or demo (shipped, for synthetic images). {sigma} stands
    for each noise level as typed."""
    weights: str | None = None
    """State dict or safetensors file for package.module:factory or timm:NAME. May contain {sigma}."""
    arch: str | None = None
    """Architecture of a weights file that does not name its own: resnet8, resnet20, wide20, resnet18."""
    trust_model: bool = False
    """Run what is code, because you trust whoever made it: a model file (.pt2, TorchScript, MONAI bundles), and a
    package.module:factory that only the --config file names. Not read from files."""
    input_range: Floats | None = None
    """Lowest and highest pixel value the classifier expects, such as 0,255. Noise, sigma and radii stay in the [0, 1]
    range; images are brought to this one afterwards."""
    mean: Floats | None = None
    """What the classifier expects to be subtracted from each channel, in units of its input range; needs --std."""
    std: Floats | None = None
    """What the classifier expects each channel to be divided by, in units of its input range; needs --mean."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """Order of the classifier's input: channels first (NCHW) or last (NHWC)."""
    channels: Literal["RGB", "BGR"] | None = None
    """Order of the colours the classifier expects; images are read as RGB."""
    output: Literal["logit", "probability"] | None = None
    """What the one output of a binary classifier is: above 0 (logit) or above 0.5 (probability) means class 1."""

    @field_validator("input_range")
    @classmethod
    def _range(cls, pair: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if pair is not None and not (_pair(pair) and pair[0] < pair[1]):
            raise ValueError(f"expected two numbers, the lower first, such as 0,255, got {_list(pair)}")
        return pair

    @field_validator("mean", "std")
    @classmethod
    def _channel_values(cls, values: tuple[float, ...] | None, which: ValidationInfo) -> tuple[float, ...] | None:
        low = 0.0 if which.field_name == "std" else -math.inf
        if values is not None and not (values and all(math.isfinite(v) and v > low for v in values)):
            wanted = "numbers above 0" if which.field_name == "std" else "numbers"
            raise ValueError(f"expected {wanted}, one per channel, got {_list(values)}")
        return values

    @model_validator(mode="after")
    def _both(self) -> Self:
        if len(self.mean or ()) != len(self.std or ()):
            given = "mean" if self.mean else "std"
            raise ValueError(f"{given}: expected --mean and --std together, one number per channel each")
        return self


def _pair(values: tuple[float, ...]) -> bool:
    return len(values) == 2 and all(map(math.isfinite, values))


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values) or "none"
