"""`smoothcert train`: a small classifier under Gaussian noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def train(
    *,
    data: str,
    sigma: float,
    out: Path,
    arch: Literal["resnet8", "resnet20", "resnet18"] = "resnet20",
    epochs: int = 40,
    consistency: Annotated[float, Parameter(negative="")] = 0.0,
    seed: int = 0,
) -> int:
    """Train a small ResNet under Gaussian noise, flips and rotations, and save it as safetensors.

    One classifier a noise level; certify them together with --model "weights/r20_{sigma}.safetensors".

    Args:
        data: Labelled training images: FILE.npz[#split], or package.module:factory returning a Dataset.
        sigma: Noise standard deviation, in units of the [0, 1] range.
        out: Weights file to write (.safetensors); an existing file is never overwritten.
        arch: Architecture.
        epochs: Passes over the images.
        consistency: Weight of the agreement between two noisy copies of an image; 0 is off, otherwise an epoch takes
            twice as long.
        seed: Seed of weights, order, augmentation and noise.
    """
    from smoothcert.cli.training import train_and_report
    from smoothcert.training.settings import TrainingSettings

    settings = TrainingSettings(sigma=sigma, arch=arch, epochs=epochs, consistency=consistency, seed=seed)
    return train_and_report(data, settings, out)
