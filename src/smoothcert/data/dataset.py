"""The value every reader of images ends in: integer images on a declared grid, with their labels."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.errors import DataError

LEVELS = (255, 4095, 65535)
"""The grids images may live on: 8, 12 and 16 bits; one step is 1/levels of the [0, 1] range."""

IntArray = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.integer[Any]]


def _no_integers() -> IntArray:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images as integers on a grid; the images of one run, in their order.

    Every check is made here, so that whoever holds an `ImageSet` need not look again.

    Args:
        reference: the data as the user named them, such as ``pbc28.npz#val``.
        images: uint8 or uint16 (m, H, W, C), each value in 0..levels, C 1 or 3.
        labels: integer (m,), in 0..c-1.
        class_names: c names; left empty they become "0".."c-1" with c the largest label plus one.
        groups: one name an image (patient, hospital), or None.
        levels: 255, 4095 or 65535; 0 (the default) follows the dtype. Grey value v stands for v/levels.
        preprocessing: what was done to the pixels on the way here, in words.
        indices: int64 (m,), the place of each image in its source; left empty it becomes 0..m-1.

    Raises:
        DataError: an array has the wrong type, shape, length or range.

    >>> images = ImageSet("toy", np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]))
    >>> images.shape, images.num_classes, images.class_names, images.levels
    ((1, 4, 4), 2, ('0', '1'), 255)
    """

    reference: str
    images: Pixels
    labels: IntArray
    class_names: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    levels: int = 0
    preprocessing: tuple[str, ...] = ()
    indices: IntArray = field(default_factory=_no_integers)

    def __post_init__(self) -> None:
        _check_images(self.reference, self.images)
        count = len(self.images)
        put = object.__setattr__  # a frozen value fills in its own defaults
        put(self, "levels", _checked_levels(self.reference, self.images, self.levels))
        put(self, "labels", _checked_labels(self.reference, self.labels, count))
        put(self, "class_names", _checked_names(self.reference, self.class_names, self.labels))
        put(self, "groups", _checked_groups(self.reference, self.groups, count))
        put(self, "preprocessing", tuple(self.preprocessing))
        put(self, "indices", _checked_indices(self.reference, self.indices, count))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """How many classes the labels may name."""
        return len(self.class_names)

    def pixels(self, i: int) -> Pixels:
        """Image i as a contiguous, private (C, H, W) array of its stored type, 0..levels."""
        return np.array(self.images[i].transpose(2, 0, 1), order="C", copy=True)

    def image_sha256(self, i: int) -> str:
        """ "sha256:" and the hash of the shape, type and bytes of `pixels(i)`."""
        return _sha256([_array_bytes(self.pixels(i))])

    def sha256(self) -> str:
        """ "sha256:" and the hash of images, labels, groups and levels; the file's compression is not in it."""
        groups = [] if self.groups is None else [f"{len(name)}:{name}" for name in self.groups]
        text = f"levels {self.levels} groups {self.groups is not None} {','.join(groups)}"
        return _sha256([_array_bytes(self.images), _array_bytes(self.labels), text.encode()])

    def labels_sha256(self) -> str:
        """ "sha256:" and the hash of the labels as int64."""
        return _sha256([_array_bytes(self.labels)])

    def first(self, limit: int) -> "ImageSet":
        """The first `limit` images (all of them if there are fewer), with the same classes.

        Raises:
            DataError: limit is below 1.
        """
        if limit < 1:
            raise DataError(f"{self.reference}: at least one image must be kept, but the limit is {limit}.")
        groups = None if self.groups is None else self.groups[:limit]
        return replace(
            self,
            images=self.images[:limit],
            labels=self.labels[:limit],
            groups=groups,
            indices=self.indices[:limit],
        )


def _array_bytes(array: npt.NDArray[Any]) -> bytes:
    """Shape, type and values, the same on machines of either byte order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return f"{array.shape} {array.dtype.name}\n".encode() + little.tobytes()


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def _check_images(reference: str, images: npt.NDArray[Any]) -> None:
    if not isinstance(images, np.ndarray):
        raise DataError(f"{reference}: images must be a NumPy array, got {type(images).__name__}.")
    if images.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{reference}: images must be uint8 or uint16, got {images.dtype}; save them as integers.")
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        advice = ""
        if images.ndim == 4 and images.shape[1] in (1, 3):
            advice = " The channels seem to come first: transpose to (n, H, W, C)."
        raise DataError(
            f"{reference}: images must have shape (n, H, W, C) with 1 or 3 channels, got {images.shape}.{advice}"
        )
    if images.size == 0:
        raise DataError(f"{reference}: at least one image with pixels is needed, got shape {images.shape}.")


def _checked_levels(reference: str, images: Pixels, levels: int) -> int:
    top = int(np.iinfo(images.dtype).max)
    levels = int(levels) or top
    if levels not in LEVELS or levels > top or (images.dtype == np.uint16 and levels == 255):
        raise DataError(
            f"{reference}: levels must be 255 for uint8 and 4095 or 65535 for uint16 images, "
            f"got {levels} with {images.dtype}."
        )
    if levels < top and int(images.max()) > levels:
        raise DataError(
            f"{reference}: grey values must lie in 0..{levels}, got {int(images.max())}; "
            "declare levels 65535 if these are 16-bit images."
        )
    return levels


def _checked_labels(reference: str, labels: npt.NDArray[Any], count: int) -> IntArray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) != count:
        raise DataError(f"{reference}: one label an image is needed, got {count} images and labels {labels.shape}.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{reference}: labels must be integers 0..c-1, got {labels.dtype}; number the classes.")
    wrong = np.flatnonzero((labels < 0) | (labels > 2**31))
    if len(wrong):
        raise DataError(
            f"{reference}: labels must be 0..c-1, got {int(labels[wrong[0]])} at image {int(wrong[0])}; "
            "renumber the classes or leave unlabelled images out."
        )
    return labels.astype(np.int64)


def _checked_names(reference: str, names: Iterable[str], labels: IntArray) -> tuple[str, ...]:
    top = int(labels.max())
    names = tuple(str(name) for name in names)
    if not names:
        if top >= 100_000:
            raise DataError(f"{reference}: label {top} without class names; number the classes from 0 without gaps.")
        return tuple(str(label) for label in range(top + 1))
    if top >= len(names):
        where = int(np.argmax(labels >= len(names)))
        advice = ""
        if top == len(names) and int(labels.min()) == 1:
            advice = " The labels seem to count from 1: subtract 1."
        raise DataError(
            f"{reference}: labels must be 0..{len(names) - 1} ({len(names)} class names), "
            f"got {int(labels[where])} at image {where}.{advice}"
        )
    return names


def _checked_groups(reference: str, groups: Iterable[str] | None, count: int) -> tuple[str, ...] | None:
    if groups is None:
        return None
    groups = tuple(str(group) for group in groups)
    if len(groups) != count:
        raise DataError(f"{reference}: one group an image is needed, got {count} images and {len(groups)} groups.")
    return groups


def _checked_indices(reference: str, indices: npt.NDArray[Any], count: int) -> IntArray:
    indices = np.asarray(indices)
    if indices.size == 0:
        return np.arange(count, dtype=np.int64)
    if indices.shape != (count,) or not np.issubdtype(indices.dtype, np.integer):
        raise DataError(f"{reference}: {count} integer indices are needed, got {indices.dtype} {indices.shape}.")
    if len(np.unique(indices)) != count:
        raise DataError(f"{reference}: every image needs its own index, but some occur twice.")
    return indices.astype(np.int64)
