"""The built-in denoisers: small residual U-Nets that work at half the resolution of the image.

Half the resolution as in FFDNet (Zhang, Zuo and Zhang, IEEE TIP 2018, arXiv:1710.04026): a pixel's 2x2 neighbourhood
becomes channels, which makes the network four times as fast at the same width. Encoder and decoder as in the U-Net
(Ronneberger, Fischer and Brox, MICCAI 2015, arXiv:1505.04597), with skips that add.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smoothcert.errors import ModelError
from smoothcert.models.resnet import Block, channels_last, conv_bn, initialised


@dataclass(frozen=True)
class Layout:
    """Widths of the levels, each at half the resolution of the one before, and blocks per level on either side."""

    widths: tuple[int, ...]
    blocks: int


DENOISERS = {
    "unet-s": Layout((32, 64), 1),
    "unet-m": Layout((48, 96), 2),
    "unet-l": Layout((64, 128, 256), 2),
}
"""Built-in denoisers by name: 184,000, 658,000 and 5,167,000 weights."""

SPREAD = 0.25
"""Standard deviation of pixels in [0, 1] about 0.5 that the scaling assumes."""


class UNet(nn.Module):
    """A residual denoiser: the noisy image, shrunk towards grey as the noise level asks, plus a learnt correction.

    Input, shrinkage and correction are scaled by the noise level as in Table 1 of Karras, Aittala, Aila and Laine
    (NeurIPS 2022, arXiv:2206.00364), so that the network starts as the best linear estimate from one pixel alone, and
    its task is of the same size at every level. Images of any size are accepted; they are padded inside by repeating
    the border.
    """

    def __init__(self, layout: Layout, in_channels: int) -> None:
        super().__init__()
        widths = layout.widths
        self.multiple = 2 ** len(widths)
        self.stem = conv_bn(4 * in_channels + 1, widths[0], 3, 1)
        self.encoder = nn.ModuleList(_blocks(width, layout.blocks) for width in widths)
        self.down = nn.ModuleList(Block(a, b, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_blocks(width, layout.blocks) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 4 * in_channels, 3, padding=1)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the denoised images.

        Args:
            x: float (n, C, H, W): images in [0, 1] with noise added.
            sigma: noise level, in units of the [0, 1] range; a number, or a tensor (n, 1, 1, 1).
        """
        height, width = x.shape[2:]
        padded = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        folded = F.pixel_unshuffle(padded, 2)
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x), 1, 1, 1)
        scale = torch.rsqrt(level**2 + SPREAD**2)
        given = [scale * (folded - 0.5), level.expand(-1, -1, *folded.shape[2:])]
        y = torch.relu(self.stem(torch.cat(given, 1)))
        kept = []
        for blocks, down in zip(self.encoder, self.down, strict=False):
            y = blocks(y)
            kept.append(y)
            y = down(y)
        y = self.encoder[-1](y)
        for up, blocks, skip in zip(reversed(self.up), reversed(self.decoder), reversed(kept), strict=True):
            y = blocks(up(y) + skip)
        correction = F.pixel_shuffle(self.head(y), 2)[:, :, :height, :width]
        return 0.5 + (SPREAD * scale) ** 2 * (x - 0.5) + level * SPREAD * scale * correction


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width, width, 1) for _ in range(count)))


def build_denoiser(arch: str, in_channels: int) -> nn.Module:
    """Return a newly initialised denoiser in training mode, which shrinks its input towards grey.

    Args:
        arch: one of `DENOISERS`.
        in_channels: 1 (grey), 3 (colour), or more.

    Raises:
        ModelError: the architecture is unknown, or there are no channels.

    >>> sum(p.numel() for p in build_denoiser("unet-m", in_channels=3).parameters())
    658188
    """
    if arch not in DENOISERS:
        raise ModelError(f"unknown denoiser {arch!r}; expected one of {', '.join(DENOISERS)}.", code="E-MODEL-113")
    if in_channels < 1:
        raise ModelError(f"{arch} needs at least 1 channel, got {in_channels}.", code="E-MODEL-114")
    net = UNet(DENOISERS[arch], in_channels)
    initialised(net)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)  # type: ignore[arg-type]
    return channels_last(net)
