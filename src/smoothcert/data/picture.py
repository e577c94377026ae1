"""One image file of a data set, whatever its size: decoded exactly as stored, or refused with one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from smoothcert.data.checks import Pixels
from smoothcert.data.decode import decoded, from_file
from smoothcert.data.options import DataOptions
from smoothcert.data.stored import Stored, check_readable, stored_as

PREAMBLE, MAGIC = 128, b"DICM"
"""Where a DICOM file says that it is one (PS3.10, 7.1), and how."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image as its file stores it.

    Args:
        pixels: uint8 (8 bits) or uint16 (H, W, C), C 1 or 3.
        bits: bits a value: 8, 12 or 16. 12-bit values may also be stored in 16.
        patient: pseudonym of the patient, or None where the file names none.
        done: what was done to the stored values, in words.
        windowed: whether the user's window was applied.
    """

    pixels: Pixels
    bits: int
    patient: str | None = None
    done: tuple[str, ...] = ()
    windowed: bool = False


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
