"""Checks of a data set before a run: duplicates, conflicting labels, overlap with training; norms of perturbations."""

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
    """Add one of 255 grey levels, clipped to [0, 1]."""
    return np.clip(image + GREY_LEVEL, 0, 1)


def contrast(image: Image) -> Image:
    """Increase the contrast by 2 % around the mean of the image, clipped to [0, 1]."""
    mean = float(image.mean())
    return np.clip(mean + 1.02 * (image - mean), 0, 1)


def translation(image: Image) -> Image:
    """Shift by one pixel to the right; the left edge is repeated."""
    return np.concatenate([image[:, :, :1], image[:, :, :-1]], axis=2)


def rotation(image: Image) -> Image:
    """Rotate by 1 degree, bilinear; edges are repeated."""
    from scipy.ndimage import rotate

    turned: Image = rotate(image, 1.0, axes=(1, 2), reshape=False, order=1, mode="nearest")
    return np.clip(turned, 0, 1)


def jpeg(image: Image) -> Image:
    """Compress as JPEG of quality 90 and decode; values are rounded to 8 bits first."""
    from PIL import Image as Pillow

    pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
    stored = io.BytesIO()
    Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(stored, "JPEG", quality=JPEG_QUALITY)
    back = np.asarray(Pillow.open(stored), dtype=np.float64).reshape(pixels.shape)
    return back.transpose(2, 0, 1) / 255


def rounding(image: Image) -> Image:
    """Round to 8 bits; 8-bit images do not change."""
    return np.rint(image * 255) / 255


PERTURBATIONS: dict[str, Callable[[Image], Image]] = {
    "brightness, one grey level of 255": brightness,
    "contrast, 2 %": contrast,
    "translation, one pixel": translation,
    "rotation, 1 degree": rotation,
    f"JPEG, quality {JPEG_QUALITY}": jpeg,
    "rounding to 8 bits": rounding,
}


def perturbation_norms(pixels: NDArray[np.integer[Any]], levels: int) -> dict[str, float]:
    """Return the L2 norm of each perturbation of one image.

    Args:
        pixels: integers (C, H, W), 0..levels, C 1 or 3.
        levels: the grey value that stands for 1.

    Returns:
        L2 norm of the difference, in units of the [0, 1] range, by the name of the perturbation.

    >>> round(perturbation_norms(np.full((1, 28, 28), 100), 255)["brightness, one grey level of 255"], 4)
    0.1098
    """
    image = pixels.astype(np.float64) / levels
    return {name: float(np.linalg.norm(change(image) - image)) for name, change in PERTURBATIONS.items()}


SHOWN = 5
"""Most pairs that are listed."""


@dataclass(frozen=True)
class Pair:
    """Two images with equal pixels, by their index in the source.

    Args:
        earlier: the first image with these pixels; in `overlap`, the image of the other set.
        later: its duplicate.
    """

    earlier: int
    later: int


@dataclass(frozen=True)
class Repeats:
    """Images that duplicate others.

    Args:
        count: number of duplicates.
        pairs: the first few.
    """

    count: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Inspection:
    """Results of the checks of labelled images.

    Args:
        images: number of images.
        class_names: c names.
        class_counts: number of images per class.
        duplicates: images with the same pixels as an earlier image of the set.
        conflicts: duplicates with another label than the earlier image.
        groups: number of groups, or None.
        overlap: images with the same pixels as an image of the other set, or None if there is no other set or its
            images have another size or grid.
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
        """Sentences with a remedy each; empty if there is nothing to warn of."""
        return tuple(_warnings_of(self))


def inspect_images(images: ImageSet, other: ImageSet | None = None) -> Inspection:
    """Find images that are equal in every pixel, within a set and between two sets.

    Args:
        images: the set to be certified.
        other: a set that must not share images with it, such as the training set of the classifier.
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
    """Return a short hash of the pixels of each image; shape, dtype and grid are those of the set."""
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
            f"{found.overlap.pairs[0].later} is its image {found.overlap.pairs[0].earlier}): accuracy on training "
            "images does not generalise; remove them."
        )
    if found.conflicts.count:
        pair = found.conflicts.pairs[0]
        yield (
            f"{found.conflicts.count:,} duplicate{'s' * (found.conflicts.count > 1)} with another label (images "
            f"{pair.earlier} and {pair.later}): at most one label can be correct; correct the labels."
        )
    if found.duplicates.count:
        pair = found.duplicates.pairs[0]
        yield (
            f"{found.duplicates.count:,} of {found.images:,} images duplicate an earlier one (images {pair.earlier} "
            f"and {pair.later}): confidence intervals assume independent images; keep one of each."
        )
    yield from _class_warnings(found)
    if found.groups == 1 and found.images > 1:
        yield (
            "all images belong to one group, so the results do not generalise to other groups; check the column group, "
            "or the Patient ID of the files."
        )


def _class_warnings(found: Inspection) -> Iterator[str]:
    present = [i for i, count in enumerate(found.class_counts) if count]
    classes = len(found.class_counts)
    digits = found.class_names == tuple(map(str, range(classes)))
    if len(present) == 1:
        yield f"all images have the label {found.class_names[present[0]]}; no other class is tested: check the labels."
    elif digits and present == list(range(1, classes)):
        yield (
            f"labels are 1 to {classes - 1}, none is 0: subtract 1 if they start at 1; ignore this if class 0 has no "
            "images."
        )
    elif len(present) < classes:
        missing = [name for name, count in zip(found.class_names, found.class_counts, strict=True) if not count]
        named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        yield f"{len(missing)} of {classes} classes have no image ({named}) and are not tested; add images of them."
