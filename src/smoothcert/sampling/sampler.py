"""The sampler: addresses of noisy copies -> noise -> classifier -> votes, counted where the classifier runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoothcert.errors import ModelError
from smoothcert.models import Classifier
from smoothcert.models.heads import failed, lacks_memory
from smoothcert.noise import Noise, Rows
from smoothcert.noise.buffers import GRID_KINDS
from smoothcert.sampling.memory import memory_or_refusal
from smoothcert.sampling.protocol import Counts
from smoothcert.sampling.recipe import DTYPES, Forward, input_precision
from smoothcert.spec import Recipe

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
