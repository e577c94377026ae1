"""Image files decoded exactly as stored: PNG, JPEG, TIFF, BMP and DICOM. Damaged files are refused by name.

Colour profiles and gamma are not applied, and nothing is resized: what is certified is the image that lies in the file.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np

from smoothcert.data.checks import Pixels
from smoothcert.data.dataset import DataOptions
from smoothcert.data.image_header import (
    BITS_OF,
    Picture,
    RefusedError,
    Stored,
    check_readable,
    check_size,
    check_stored,
    stored_as,
)
from smoothcert.errors import DataError, MissingExtraError, printable

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("PNG", "JPEG", "TIFF", "BMP")

_PNG = b"\x89PNG\r\n\x1a\n"
_DAMAGED = "the image is damaged or cut short; copy or export it again."

Read = TypeVar("Read")


def from_file(path: Path, read: Callable[[BinaryIO], Read]) -> Read:
    """What `read` makes of a file's bytes.

    Raises:
        DataError: one sentence with the file's name, whatever went wrong in reading it.
        MissingExtraError: reading it needs an extra that is not installed.
    """
    try:
        with path.open("rb") as file, _strictly():
            return read(file)
    except RefusedError as error:
        why = str(error)
    except (DataError, MissingExtraError):
        raise
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


def decoded(file: BinaryIO, check: Callable[[Image], None]) -> Pixels:
    """The pixels of an image file (PNG, JPEG, TIFF, BMP) as stored; a palette is looked up.

    Args:
        file: its bytes, inside `from_file`.
        check: looks at the opened image before a pixel is decoded, and refuses what it does not want.

    Returns:
        integers (H, W, C), C 1 or 3.

    Raises:
        RefusedError: it is no such file, or `check` refuses it.
    """
    file.seek(0)
    if file.read(len(_PNG)) == _PNG:
        _opened(file).verify()  # compares checksums, which decoding alone does not
    image = _opened(file)
    check(image)
    image.load()
    array = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    return array[..., None] if array.ndim == 2 else array


def _opened(file: BinaryIO) -> Image:
    """The image, its pixels not yet decoded."""
    from PIL import Image, UnidentifiedImageError

    file.seek(0)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise RefusedError(f"not an image of a kind that is read here ({', '.join(FORMATS)}), or damaged.") from None
    except Image.DecompressionBombError:
        raise RefusedError("it claims so many pixels that opening it could fill the memory.") from None
    check_size(*image.size)
    return image


PREAMBLE, MAGIC = 128, b"DICM"
"""Where a DICOM file says that it is one (PS3.10, 7.1), and how."""


def read_picture(path: Path, options: DataOptions) -> Picture:
    """The image in a PNG, JPEG, TIFF, BMP or DICOM file; what it is, its first bytes say, not its name.

    Colour profiles and gamma are not applied, and a file that asks to be turned (EXIF) is refused: see `read_image`.

    Args:
        path: the file.
        options: `window` is looked at, for DICOM.

    Raises:
        DataError: it is no such file, is damaged, or cannot be read exactly.
        MissingExtraError: it is a DICOM file, and the extra `dicom` is not installed.
    """

    def picture(file: BinaryIO) -> Picture:
        if _says_dicom(file):
            from smoothcert.data.dicom import read_dicom

            return read_dicom(file, options.window)
        return _plain(file)

    return from_file(path, picture)


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM; an unreadable one does not."""
    try:
        with path.open("rb") as file:
            return _says_dicom(file)
    except OSError:
        return False


def _says_dicom(file: BinaryIO) -> bool:
    file.seek(PREAMBLE)
    return file.read(len(MAGIC)) == MAGIC


def _plain(file: BinaryIO) -> Picture:
    found: list[Stored] = []

    def look(image: object) -> None:
        found.append(stored_as(image, file))  # type: ignore[arg-type]
        check_readable(found[0])

    array = decoded(file, look)
    bits = found[0].bits
    return Picture(array.astype(np.uint8 if bits == 8 else np.uint16, copy=False), bits)


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
