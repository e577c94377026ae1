"""How often a network is right on images held out, under noise and without."""

import torch
from torch import nn

from smoothcert.training.batches import Pool, noise_levels
from smoothcert.training.settings import TrainingSettings


def accuracy(module: nn.Module, pool: Pool, settings: TrainingSettings, sigma: float | None = None) -> float | None:
    """Share of a pool classified correctly under one draw of noise each, always the same draw; None: no images.

    Args:
        module: on the device of the pool.
        pool: images held out.
        settings: of the training.
        sigma: one noise level, 0 for none; None: as in training.
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


def precision(settings: TrainingSettings) -> torch.autocast:
    """The arithmetic of the forward pass."""
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16")
