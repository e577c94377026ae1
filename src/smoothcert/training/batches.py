"""From an `ImageSet` to noisy batches: shuffling, flips and quarter turns, Gaussian noise, normalisation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from smoothcert.data.dataset import ImageSet
from smoothcert.training.settings import Schedule

Noise = float | torch.Tensor


@dataclass(frozen=True)
class Pool:
    """Images (m, H, W, C) in 0..levels and labels (m,) on the training device.

    Args:
        images: uint8, or int32 for 16-bit images (torch has few kernels for uint16).
        labels: int64.
        levels: the largest grey value: 255, 4095 or 65535.
        mean: of the network's input normalisation, in [0, 1]: one number per channel, or one for all.
        std: of the network's input normalisation.
        denoiser: a frozen denoiser that is applied to the noisy images, or None.
    """

    images: torch.Tensor
    labels: torch.Tensor
    levels: int
    mean: torch.Tensor
    std: torch.Tensor
    denoiser: torch.nn.Module | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: torch.Tensor) -> "Pool":
        """Return the pool of some rows."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def unit(self, images: torch.Tensor) -> torch.Tensor:
        """Return images (n, H, W, C) in [0, 1]: float (n, C, H, W)."""
        return images.float().div_(self.levels).permute(0, 3, 1, 2)

    def noisy(self, images: torch.Tensor, sigma: Noise, generator: torch.Generator) -> torch.Tensor:
        """Return the network's input for images (n, H, W, C): float (n, C, H, W), with N(0, sigma^2) added, normalised.

        `sigma` is in units of the [0, 1] range: one number, or a tensor (n, 1, 1, 1) with one number per image.
        """
        unit = images.float().div_(self.levels)
        noise = torch.randn(unit.shape, generator=generator, device=unit.device)
        unit = unit.add_(noise, alpha=sigma) if isinstance(sigma, float) else unit.add_(noise.mul_(sigma))
        if self.denoiser is not None:
            with torch.no_grad():
                unit = self.denoiser(unit.permute(0, 3, 1, 2), sigma).float().permute(0, 2, 3, 1)
        return unit.sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)


def pool_of(
    images: ImageSet,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    device: str,
    denoiser: torch.nn.Module | None = None,
) -> Pool:
    """Return all images of a set on the device, with the normalisation of the network, behind a denoiser or none."""
    pixels = np.array(images.images, dtype=np.uint8 if images.levels == 255 else np.int32)
    labels = torch.from_numpy(images.labels.copy())
    normalisation = torch.tensor(mean).to(device), torch.tensor(std).to(device)
    denoiser = None if denoiser is None else denoiser.to(device)
    return Pool(torch.from_numpy(pixels).to(device), labels.to(device), images.levels, *normalisation, denoiser)


def split(pool: Pool, share: float, generator: torch.Generator) -> tuple[Pool, Pool]:
    """Split at random into (training, holdout); the holdout has floor(share * m) images."""
    order = torch.randperm(len(pool), generator=generator, device=generator.device)
    held = int(share * len(pool))
    return pool.take(order[held:]), pool.take(order[:held])


def epoch_rows(count: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Iterate over the rows of each batch of one epoch; a short last batch is dropped unless it is the only one."""
    order = torch.randperm(count, generator=generator, device=generator.device)
    for start in range(0, max(count - batch_size, 0) + 1, batch_size):
        yield order[start : start + batch_size]


def flipped_and_rotated(images: torch.Tensor) -> torch.Tensor:
    """Apply each of the 8 flips and quarter turns to an eighth of the images (n, H, W, C); half turns if not square.

    The rows are already in random order, so no further random numbers are needed.
    """
    square = images.shape[1] == images.shape[2]
    parts = []
    for symmetry, part in enumerate(images.tensor_split(8)):
        turns = symmetry % 4 if square else 2 * (symmetry % 2)
        part = torch.rot90(part, turns, (1, 2))
        parts.append(part.flip(2) if symmetry >= 4 else part)
    return torch.cat(parts)


def noise_levels(settings: Schedule, count: int, generator: torch.Generator) -> Noise:
    """Return the noise level of each image: sigma, or drawn log-uniformly between sigma_low and sigma."""
    if settings.sigma_low is None:
        return float(settings.sigma)
    share = torch.rand((count, 1, 1, 1), generator=generator, device=generator.device)
    return settings.sigma_low * (settings.sigma / settings.sigma_low) ** share
