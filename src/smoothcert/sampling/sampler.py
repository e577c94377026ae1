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
from smoothcert.models.heads import failed, lacks_memory
from smoothcert.noise import Noise, Rows, Stage, delivered_test
from smoothcert.noise.base import GRID_KINDS
from smoothcert.sampling.protocol import Counts
from smoothcert.sampling.recipe import DTYPES, Forward, input_precision

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds to 1 GiB; return whether that was possible.

    Measured on two cores, eager folded bf16 ResNet-20, batch 512: 1.3 times as many copies a CPU-second channels-last,
    1.7 times in the usual layout.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, _KEEP) == 1 for name in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))


@contextmanager
def memory_or_refusal(shape: tuple[int, ...]) -> Iterator[None]:
    """Say what can be done where the memory runs out; a batch is never made smaller, its shape is what is certified.

    Args:
        shape: (n, C, H, W) of the batch that is worked on.

    Raises:
        RecipeError: the memory of processor or accelerator ran out.
    """
    try:
        yield
    except Exception as error:
        if not lacks_memory(error):
            raise
        raise RecipeError(
            f"The memory ran out at a batch of shape (n, C, H, W) = {shape}. Its size is part of what is certified and "
            "does not change within a run: end other programs or workers and continue with `smoothcert resume RUN`, "
            f"which loses nothing, or start a new run with --batch-size {max(1, shape[0] // 2)} or less."
        ) from error


Pixels = Callable[[int], NDArray[Any]]
"""Image index -> grid image, integers of shape (C, H, W)."""


@dataclass(frozen=True)
class Source:
    """Where images come from: their shape (C, H, W), a function from index to image, and its type of number.

    Grid images are integers; float32 images, of any values, go with float noise alone.
    """

    shape: tuple[int, int, int]
    pixels: Pixels
    dtype: np.dtype[Any] = GRID_KINDS[0]


class Sampler:
    """Draws noisy copies of a window of images and counts the classes the classifier returns.

    `copies` counts the noisy copies drawn so far, padding left out. On equal logits the lowest class index wins,
    decided in float32 after the classifier's own precision.
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
            RecipeError: there is not memory enough for one batch.
        """
        self.batch_size, self.window = recipe.batch_size, max(64, 2 * recipe.batch_size // 50)
        self.classes = classifier.num_classes or 0
        self.copies = 0
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
        self._odd = torch.zeros((), dtype=torch.bool, device=self._device)

    def load(self, slot: int, index: int) -> None:
        """Put an image into a slot of the window."""
        self._images[slot] = self._source.pixels(index)

    def draw(self, rows: Rows) -> None:
        """Add the votes of noisy copies; the last batch is padded by repeating copies that are not counted.

        Raises:
            ModelError: the classifier's output is not (n, classes).
        """
        for batch, count in _batches(rows, self.batch_size):
            logits = self.logits(batch)
            slot = torch.from_numpy(np.where(np.arange(self.batch_size) < count, batch.slot, self.window))
            winner = slot.to(self._device) * self.classes + logits.argmax(dim=1)
            self._votes += torch.bincount(winner, minlength=self._votes.numel())
            self.copies += count
            self._odd |= ~torch.isfinite(logits).all()

    def logits(self, batch: Rows) -> Tensor:
        """Return float32 logits (batch size, classes) of one full batch.

        Raises:
            ModelError: the classifier fails, or its output is not (n, classes).
            RecipeError: there is not memory enough for one batch.
        """
        with memory_or_refusal(tuple(self._buffer.shape)), torch.inference_mode():
            self._writer.fill(self._bits, self._images, batch, torch.get_num_threads())
            logits = self._answers(self._buffer.to(self._device))
        if not isinstance(logits, Tensor) or logits.shape != (self.batch_size, self.classes):
            raise ModelError(_wrong_output(logits, self.batch_size, self.classes))
        return logits.float()

    def _answers(self, noisy: Tensor) -> Tensor:
        try:
            return self._forward(noisy)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            if lacks_memory(error):
                raise
            raise failed(self._name, tuple(noisy.shape), error) from error

    def take(self, slots: NDArray[np.int64]) -> Counts:
        """Return and clear the votes of some slots, int (slots, classes).

        Raises:
            ModelError: a logit was NaN or infinite.
        """
        if bool(self._odd):
            raise ModelError(
                "The classifier returned NaN or infinite logits under noise, so no vote of it can be counted. "
                "Check its weights and normalisation, or use --precision fp32."
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
    """Split addresses into full batches; the last repeats its copies as padding. Yields (batch, copies that count)."""
    total = len(rows.slot)
    for start in range(0, total, size):
        at = np.arange(start, start + size)
        at = np.where(at < total, at, start + (at - start) % (total - start))
        yield Rows(rows.slot[at], rows.image[at], rows.sample[at], rows.stage[at]), min(size, total - start)


def _wrong_output(output: object, batch: int, classes: int) -> str:
    came = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    return (
        f"Expected logits of shape (n, classes) = ({batch}, {classes}) from the classifier, got {came}. "
        "Wrap the classifier so that it returns one row of class scores an image, in the order of the labels."
    )


ROWS = 64
NOISE_ROWS, NOISE_VALUES = 256, 4096


@dataclass(frozen=True)
class SelfTest:
    """What the self-test saw.

    Attributes:
        rows: rows compared.
        bit_equal: whether all logits were bit-equal after permuting rows, changing neighbours and using one thread.
        largest_difference: largest absolute difference of a logit.
    """

    rows: int
    bit_equal: bool
    largest_difference: float


def self_test(sampler: Sampler, index: int) -> SelfTest:
    """Compare the logits of the same noisy copies in another order, among other neighbours, on one thread.

    Args:
        sampler: the sampler of the run.
        index: an image of the run; its copies are drawn from the test stage, never from votes that count.
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
    """Test the noise the first selection copies of a run receive; return the outcome as a record.

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
