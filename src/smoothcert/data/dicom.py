"""DICOM images: rescaled, windowed and put on a grid as a viewer shows them; patients become pseudonyms.

Grey values of more than 8 stored bits are put on the 12-bit grid, 4095 steps: 12 bits are what CT stores and what
medical displays resolve; an 8-bit grid would merge values that a model can distinguish, and a 16-bit grid would imply
steps that most scanners do not resolve. Images with more stored bits are rounded, which `preprocessing` records. Images
of up to 8 stored bits stay on the 8-bit grid.

One image per file, uncompressed or compressed in a way that the installed decoders of pydicom support. Files that need
a choice by the user (frames, colour models, look-up tables, windows that are not linear) are refused with advice.

A pseudonym is the first 16 hexadecimal digits of the HMAC-SHA256 of the Patient ID under a secret salt. Without the
salt it cannot be found by hashing all likely IDs. The salt must be the same when a run is resumed, or the groups would
differ, and must not be in the run directory, which is shared together with the pseudonyms. It is therefore a file of
the user, ``$XDG_CONFIG_HOME/smoothcert/salt`` (``~/.config/smoothcert/salt``): 32 random bytes that only the user can
read, created on first use; or the environment variable ``SMOOTHCERT_SALT``, if several people or machines need the same
pseudonyms.
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
"""Bytes of a salt, minimum number of characters of a salt in the environment, digits of a pseudonym."""


def pseudonym(patient: str) -> str | None:
    """Return 16 hexadecimal digits for a Patient ID; None for an empty one.

    Raises:
        DataError: the salt cannot be read or created.
    """
    if not patient:
        return None
    key = _salt(os.environ.get(VARIABLE), _salt_path())
    return hmac.new(key, patient.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:DIGITS]


def _salt_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "smoothcert" / "salt"


@cache
def _salt(variable: str | None, path: Path) -> bytes:
    if variable is not None:
        if len(variable) < SHORTEST:
            raise DataError(
                f"{VARIABLE} must have at least {SHORTEST} characters, got {len(variable)}; lengthen it.",
                code="E-DATA-022",
            )
        return variable.encode()
    try:
        if not path.exists():
            _create_salt(path)
        salt, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise DataError(
            f"{path}: the salt for patients' pseudonyms cannot be stored there ({error.strerror}); set {VARIABLE} to "
            f"at least {SHORTEST} random characters.",
            code="E-DATA-023",
        ) from None
    if len(salt) != SIZE:
        raise DataError(
            f"{path}: expected {SIZE} random bytes, got {len(salt)}; restore the file or remove it.", code="E-DATA-024"
        )
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise DataError(
            f"{path}: other users can read the salt for patients' pseudonyms; run chmod 600 on it.", code="E-DATA-025"
        )
    return salt


def _create_salt(path: Path) -> None:
    """Write a salt atomically; if two processes do so at once, the first salt is kept."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"salt.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        os.write(handle, secrets.token_bytes(SIZE))
        os.fsync(handle)
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        os.close(handle)
        part.unlink()


Window = tuple[float, float]

_GREY = ("MONOCHROME1", "MONOCHROME2")


def read_dicom(file: BinaryIO, window: Window | None) -> Picture:
    """Read the image of a DICOM file.

    Args:
        file: its bytes.
        window: centre and width in rescaled units (such as Hounsfield units), or None: the file's first window, or,
            if it has none, the range of its stored bits.

    Raises:
        RefusedError: reading it needs a choice by the user or a decoder that is not installed. Messages contain no
            values that could identify a person.
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
    """Raise RefusedError if the whole file is compressed: reading even its header would decompress all of it."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file.seek(0)
    read_preamble(file, force=False)
    head = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    if head.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise RefusedError(
            "the whole file is compressed (Deflated Explicit VR); decompress it (gdcmconv --raw).", code="E-DATA-026"
        )


def _check_kind(data: Any) -> None:
    if not data.get("PixelData"):
        raise RefusedError(
            "the DICOM file has no integer image (Pixel Data); remove it from the data.", code="E-DATA-027"
        )
    check_size(int(data.get("Columns") or 0), int(data.get("Rows") or 0))
    frames = int(data.get("NumberOfFrames") or 1)
    if frames != 1:
        raise RefusedError(
            f"expected one image per file, got {frames} frames; save each frame as a file.", code="E-DATA-028"
        )
    kind = str(data.get("PhotometricInterpretation") or "none")
    if kind == "RGB" and (data.get("BitsAllocated") != 8 or data.get("SamplesPerPixel") != 3):
        raise RefusedError(
            "expected RGB of 8 bits per value, got another depth; use a .npz archive or an array.", code="E-DATA-029"
        )
    if kind not in (*_GREY, "RGB"):
        raise RefusedError(
            f"expected MONOCHROME1, MONOCHROME2 or RGB, got {quoted_name(kind)}; convert it to RGB.", code="E-DATA-030"
        )
    if kind != "RGB" and "ModalityLUTSequence" in data:
        raise RefusedError(
            "rescaling by a table (Modality LUT) is not supported; apply the table and save the result.",
            code="E-DATA-031",
        )


def _decoded(data: Any) -> npt.NDArray[Any]:
    """Return the stored values, (H, W) or (H, W, 3)."""
    syntax = data.file_meta.TransferSyntaxUID
    try:
        array: npt.NDArray[Any] = data.pixel_array
    except Exception:  # each decoder raises its own errors
        if not syntax.is_compressed:
            raise RefusedError(
                "the image is damaged or cut short; copy or export it again.", code="E-DATA-032"
            ) from None
        raise RefusedError(
            f"the image is damaged, or no decoder for {syntax.name} is installed; decompress it (for example with "
            "gdcmconv --raw), or install decoders: pip install pylibjpeg[all].",
            code="E-DATA-033",
        ) from None
    return array


def _unit(data: Any, stored: npt.NDArray[np.float64], window: Window | None) -> tuple[npt.NDArray[np.float64], str]:
    """Return values in [0, 1], 0 black, and a description of the steps."""
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
    """Apply a window by the linear function of the standard (PS3.3, C.11.2.1.2.1), clipped to [0, 1].

    Raises:
        RefusedError: the width is below 1.

    >>> linear_window(np.array([0.0, 2047.5, 4095.0]), centre=2048, width=4096)
    array([0. , 0.5, 1. ])
    """
    if width < 1:
        raise RefusedError(
            f"the width of a window must be at least 1, got {width:g}; use --window CENTRE,WIDTH.", code="E-DATA-034"
        )
    if width == 1:
        return np.where(values > centre - 0.5, 1.0, 0.0)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def _own_window(data: Any) -> Window:
    function = str(data.get("VOILUTFunction") or "LINEAR")
    if function != "LINEAR":
        raise RefusedError(
            f"the window function must be LINEAR, got {quoted_name(function)}; use --window CENTRE,WIDTH.",
            code="E-DATA-035",
        )
    return _number(data.WindowCenter, 0.0), _number(data.WindowWidth, 0.0)


def _whole_range(
    data: Any,
    stored: npt.NDArray[np.float64],
    rescaled: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    if "VOILUTSequence" in data:
        raise RefusedError(
            "the file has a table (VOI LUT) instead of a window; use --window CENTRE,WIDTH.", code="E-DATA-036"
        )
    low, high = sorted(rescaled(np.array(_ends(data))))
    unit: npt.NDArray[np.float64] = np.clip((rescaled(stored) - low) / (high - low), 0.0, 1.0)
    return unit


def _ends(data: Any) -> tuple[float, float]:
    """Return the lowest and highest value of the stored bits."""
    count = 2.0 ** int(data.BitsStored)
    lowest = -count / 2 if data.PixelRepresentation == 1 else 0.0
    return lowest, lowest + count - 1


def _number(value: Any, default: float) -> float:
    """Return the first of one or several numbers."""
    if value is None:
        return default
    several = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    number = float(several[0]) if several else default
    if not np.isfinite(number):
        raise RefusedError("a rescaling or window value is not finite; correct the file.", code="E-DATA-037")
    return number
