"""The sampler: sample addresses -> noise -> classifier -> votes, counted where the classifier runs; its self-tests."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoothcert.config import Recipe
from smoothcert.errors import ModelError, RecipeError
from smoothcert.models import Classifier
from smoothcert.models.heads import forward_error, lacks_memory
from smoothcert.noise import Noise, Rows, Stage, delivered_test
from smoothcert.noise.base import GRID_KINDS
from smoothcert.sampling.protocol import Counts
from smoothcert.sampling.recipe import DTYPES, Forward, input_precision

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds to 1 GiB; return whether that was possible.

    Measured on two cores, eager folded bf16 ResNet-20, batch 512: 1.3 times as many samples per CPU-second in
    channels-last layout, 1.7 times in contiguous layout.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, _KEEP) == 1 for name in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))


@contextmanager
def memory_or_refusal(shape: tuple[int, ...]) -> Iterator[None]:
    """Raise a `RecipeError` with a remedy if the memory runs out.

    A batch is never made smaller: its shape is part of what is certified.

    Args:
        shape: (n, C, H, W) of the batch.

    Raises:
        RecipeError: the memory of processor or accelerator ran out.
    """
    try:
        yield
    except Exception as error:
        if not lacks_memory(error):
            raise
        raise RecipeError(
            f"Out of memory at a batch of shape (n, C, H, W) = {shape}. Its size is part of what is certified and "
            "does not change within a run: stop other programs or workers and continue with `smoothcert resume RUN`, "
            f"which loses nothing, or start a new run with --batch-size {max(1, shape[0] // 2)} or less.",
            code="E-RECIPE-009",
        ) from error


Pixels = Callable[[int], NDArray[Any]]
"""Image index -> grid image, integers of shape (C, H, W)."""


@dataclass(frozen=True)
class Source:
    """The images: their shape (C, H, W), a function from index to image, and its dtype.

    Grid images are integers; float32 images of any values are for float noise only.
    """

    shape: tuple[int, int, int]
    pixels: Pixels
    dtype: np.dtype[Any] = GRID_KINDS[0]


class Sampler:
    """Draws noise samples of a window of images and counts the classes that the classifier returns.

    `samples` is the number of samples drawn so far, without padding. On equal logits the lowest class index wins;
    logits are compared in float32.
    """

    def __init__(self, classifier: Classifier, forward: Forward, noise: Noise, recipe: Recipe, source: Source) -> None:
        """Set up the fixed input buffer; `classifier` must know its number of classes.

        Args:
            classifier: declares classes and normalisation.
            forward: its forward pass under the recipe (see `prepare`).
            noise: writes noisy, normalised batches.
            recipe: batch shape, precision, memory format.
            source: images by index.

        Raises:
            RecipeError: there is not enough memory for one batch.
        """
        self.batch_size, self.window = recipe.batch_size, max(64, 2 * recipe.batch_size // 50)
        self.classes = classifier.num_classes or 0
        self.samples = 0
        self._forward, self._source, self._name = forward, source, classifier.reference
        self._writer = noise.writer(classifier.mean or (0.0,), classifier.std or (1.0,), input_precision(recipe))
        self._device = torch.device("cuda" if recipe.device.startswith("cuda") else "cpu")
        layout = torch.channels_last if recipe.memory_format == "channels_last" else torch.contiguous_format
        size = (self.batch_size, *source.shape)
        with memory_or_refusal(size):
            self._buffer = torch.zeros(size, dtype=DTYPES[input_precision(recipe)]).to(memory_format=layout)
            self._images = np.zeros((self.window, *source.shape), dtype=source.dtype)
        self._bits = _bits(self._buffer)
        self._votes = torch.zeros((self.window + 1) * self.classes, dtype=torch.int64, device=self._device)
        self._not_finite = torch.zeros((), dtype=torch.bool, device=self._device)

    def load(self, slot: int, index: int) -> None:
        """Load an image into a slot of the window."""
        self._images[slot] = self._source.pixels(index)

    def draw(self, rows: Rows) -> None:
        """Add the votes of noise samples; the last batch is padded with repeated samples that are not counted.

        Raises:
            ModelError: the classifier's output is not (n, classes).
        """
        for batch, count in _batches(rows, self.batch_size):
            logits = self.logits(batch)
            slot = torch.from_numpy(np.where(np.arange(self.batch_size) < count, batch.slot, self.window))
            winner = slot.to(self._device) * self.classes + logits.argmax(dim=1)
            self._votes += torch.bincount(winner, minlength=self._votes.numel())
            self.samples += count
            self._not_finite |= ~torch.isfinite(logits).all()

    def logits(self, batch: Rows) -> Tensor:
        """Return float32 logits (batch size, classes) of one full batch.

        Raises:
            ModelError: the classifier fails, or its output is not (n, classes).
            RecipeError: there is not enough memory for one batch.
        """
        with memory_or_refusal(tuple(self._buffer.shape)), torch.inference_mode():
            self._writer.fill(self._bits, self._images, batch, torch.get_num_threads())
            logits = self._run(self._buffer.to(self._device))
        if not isinstance(logits, Tensor) or logits.shape != (self.batch_size, self.classes):
            raise ModelError(_wrong_output(logits, self.batch_size, self.classes), code="E-MODEL-099")
        return logits.float()

    def _run(self, noisy: Tensor) -> Tensor:
        try:
            return self._forward(noisy)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            if lacks_memory(error):
                raise
            raise forward_error(self._name, tuple(noisy.shape), error) from error

    def take(self, slots: NDArray[np.int64]) -> Counts:
        """Return the votes of some slots, int (slots, classes), and set them to 0.

        Raises:
            ModelError: a logit was NaN or infinite.
        """
        if bool(self._not_finite):
            raise ModelError(
                "The classifier returned NaN or infinite logits under noise, so its votes cannot be counted. "
                "Check its weights and normalisation, or use --precision fp32.",
                code="E-MODEL-100",
            )
        votes = self._votes.view(-1, self.classes)
        chosen = torch.from_numpy(slots).to(self._device)
        counts: Counts = votes[chosen].cpu().numpy()
        votes[chosen] = 0
        return counts


def _bits(buffer: Tensor) -> NDArray[np.generic]:
    """Return the buffer as a NumPy array; 16-bit floats as raw bits."""
    view: NDArray[np.generic] = (buffer if buffer.dtype == torch.float32 else buffer.view(torch.uint16)).numpy()
    return view


def _batches(rows: Rows, size: int) -> Iterator[tuple[Rows, int]]:
    """Split addresses into full batches, the last one padded by repetition; yield (batch, samples that count)."""
    total = len(rows.slot)
    for start in range(0, total, size):
        at = np.arange(start, start + size)
        at = np.where(at < total, at, start + (at - start) % (total - start))
        yield Rows(rows.slot[at], rows.image[at], rows.sample[at], rows.stage[at]), min(size, total - start)


def _wrong_output(output: object, batch: int, classes: int) -> str:
    came = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    return (
        f"Expected logits of shape (n, classes) = ({batch}, {classes}) from the classifier, got {came}. "
        "Wrap the classifier so that it returns one row of class scores per image, in the order of the labels."
    )


ROWS = 64
NOISE_ROWS, NOISE_VALUES = 256, 4096


@dataclass(frozen=True)
class SelfTest:
    """Result of the self-test.

    Attributes:
        rows: rows compared.
        bit_equal: whether all logits were bit-equal after permuting rows, changing neighbours and using one thread.
        largest_difference: largest absolute difference of a logit.
    """

    rows: int
    bit_equal: bool
    largest_difference: float


def self_test(sampler: Sampler, index: int) -> SelfTest:
    """Compare the logits of the same noise samples in another order, with other neighbours, on one thread.

    Args:
        sampler: the sampler of the run.
        index: an image of the run; its samples are of the test stage and are never votes.
    """
    sampler.load(0, index)
    size = sampler.batch_size
    tested = min(ROWS, max(1, size // 2))  # the other rows of the batch are the neighbours that change
    first = np.arange(size)
    place = np.random.default_rng(0).permutation(size)
    second = np.where(first < tested, first, first + size)[place]
    plain = sampler.logits(_rows(index, first))[:tested]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        moved = sampler.logits(_rows(index, second))[torch.from_numpy(np.argsort(place)[:tested])]
    finally:
        torch.set_num_threads(threads)
    return _compare(plain, moved)


def noise_test(noise: Noise, indices: list[int], shape: tuple[int, int, int]) -> dict[str, float | int | bool]:
    """Test the noise of the first selection samples of a run; return the result as a record.

    Args:
        noise: the noise of one sigma.
        indices: images of the run.
        shape: (channels, height, width).
    """
    wanted = max(NOISE_ROWS, -(-NOISE_VALUES // int(np.prod(shape))))
    samples = -(-wanted // len(indices))
    image = np.repeat(np.array(indices, dtype=np.uint64), samples)
    sample = np.tile(np.arange(samples, dtype=np.uint64), len(indices))
    rows = Rows.of(slot=np.zeros(len(image), dtype=np.int64), image=image, sample=sample, stage=Stage.SELECTION)
    found = delivered_test(noise, noise.steps(rows, shape))
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def _rows(index: int, samples: NDArray[np.int64]) -> Rows:
    return Rows.of(slot=0, image=index, sample=samples.astype(np.uint64), stage=Stage.TEST)


def _compare(one: Tensor, other: Tensor) -> SelfTest:
    return SelfTest(len(one), torch.equal(one, other), float((one - other).abs().max()))
