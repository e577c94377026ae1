"""Images as the caller passes them (tensors, arrays, loaders, data sets), converted for the sampler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smoothcert.errors import DataError

Pixels = NDArray[Any]
Images = Tensor | NDArray[Any]
Batches = Images | DataLoader[Any] | Dataset[Any] | Iterable[Any]
LOADED = 256
"""Images per batch if a data set without a loader is read."""


def pixels_of(images: Images, levels: int, quantize: bool, gaussian: bool) -> Pixels:
    """Return images as int32 (m, C, H, W) on the grid, or as float32 for Gaussian noise.

    Args:
        images: (m, C, H, W) or (C, H, W): float in [0, 1], or integers in 0..levels; any values for Gaussian noise.
        levels: the largest grey value of the grid.
        quantize: round float images to the grid.
        gaussian: keep float images as they are.

    Raises:
        DataError: another shape, values that are not finite, out of range, or off the grid.
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or not array.size:
        raise DataError(
            f"Expected images of shape (m, C, H, W), m of 1 or more, or (C, H, W), got {tuple(array.shape)}.",
            code="E-DATA-152",
        )
    if not np.issubdtype(array.dtype, np.floating):
        return _in_range(array, levels)
    if not np.isfinite(array).all():
        raise DataError("Expected finite pixel values, got NaN or infinity.", code="E-DATA-153")
    if gaussian:
        return np.ascontiguousarray(array, dtype=np.float32)
    return _in_range(_on_grid(array, levels, quantize), levels)


def device_of(x: object) -> torch.device:
    """Return the device of a tensor; the CPU for anything else."""
    return x.device if isinstance(x, Tensor) else torch.device("cpu")


def count_of(x: Batches) -> int | None:
    """Return the number of images, or None if it is only known after reading them."""
    if isinstance(x, DataLoader):
        return count_of(x.dataset)
    if isinstance(x, Tensor | np.ndarray):
        return len(x) if x.ndim == 4 else 1
    return len(x) if hasattr(x, "__len__") and isinstance(x, Dataset) else None


def batches_of(x: Batches, y: Tensor | Sequence[int] | None = None) -> Iterator[tuple[Images, list[int] | None]]:
    """Yield batches of images with their labels, or None, from any kind of input."""
    if isinstance(x, Tensor | np.ndarray):
        yield x, None if y is None else _label_list(y)
        return
    if y is not None:
        raise DataError("Expected labels either in y or in the batches of x, got both; leave out y.", code="E-DATA-154")
    if isinstance(x, Dataset) and not isinstance(x, DataLoader):
        x = DataLoader(x, batch_size=LOADED)
    if isinstance(x, str | bytes) or not isinstance(x, Iterable):
        raise DataError(
            f"Expected a tensor, an array, a DataLoader or a Dataset of images, got {type(x).__name__}.",
            code="E-DATA-155",
        )
    found = False
    for batch in x:
        found = True
        yield _parts(batch)
    if not found:
        raise DataError("Expected at least one batch of images, got none.", code="E-DATA-156")


def _parts(batch: Any) -> tuple[Images, list[int] | None]:
    """Return images and labels of one batch: a tensor, a pair, or a dictionary with `image` and `label`."""
    if isinstance(batch, dict):
        images, labels = batch.get("image"), batch.get("label")
    elif isinstance(batch, list | tuple):
        images, labels = (*batch, None)[:2]
    else:
        images, labels = batch, None
    if not isinstance(images, Tensor | np.ndarray):
        raise DataError(
            "Expected batches that are a tensor, a pair (images, labels), or a dictionary with 'image' and 'label', "
            f"got {type(batch).__name__}. Transform images to tensors before they are batched.",
            code="E-DATA-157",
        )
    return images, None if labels is None else _label_list(labels)


def _label_list(labels: Any) -> list[int]:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:  # as in MedMNIST
        array = array[:, 0]
    array = array.reshape(1) if array.ndim == 0 else array
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"Expected integer labels of shape (m,), got {array.dtype} of shape {tuple(array.shape)}.",
            code="E-DATA-158",
        )
    return [int(label) for label in array]


def _in_range(array: Pixels, levels: int) -> Pixels:
    if array.min() < 0 or array.max() > levels:
        raise DataError(
            f"Expected images in [0, 1], or integers in 0..{levels}, got values from {array.min()} to {array.max()} on "
            f"the grid of steps 1/{levels}. Give images before normalisation, and put the normalisation into the "
            "model; or use noise='gaussian' for images of any values.",
            code="E-DATA-159",
        )
    return array.astype(np.int32)


def _on_grid(array: Pixels, levels: int, quantize: bool) -> Pixels:
    """Return float images as grid integers; round those off the grid, or raise if `quantize` is false."""
    scaled = array.astype(np.float64) * levels
    rounded = np.rint(scaled)
    off = np.abs(scaled - rounded)
    allowed = max(1e-3, levels * 2.0**-24)  # twice the rounding error of float32, in steps
    if quantize or off.max() <= allowed:
        return rounded
    image = int(off.reshape(len(off), -1).max(axis=1).argmax())
    raise DataError(
        f"Expected images on the grid of steps 1/{levels} in [0, 1]; image {image} is up to {off.max():.2f} steps off. "
        f"Pass quantize=True to round images to the grid (images = (images * {levels}).round() / {levels}), "
        "levels=4095 or 65535 for 12 or 16 bits, or noise='gaussian', whose arithmetic is not covered.",
        code="E-DATA-160",
    )
