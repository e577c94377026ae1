"""Whether a classifier answers an image by that image alone: no dropout, no batch statistics, nothing random."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smoothcert.engine.work import Work, clean_logits
from smoothcert.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

Forward = Callable[["Tensor"], "Tensor"]
LARGEST = 0.01
"""Difference of a score, as a share of the scores' spread, that arithmetic alone does not make."""


def check_steady(work: Work, sigma: float, places: NDArray[np.int64], forward: Forward) -> None:
    """Refuse a classifier whose answer to an image changes from one time to the next, or with its neighbours.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels.
        places: a few images to look at, positions in the set.
        forward: its forward pass.

    Raises:
        ModelError: the scores of the same images differ by more than a hundredth of their spread.
    """
    name = work.classifiers[sigma].reference
    first = clean_logits(work, sigma, places, forward)
    if _apart(first, clean_logits(work, sigma, places, forward)):
        raise ModelError(
            f"{name} answers the same images differently the second time: dropout or other randomness is at work. "
            "Put the classifier into evaluation mode, with nothing random in its forward pass."
        )
    if _apart(_among(work, sigma, places, forward, 1.0), _among(work, sigma, places, forward, -1.0)):
        raise ModelError(
            f"{name} answers an image differently when other images of the batch change: batch normalisation in "
            "training mode, or another exchange between images. Put the classifier into evaluation mode."
        )


def _among(
    work: Work, sigma: float, places: NDArray[np.int64], forward: Forward, neighbours: float
) -> NDArray[np.float32]:
    """The scores of images followed by as many others: themselves times a factor."""

    def run(batch: Tensor) -> Tensor:
        import torch

        return forward(torch.cat([batch, batch * neighbours]))[: len(batch)]

    return clean_logits(work, sigma, places, run)


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(np.abs(one - other).max() > LARGEST * max(float(np.ptp(one)), 1e-6))
