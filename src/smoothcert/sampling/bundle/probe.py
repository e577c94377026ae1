"""A probe of code that is not ours: what a network answers to a few fixed images, kept and compared when it comes back.

Weights are known by their hash, but a network is weights and code, and of the code a bundle holds nothing.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from smoothcert.errors import ModelError
from smoothcert.models import Classifier

IMAGES, LOGITS = 4, 64
TOLERANCE = 0.01
"""Largest difference, as a part of the range of the logits: far above rounding, far below other code."""

Logits = tuple[tuple[float, ...], ...]


def probe(classifier: Classifier, shape: tuple[int, int, int], levels: int) -> Logits:
    """Return the first logits of the fixed images, in float32, without noise.

    Args:
        classifier: in evaluation mode, where its parameters are.
        shape: (C, H, W) of an image.
        levels: largest grey value.

    Raises:
        ModelError: the classifier fails on them.
    """
    tensor = next(chain(classifier.module.parameters(), classifier.module.buffers()), None)
    batch = torch.from_numpy(_images(classifier, shape, levels))
    try:
        with torch.inference_mode():
            logits = classifier.module(batch if tensor is None else batch.to(tensor.device))
        array = logits.float().cpu().numpy()[:, :LOGITS]
    except Exception as error:  # the user's own code may fail in any way
        raise ModelError(
            f"{classifier.reference} fails on images of shape (n, C, H, W) = {(IMAGES, *shape)} "
            f"({type(error).__name__}); give the shape it takes."
        ) from None
    if array.ndim != 2 or len(array) != IMAGES or not np.isfinite(array).all():
        raise ModelError(f"{classifier.reference}: finite logits (n, classes) are expected, got {array.shape}.")
    return tuple(tuple(float(value) for value in row) for row in array)


def check_probe(classifier: Classifier, shape: tuple[int, int, int], levels: int, kept: Logits) -> None:
    """Refuse a network that answers the fixed images otherwise than the one that was saved.

    Raises:
        ModelError: it does.
    """
    found = probe(classifier, shape, levels)
    wanted, given = np.array(kept), np.array(found)
    if wanted.shape != given.shape or np.abs(wanted - given).max() > TOLERANCE * np.ptp(wanted) + 1e-6:
        raise ModelError(
            f"{classifier.reference} is not the network of this bundle: with its weights it answers a few fixed "
            "images otherwise than when the bundle was made. Give the code that was certified."
        )


def _images(classifier: Classifier, shape: tuple[int, int, int], levels: int) -> NDArray[np.float32]:
    """Images of many grey values, normalised: each a different ramp through the whole range."""
    count = int(np.prod(shape))
    steps = np.array([1, 7, 31, 101])[:, None]
    pixels = (np.arange(count) * steps * levels // max(count - 1, 1) % (levels + 1)).reshape(IMAGES, *shape) / levels
    mean, std = (np.reshape(column, (1, -1, 1, 1)) for column in (classifier.mean or (0.0,), classifier.std or (1.0,)))
    normalised: NDArray[np.float32] = ((pixels - mean) / std).astype(np.float32)
    return normalised
