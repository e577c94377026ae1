"""Image files exactly as stored, for a classifier of one image shape and grid: nothing is resized or converted."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from smoothcert.data.checks import Pixels
from smoothcert.data.stored import BITS, RefusedError, check_stored
from smoothcert.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_PNG = b"\x89PNG\r\n\x1a\n"
_DAMAGED = "the image is damaged or cut short; copy or export it again."


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
    path = Path(path)
    try:
        with path.open("rb") as file, _strictly():
            return _pixels(file, shape, levels)
    except RefusedError as error:
        why = str(error)
    except OSError as error:  # Pillow's own complaints carry no error number
        why = _DAMAGED if error.errno is None else f"the file cannot be read ({error.strerror})."
    except Exception:  # damaged bytes make the decoders raise nearly anything
        why = _DAMAGED
    raise DataError(f"{printable(str(path))}: {why}")


@contextmanager
def _strictly() -> Iterator[None]:
    """Have Pillow raise on cut files, whatever other code in this process has told it, and warn of nothing."""
    from PIL import ImageFile

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _opened(file: BinaryIO) -> Image:
    """The image, its pixels not yet decoded."""
    from PIL import Image, UnidentifiedImageError

    file.seek(0)
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise RefusedError(f"not an image of a kind that is read here ({', '.join(FORMATS)}), or damaged.") from None
    except Image.DecompressionBombError:
        raise RefusedError("it claims so many pixels that opening it could fill the memory.") from None


def _pixels(file: BinaryIO, shape: tuple[int, int, int], levels: int) -> Pixels:
    if file.read(len(_PNG)) == _PNG:
        _opened(file).verify()  # compares checksums, which decoding alone does not
    image = _opened(file)
    check_stored(image, file, shape, levels)
    image.load()
    array = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    if array.max() > levels:
        raise RefusedError(f"values up to {levels} are expected ({BITS[levels]} bits), got {array.max()}.")
    array = array[None] if shape[0] == 1 else array.transpose(2, 0, 1)
    return np.ascontiguousarray(array, dtype=np.uint8 if levels == 255 else np.uint16)


def pixels_sha256(pixels: Pixels) -> str:
    """The hash ("sha256:...") of an image's shape, type and values, as `ImageSet` and the ledger of a run have it."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    head = f"{pixels.shape} {pixels.dtype.name}\n".encode()
    return f"sha256:{hashlib.sha256(head + little.tobytes()).hexdigest()}"


def printable(text: str) -> str:
    """A text on one line for people: what could move a cursor, hide or reverse letters is written as its escape.

    >>> printable("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
