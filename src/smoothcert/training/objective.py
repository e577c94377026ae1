"""What training minimises: cross-entropy under noise, and agreement between noisy copies of one image."""

import torch
from torch.nn import functional as F

from smoothcert.training.settings import TrainingSettings

SMALLEST = 1e-8
"""Probabilities below this count as this before their logarithm is taken."""


def objective(logits: torch.Tensor, labels: torch.Tensor, settings: TrainingSettings) -> torch.Tensor:
    """The loss of a batch: cross-entropy of every copy + lambda * disagreement + eta * entropy of the mean.

    Lambda is `settings.consistency`, eta `settings.entropy` (Jeong and Shin, NeurIPS 2020, equation 8). With one copy
    an image it is plain cross-entropy, as in Gaussian augmentation (Cohen, Rosenfeld and Kolter, ICML 2019).

    Args:
        logits: float (copies * n, c), copy after copy.
        labels: whole numbers (n,).
        settings: the weights of the terms, and the label smoothing.

    Returns:
        A scalar.
    """
    copies = len(logits) // len(labels)
    loss = F.cross_entropy(logits, labels.repeat(copies), label_smoothing=settings.label_smoothing)
    if copies == 1:
        return loss
    logs = F.log_softmax(logits, 1).reshape(copies, len(labels), -1)
    mean = logs.exp().mean(0).clamp_min(SMALLEST)
    return loss + settings.consistency * disagreement(mean, logs) + settings.entropy * entropy(mean)


def disagreement(mean: torch.Tensor, logs: torch.Tensor) -> torch.Tensor:
    """Mean Kullback-Leibler divergence KL(mean || copy); mean probabilities (n, c), logarithms (copies, n, c)."""
    return (mean * (mean.log() - logs)).sum(2).mean()


def entropy(mean: torch.Tensor) -> torch.Tensor:
    """Mean entropy, in nats, of the average predictions (n, c)."""
    return -(mean * mean.log()).sum(1).mean()
