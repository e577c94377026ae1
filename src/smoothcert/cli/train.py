"""`smoothcert train`: a classifier under Gaussian noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.spec import Reading
from smoothcert.training.settings import TrainingSettings


def train(
    *,
    data: str,
    out: Path,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    weights: str | None = None,
    settings: Annotated[TrainingSettings, Parameter(name="*", negative="")],
    reading: Annotated[Reading | None, Parameter(name="*", negative="")] = None,
) -> int:
    """Train a classifier under Gaussian noise, flips and rotations, and save it as safetensors.

    A small ResNet from nothing, or (--from) a classifier trained already, which certifies badly as long as it never
    saw noise. One classifier a noise level; certify them together with --model "weights/r20_{sigma}.safetensors".
    Interrupted, it is continued by the same command; the log of its epochs stands beside the weights as CSV.

    Args:
        data: Labelled training images, named as for `certify`.
        out: Weights file to write (.safetensors); an existing file is never overwritten.
        start: Train this classifier on: FILE.safetensors, FILE.pt with --arch, package.module:factory or timm:NAME.
        weights: Weights file for --from package.module:factory or timm:NAME.
    """
    from smoothcert.cli.training import Wanted, train_and_report

    return train_and_report(Wanted(data, out, start, weights, reading or Reading()), settings)
