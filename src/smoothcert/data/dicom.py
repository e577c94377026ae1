"""DICOM images: rescaled, windowed and put on a grid as a viewer would show them; patients become pseudonyms.

Grey values of more than 8 stored bits go onto the 12-bit grid, 4095 steps. A window picks what a reader sees, and
12 bits are what CT stores and what medical displays resolve; an 8-bit grid would merge values that a model can tell
apart, and a 16-bit grid would claim steps that most scanners do not take. Of images with more stored bits the lowest
are rounded away, which `preprocessing` says. Images of up to 8 stored bits stay on the 8-bit grid.

One image per file, uncompressed or compressed in a way that pydicom can decode here. What would need a choice that
only the user can make (frames, colour models, look-up tables, other than linear windows) is refused with advice.

A pseudonym is HMAC-SHA256 of the Patient ID under a secret salt, its first 16 hexadecimal digits. Without the salt it
cannot be found by hashing all likely IDs, which are few. The salt must be the same when a run is resumed, or the groups
would differ; and it must not lie in the run directory, which is handed on together with the pseudonyms. So it is a
file of the user's own, ``$XDG_CONFIG_HOME/smoothcert/salt`` (``~/.config/smoothcert/salt``), 32 random bytes that
only they can read, made on first use; or the environment variable ``SMOOTHCERT_SALT``, where several people or machines
must get the same pseudonyms.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from smoothcert.data.checks import Pixels, quoted_name
from smoothcert.data.image_header import Picture, RefusedError, check_size
from smoothcert.errors import DataError, MissingExtraError

VARIABLE = "SMOOTHCERT_SALT"
SIZE, SHORTEST, DIGITS = 32, 16, 16
"""Bytes of a salt; characters that one in the environment has at least; digits of a pseudonym."""


def pseudonym(patient: str) -> str | None:
    """16 hexadecimal digits for a Patient ID; None for an empty one.

    Raises:
        DataError: there is no salt to be had.
    """
    if not patient:
        return None
    key = _salt(os.environ.get(VARIABLE), _place())
    return hmac.new(key, patient.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:DIGITS]


def _place() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "smoothcert" / "salt"


@cache
def _salt(stated: str | None, place: Path) -> bytes:
    if stated is not None:
        if len(stated) < SHORTEST:
            raise DataError(f"{VARIABLE} must have {SHORTEST} characters or more, got {len(stated)}; lengthen it.")
        return stated.encode()
    try:
        if not place.exists():
            _make(place)
        salt, mode = place.read_bytes(), place.stat().st_mode
    except OSError as error:
        raise DataError(
            f"{place}: the salt for patients' pseudonyms cannot be kept there ({error.strerror}); set {VARIABLE} to "
            f"{SHORTEST} or more random characters."
        ) from None
    if len(salt) != SIZE:
        raise DataError(f"{place}: {SIZE} random bytes are expected, got {len(salt)}; restore the file or remove it.")
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise DataError(f"{place}: others can read the salt for patients' pseudonyms; chmod 600 it.")
    return salt


def _make(place: Path) -> None:
    """Write a salt whole or not at all; of two processes that do so at once, the first one's is kept."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f"salt.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        os.write(handle, secrets.token_bytes(SIZE))
        os.fsync(handle)
        with suppress(FileExistsError):
            os.link(part, place)
    finally:
        os.close(handle)
        part.unlink()


Window = tuple[float, float]

_GREY = ("MONOCHROME1", "MONOCHROME2")


def read_dicom(file: BinaryIO, window: Window | None) -> Picture:
    """The picture of a DICOM file.

    Args:
        file: its bytes.
        window: centre and width in rescaled units (such as Hounsfield units), or None: the file's first window, or,
            where it names none, the range of its stored bits.

    Raises:
        RefusedError: it cannot be read without a choice or a decoder that is missing. Values of the file that could
            name a person are in no message.
        MissingExtraError: pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("Reading DICOM files", "dicom") from None
    _check_not_deflated(file)
    file.seek(0)
    data = pydicom.dcmread(file)
    _check_kind(data)
    stored = _decoded(data)
    patient = pseudonym(str(data.get("PatientID") or "").strip())
    if data.PhotometricInterpretation == "RGB":
        return Picture(stored.astype(np.uint8), 8, patient, ("DICOM: 8-bit RGB as stored",))
    unit, done = _unit(data, stored.astype(np.float64), window)
    bits, levels = (8, 255) if data.BitsStored <= 8 else (12, 4095)
    grey: Pixels = np.rint(unit[..., None] * levels).astype(np.uint8 if bits == 8 else np.uint16)
    return Picture(grey, bits, patient, (f"DICOM: {done}, onto {levels} steps",), windowed=window is not None)


def _check_not_deflated(file: BinaryIO) -> None:
    """Refuse files that are compressed as a whole: reading one, also for its header, unpacks all of it."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file.seek(0)
    read_preamble(file, force=False)
    head = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    if head.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise RefusedError("the whole file is compressed (Deflated Explicit VR); decompress it (gdcmconv --raw).")


def _check_kind(data: Any) -> None:
    if not data.get("PixelData"):
        raise RefusedError("the DICOM file holds no image of whole numbers (Pixel Data); leave it out.")
    check_size(int(data.get("Columns") or 0), int(data.get("Rows") or 0))
    frames = int(data.get("NumberOfFrames") or 1)
    if frames != 1:
        raise RefusedError(f"one picture a file is expected, got {frames} frames; save the ones meant as files.")
    kind = str(data.get("PhotometricInterpretation") or "none")
    if kind == "RGB" and (data.get("BitsAllocated") != 8 or data.get("SamplesPerPixel") != 3):
        raise RefusedError("RGB of 8 bits a value is expected, got another depth; use an array, in Python.")
    if kind not in (*_GREY, "RGB"):
        raise RefusedError(f"MONOCHROME1, MONOCHROME2 or RGB is expected, got {quoted_name(kind)}; convert it to RGB.")
    if kind != "RGB" and "ModalityLUTSequence" in data:
        raise RefusedError("its values are rescaled by a table (Modality LUT), which is not applied here; apply it.")


def _decoded(data: Any) -> npt.NDArray[Any]:
    """Stored values (H, W) or (H, W, 3)."""
    syntax = data.file_meta.TransferSyntaxUID
    try:
        array: npt.NDArray[Any] = data.pixel_array
    except Exception:  # each decoder has errors of its own
        if not syntax.is_compressed:
            raise RefusedError("the image is damaged or cut short; copy or export it again.") from None
        raise RefusedError(
            f"it is damaged, or compressed as {syntax.name}, which cannot be decoded here; decompress it (for example "
            "with gdcmconv --raw), or install decoders: pip install pylibjpeg[all]."
        ) from None
    return array


def _unit(data: Any, stored: npt.NDArray[np.float64], window: Window | None) -> tuple[npt.NDArray[np.float64], str]:
    """Values in [0, 1], 0 black, and what was done in words."""
    slope, intercept = (_number(data.get(name), default) for name, default in _RESCALE)

    def rescaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return values * slope + intercept

    if window is not None:
        unit = linear_window(rescaled(stored), *window)
        done = f"rescaled, window centre {window[0]:g} width {window[1]:g}"
    elif data.get("WindowCenter") is not None and data.get("WindowWidth") is not None:
        unit = linear_window(rescaled(stored), *_own_window(data))
        done = "rescaled, each file's own first window"
    else:
        unit, done = _whole_range(data, stored, rescaled), "rescaled, the whole range of the stored bits"
    if data.PhotometricInterpretation == "MONOCHROME1":
        return 1 - unit, f"{done}, inverted (MONOCHROME1)"
    return unit, done


_RESCALE = (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))


def linear_window(values: npt.NDArray[np.float64], centre: float, width: float) -> npt.NDArray[np.float64]:
    """Values through a window, by the standard's linear function (PS3.3, C.11.2.1.2.1), clipped to [0, 1].

    Raises:
        RefusedError: the width is below 1.

    >>> linear_window(np.array([0.0, 2047.5, 4095.0]), centre=2048, width=4096)
    array([0. , 0.5, 1. ])
    """
    if width < 1:
        raise RefusedError(f"a window is at least 1 wide, got {width:g}; give --window CENTRE,WIDTH.")
    if width == 1:
        return np.where(values > centre - 0.5, 1.0, 0.0)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def _own_window(data: Any) -> Window:
    function = str(data.get("VOILUTFunction") or "LINEAR")
    if function != "LINEAR":
        raise RefusedError(
            f"its window is {quoted_name(function)}, and only LINEAR ones are applied; give --window CENTRE,WIDTH."
        )
    return _number(data.WindowCenter, 0.0), _number(data.WindowWidth, 0.0)


def _whole_range(
    data: Any,
    stored: npt.NDArray[np.float64],
    rescaled: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    if "VOILUTSequence" in data:
        raise RefusedError("it names a table (VOI LUT) instead of a window; give --window CENTRE,WIDTH.")
    low, high = sorted(rescaled(np.array(_ends(data))))
    unit: npt.NDArray[np.float64] = np.clip((rescaled(stored) - low) / (high - low), 0.0, 1.0)
    return unit


def _ends(data: Any) -> tuple[float, float]:
    """The lowest and highest value that the stored bits can hold."""
    count = 2.0 ** int(data.BitsStored)
    lowest = -count / 2 if data.PixelRepresentation == 1 else 0.0
    return lowest, lowest + count - 1


def _number(value: Any, default: float) -> float:
    """The first of one or several numbers."""
    if value is None:
        return default
    several = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    number = float(several[0]) if several else default
    if not np.isfinite(number):
        raise RefusedError("a number of its rescaling or window is not finite; correct the file.")
    return number
