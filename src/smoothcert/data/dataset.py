"""`ImageSet`: integer images on a declared grid with their labels; every reader returns one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.config import Reading
from smoothcert.data.checks import (
    IntArray,
    Pixels,
    check_images,
    checked_groups,
    checked_indices,
    checked_labels,
    checked_levels,
    checked_names,
    checked_subgroups,
)
from smoothcert.errors import DataError


@dataclass(frozen=True)
class DataOptions:
    """How images are read.

    Args:
        quantise: bits to quantise the images to (8, 12 or 16), recorded as preprocessing, or None. For 16-bit files it
            also states whether the values have 12 or 16 bits, which dark images do not show.
        resize: shorter side in pixels after resizing, or None.
        crop: side in pixels of the centre crop, or None.
        window: (centre, width) for DICOM images, or None: the first window of each file.
        subgroups: columns or arrays whose values form subgroups.
        named: True if a person named the images, in Python or on the command line; False if a file did, which may
            never name code.
    """

    quantise: int | None = None
    resize: int | None = None
    crop: int | None = None
    window: tuple[float, float] | None = None
    subgroups: tuple[str, ...] = ()
    named: bool = field(default=True, compare=False)

    @classmethod
    def of(cls, config: Reading, subgroups: tuple[str, ...] = (), named: bool = True) -> DataOptions:
        """Return the options of a run's settings; `named`: whether a person named the images."""
        window = None if config.window is None else (config.window[0], config.window[1])
        return cls(config.quantise, config.resize, config.crop, window, subgroups, named)


def _no_integers() -> IntArray:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images as integers on a grid: the images of one run, in order.

    All fields are checked on construction; code that receives an `ImageSet` need not check them again.

    Args:
        reference: the data as the user named them, such as ``pbc28.npz#val``.
        images: uint8 or uint16 (m, H, W, C), each value in 0..levels, C 1 or 3.
        labels: integer (m,), in 0..c-1.
        class_names: c names (default: "0".."c-1" with c the largest label plus one).
        groups: one name per image (patient, hospital), or None.
        levels: 255, 4095 or 65535; 0: the finest grid of the dtype. Grey value v stands for v/levels.
        preprocessing: descriptions of the steps already applied to the pixels.
        indices: int64 (m,), index of each image in its source (default: 0..m-1).
        subgroups: for each column (sex, scanner) one value per image.
        source_sha256: "sha256:..." of the source file, if the user's code makes the images.
        source_images: number of images of the source, if these are only the first of them.

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
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_sha256: str | None = None
    source_images: int | None = None

    def __post_init__(self) -> None:
        check_images(self.reference, self.images)
        count = len(self.images)
        put = object.__setattr__  # the dataclass is frozen
        put(self, "levels", checked_levels(self.reference, self.images, self.levels))
        put(self, "labels", checked_labels(self.reference, self.labels, count))
        put(self, "class_names", checked_names(self.reference, self.class_names, self.labels))
        put(self, "groups", checked_groups(self.reference, self.groups, count))
        put(self, "subgroups", checked_subgroups(self.reference, self.subgroups, count))
        put(self, "preprocessing", tuple(self.preprocessing))
        put(self, "indices", checked_indices(self.reference, self.indices, count))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def pixels(self, i: int) -> Pixels:
        """Return image i as a contiguous copy, (C, H, W), uint8 or uint16 in 0..levels."""
        return np.array(self.images[i].transpose(2, 0, 1), order="C", copy=True)

    def image_sha256(self, i: int) -> str:
        """Return the hash ("sha256:...") of the shape, dtype and bytes of `pixels(i)`."""
        return _sha256(_array_bytes(self.pixels(i)))

    def sha256(self) -> str:
        """Return the hash ("sha256:...") of images, labels, groups, subgroups and levels, not of the file's bytes."""
        groups = [] if self.groups is None else [f"{len(name)}:{name}" for name in self.groups]
        text = f"levels {self.levels} groups {self.groups is not None} {','.join(groups)}"
        if self.subgroups:
            text += f" subgroups {json.dumps({name: list(values) for name, values in self.subgroups.items()})}"
        return _sha256([*_array_bytes(self.images), *_array_bytes(self.labels), text.encode()])

    def labels_sha256(self) -> str:
        """Return the hash ("sha256:...") of the labels as int64."""
        return _sha256(_array_bytes(self.labels))

    def first(self, limit: int) -> ImageSet:
        """Return the first `limit` images, or all if there are fewer, with the same classes.

        Raises:
            DataError: limit is below 1.
        """
        if limit < 1:
            raise DataError(f"{self.reference}: the limit must be at least 1 image, got {limit}.", code="E-DATA-021")
        groups = None if self.groups is None else self.groups[:limit]
        return replace(
            self,
            images=self.images[:limit],
            labels=self.labels[:limit],
            groups=groups,
            subgroups={name: values[:limit] for name, values in self.subgroups.items()},
            indices=self.indices[:limit],
            source_images=self.source_images or len(self),
        )


def _array_bytes(array: npt.NDArray[Any]) -> tuple[bytes, memoryview]:
    """Return header (shape and dtype) and little-endian bytes; on little-endian machines the array is not copied."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return f"{array.shape} {array.dtype.name}\n".encode(), little.reshape(-1).view(np.uint8).data


def _sha256(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"
