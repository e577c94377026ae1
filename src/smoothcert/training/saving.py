"""Trained weights to a file, with all a certification must know about them; the log of their training beside."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from torch import nn

from smoothcert.data.dataset import ImageSet
from smoothcert.evidence import write_derived
from smoothcert.models.card import Card
from smoothcert.models.weights import save_weights
from smoothcert.training.settings import EpochReport, TrainingSettings
from smoothcert.training.start import MEAN, STD, Start


def save(
    module: nn.Module,
    settings: TrainingSettings,
    images: ImageSet,
    path: str | os.PathLike[str],
    start: Start | None = None,
) -> None:
    """Write a trained module as safetensors, whole or not at all.

    Args:
        module: what `train` returned.
        settings: what it was trained with.
        images: what it was trained on; their names, shape and hash go into the file.
        path: a new file ending in ``.safetensors``.
        start: the classifier it was trained on from, whose normalisation it keeps; None: it began fresh.

    Raises:
        ModelError: the file exists already, or it cannot be written.
    """
    channels, settings = images.shape[0], settings.filled(tuned=start is not None)
    card = Card(
        arch=start.arch if start else settings.arch,
        num_classes=images.num_classes,
        in_channels=channels,
        input_shape=images.shape,
        mean=start.mean if start else (MEAN,) * channels,
        std=start.std if start else (STD,) * channels,
        sigma=float(settings.sigma) if settings.sigma_low is None else None,
        class_names=images.class_names,
        recipe={
            "settings": settings.as_dict(),
            "images": len(images),
            "images_sha256": images.sha256(),
            "start": start.origin if start else None,
        },
    )
    save_weights(module, card, path)


def write_log(path: Path, reports: Sequence[EpochReport]) -> None:
    """Write one CSV row an epoch, with the fields of `EpochReport` (empty: not measured), over what was there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EpochReport.names())
    writer.writerows(astuple(report) for report in reports)
    write_derived(path, text.getvalue())
