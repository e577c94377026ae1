"""The network from which training starts: a newly initialised one, or a trained classifier."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError
from smoothcert.models import Classifier, Denoiser, ModelOptions, load_classifier
from smoothcert.models.resnet import build
from smoothcert.training.settings import DEFAULT_ARCH, TrainingSettings

MEAN = STD = 0.5
"""Normalisation of every channel for a newly initialised network."""


@dataclass(frozen=True)
class Start:
    """The network before the first step.

    Args:
        module: takes float (n, C, H, W), normalised with mean and std; returns logits (n, c).
        mean: one number per channel, subtracted from images in [0, 1].
        std: one number per channel, by which they are then divided.
        arch: a built-in architecture, or None.
        origin: reference of the trained classifier and the hash of its weights, likewise of the denoiser; None: newly
            initialised, without a denoiser.
        denoiser: the denoiser before it, which is not trained, or None.
    """

    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    arch: str | None
    origin: dict[str, str] | None = None
    denoiser: Denoiser | None = None

    @property
    def trained(self) -> bool:
        """Whether it is a trained classifier, not newly initialised."""
        return "model" in (self.origin or {})

    def behind(self, denoiser: Denoiser) -> "Start":
        """Return the same start behind a built-in denoiser, which takes one noise level per image.

        Raises:
            ModelError: the denoiser is not built in.
        """
        if denoiser.arch is None:
            raise ModelError(
                f"--denoiser: expected FILE.safetensors from `smoothcert train-denoiser`, got {denoiser.reference}; a "
                "classifier is trained behind built-in denoisers only.",
                code="E-MODEL-195",
            )
        origin = {**(self.origin or {}), "denoiser": denoiser.reference, "denoiser_sha256": denoiser.sha256}
        return replace(self, origin=origin, denoiser=denoiser)


def new_start(images: ImageSet, arch: str, seed: int) -> Start:
    """Return a newly initialised network; the global random state does not change.

    Raises:
        ModelError: the architecture is unknown.
    """
    channels = images.shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(arch, images.num_classes, channels)
    return Start(module, (MEAN,) * channels, (STD,) * channels, arch)


def pretrained_start(images: ImageSet, model: str, options: ModelOptions) -> Start:
    """Return a trained classifier, with its own normalisation, as the start of training.

    Args:
        images: the training images; its classes and channels must match.
        model: a weights file of a built-in architecture, or ``module:factory``.
        options: as for `certify`.

    Raises:
        ModelError: the classifier cannot be used, cannot be trained, or does not match the images.
    """
    if model.endswith(".pt2"):
        raise ModelError(
            f"--from: {model} is an exported program, which cannot be trained; use its module:factory.",
            code="E-MODEL-105",
        )
    classifier = load_classifier(model, options)
    if classifier.adapted or classifier.runtime is not None:
        wrapped = ", ".join(classifier.adapted) or f"runs in {classifier.runtime}"
        raise ModelError(
            f"--from: {model} cannot be trained ({wrapped}); use a module:factory of its network.", code="E-MODEL-106"
        )
    for name, declared, actual in (
        ("classes", classifier.num_classes, images.num_classes),
        ("channels", len(classifier.mean) if len(classifier.mean) > 1 else None, images.shape[0]),
        ("input shape", classifier.input_shape, images.shape),
    ):
        if declared is not None and declared != actual:
            raise ModelError(
                f"--from: {model} declares {name} {declared}, but the images have {actual}.", code="E-MODEL-107"
            )
    _check_logits(classifier.module, images, model)
    return start_of(classifier, images.shape[0])


def _check_logits(module: nn.Module, images: ImageSet, model: str) -> None:
    """Raise ModelError if the module does not return one row of logits per image."""
    expected = (2, images.num_classes)
    try:
        with torch.inference_mode():
            logits = module(torch.zeros(2, *images.shape))
    except Exception as error:  # the user's code may raise anything
        raise ModelError(
            f"--from: {model} failed on images of shape {images.shape} ({type(error).__name__}: {error}).",
            code="E-MODEL-108",
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(
            f"--from: {model} must return logits of shape {expected} for two images, got {got}.", code="E-MODEL-109"
        )


def start_of(classifier: Classifier, channels: int) -> Start:
    """Return a trained classifier as the start of training; its weights get gradients."""
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
    """Return one value per channel; one value is repeated."""
    return values * channels if len(values) == 1 else values


def start_and_settings(
    images: ImageSet, settings: TrainingSettings, start: Start | None
) -> tuple[Start, TrainingSettings]:
    """Return the start, by default a newly initialised network, and the settings with all defaults filled in."""
    settings = settings.with_defaults(fine_tuning=start is not None and start.trained)
    if start is not None:
        return start, settings
    return new_start(images, settings.arch or DEFAULT_ARCH, settings.seed), settings
