"""`smoothcert train`: a small classifier under Gaussian noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.training.settings import TrainingSettings


def train(*, data: str, out: Path, settings: Annotated[TrainingSettings, Parameter(name="*", negative="")]) -> int:
    """Train a small ResNet under Gaussian noise, flips and rotations, and save it as safetensors.

    One classifier a noise level; certify them together with --model "weights/r20_{sigma}.safetensors".

    Args:
        data: Labelled training images: FILE.npz[#split], or package.module:factory returning a Dataset.
        out: Weights file to write (.safetensors); an existing file is never overwritten.
    """
    from smoothcert.cli.training import train_and_report

    return train_and_report(data, settings, out)
