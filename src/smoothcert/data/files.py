"""Image files exactly as stored, for a classifier of one image shape and grid: nothing is resized or converted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from smoothcert.data.checks import Pixels
from smoothcert.data.decode import decoded, from_file
from smoothcert.data.stored import BITS_OF, RefusedError, check_stored
from smoothcert.errors import DataError, printable

__all__ = ["ENDINGS", "image_files", "pixels_sha256", "read_image"]

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def image_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """The image files that paths name: files as they are, folders recursively in sorted order.

    In a folder only files with a known ending (`ENDINGS`) count, and hidden ones do not; links to folders are not
    followed. Nothing is opened.

    Raises:
        DataError: a path does not exist, or a folder holds no image file.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from _of_folder(path)
        elif path.is_file():
            yield path
        else:
            raise DataError(f"{printable(str(path))}: no such image file or folder; check the path.")


def _of_folder(folder: Path) -> Iterator[Path]:
    empty = True
    for path in _walk(folder):
        empty = False
        yield path
    if empty:
        raise DataError(f"{printable(str(folder))}: the folder holds no image file ({', '.join(ENDINGS)}).")


def _walk(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{printable(str(folder))}: the folder cannot be read ({error.strerror}).") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.name.lower().endswith(ENDINGS) and entry.is_file():
            yield Path(entry.path)


def read_image(path: str | os.PathLike[str], shape: tuple[int, int, int], levels: int) -> Pixels:
    """The pixels of one image file, exactly as stored; a palette of colours is looked up, nothing else is changed.

    Colour profiles and gamma are not applied. A file that asks to be turned (EXIF orientation) is refused: neither
    turning it nor ignoring the mark is sure to be what was done to the certified images.

    Args:
        path: a PNG, JPEG, TIFF or BMP file.
        shape: (C, H, W) that the classifier takes; C 1 or 3.
        levels: 255, 4095 or 65535: the largest grey value of the classifier's grid.

    Returns:
        uint8 (levels 255) or uint16, (C, H, W), in 0..levels.

    Raises:
        DataError: it is no such file, is damaged, or has another size, kind, depth or range.
    """

    def pixels(file: BinaryIO) -> Pixels:
        array = decoded(file, lambda image: check_stored(image, file, shape, levels))
        if array.max() > levels:
            raise RefusedError(f"values up to {levels} are expected ({BITS_OF[levels]} bits), got {array.max()}.")
        return np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.uint8 if levels == 255 else np.uint16)

    return from_file(Path(path), pixels)


def pixels_sha256(pixels: Pixels) -> str:
    """The hash ("sha256:...") of an image's shape, type and values, as `ImageSet` and the ledger of a run have it."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    head = f"{pixels.shape} {pixels.dtype.name}\n".encode()
    return f"sha256:{hashlib.sha256(head + little.tobytes()).hexdigest()}"
