"""Checks of a data set before a run: repeated images, labels that contradict, overlap with training, simple changes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.data.dataset import ImageSet

Image = NDArray[np.float64]
GREY_LEVEL = 1 / 255
JPEG_QUALITY = 90


def brightness(image: Image) -> Image:
    """Brighter by one of 255 grey levels, clipped to [0, 1]."""
    return np.clip(image + GREY_LEVEL, 0, 1)


def contrast(image: Image) -> Image:
    """2 % more contrast around the image's own mean, clipped to [0, 1]."""
    mean = float(image.mean())
    return np.clip(mean + 1.02 * (image - mean), 0, 1)


def translation(image: Image) -> Image:
    """One pixel to the right, the left edge repeated."""
    return np.concatenate([image[:, :, :1], image[:, :, :-1]], axis=2)


def rotation(image: Image) -> Image:
    """Turned by 1 degree, bilinear, edges repeated."""
    from scipy.ndimage import rotate

    turned: Image = rotate(image, 1.0, axes=(1, 2), reshape=False, order=1, mode="nearest")
    return np.clip(turned, 0, 1)


def jpeg(image: Image) -> Image:
    """Stored as JPEG of quality 90 and read again; the colour or grey channels are rounded to 8 bits first."""
    from PIL import Image as Pillow

    pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
    stored = io.BytesIO()
    Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(stored, "JPEG", quality=JPEG_QUALITY)
    back = np.asarray(Pillow.open(stored), dtype=np.float64).reshape(pixels.shape)
    return back.transpose(2, 0, 1) / 255


def rounding(image: Image) -> Image:
    """Rounded to 8 bits; nothing changes in an image that has 8."""
    return np.rint(image * 255) / 255


CHANGES: dict[str, Callable[[Image], Image]] = {
    "brightness, one grey level of 255": brightness,
    "contrast, 2 %": contrast,
    "translation, one pixel": translation,
    "rotation, 1 degree": rotation,
    f"JPEG, quality {JPEG_QUALITY}": jpeg,
    "rounding to 8 bits": rounding,
}


def change_norms(pixels: NDArray[np.integer[Any]], levels: int) -> dict[str, float]:
    """Measure each change of one image.

    Args:
        pixels: integers (C, H, W), 0..levels, C 1 or 3.
        levels: the grey value that stands for 1.

    Returns:
        L2 norm of the difference, in units of the [0, 1] range, by the name of the change (`CHANGES`).

    >>> round(change_norms(np.full((1, 28, 28), 100), 255)["brightness, one grey level of 255"], 4)
    0.1098
    """
    image = pixels.astype(np.float64) / levels
    return {name: float(np.linalg.norm(change(image) - image)) for name, change in CHANGES.items()}


SHOWN = 5
"""Pairs that are named."""


@dataclass(frozen=True)
class Pair:
    """Two images with equal pixels, by their index in the source.

    Args:
        earlier: the first image of these pixels; in `overlap`, the image of the other set.
        later: the one that repeats it.
    """

    earlier: int
    later: int


@dataclass(frozen=True)
class Repeats:
    """Images that repeat others.

    Args:
        count: how many do.
        pairs: the first few.
    """

    count: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Inspection:
    """What a look at labelled images found.

    Args:
        images: how many there are.
        class_names: c names.
        class_counts: images of each class.
        duplicates: images whose pixels are those of an earlier image of the set.
        conflicts: those of them whose label is another one than the earlier image's.
        groups: how many groups there are, or None.
        overlap: images whose pixels occur in the other set, or None where no other was given or none of its images
            has their size and grid.
    """

    images: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    duplicates: Repeats
    conflicts: Repeats
    groups: int | None
    overlap: Repeats | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves a look before a run, each in a sentence with its remedy; empty where nothing does."""
        return tuple(_warnings_of(self))


def inspect_images(images: ImageSet, other: ImageSet | None = None) -> Inspection:
    """Look for equal images, equal in every pixel, inside a set and across two.

    Args:
        images: the set to be certified.
        other: images that it must not share, such as those the classifier was trained on.
    """
    hashes = _hashes(images)
    first: dict[bytes, int] = {}
    twins = [(first.setdefault(key, i), i) for i, key in enumerate(hashes)]
    twins = [(i, j) for i, j in twins if i != j]
    conflicts = [(i, j) for i, j in twins if images.labels[i] != images.labels[j]]
    counts = np.bincount(images.labels, minlength=images.num_classes)
    return Inspection(
        images=len(images),
        class_names=images.class_names,
        class_counts=tuple(int(count) for count in counts),
        duplicates=_repeats(twins, images, images),
        conflicts=_repeats(conflicts, images, images),
        groups=None if images.groups is None else len(set(images.groups)),
        overlap=_overlap(hashes, images, other),
    )


def _hashes(images: ImageSet) -> list[bytes]:
    """A short hash of each image's pixels; shape, type and grid are the set's."""
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images.images]


def _repeats(twins: list[tuple[int, int]], earlier: ImageSet, later: ImageSet) -> Repeats:
    pairs = tuple(Pair(int(earlier.indices[i]), int(later.indices[j])) for i, j in twins[:SHOWN])
    return Repeats(len(twins), pairs)


def _overlap(hashes: list[bytes], images: ImageSet, other: ImageSet | None) -> Repeats | None:
    if other is None or (other.shape, other.levels) != (images.shape, images.levels):
        return None
    place = {key: i for i, key in reversed(list(enumerate(_hashes(other))))}
    return _repeats([(place[key], j) for j, key in enumerate(hashes) if key in place], other, images)


def _warnings_of(found: Inspection) -> Iterator[str]:
    if found.overlap is not None and found.overlap.count:
        yield (
            f"{found.overlap.count:,} of {found.images:,} images are also in the other set (image "
            f"{found.overlap.pairs[0].later} is its image {found.overlap.pairs[0].earlier}): images that a classifier "
            "was trained on say nothing about new ones; leave them out."
        )
    if found.conflicts.count:
        pair = found.conflicts.pairs[0]
        yield (
            f"{_images(found.conflicts.count)} an earlier one under another label (images {pair.earlier} and "
            f"{pair.later}): at most one label can be right; correct them."
        )
    if found.duplicates.count:
        pair = found.duplicates.pairs[0]
        yield (
            f"{found.duplicates.count:,} of {found.images:,} images repeat an earlier one (images {pair.earlier} and "
            f"{pair.later}): intervals take images for independent draws; keep one of each."
        )
    yield from _class_warnings(found)
    if found.groups == 1 and found.images > 1:
        yield (
            "all images belong to one group: nothing can be said about other groups; check the column group, or the "
            "Patient ID of the files."
        )


def _images(count: int) -> str:
    return "1 image repeats" if count == 1 else f"{count:,} images repeat"


def _class_warnings(found: Inspection) -> Iterator[str]:
    present = [i for i, count in enumerate(found.class_counts) if count]
    classes = len(found.class_counts)
    digits = found.class_names == tuple(map(str, range(classes)))
    if len(present) == 1:
        yield f"all images have the label {found.class_names[present[0]]}: other classes are not tested."
    elif digits and present == list(range(1, classes)):
        yield (
            f"labels run from 1 to {classes - 1} and none is 0: if they count from 1, subtract 1; if class 0 is not "
            "among these images, nothing is wrong."
        )
    elif len(present) < classes:
        missing = [name for name, count in zip(found.class_names, found.class_counts, strict=True) if not count]
        named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        yield f"{len(missing)} of {classes} classes have no image ({named}): nothing is tested of them."
