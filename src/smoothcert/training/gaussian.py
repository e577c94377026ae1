"""Gaussian augmentation (Cohen et al., ICML 2019), optionally with consistency (Jeong and Shin, NeurIPS 2020)."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import SpecError
from smoothcert.training.batches import pool_of, split
from smoothcert.training.checkpoint import Identity, load_checkpoint, save_checkpoint
from smoothcert.training.settings import EpochReport, TrainingSettings
from smoothcert.training.start import Start, starting
from smoothcert.training.trainer import Trainer

Progress = Callable[[EpochReport], None]


def train(
    images: ImageSet,
    settings: TrainingSettings,
    on_progress: Progress | None = None,
    start: Start | None = None,
    checkpoint: Path | None = None,
) -> nn.Module:
    """A network trained to classify images with Gaussian noise on them.

    Everything random in an epoch follows from the seed and the number of the epoch, so that a training continued
    from a checkpoint ends, on the same machine, in the very weights of one that was never interrupted.

    Args:
        images: at least two classes.
        settings: what to train and how.
        on_progress: called after every epoch; first for those a checkpoint holds already.
        start: a classifier to train on (`tuned`); None: a fresh network of `settings.arch`.
        checkpoint: file that is written after every epoch, and from which an interrupted training goes on.

    Returns:
        The module in eval mode, float32 on the CPU; it takes float (n, C, H, W), normalised as `start` says (fresh:
        mean 0.5 and standard deviation 0.5 in every channel), and returns logits (n, c).

    Raises:
        SpecError: no CUDA device where one was asked for, too few images, or the checkpoint is of other settings,
            images or start.
        ModelError: an unknown architecture, a damaged checkpoint, or the loss stopped being a number.
    """
    if settings.device != "cpu" and not torch.cuda.is_available():
        raise SpecError(f"training: device {settings.device!r} was asked for, but no CUDA device is here; use cpu.")
    start, settings = starting(images, settings, start)
    generator = torch.Generator(settings.device).manual_seed(settings.seed)
    training, holdout = split(pool_of(images, start, settings.device), settings.holdout, generator)
    if len(training) < 2:
        raise SpecError(f"training: at least 2 images are needed after the holdout, got {len(training)}.")
    trainer = Trainer(start.module.to(settings.device), training, settings)
    identity = Identity(settings.as_dict(), images.sha256(), start.origin)
    reports = trainer.resumed(load_checkpoint(checkpoint, identity)) if checkpoint else []
    if on_progress:
        for report in reports:
            on_progress(report)
    for epoch in range(len(reports) + 1, settings.epochs + 1):
        reports.append(trainer.report(epoch, holdout))
        if checkpoint:
            save_checkpoint(checkpoint, identity, trainer.checkpoint(reports))
        if on_progress:
            on_progress(reports[-1])
    return start.module.eval().cpu()
