"""From an `ImageSet` to noisy batches: order, flips and quarter turns, Gaussian noise, normalisation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from smoothcert.data.dataset import ImageSet
from smoothcert.training.settings import TrainingSettings
from smoothcert.training.start import Start

Noise = float | torch.Tensor


@dataclass(frozen=True)
class Pool:
    """Images (m, H, W, C) in 0..levels and labels (m,) on the training device.

    Args:
        images: uint8, or int32 for 16-bit images, of which torch has few kernels.
        labels: int64.
        levels: the highest grey value, 255 or 65535.
        mean: what the network's input is centred by, in [0, 1]: a number a channel, or one for all.
        std: what it is divided by afterwards.
    """

    images: torch.Tensor
    labels: torch.Tensor
    levels: int
    mean: torch.Tensor
    std: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: torch.Tensor) -> "Pool":
        """The pool of some rows."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def noisy(self, images: torch.Tensor, sigma: Noise, generator: torch.Generator) -> torch.Tensor:
        """What the network sees of images (n, H, W, C): float (n, C, H, W), N(0, sigma^2) added, then normalised.

        `sigma` is in units of the [0, 1] range: one number, or a tensor (n, 1, 1, 1) of one number an image.
        """
        unit = images.float().div_(self.levels)
        noise = torch.randn(unit.shape, generator=generator, device=unit.device)
        unit = unit.add_(noise, alpha=sigma) if isinstance(sigma, float) else unit.add_(noise.mul_(sigma))
        return unit.sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)


def pool_of(images: ImageSet, start: Start, device: str) -> Pool:
    """Every image of a set, on the device, with the normalisation of the network that will see them."""
    pixels = np.array(images.images, dtype=np.uint8 if images.levels == 255 else np.int32)
    labels = torch.from_numpy(images.labels.copy())
    mean, std = torch.tensor(start.mean), torch.tensor(start.std)
    return Pool(torch.from_numpy(pixels).to(device), labels.to(device), images.levels, mean.to(device), std.to(device))


def split(pool: Pool, share: float, generator: torch.Generator) -> tuple[Pool, Pool]:
    """(training, holdout) at random; the holdout holds floor(share * m) images."""
    order = torch.randperm(len(pool), generator=generator, device=generator.device)
    held = int(share * len(pool))
    return pool.take(order[held:]), pool.take(order[:held])


def epoch_rows(count: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """The rows of each batch of one epoch; a short last batch is dropped unless it is the only one."""
    order = torch.randperm(count, generator=generator, device=generator.device)
    for start in range(0, max(count - batch_size, 0) + 1, batch_size):
        yield order[start : start + batch_size]


def turned(images: torch.Tensor) -> torch.Tensor:
    """Images (n, H, W, C), every eighth of them flipped and turned another way (half turns if not square).

    The rows come in random order already, so that the way of an image is random without another draw.
    """
    square = images.shape[1] == images.shape[2]
    parts = []
    for way, part in enumerate(images.tensor_split(8)):
        turns = way % 4 if square else 2 * (way % 2)
        part = torch.rot90(part, turns, (1, 2))
        parts.append(part.flip(2) if way >= 4 else part)
    return torch.cat(parts)


def noise_levels(settings: TrainingSettings, count: int, generator: torch.Generator) -> Noise:
    """The noise level of each of some images: always sigma, or drawn log-uniformly from sigma_low to sigma."""
    if settings.sigma_low is None:
        return float(settings.sigma)
    share = torch.rand((count, 1, 1, 1), generator=generator, device=generator.device)
    return settings.sigma_low * (settings.sigma / settings.sigma_low) ** share
