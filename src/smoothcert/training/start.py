"""Where training starts: a network of ours with fresh weights, or a classifier that somebody trained already."""

from dataclasses import dataclass

import torch
from torch import nn

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError
from smoothcert.models import Classifier, ModelOptions, load_classifier
from smoothcert.models.resnet import build
from smoothcert.training.settings import FRESH_ARCH, TrainingSettings

MEAN = STD = 0.5
"""The normalisation of every channel that a fresh network is trained with."""


@dataclass(frozen=True)
class Start:
    """The network before the first step.

    Args:
        module: takes float (n, C, H, W), normalised with mean and std; returns logits (n, c).
        mean: to be subtracted from images in [0, 1]; one number a channel.
        std: to divide by afterwards.
        arch: one of our architectures, or None.
        origin: the classifier it came from and the hash of its weights; None: fresh.
    """

    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    arch: str | None
    origin: dict[str, str] | None = None


def fresh(images: ImageSet, arch: str, seed: int) -> Start:
    """A network of ours with weights drawn from the seed; the process's random state is left as it was.

    Raises:
        ModelError: an unknown architecture.
    """
    channels = images.shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(arch, images.num_classes, channels)
    return Start(module, (MEAN,) * channels, (STD,) * channels, arch)


def tuned(images: ImageSet, model: str, options: ModelOptions) -> Start:
    """A classifier as it is, with its own normalisation, to be trained on.

    Args:
        images: what it will be trained on; its classes and channels must fit.
        model: a weights file of ours, or ``module:factory``.
        options: what `certify` is told about such a model.

    Raises:
        ModelError: the classifier cannot be used, cannot be trained, or does not fit the images.
    """
    if model.endswith(".pt2"):
        raise ModelError(f"--from: {model} is an exported program, which cannot be trained; give its module:factory.")
    classifier = load_classifier(model, options)
    if classifier.adapted or classifier.runtime is not None:
        wrapped = ", ".join(classifier.adapted) or f"runs in {classifier.runtime}"
        raise ModelError(f"--from: {model} is not trained as it is ({wrapped}); give a module:factory of its network.")
    for what, declared, found in (
        ("classes", classifier.num_classes, images.num_classes),
        ("channels", len(classifier.mean) if len(classifier.mean) > 1 else None, images.shape[0]),
        ("input shape", classifier.input_shape, images.shape),
    ):
        if declared is not None and declared != found:
            raise ModelError(f"--from: {model} declares {what} {declared}, but the images have {found}.")
    _check_logits(classifier.module, images, model)
    return _start(classifier, images.shape[0])


def _check_logits(module: nn.Module, images: ImageSet, model: str) -> None:
    """Two grey images go in, and a row of logits must come out for each."""
    expected = (2, images.num_classes)
    try:
        with torch.inference_mode():
            logits = module(torch.zeros(2, *images.shape))
    except Exception as error:  # the user's own code may fail in any way
        raise ModelError(
            f"--from: {model} failed on images of shape {images.shape} ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(f"--from: {model} must return logits of shape {expected} for two images, got {got}.")


def _start(classifier: Classifier, channels: int) -> Start:
    module = classifier.module
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return Start(
        module,
        _each(classifier.mean or (0.0,), channels),
        _each(classifier.std or (1.0,), channels),
        classifier.arch,
        {"model": classifier.reference, "sha256": classifier.sha256},
    )


def _each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value a channel, where one was meant for all."""
    return values * channels if len(values) == 1 else values


def starting(images: ImageSet, settings: TrainingSettings, start: Start | None) -> tuple[Start, TrainingSettings]:
    """Where to start and the settings with every default in place; without a start, a fresh network."""
    settings = settings.filled(tuned=start is not None)
    if start is not None:
        return start, settings
    return fresh(images, settings.arch or FRESH_ARCH, settings.seed), settings
