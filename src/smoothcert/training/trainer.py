"""Gaussian augmentation (Cohen et al., ICML 2019), optionally with consistency (Jeong and Shin, NeurIPS 2020).

Objective, optimiser, learning rate, accuracy on held-out images, and the loop over the epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError, SpecError
from smoothcert.models.state import load_state
from smoothcert.training.batches import Noise, Pool, epoch_rows, flipped_and_rotated, noise_levels, pool_of, split
from smoothcert.training.checkpoint import Checkpoint, Identity, load_checkpoint, part, reports_of, save_checkpoint
from smoothcert.training.settings import EpochReport, Schedule, TrainingSettings
from smoothcert.training.start import Start, start_and_settings

MODEL, MOMENTUM = "model.", "momentum."
"""Prefixes of tensors in a checkpoint."""
SMALLEST = 1e-8
"""Lower limit of probabilities in logarithms."""


def objective(logits: torch.Tensor, labels: torch.Tensor, settings: TrainingSettings) -> torch.Tensor:
    """Return the loss of a batch: cross-entropy of all samples + lambda * disagreement + eta * entropy of the mean.

    Lambda is `settings.consistency`, eta `settings.entropy` (Jeong and Shin, NeurIPS 2020, equation 8). With one noise
    sample per image it is plain cross-entropy, as in Gaussian augmentation (Cohen, Rosenfeld and Kolter, ICML 2019).

    Args:
        logits: float (samples * n, c), the n images of each sample in turn.
        labels: integers (n,).
        settings: weights of the terms, and label smoothing.

    Returns:
        A scalar.
    """
    samples = len(logits) // len(labels)
    loss = F.cross_entropy(logits, labels.repeat(samples), label_smoothing=settings.label_smoothing)
    if samples == 1:
        return loss
    logs = F.log_softmax(logits, 1).reshape(samples, len(labels), -1)
    mean = logs.exp().mean(0).clamp_min(SMALLEST)
    return loss + settings.consistency * disagreement(mean, logs) + settings.entropy * entropy(mean)


def disagreement(mean: torch.Tensor, logs: torch.Tensor) -> torch.Tensor:
    """Return the mean divergence KL(mean || sample); mean probabilities (n, c), logarithms (samples, n, c)."""
    return (mean * (mean.log() - logs)).sum(2).mean()


def entropy(mean: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy, in nats, of the mean predictions (n, c)."""
    return -(mean * mean.log()).sum(1).mean()


def accuracy(module: nn.Module, pool: Pool, settings: TrainingSettings, sigma: float | None = None) -> float | None:
    """Return the accuracy on a pool with one noise sample per image, the same in every call; None for an empty pool.

    Args:
        module: on the device of the pool.
        pool: the held-out images.
        settings: of the training.
        sigma: noise level, 0 for none; None: as in training.
    """
    if not len(pool):
        return None
    generator = torch.Generator(settings.device).manual_seed(settings.seed + 1)
    module.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(pool), 512):
            rows = pool.images[start : start + 512]
            level = noise_levels(settings, len(rows), generator) if sigma is None else sigma
            with precision(settings):
                logits = module(pool.noisy(rows, level, generator))
            right += int((logits.argmax(1) == pool.labels[start : start + 512]).sum())
    return right / len(pool)


def precision(settings: Schedule) -> torch.autocast:
    """Return the autocast context of the forward pass."""
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16")


class Trainer:
    """The optimiser's state between epochs."""

    def __init__(self, module: nn.Module, pool: Pool, settings: TrainingSettings) -> None:
        self.module, self.pool, self.settings = module, pool, settings
        self.optimiser = torch.optim.SGD(
            parameter_groups(module, settings.weight_decay), lr=0.0, momentum=0.9, nesterov=True
        )
        self.batches = max(len(pool) // settings.batch_size, 1)
        self.step_count = 0

    def checkpoint(self, reports: list[EpochReport]) -> Checkpoint:
        """Return the state that the next epoch needs."""
        tensors = {f"{MODEL}{name}": tensor for name, tensor in self.module.state_dict().items()}
        for i, parameter in enumerate(self._parameters()):
            buffer = self.optimiser.state[parameter].get("momentum_buffer")
            if buffer is not None:
                tensors[f"{MOMENTUM}{i}"] = buffer
        return Checkpoint(tensors, [asdict(report) for report in reports])

    def resume(self, checkpoint: Checkpoint | None) -> list[EpochReport]:
        """Load a checkpoint, if there is one, and return the reports of the completed epochs."""
        if checkpoint is None:
            return []
        reports = reports_of(checkpoint, EpochReport, self.settings.epochs)
        load_state(self.module, part(checkpoint.tensors, MODEL), "the checkpoint")
        for i, parameter in enumerate(self._parameters()):
            buffer = checkpoint.tensors.get(f"{MOMENTUM}{i}")
            if buffer is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = buffer.to(parameter)
        self.step_count = len(checkpoint.log) * self.batches
        return reports

    def run_epoch(self, epoch: int, holdout: Pool) -> EpochReport:
        """Train one epoch, and measure the accuracy on the held-out images."""
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            loss, right = self._epoch(epoch)
        return EpochReport(
            epoch=epoch,
            epochs=self.settings.epochs,
            rate=self.optimiser.param_groups[0]["lr"],
            loss=loss,
            accuracy=right,
            clean=accuracy(self.module, holdout, self.settings, sigma=0.0),
            noisy=accuracy(self.module, holdout, self.settings),
            seconds=time.perf_counter() - started,
        )

    def _epoch(self, epoch: int) -> tuple[float, float]:
        """Train on the pool once; return (mean loss, accuracy on noisy images)."""
        generator = torch.Generator(self.settings.device).manual_seed(seed_of(self.settings.seed, epoch))
        torch.manual_seed(seed_of(self.settings.seed, epoch))  # the user's network may draw numbers, for dropout
        self.module.train()
        losses, right, seen = [], 0, 0
        for rows in epoch_rows(len(self.pool), self.settings.batch_size, generator):
            loss, correct = self.step(self.pool.take(rows), generator)
            losses.append(loss)
            right, seen = right + correct, seen + len(rows)
        return finite_mean(losses), right / seen

    def step(self, batch: Pool, generator: torch.Generator) -> tuple[float, int]:
        """Take one step on a batch; return the loss, and the number of noisy images that were classified right."""
        self._set_rate()
        augmented = flipped_and_rotated(batch.images) if self.settings.augment == "turns" else batch.images
        images = torch.cat([augmented] * self.settings.samples)
        level = _repeated(noise_levels(self.settings, len(batch), generator), self.settings.samples)
        with precision(self.settings):
            logits = self.module(self.pool.noisy(images, level, generator)).float()
        loss = objective(logits, batch.labels, self.settings)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach()), int((logits[: len(batch)].argmax(1) == batch.labels).sum())

    def _set_rate(self) -> None:
        rate = one_cycle(self.step_count / (self.settings.epochs * self.batches)) * (self.settings.learning_rate or 0.0)
        self.step_count += 1
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]


def one_cycle(done: float) -> float:
    """Return the learning rate as a share of its peak: linear over the first fifth, then a cosine to a thousandth.

    >>> [round(one_cycle(done), 3) for done in (0.1, 0.2, 0.6, 1.0)]
    [0.5, 1.0, 0.5, 0.001]
    """
    share = done / 0.2 if done < 0.2 else 0.5 * (1 + math.cos(math.pi * (done - 0.2) / 0.8))
    return max(share, 1e-3)


def seed_of(seed: int, epoch: int) -> int:
    """Return the seed of one epoch, 0 to 2^63 - 1."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]) >> 1


def _repeated(level: Noise, samples: int) -> Noise:
    return level if isinstance(level, float) else torch.cat([level] * samples)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups: weights, which are decayed, and biases and batch normalisation, which are not."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def finite_mean(losses: list[float]) -> float:
    """Return the mean loss of an epoch.

    Raises:
        ModelError: it is not finite.
    """
    mean = sum(losses) / len(losses)
    if not math.isfinite(mean):
        raise ModelError(f"training: the loss must be finite, got {mean}; lower the learning rate.", code="E-MODEL-110")
    return mean


def check_device(settings: Schedule) -> None:
    """Refuse CUDA where there is none.

    Raises:
        SpecError: there is no CUDA device.
    """
    if settings.device != "cpu" and not torch.cuda.is_available():
        raise SpecError(
            f"training: device {settings.device!r} needs a CUDA device, but there is none; use cpu.", code="E-SPEC-109"
        )


def training_and_holdout(pool: Pool, settings: Schedule) -> tuple[Pool, Pool]:
    """Split the images at random, by the seed.

    Raises:
        SpecError: fewer than two remain for training.
    """
    generator = torch.Generator(settings.device).manual_seed(settings.seed)
    training, holdout = split(pool, settings.holdout, generator)
    if len(training) < 2:
        raise SpecError(
            f"training: expected at least 2 images without the holdout, got {len(training)}; use more images or a "
            "smaller holdout.",
            code="E-SPEC-110",
        )
    return training, holdout


Progress = Callable[[EpochReport], None]


def train(
    images: ImageSet,
    settings: TrainingSettings,
    on_progress: Progress | None = None,
    start: Start | None = None,
    checkpoint: Path | None = None,
) -> nn.Module:
    """Train a network to classify images with Gaussian noise.

    All random numbers of an epoch depend only on the seed and the number of the epoch, so that a resumed training ends,
    on the same machine, with the same weights as an uninterrupted one.

    Args:
        images: at least two classes.
        settings: of the training.
        on_progress: called after every epoch; first for the epochs in the checkpoint.
        start: a trained classifier (`pretrained_start`); None: a newly initialised network of `settings.arch`.
        checkpoint: file that is written after every epoch, and from which an interrupted training is resumed.

    Returns:
        The module in eval mode, float32 on the CPU; it takes float (n, C, H, W), normalised as in `start` (newly
        initialised: mean 0.5 and standard deviation 0.5 in every channel), and returns logits (n, c).

    Raises:
        SpecError: CUDA is not available, there are too few images, or the checkpoint belongs to other settings, images
            or start.
        ModelError: the architecture is unknown, the checkpoint is damaged, or the loss is not finite.
    """
    check_device(settings)
    start, settings = start_and_settings(images, settings, start)
    denoiser = None if start.denoiser is None else start.denoiser.module
    pool = pool_of(images, start.mean, start.std, settings.device, denoiser)
    training, holdout = training_and_holdout(pool, settings)
    trainer = Trainer(start.module.to(settings.device), training, settings)
    identity = Identity(settings.as_dict(), images.sha256(), start.origin)
    reports = trainer.resume(load_checkpoint(checkpoint, identity)) if checkpoint else []
    if on_progress:
        for report in reports:
            on_progress(report)
    for epoch in range(len(reports) + 1, settings.epochs + 1):
        reports.append(trainer.run_epoch(epoch, holdout))
        if checkpoint:
            save_checkpoint(checkpoint, identity, trainer.checkpoint(reports))
        if on_progress:
            on_progress(reports[-1])
    return start.module.eval().cpu()
