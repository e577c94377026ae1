"""A denoiser before a classifier is again a classifier: x -> f(D(x, sigma)).

Whatever maps images to classes can be smoothed, so the theorem, votes and evidence are those of any base classifier
(Salman, Sun, Yang, Kapoor and Kolter, NeurIPS 2020, arXiv:2003.01908, section 3). What is certified is the pipeline of
both, not the classifier alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from smoothcert.models.classifier import Classifier, Denoiser


class Denoised(nn.Module):
    """A classifier behind a denoiser; takes noisy images in [0, 1], float (n, C, H, W), not normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier, denoiser: Denoiser, sigma: float) -> None:
        super().__init__()
        self.denoiser, self.classifier = denoiser.module, classifier.module
        self.sigma = sigma
        self.training = False  # does not change the mode of the two; programs of torch.export cannot change it
        self.register_buffer("mean", _per_channel(classifier.mean or (0.0,)), persistent=False)
        self.register_buffer("std", _per_channel(classifier.std or (1.0,)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) of the denoised images."""
        images = self.denoiser(x, self.sigma)
        logits: Tensor = self.classifier((images - self.mean.to(images.dtype)) / self.std.to(images.dtype))
        return logits


def denoised(classifier: Classifier, denoiser: Denoiser, sigma: float) -> Classifier:
    """Return a classifier behind a denoiser, as the classifier that is certified at one noise level.

    Args:
        classifier: declares its normalisation, which is applied after the denoiser.
        denoiser: takes images of as many channels.
        sigma: noise level, in units of the [0, 1] range.
    """
    return replace(
        classifier,
        module=Denoised(classifier, denoiser, sigma),
        mean=(),
        std=(),
        built_in=classifier.built_in and denoiser.arch is not None,
        state_sha256=None,
        structure=None,
        denoiser=denoiser,
        behind=classifier,
    )


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
