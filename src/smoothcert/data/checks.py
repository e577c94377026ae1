"""Checks of the fields of `ImageSet`, and the form in which messages show names from data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.errors import DataError, is_text, printable

LONGEST, MOST = 60, 6


def quoted_name(name: str) -> str:
    """Return a name as printable text, shortened in the middle if it is long.

    >>> quoted_name("a\\x1b[2J"), len(quoted_name("x" * 1000))
    ('a\\\\x1b[2J', 60)
    """
    text = printable(name[: 2 * LONGEST] + name[-LONGEST:] if len(name) > 3 * LONGEST else name)
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3 - half]}...{text[-half:]}"


def listed(names: Iterable[str], none: str = "none") -> str:
    """Return the first names, and how many more there are.

    >>> listed(["a", "b"]), listed("abcdefgh"), listed([], none="nothing")
    ('a, b', 'a, b, c, d, e, f and 2 more', 'nothing')
    """
    every = list(names)
    text = ", ".join(map(quoted_name, every[:MOST])) or none
    return text if len(every) <= MOST else f"{text} and {len(every) - MOST:,} more"


BITS = {8: 255, 12: 4095, 16: 65535}
"""Bits of a grid, and its largest grey value."""
LEVELS = tuple(BITS.values())
"""Grids of images: 8, 12 and 16 bits; one step is 1/levels of the [0, 1] range."""

IntArray = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.integer[Any]]


def check_images(reference: str, images: npt.NDArray[Any]) -> None:
    """Raise DataError if images are not uint8 or uint16 (n, H, W, C) with 1 or 3 channels."""
    if not isinstance(images, np.ndarray):
        raise DataError(f"{reference}: images must be a NumPy array, got {type(images).__name__}.", code="E-DATA-005")
    if images.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{reference}: images must be uint8 or uint16, got {images.dtype}; save them as integers.",
            code="E-DATA-006",
        )
    check_shape(reference, images)


def check_shape(reference: str, images: npt.NDArray[Any]) -> None:
    """Raise DataError if images are not (n, H, W, C) with 1 or 3 channels and at least one pixel."""
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        advice = ""
        if images.ndim == 4 and images.shape[1] in (1, 3):
            advice = " The channels seem to be first: transpose to (n, H, W, C)."
        elif images.ndim == 5 or (images.ndim == 4 and len(set(images.shape[1:])) == 1):
            advice = " These look like 3-D volumes, but only 2-D images can be certified: use slices."
        raise DataError(
            f"{reference}: images must have shape (n, H, W, C) with 1 or 3 channels, got {images.shape}.{advice}",
            code="E-DATA-007",
        )
    if images.size == 0:
        raise DataError(
            f"{reference}: expected at least one image with pixels, got shape {images.shape}.", code="E-DATA-008"
        )


def checked_levels(reference: str, images: Pixels, levels: int) -> int:
    """Return the grid of the images: as declared, or (0) the finest of the dtype.

    Raises:
        DataError: the declared grid does not match the dtype or the values.
    """
    top = int(np.iinfo(images.dtype).max)
    levels = int(levels) or top
    if levels not in LEVELS or levels > top or (images.dtype == np.uint16 and levels == 255):
        raise DataError(
            f"{reference}: levels must be 255 for uint8 and 4095 or 65535 for uint16 images, "
            f"got {levels} with {images.dtype}.",
            code="E-DATA-009",
        )
    if levels < top and int(images.max()) > levels:
        raise DataError(
            f"{reference}: grey values must be in 0..{levels}, got {int(images.max())}; "
            "declare levels 65535 if these are 16-bit images.",
            code="E-DATA-010",
        )
    return levels


def checked_labels(reference: str, labels: npt.NDArray[Any], count: int) -> IntArray:
    """Return the labels as int64 (m,).

    Raises:
        DataError: they are not one non-negative integer per image.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) != count:
        raise DataError(
            f"{reference}: expected one label per image, got {count} images and labels of shape {labels.shape}.",
            code="E-DATA-011",
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{reference}: labels must be integers 0..c-1, got {labels.dtype}; number the classes.", code="E-DATA-012"
        )
    wrong = np.flatnonzero((labels < 0) | (labels > 2**31))
    if len(wrong):
        raise DataError(
            f"{reference}: labels must be 0..c-1, got {int(labels[wrong[0]])} at image {int(wrong[0])}; "
            "renumber the classes, or remove images without a label.",
            code="E-DATA-013",
        )
    return labels.astype(np.int64)


def checked_names(reference: str, names: Iterable[str], labels: IntArray) -> tuple[str, ...]:
    """Return class names for all labels; the numbers "0".."c-1" if none are given.

    Raises:
        DataError: a label has no name, or is too large without names.
    """
    top = int(labels.max())
    names = _texts(reference, names)
    if not names:
        if top >= 100_000:
            raise DataError(
                f"{reference}: label {top} is too large without class names; number the classes from 0 without gaps.",
                code="E-DATA-014",
            )
        return tuple(str(label) for label in range(top + 1))
    if top >= len(names):
        where = int(np.argmax(labels >= len(names)))
        advice = ""
        if top == len(names) and int(labels.min()) == 1:
            advice = " The labels seem to start at 1: subtract 1."
        raise DataError(
            f"{reference}: labels must be 0..{len(names) - 1} ({len(names)} class names), "
            f"got {int(labels[where])} at image {where}.{advice}",
            code="E-DATA-015",
        )
    return names


def checked_groups(reference: str, groups: Iterable[str] | None, count: int) -> tuple[str, ...] | None:
    """Return one group name per image, or None.

    Raises:
        DataError: the number of groups is not that of the images, or a name is not Unicode text.
    """
    if groups is None:
        return None
    groups = _texts(reference, groups)
    if len(groups) != count:
        raise DataError(
            f"{reference}: expected one group per image, got {count} images and {len(groups)} groups.",
            code="E-DATA-016",
        )
    return groups


def checked_subgroups(reference: str, subgroups: Mapping[str, Iterable[str]], count: int) -> dict[str, tuple[str, ...]]:
    """Return the columns, each with one value per image.

    Raises:
        DataError: the number of values is not that of the images, or a value is not Unicode text.
    """
    columns = {str(name): _texts(reference, values) for name, values in subgroups.items()}
    for name, values in columns.items():
        if len(values) != count:
            raise DataError(
                f"{reference}: expected one {name} per image, got {count} images and {len(values)} values.",
                code="E-DATA-017",
            )
    return columns


def _texts(reference: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the values as text; raise DataError if one is not Unicode text, such as a file name that is not UTF-8."""
    texts = tuple(str(value) for value in values)
    wrong = [text for text in dict.fromkeys(texts) if not text.isascii() and not is_text(text)]
    if wrong:
        raise DataError(
            f"{reference}: the name {quoted_name(wrong[0])} is not Unicode text; rename it in UTF-8.", code="E-DATA-018"
        )
    return texts


def checked_indices(reference: str, indices: npt.NDArray[Any], count: int) -> IntArray:
    """Return one distinct index per image; 0..m-1 if none are given.

    Raises:
        DataError: the indices are not one integer per image, or not distinct.
    """
    indices = np.asarray(indices)
    if indices.size == 0:
        return np.arange(count, dtype=np.int64)
    if indices.shape != (count,) or not np.issubdtype(indices.dtype, np.integer):
        raise DataError(
            f"{reference}: expected {count} integer indices, got {indices.dtype} {indices.shape}.", code="E-DATA-019"
        )
    if len(np.unique(indices)) != count:
        raise DataError(f"{reference}: indices must be distinct, but some occur twice.", code="E-DATA-020")
    return indices.astype(np.int64)


def memory_limit() -> int:
    """Return half of the machine's memory in bytes; 16 GiB if it is not known."""
    if not hasattr(os, "sysconf"):  # Windows
        return 2**34
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    except (ValueError, OSError):
        return 2**34
