"""A sampler without a classifier, and classifiers small enough to check by hand."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from smoothcert.config import Recipe
from smoothcert.models import Classifier
from smoothcert.models.resnet import build
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.protocol import ImageState
from smoothcert.sampling.recipe import prepare
from smoothcert.sampling.sampler import Sampler, Source
from smoothcert.sampling.scheduler import Scheduler, StoppingRule

S = TypeVar("S", bound=ImageState)
SHAPE = (3, 8, 8)


def vote(probabilities: Sequence[float], image: int, stage: int, sample: int) -> int:
    """The class a copy votes for: a draw from the probabilities that its address alone decides."""
    digest = blake2b(b"%d %d %d" % (image, stage, sample), digest_size=8).digest()
    left = int.from_bytes(digest, "big") / 2**64
    return next((c for c, _ in enumerate(probabilities) if (left := left - probabilities[c]) < 0), 0)


class FakeSampler:
    """Votes by address; remembers each address it drew and the size of each draw."""

    def __init__(self, probabilities: Callable[[int], Sequence[float]], batch_size: int, window: int, classes: int):
        self.batch_size, self.window, self._probabilities = batch_size, window, probabilities
        self._counts = np.zeros((window, classes), dtype=np.int64)
        self._image: dict[int, int] = {}
        self.addresses: list[tuple[int, int, int]] = []
        self.draws: list[int] = []
        self.taken: list[int] = []
        self.loads = 0

    def load(self, slot: int, index: int) -> None:
        assert not self._counts[slot].any()
        self._image[slot] = index
        self.loads += 1

    def draw(self, rows: Rows) -> None:
        self.draws.append(len(rows))
        for slot, *address in zip(*(c.tolist() for c in (rows.slot, rows.image, rows.stage, rows.sample)), strict=True):
            assert self._image[slot] == address[0]
            self._counts[slot, vote(self._probabilities(address[0]), *address)] += 1
            self.addresses.append((address[0], address[1], address[2]))

    def take(self, slots: np.ndarray) -> np.ndarray:
        self.taken.append(len(slots))
        counts = self._counts[slots]
        self._counts[slots] = 0
        return counts


def run_scheduler(sampler: FakeSampler, rule: StoppingRule[S], states: Sequence[S]) -> dict[int, S]:
    """Run the scheduler, checking that a batch is padded only if nothing can fill it; return images by index."""
    done: list[S] = []
    for decided in Scheduler(sampler, rule).run(states):
        inside = sampler.loads - len(done)
        if sampler.draws[-1] % sampler.batch_size:
            assert sampler.draws[-1] < sampler.batch_size
            assert sampler.taken[-1] == inside  # nobody in the window wanted more
            assert sampler.loads == len(states) or inside == sampler.window  # nobody was left outside
        done += decided
    assert sorted(image.index for image in done) == sorted(image.index for image in states)
    assert all(image.need is None for image in done)
    return {image.index: image for image in done}


def classifier(module: nn.Module, classes: int, own: bool = False, **declared: object) -> Classifier:
    """Declare a module as a classifier."""
    facts = {"mean": (), "std": (), "input_shape": None, "arch": None, "sigma": None} | declared
    return Classifier(module.eval(), num_classes=classes, sha256="", reference="test", built_in=own, **facts)


def lived_in_resnet(classes: int = 4, arch: str = "resnet8") -> nn.Module:
    """A random network of ours whose batch normalisations are not the identity and whose votes are mixed."""
    torch.manual_seed(3)
    net = build(arch, classes, SHAPE[0])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    net.eval()
    with torch.inference_mode():
        logits = net(torch.rand(64, *SHAPE) + 0.25 * torch.randn(64, *SHAPE))
        net.head.bias -= logits.mean(dim=0)
    return net


class Conv(nn.Module):
    """A small convolutional network that is not one of ours."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Conv2d(SHAPE[0], 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x - 0.5)


class Fixed(nn.Module):
    """The same logits for every image."""

    def __init__(self, logits: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("row", torch.tensor(logits))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.row.expand(len(x), -1)


def recipe(batch_size: int = 16, precision: str = "fp32", own: bool = False, compiled: bool = False) -> Recipe:
    """A recipe for a processor."""
    return Recipe(
        precision=precision,
        folded=own,
        autocast=precision != "fp32" and not own,
        compiled=compiled,
        memory_format="channels_last" if own else "contiguous",
        batch_size=batch_size,
        device="cpu",
        instructions="x",
        torch=torch.__version__,
    )


def pixels(count: int = 5, shape: tuple[int, int, int] = SHAPE, levels: int = 255) -> np.ndarray:
    """Random grid images, int (count, C, H, W)."""
    return np.random.default_rng(1).integers(0, levels + 1, (count, *shape)).astype(np.int32)


def sampler_of(model: Classifier, how: Recipe, noise: object, images: np.ndarray, forward: object = None) -> Sampler:
    """A sampler of images in memory; `forward` replaces the classifier's own forward pass."""
    source = Source(images.shape[1:], lambda index: images[index])
    return Sampler(model, forward or prepare(model, how), noise, how, source)


def rows(images: Sequence[int], samples: range, stage: Stage = Stage.ESTIMATION) -> Rows:
    """The addresses of some samples of some images; slot s holds the s-th of them."""
    slot = np.repeat(np.arange(len(images)), len(samples))
    return Rows.of(slot, np.array(images)[slot], np.tile(np.array(samples), len(images)), stage)
