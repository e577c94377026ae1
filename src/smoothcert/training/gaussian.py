"""Gaussian augmentation (Cohen et al., ICML 2019), optionally with consistency (Jeong and Shin, NeurIPS 2020)."""

import math
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError, SpecError
from smoothcert.models.resnet import build
from smoothcert.training.batches import Pool, epoch_rows, noise_levels, noisy, pool_of, split, turned
from smoothcert.training.settings import EpochReport, TrainingSettings

Progress = Callable[[EpochReport], None]


def train(images: ImageSet, settings: TrainingSettings, on_progress: Progress | None = None) -> nn.Module:
    """A network trained to classify images with Gaussian noise on them.

    Args:
        images: at least two classes.
        settings: what to train and how.
        on_progress: called after every epoch.

    Returns:
        The module in eval mode, float32 on the CPU; it takes float (n, C, H, W) normalised with mean 0.5 and
        standard deviation 0.5 and returns logits (n, c).

    Raises:
        SpecError: no CUDA device where one was asked for, or too few images.
        ModelError: an unknown architecture, or the loss stopped being a number.
    """
    if settings.device != "cpu" and not torch.cuda.is_available():
        raise SpecError(f"training: device {settings.device!r} was asked for, but no CUDA device is here; use cpu.")
    generator = torch.Generator(settings.device).manual_seed(settings.seed)
    training, holdout = split(pool_of(images, settings.device), settings.holdout, generator)
    if len(training) < 2:
        raise SpecError(f"training: at least 2 images are needed after the holdout, got {len(training)}.")
    module = _initialised(images, settings)
    trainer = _Trainer(module, training, settings, generator)
    for epoch in range(1, settings.epochs + 1):
        started = time.perf_counter()
        loss, accuracy = trainer.epoch()
        held = accuracy_under_noise(module, holdout, settings) if on_progress and len(holdout) else None
        if on_progress:
            seconds = time.perf_counter() - started
            on_progress(EpochReport(epoch, settings.epochs, loss, accuracy, held, seconds))
    return module.eval().cpu()


def accuracy_under_noise(module: nn.Module, pool: Pool, settings: TrainingSettings) -> float:
    """Share of a pool classified correctly under one draw of noise each, always the same draw."""
    generator = torch.Generator(settings.device).manual_seed(settings.seed + 1)
    module.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(pool), 512):
            rows = pool.images[start : start + 512]
            with _precision(settings):
                sigma = noise_levels(settings, len(rows), generator)
                logits = module(noisy(rows, pool.levels, sigma, generator))
            right += int((logits.argmax(1) == pool.labels[start : start + 512]).sum())
    return right / len(pool)


class _Trainer:
    """The optimiser's state between epochs."""

    def __init__(self, module: nn.Module, pool: Pool, settings: TrainingSettings, generator: torch.Generator) -> None:
        self.module, self.pool, self.settings, self.generator = module, pool, settings, generator
        self.optimiser = torch.optim.SGD(
            _parameter_groups(module, settings.weight_decay), lr=0.0, momentum=0.9, nesterov=True
        )
        self.steps = settings.epochs * max(len(pool) // settings.batch_size, 1)
        self.step_count = 0

    def epoch(self) -> tuple[float, float]:
        """One pass over the pool: (mean loss, accuracy under noise)."""
        self.module.train()
        losses, right, seen = [], 0, 0
        for rows in epoch_rows(len(self.pool), self.settings.batch_size, self.generator):
            loss, correct = self._step(rows)
            losses.append(loss)
            right, seen = right + correct, seen + len(rows)
        mean = sum(losses) / len(losses)
        if not math.isfinite(mean):
            raise ModelError(f"training: the loss became {mean}; lower the learning rate.")
        return mean, right / seen

    def _step(self, rows: torch.Tensor) -> tuple[float, int]:
        self._set_rate()
        batch = self.pool.take(rows)
        loss, logits = self._loss(turned(batch.images), batch.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach()), int((logits.argmax(1) == batch.labels).sum())

    def _loss(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        copies = 2 if self.settings.consistency else 1
        repeated = torch.cat([images] * copies)
        sigma = noise_levels(self.settings, len(images), self.generator)
        each = sigma if isinstance(sigma, float) else torch.cat([sigma] * copies)
        with _precision(self.settings):
            seen = noisy(repeated, self.pool.levels, each, self.generator)
            logits = self.module(seen).float()
        loss = F.cross_entropy(logits, labels.repeat(copies), label_smoothing=self.settings.label_smoothing)
        if copies > 1:
            loss = loss + self.settings.consistency * disagreement(logits, copies)
        return loss, logits[: len(labels)].detach()

    def _set_rate(self) -> None:
        """One cycle: linear to the peak over the first fifth, then a cosine to nought."""
        done = self.step_count / self.steps
        self.step_count += 1
        share = done / 0.2 if done < 0.2 else 0.5 * (1 + math.cos(math.pi * (done - 0.2) / 0.8))
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * max(share, 1e-3)


def disagreement(logits: torch.Tensor, copies: int) -> torch.Tensor:
    """Mean Kullback-Leibler divergence of the copies' predictions from their average; logits (copies * n, c)."""
    logs = F.log_softmax(logits, 1).reshape(copies, -1, logits.shape[1])
    mean = logs.exp().mean(0).clamp_min(1e-8)
    return (mean * (mean.log() - logs)).sum(2).mean()


def _initialised(images: ImageSet, settings: TrainingSettings) -> nn.Module:
    """The network with weights drawn from the seed; the process's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = build(settings.arch, images.num_classes, images.shape[0])
    return module.to(settings.device)


def _precision(settings: TrainingSettings) -> torch.autocast:
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16")


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights are decayed; biases and batch normalisation are not."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
