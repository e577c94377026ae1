"""A denoiser of another project, without training: total variation (deepinv 0.5.0), its strength set for sigma."""

import torch
from deepinv.models.tv import TVDenoiser


class TotalVariation(torch.nn.Module):
    """Minimise the squared distance to the noisy image plus 2 sigma times the total variation, in 30 steps."""

    def forward(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return the denoised images: float (n, C, H, W) in [0, 1]."""
        return TVDenoiser(n_it_max=30, crit=0.0)(x, ths=2.0 * sigma)


def tv() -> torch.nn.Module:
    """Return the denoiser; it has no weights."""
    return TotalVariation()
