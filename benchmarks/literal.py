"""Algorithm 1 of Cohen, Rosenfeld and Kolter (ICML 2019) written out: CERTIFY, SampleUnderNoise, image by image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta, norm
from torch import Tensor, nn


class Smooth:
    """A smoothed classifier; `samples` counts the noise samples it drew."""

    def __init__(self, base: nn.Module, sigma: float, classes: int, batch_size: int) -> None:
        """Set up.

        Args:
            base: float (n, C, H, W) in [0, 1] to logits (n, classes).
            sigma: noise standard deviation, in units of the [0, 1] range.
            classes: number of classes.
            batch_size: noise samples per forward pass; the published command's default is 1000.
        """
        self.base, self.sigma, self.classes, self.batch_size = base, sigma, classes, batch_size
        self.samples = 0

    def certify(self, x: Tensor, n0: int, n: int, alpha: float) -> tuple[int | None, float]:
        """Return class and L2 radius of one image, float (C, H, W) in [0, 1]; None abstains."""
        selected = int(self.sample_under_noise(x, n0).argmax())
        count = int(self.sample_under_noise(x, n)[selected])
        pa_lower = float(beta.ppf(alpha, count, n - count + 1)) if count else 0.0
        return (None, 0.0) if pa_lower < 0.5 else (selected, self.sigma * float(norm.ppf(pa_lower)))

    def sample_under_noise(self, x: Tensor, n: int) -> NDArray[np.int64]:
        """Return the votes of n noise samples, int (classes,)."""
        counts = np.zeros(self.classes, dtype=np.int64)
        self.samples += n
        with torch.no_grad():
            while n > 0:
                batch = x.repeat((min(self.batch_size, n), 1, 1, 1))
                predictions = self.base(batch + torch.randn_like(batch) * self.sigma).argmax(1)
                counts += np.bincount(predictions.numpy(), minlength=self.classes)
                n -= len(batch)
        return counts
