"""Checks of a denoiser by itself, before anything is sampled: what it returns, and on what that depends."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

from smoothcert.errors import ModelError
from smoothcert.models.classifier import Denoiser
from smoothcert.models.independence import dependence, noise_like

FEW = 4
"""Images to which a denoiser is applied."""


def check_denoiser(denoiser: Denoiser, images: Tensor, sigma: float) -> None:
    """Apply a denoiser to a few images, with and without noise.

    Args:
        denoiser: the denoiser, on any device.
        images: float (n, C, H, W) in [0, 1]; the first `FEW` are used.
        sigma: noise level.

    Raises:
        ModelError: it fails on them, returns anything but finite float32 images of the same shape, or returns other
            images in a second call or beside other images.
    """
    tensor = next(chain(denoiser.module.parameters(), denoiser.module.buffers()), None)
    clean = images[:FEW].to("cpu" if tensor is None else tensor.device, torch.float32)
    noise = noise_like(clean, sigma)
    _check_returned(denoiser, torch.cat([clean, clean + noise]), sigma)
    found = dependence(lambda batch: _applied(denoiser, batch, sigma), clean, noise)
    if found == "chance":
        raise ModelError(
            f"{denoiser.reference} returns other images for the same input in a second call: dropout, noise of its "
            "own, or a start from the previous result. Put the denoiser into evaluation mode, with nothing random or "
            "kept from one call to the next in its forward pass.",
            code="E-MODEL-190",
        )
    if found == "others":
        raise ModelError(
            f"{denoiser.reference} returns another image if other images of its batch or earlier batches change: batch "
            "statistics, an iteration that stops by a norm over the batch, or a start from the previous result. Use a "
            "denoiser that treats each image by itself.",
            code="E-MODEL-191",
        )


def _applied(denoiser: Denoiser, batch: Tensor, sigma: float) -> Tensor:
    """Return what the denoiser returns for a batch.

    Raises:
        ModelError: it fails.
    """
    try:
        with torch.inference_mode():
            returned: Tensor = denoiser.module(batch, sigma)
    except ModelError:
        raise
    except Exception as error:  # the user's code may raise anything
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{denoiser.reference} fails on images of shape (n, C, H, W) = {tuple(batch.shape)} "
            f"({type(error).__name__}: {message}). Use a denoiser of these channels and this size.",
            code="E-MODEL-116",
        ) from None
    return returned


def _check_returned(denoiser: Denoiser, batch: Tensor, sigma: float) -> None:
    name, shape = denoiser.reference, tuple(batch.shape)
    returned = _applied(denoiser, batch.clone(), sigma)
    if not isinstance(returned, Tensor) or returned.shape != shape:
        came = f"shape {tuple(returned.shape)}" if isinstance(returned, Tensor) else f"a {type(returned).__name__}"
        raise ModelError(
            f"{name}: expected denoised images of the shape of its input, {shape}, got {came}. Wrap the denoiser so "
            "that it returns one image per image.",
            code="E-MODEL-117",
        )
    if returned.dtype != torch.float32:
        kind = str(returned.dtype).removeprefix("torch.")
        raise ModelError(
            f"{name}: expected float32 images for float32 images, got {kind}. End its forward method with .float().",
            code="E-MODEL-192",
        )
    if not bool(torch.isfinite(returned).all()):
        raise ModelError(
            f"{name} returns NaN or infinite values for images with noise of sigma {sigma:g}, or without. Noisy values "
            "leave the range of the images: check its weights, its value range (--denoiser-range), and roots or "
            "logarithms in it.",
            code="E-MODEL-118",
        )
