"""Trained weights to a file, with all a certification must know about them."""

import os

from torch import nn

from smoothcert.data.dataset import ImageSet
from smoothcert.models.card import Card
from smoothcert.models.weights import save_weights
from smoothcert.training.batches import MEAN, STD
from smoothcert.training.settings import TrainingSettings


def save(module: nn.Module, settings: TrainingSettings, images: ImageSet, path: str | os.PathLike[str]) -> None:
    """Write a trained module as safetensors, whole or not at all.

    Args:
        module: what `train` returned.
        settings: what it was trained with.
        images: what it was trained on; their names, shape and hash go into the file.
        path: a new file ending in ``.safetensors``.

    Raises:
        ModelError: the file exists already, or it cannot be written.
    """
    channels = images.shape[0]
    card = Card(
        arch=settings.arch,
        num_classes=images.num_classes,
        in_channels=channels,
        input_shape=images.shape,
        mean=(MEAN,) * channels,
        std=(STD,) * channels,
        sigma=float(settings.sigma) if settings.sigma_low is None else None,
        class_names=images.class_names,
        recipe={"settings": settings.as_dict(), "images": len(images), "images_sha256": images.sha256()},
    )
    save_weights(module, card, path)
