"""How an image file stores its pixels: size, mode, bit depth and metadata, checked before decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from smoothcert.data.checks import BITS, Pixels
from smoothcert.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

BITS_OF = {levels: bits for bits, levels in BITS.items()}
"""Bits of a grid, by its largest grey value."""

KINDS = {1: "grey", 3: "colour (RGB)"}
"""Numbers of channels, described for messages."""

DEPTHS = tuple(BITS)
"""Supported bits per value in a file."""

_CARRIERS = {255: (8,), 4095: (12, 16), 65535: (16,)}
"""Accepted bits per stored value, by the largest grey value of the grid."""
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339


MOST_PIXELS = 2**26
"""Most pixels an image file may declare: 67 million, such as 8192 by 8192. A tiny file can declare any number."""


class RefusedError(DataError):
    """Raised if an image cannot be used; the message does not contain the file name."""


def check_size(width: int, height: int) -> None:
    """Raise RefusedError if the declared size exceeds `MOST_PIXELS`; called before memory is allocated."""
    if width * height > MOST_PIXELS:
        raise RefusedError(
            f"the image declares {width:,} by {height:,} pixels, but at most {MOST_PIXELS:,} are decoded; cut it into "
            "parts or make it smaller.",
            code="E-DATA-057",
        )


@dataclass(frozen=True)
class Stored:
    """How an image file stores its pixels.

    Args:
        channels: 1 (grey) or 3 (RGB, or a palette of RGB colours).
        bits: bits per value.
        palette: whether the colours are looked up in a palette.
    """

    channels: int
    bits: int
    palette: bool


def stored_as(image: Image, file: BinaryIO) -> Stored:
    """Return how an opened image is stored; Pillow's mode alone does not determine it.

    Raises:
        RefusedError: its orientation, frames, transparency, colours or number type cannot be read exactly.
    """
    if image.format == "TIFF":  # Pillow would rotate it silently, and has already swapped its size
        _check_upright(image.tag_v2)  # type: ignore[attr-defined]
    if getattr(image, "is_animated", False):  # needs only the first frame; counting all of them can take minutes
        raise RefusedError(
            "expected one image per file, got several frames or pages; save the one to be certified.", code="E-DATA-058"
        )
    _check_upright(image.getexif())
    channels = _channels(image)
    if image.mode == "P" and image.format == "TIFF":
        raise RefusedError(
            "a TIFF palette of 16-bit colours cannot be read without rounding; save the image as RGB.",
            code="E-DATA-059",
        )
    return Stored(channels, 8 if image.mode == "P" else _bits(image, file), image.mode == "P")


def check_readable(found: Stored) -> None:
    """Raise RefusedError if the bit depth cannot be read exactly."""
    if found.bits > 8 and found.channels == 3:  # Pillow would silently reduce it to 8 bits
        raise RefusedError(
            "colour images of more than 8 bits per value cannot be read from image files; certify a .npz archive, or "
            "predict an array in Python.",
            code="E-DATA-060",
        )
    if found.bits not in DEPTHS:
        raise RefusedError(
            f"expected 8, 12 or 16 bits per value, got {_bits_in_words(found.bits)}; save it as PNG.", code="E-DATA-061"
        )


def check_stored(image: Image, file: BinaryIO, shape: tuple[int, int, int], levels: int) -> None:
    """Raise RefusedError if an opened image does not match the classifier's input exactly.

    Args:
        image: opened by Pillow, not yet decoded.
        file: its bytes.
        shape: (C, H, W) of the classifier's input.
        levels: 255, 4095 or 65535.

    Raises:
        RefusedError: the size, the channels or the bit depth differ.
    """
    channels, height, width = shape
    if image.format == "TIFF":
        _check_upright(image.tag_v2)  # type: ignore[attr-defined]
    if image.size != (width, height):
        raise RefusedError(
            f"the classifier takes images {width} pixels wide and {height} high, got {image.size[0]} by "
            f"{image.size[1]}; preprocess the image as the certified images were (it is not resized here).",
            code="E-DATA-062",
        )
    found = stored_as(image, file)
    if channels != found.channels:
        expected = KINDS.get(channels, f"{channels}-channel")
        raise RefusedError(
            f"the classifier takes {expected} images, got {KINDS[found.channels]}; convert the image as the certified "
            "images were.",
            code="E-DATA-063",
        )
    _check_depth(found, levels)
    check_readable(found)


def _check_upright(tags: Any) -> None:
    turned = tags.get(_ORIENTATION, 1)
    if turned not in (0, 1):
        raise RefusedError(
            f"the image has EXIF orientation {turned}; rotate its pixels and save it without the tag.",
            code="E-DATA-064",
        )


def _channels(image: Image) -> int:
    """Return 1 or 3; raise RefusedError for transparency, and for colours other than RGB."""
    mode = image.mode
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        raise RefusedError("the image has transparency (an alpha channel); save it without one.", code="E-DATA-065")
    grey = mode in ("1", "L", "F") or mode.startswith("I")
    if not grey and mode not in ("RGB", "P"):
        raise RefusedError(f"expected grey or RGB values, got {mode}; save it as PNG.", code="E-DATA-066")
    return 1 if grey else 3


def _check_depth(found: Stored, levels: int) -> None:
    if found.palette and levels != 255:
        raise RefusedError(
            f"the classifier takes {BITS_OF[levels]}-bit images, got a palette of 8-bit colours.", code="E-DATA-067"
        )
    if found.bits not in _CARRIERS[levels]:
        raise RefusedError(
            f"the classifier takes {BITS_OF[levels]}-bit images, got {_bits_in_words(found.bits)} per value; "
            "rescale the image as the certified images were.",
            code="E-DATA-068",
        )


def _bits_in_words(bits: int) -> str:
    return f"{bits} {'bit' if bits == 1 else 'bits'}"


def _bits(image: Image, file: BinaryIO) -> int:
    """Return the stored bits per value, which Pillow's mode does not determine."""
    if image.format == "PNG":
        return _number(file, 24, 1)
    if image.format == "TIFF":
        return _bits_of_tiff(image)
    if image.format == "BMP":
        stored = _number(file, 24 if _number(file, 14, 4) == 12 else 28, 2)
        return {16: 5, 24: 8, 32: 8}.get(stored, stored)
    return 8


def _bits_of_tiff(image: Any) -> int:
    tags = image.tag_v2
    bits, kinds = (_several(tags.get(tag, 1)) for tag in (_BITS_PER_SAMPLE, _SAMPLE_FORMAT))
    if kinds != {1} or len(bits) != 1:
        raise RefusedError(
            "expected a TIFF of unsigned integers of one bit depth, got other values; save it as PNG.",
            code="E-DATA-069",
        )
    if tags.get(_PHOTOMETRIC) == 0:
        raise RefusedError("the TIFF stores white as 0; save it with black as 0.", code="E-DATA-070")
    return bits.pop()


def _several(value: Any) -> set[int]:
    return {int(each) for each in value} if isinstance(value, tuple) else {int(value)}


def _number(file: BinaryIO, place: int, length: int) -> int:
    """Read a little-endian integer from the header."""
    here = file.tell()
    file.seek(place)
    number = int.from_bytes(file.read(length), "little")
    file.seek(here)
    return number


@dataclass(frozen=True, eq=False)
class Picture:
    """One image as stored in its file.

    Args:
        pixels: uint8 (8 bits) or uint16 (H, W, C), C 1 or 3.
        bits: bits per value: 8, 12 or 16 (which may contain 12-bit values).
        patient: pseudonym of the patient, or None if the file has no Patient ID.
        done: descriptions of the steps applied to the stored values.
        windowed: whether the window of `--window` was applied.
    """

    pixels: Pixels
    bits: int
    patient: str | None = None
    done: tuple[str, ...] = ()
    windowed: bool = False
