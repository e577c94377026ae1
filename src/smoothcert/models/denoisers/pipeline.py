"""A denoiser before a classifier is again a classifier: x -> f(D(x, sigma)).

Whatever maps images to classes can be smoothed, so the theorem, votes and evidence are those of any base classifier
(Salman, Sun, Yang, Kapoor and Kolter, NeurIPS 2020, arXiv:2003.01908, section 3). What is certified is the pipeline of
both, not the classifier alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
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
        denoiser=denoiser,
        behind=classifier,
    )


def check_denoiser(denoiser: Denoiser, images: Tensor, sigma: float) -> None:
    """Apply a denoiser to a few images.

    Args:
        denoiser: the denoiser, on any device.
        images: float (n, C, H, W) in [0, 1].
        sigma: noise level.

    Raises:
        ModelError: it fails on them, or returns anything but finite images of the same shape.
    """
    tensor = next(_tensors(denoiser), None)
    batch = images.to("cpu" if tensor is None else tensor.device, torch.float32)
    name, shape = denoiser.reference, tuple(batch.shape)
    try:
        with torch.inference_mode():
            returned = denoiser.module(batch, sigma)
    except ModelError:
        raise
    except Exception as error:  # the user's code may raise anything
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{name} fails on images of shape (n, C, H, W) = {shape} ({type(error).__name__}: {message}). Use a "
            "denoiser of these channels and this size.",
            code="E-MODEL-116",
        ) from None
    if not isinstance(returned, Tensor) or returned.shape != batch.shape:
        came = f"shape {tuple(returned.shape)}" if isinstance(returned, Tensor) else f"a {type(returned).__name__}"
        raise ModelError(
            f"{name}: expected denoised images of the shape of its input, {shape}, got {came}. Wrap the denoiser so "
            "that it returns one image per image.",
            code="E-MODEL-117",
        )
    if not bool(torch.isfinite(returned).all()):
        raise ModelError(
            f"{name} returns NaN or infinite values. Check its weights, and its value range (--denoiser-range).",
            code="E-MODEL-118",
        )


def _tensors(denoiser: Denoiser) -> Iterator[Tensor]:
    yield from denoiser.module.parameters()
    yield from denoiser.module.buffers()


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
