"""How long a training takes on this machine, from a few of its steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from smoothcert.data.dataset import ImageSet
from smoothcert.models import Classifier
from smoothcert.training.batches import pool_of
from smoothcert.training.denoiser_trainer import DenoiserTrainer
from smoothcert.training.settings import DenoiserSettings, TrainingSettings
from smoothcert.training.start import start_of
from smoothcert.training.targets import Target
from smoothcert.training.trainer import Trainer

STEPS, BATCH = 3, 128
"""Steps that are timed after one that is not, and images per step."""


@dataclass(frozen=True)
class TrainingTime:
    """Seconds per image and epoch on this machine, with the default settings.

    Attributes:
        classifier: of training the classifier further with noise; None: it cannot be trained.
        denoiser: of training a denoiser for it.
        objective: what that denoiser minimises: "both", or "mse" for a classifier without gradients.
    """

    classifier: float | None
    denoiser: float
    objective: str


def training_time(images: ImageSet, classifier: Classifier, sigma: float) -> TrainingTime:
    """Time a few training steps; neither the classifier nor the global random state is changed.

    Args:
        images: images like those of the training.
        classifier: the classifier that collapses under noise.
        sigma: noise level.
    """
    few = images.first(BATCH)
    with torch.random.fork_rng(devices=[]):
        trainable = classifier.runtime is None and not classifier.adapted
        return TrainingTime(
            _classifier_seconds(few, classifier, sigma) if trainable else None,
            _denoiser_seconds(few, classifier, sigma),
            "both" if classifier.runtime is None else "mse",
        )


def _classifier_seconds(images: ImageSet, classifier: Classifier, sigma: float) -> float:
    start = start_of(copy.deepcopy(classifier), images.shape[0])
    settings = TrainingSettings(sigma=sigma).with_defaults(fine_tuning=True)
    trainer = Trainer(start.module.train(), pool_of(images, start.mean, start.std, "cpu"), settings)
    generator = torch.Generator().manual_seed(0)
    return _timed(lambda: trainer.step(trainer.pool, generator)) / len(images)


def _denoiser_seconds(images: ImageSet, classifier: Classifier, sigma: float) -> float:
    differentiable = classifier.runtime is None
    settings = DenoiserSettings(sigma=sigma, objective="both" if differentiable else "mse", pretrain=0).with_defaults()
    pool = pool_of(images, (0.0,), (1.0,), "cpu")
    targets = [Target.of(copy.deepcopy(classifier))] if differentiable else []
    trainer = DenoiserTrainer((pool, pool), settings, targets, labelled=True)
    generator = torch.Generator().manual_seed(0)
    return _timed(lambda: trainer.step(pool, 1, generator)) / len(images)


def _timed(step: Callable[[], object]) -> float:
    """Return the seconds of one step."""
    step()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - began) / STEPS
