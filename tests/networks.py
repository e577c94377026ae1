"""Networks, images of 8x8 pixels, and requests for tiny runs."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from smoothcert.config import Request, make_request
from smoothcert.engine.workload import Workload, consent_of, load_workload
from smoothcert.formats.card import Card, DenoiserCard
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.denoisers.unet import build_denoiser
from smoothcert.models.resnet import build

CLASSES, SHAPE, SEED = 4, (8, 8, 3), 7

FACTORY = '''
import torch
from torch import nn


class Mean(nn.Module):
    """The nearest of some grey levels, by the mean of all pixels."""

    def __init__(self, greys, scale=50.0):
        super().__init__()
        self.register_buffer("greys", torch.tensor(greys) / 255)
        self.scale = scale

    def forward(self, x):
        return -self.scale * (x.mean(dim=(1, 2, 3))[:, None] - self.greys) ** 2


class Spoilt(Mean):
    def forward(self, x):
        return super().forward(x) + float("nan")


class Narrow(Mean):
    def forward(self, x):
        return super().forward(x)[:, 0]


def robust():
    return Mean([40.0, 100.0, 160.0, 220.0])


def brittle():
    return Mean([100.0, 101.0, 102.0, 103.0])


def spoilt():
    return Spoilt([40.0, 100.0, 160.0, 220.0])


def narrow():
    return Narrow([40.0, 100.0, 160.0, 220.0])


def two():
    return Mean([40.0, 220.0])
'''


def write_factory(folder: Path) -> None:
    """Write the module `nets` of small classifiers; in that folder, `nets:NAME` is one of them."""
    (folder / "nets.py").write_text(FACTORY, encoding="utf-8")


def write_grey_images(path: Path, greys: tuple[int, ...] = (40, 100, 160, 220), each: int = 3, **more: object) -> Path:
    """Write images whose class is their mean grey level."""
    labels = np.tile(np.arange(len(greys)), each)
    texture = np.random.default_rng(0).integers(-20, 21, (len(labels), 4, *SHAPE[1:]))
    texture = np.concatenate([texture, -texture], axis=1)
    arrays = {"images": (np.array(greys)[labels][:, None, None, None] + texture).astype(np.uint8), "labels": labels}
    np.savez(path, **(arrays | more))
    return path


def write_random_images(path: Path, count: int = 10) -> Path:
    """Write random images with the labels 0, 1, 2, 3, 0, ..."""
    images = np.random.default_rng(1).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % CLASSES)
    return path


def write_resnet(
    path: Path, sigma: float | None = 0.25, arch: str = "resnet8", seed: int = 3, images: Path | None = None
) -> Path:
    """Write an untrained built-in network with mixed votes, the same every time.

    Its classes are about equally likely on the images (uint8 (n, H, W, 3), arrays `images` and `labels`).
    """
    torch.manual_seed(seed)
    pixels, classes = torch.rand(64, SHAPE[2], *SHAPE[:2]), CLASSES
    if images is not None:
        with np.load(images) as arrays:
            pixels = torch.from_numpy(arrays["images"].transpose(0, 3, 1, 2) / 255).float()
            classes = int(arrays["labels"].max()) + 1
    net = build(arch, classes, SHAPE[2])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    net.eval()
    with torch.inference_mode():
        logits = net((pixels + 0.25 * torch.randn(pixels.shape) - 0.5) / 0.25)
        net.head.bias -= logits.mean(dim=0)
    card = Card(arch, classes, SHAPE[2], mean=(0.5,) * 3, std=(0.25,) * 3, sigma=sigma)
    save_weights(net, card, path)
    return path


def write_denoiser(path: Path, seed: int = 5) -> Path:
    """Write an untrained built-in denoiser that changes images a little, the same every time."""
    torch.manual_seed(seed)
    net = build_denoiser("unet-s", SHAPE[2]).eval()
    nn.init.normal_(net.get_parameter("head.weight"), std=0.02)
    save_weights(net, DenoiserCard(arch="unet-s", in_channels=SHAPE[2], sigma_low=0.1, sigma=0.5), path)
    return path


DENOISERS = '''
import torch
from torch import nn

from smoothcert.models.denoisers.diffusion import OneStep


class Blur(nn.Module):
    """Subtracts a fixed filter of the image, times the noise level; images from -1 to 1."""

    smoothcert = {"value_range": [-1, 1]}

    def __init__(self, seed=4):
        super().__init__()
        torch.manual_seed(seed)
        self.filter = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, sigma):
        return x - sigma * self.filter(x)


class Noise(nn.Module):
    """The network of a diffusion model."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.filter = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, step):
        return self.filter(x)


class Sharp(Blur):
    def forward(self, x, sigma):
        return x + sigma * self.filter(x)


def blur():
    return Blur()


def other():
    return Blur(5)


def sharp():
    return Sharp()


def step():
    return OneStep(Noise(), torch.linspace(0.99, 0.01, 50))
'''


def write_denoisers(folder: Path) -> None:
    """Write the module `denoisers`; in that folder, `denoisers:blur` is a custom denoiser."""
    (folder / "denoisers.py").write_text(DENOISERS, encoding="utf-8")


def small_request(model: Path | str, data: Path, **settings: object) -> Request:
    """Return a request with one noise level, two radii and at most 300 samples per image, on the CPU."""
    usual = {
        "sigma": 0.25,
        "radius": (0.1, 0.2),
        "n0": 20,
        "n_max": 300,
        "batch_size": 64,
        "seed": SEED,
        "device": "cpu",
    }
    return make_request(model=str(model), data=str(data), **(usual | settings))


def loaded(request: Request) -> Workload:
    """Load the images and classifiers of a request, code included."""
    return load_workload(request, consent=consent_of(request))
