"""Opening and decoding one image file strictly: damage is refused, and every refusal is one sentence with its name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np

from smoothcert.data.checks import Pixels
from smoothcert.data.stored import RefusedError, check_size
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
