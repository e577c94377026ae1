"""Image files decoded exactly as stored: PNG, JPEG, TIFF, BMP and DICOM.

Colour profiles and gamma are not applied, and nothing is resized: the image that is certified is the one in the file.
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
    """Return `read` of an opened file.

    Raises:
        DataError: reading failed for any reason; the message names the file.
        MissingExtraError: reading it needs an extra that is not installed.
    """
    code = "E-DATA-050"
    try:
        with path.open("rb") as file, _strictly():
            return read(file)
    except RefusedError as error:
        why, code = str(error), error.code
    except (DataError, MissingExtraError):
        raise
    except OSError as error:  # Pillow's own errors have no error number
        why = _DAMAGED if error.errno is None else f"the file cannot be read ({error.strerror})."
    except Exception:  # decoders raise many kinds of errors on damaged files
        why = _DAMAGED
    raise DataError(f"{printable(str(path))}: {why}", code=code)


@contextmanager
def _strictly() -> Iterator[None]:
    """Make Pillow raise on truncated files, whatever other code has set, and silence its warnings."""
    from PIL import ImageFile

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def decoded(file: BinaryIO, check: Callable[[Image], None]) -> Pixels:
    """Return the pixels of an image file (PNG, JPEG, TIFF, BMP) as stored, with palette colours looked up.

    Args:
        file: its bytes, inside `from_file`.
        check: called with the opened image before it is decoded; raises RefusedError to reject it.

    Returns:
        integers (H, W, C), C 1 or 3.

    Raises:
        RefusedError: it is no such file, or `check` rejects it.
    """
    file.seek(0)
    if file.read(len(_PNG)) == _PNG:
        _opened(file).verify()  # checks the checksums, which decoding does not
    image = _opened(file)
    check(image)
    image.load()
    array = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    return array[..., None] if array.ndim == 2 else array


def _opened(file: BinaryIO) -> Image:
    """Return the image, not yet decoded."""
    from PIL import Image, UnidentifiedImageError

    file.seek(0)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise RefusedError(
            f"expected an image file ({', '.join(FORMATS)}), got another kind or a damaged file.", code="E-DATA-051"
        ) from None
    except Image.DecompressionBombError:
        raise RefusedError(
            "the image declares too many pixels to be decoded; make it smaller.", code="E-DATA-052"
        ) from None
    check_size(*image.size)
    return image


PREAMBLE, MAGIC = 128, b"DICM"
"""Length of the preamble of a DICOM file, and the magic number after it (PS3.10, 7.1)."""


def read_picture(path: Path, options: DataOptions) -> Picture:
    """Read a PNG, JPEG, TIFF, BMP or DICOM file; its first bytes decide the format, not its name.

    Colour profiles and gamma are not applied, and a file with an EXIF orientation is refused: see `read_image`.

    Args:
        path: the file.
        options: `window` is used, for DICOM.

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
    """Return whether a file is DICOM by its first bytes; False if it cannot be read."""
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
    """Iterate over image files: files as given, folders recursively in sorted order.

    In folders only files with a known ending (`ENDINGS`) are included; hidden files are skipped and links to folders
    are not followed. Files are not opened.

    Raises:
        DataError: a path does not exist, or a folder contains no image file.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from _of_folder(path)
        elif path.is_file():
            yield path
        else:
            raise DataError(f"{printable(str(path))}: no such image file or folder; check the path.", code="E-DATA-053")


def _of_folder(folder: Path) -> Iterator[Path]:
    empty = True
    for path in _walk(folder):
        empty = False
        yield path
    if empty:
        raise DataError(
            f"{printable(str(folder))}: the folder contains no image file ({', '.join(ENDINGS)}).", code="E-DATA-054"
        )


def _walk(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{printable(str(folder))}: the folder cannot be read ({error.strerror}).", code="E-DATA-049"
        ) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.name.lower().endswith(ENDINGS) and entry.is_file():
            yield Path(entry.path)


def read_image(path: str | os.PathLike[str], shape: tuple[int, int, int], levels: int) -> Pixels:
    """Read the pixels of one image file exactly as stored; only palette colours are looked up.

    Colour profiles and gamma are not applied. A file with an EXIF orientation is refused, because it is not known
    whether the certified images were rotated.

    Args:
        path: a PNG, JPEG, TIFF or BMP file.
        shape: (C, H, W) of the classifier's input, C 1 or 3.
        levels: 255, 4095 or 65535: the largest grey value of its grid.

    Returns:
        uint8 (levels 255) or uint16, (C, H, W), in 0..levels.

    Raises:
        DataError: it is no such file, is damaged, or has another size, kind, bit depth or range.
    """

    def pixels(file: BinaryIO) -> Pixels:
        array = decoded(file, lambda image: check_stored(image, file, shape, levels))
        if array.max() > levels:
            raise RefusedError(
                f"expected values up to {levels} ({BITS_OF[levels]} bits), got {array.max()}.", code="E-DATA-056"
            )
        return np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.uint8 if levels == 255 else np.uint16)

    return from_file(Path(path), pixels)


def pixels_sha256(pixels: Pixels) -> str:
    """Return the hash ("sha256:...") of an image's shape, dtype and values, as in `ImageSet` and the ledger."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    head = f"{pixels.shape} {pixels.dtype.name}\n".encode()
    return f"sha256:{hashlib.sha256(head + little.tobytes()).hexdigest()}"
