"""How an image file stores its pixels: size, mode, bit depth and metadata, checked before pixels are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from smoothcert.data.checks import BITS, Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

BITS_OF = {levels: bits for bits, levels in BITS.items()}
"""Largest grey value of a grid, and the bits a value of it takes."""

KINDS = {1: "grey", 3: "colour (RGB)"}
"""Channels an image may have, in words."""

DEPTHS = tuple(BITS)
"""Bits a value may take in a file."""

_CARRIERS = {255: (8,), 4095: (12, 16), 65535: (16,)}
"""Largest grey value of a grid, and the bits a stored value may have."""
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339


MOST_PIXELS = 2**26
"""Pixels an image file may claim: 67 million, such as 8192 by 8192. A few kilobytes can claim any number of them."""


class RefusedError(Exception):
    """What is wrong with an image, without its name."""


def check_size(width: int, height: int) -> None:
    """Refuse a claimed size before memory is taken for it.

    Raises:
        RefusedError: more than `MOST_PIXELS`.
    """
    if width * height > MOST_PIXELS:
        raise RefusedError(
            f"it claims {width:,} by {height:,} pixels, and at most {MOST_PIXELS:,} are decoded; cut it into parts, "
            "or make it smaller, before."
        )


@dataclass(frozen=True)
class Stored:
    """How a file that can be read exactly stores its pixels.

    Args:
        channels: 1 (grey) or 3 (red, green, blue; also a palette of them).
        bits: bits a value.
        palette: whether the colours are looked up.
    """

    channels: int
    bits: int
    palette: bool


def stored_as(image: Image, file: BinaryIO) -> Stored:
    """How an opened image is stored, whatever its size; Pillow's mode alone does not tell.

    Raises:
        RefusedError: it has marks, frames, transparency, colours or numbers that cannot be read exactly.
    """
    if image.format == "TIFF":  # Pillow would turn it without a word, and has already turned its size
        _check_upright(image.tag_v2)  # type: ignore[attr-defined]
    if getattr(image, "is_animated", False):  # told by the first frame; to count them all can take minutes
        raise RefusedError("one picture a file is expected, got several frames or pages; save the one that is meant.")
    _check_upright(image.getexif())
    channels = _channels(image)
    if image.mode == "P" and image.format == "TIFF":
        raise RefusedError("a palette of 16-bit colours (TIFF) cannot be looked up without rounding; save it as RGB.")
    return Stored(channels, 8 if image.mode == "P" else _bits(image, file), image.mode == "P")


def check_readable(found: Stored) -> None:
    """Refuse depths that cannot be read exactly.

    Raises:
        RefusedError: with what was expected and what came.
    """
    if found.bits > 8 and found.channels == 3:  # Pillow would narrow it to 8 bits without a word
        raise RefusedError("colour of more than 8 bits a value cannot be read from a file; use an array, in Python.")
    if found.bits not in DEPTHS:
        raise RefusedError(f"8, 12 or 16 bits a value are expected, got {_bits_in_words(found.bits)}; save it as PNG.")


def check_stored(image: Image, file: BinaryIO, shape: tuple[int, int, int], levels: int) -> None:
    """Refuse an opened image that is not exactly what a classifier of this shape and grid takes.

    Args:
        image: opened by Pillow, not yet decoded.
        file: its bytes.
        shape: (C, H, W).
        levels: 255, 4095 or 65535.

    Raises:
        RefusedError: with what was expected and what came.
    """
    channels, height, width = shape
    if image.format == "TIFF":
        _check_upright(image.tag_v2)  # type: ignore[attr-defined]
    if image.size != (width, height):
        raise RefusedError(
            f"the classifier takes images {width} pixels wide and {height} high, got {image.size[0]} by "
            f"{image.size[1]}; nothing is resized here, prepare it as the certified images were."
        )
    found = stored_as(image, file)
    if channels != found.channels:
        wanted = KINDS.get(channels, f"{channels}-channel")
        raise RefusedError(
            f"the classifier takes {wanted} images, got {KINDS[found.channels]}; nothing is converted here."
        )
    _check_depth(found, levels)
    check_readable(found)


def _check_upright(tags: Any) -> None:
    turned = tags.get(_ORIENTATION, 1)
    if turned not in (0, 1):
        raise RefusedError(f"the file asks to be turned (EXIF orientation {turned}); save it upright and unmarked.")


def _channels(image: Image) -> int:
    """1 or 3; refuse transparency, and colours that are not red, green and blue."""
    mode = image.mode
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        raise RefusedError("the image has transparency (an alpha channel); save it without.")
    grey = mode in ("1", "L", "F") or mode.startswith("I")
    if not grey and mode not in ("RGB", "P"):
        raise RefusedError(f"grey or RGB values are expected, got {mode}; save it as PNG.")
    return 1 if grey else 3


def _check_depth(found: Stored, levels: int) -> None:
    if found.palette and levels != 255:
        raise RefusedError(f"the classifier takes {BITS_OF[levels]}-bit images, got a palette of 8-bit colours.")
    if found.bits not in _CARRIERS[levels]:
        raise RefusedError(
            f"the classifier takes {BITS_OF[levels]}-bit images, got {_bits_in_words(found.bits)} a value; "
            "nothing is rescaled here."
        )


def _bits_in_words(bits: int) -> str:
    return f"{bits} {'bit' if bits == 1 else 'bits'}"


def _bits(image: Image, file: BinaryIO) -> int:
    """Bits a value as stored, which Pillow's mode does not tell."""
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
        raise RefusedError("unsigned whole numbers of one size are expected, but the TIFF holds others.")
    if tags.get(_PHOTOMETRIC) == 0:
        raise RefusedError("the TIFF stores white as 0; save it with black as 0.")
    return bits.pop()


def _several(value: Any) -> set[int]:
    return {int(each) for each in value} if isinstance(value, tuple) else {int(value)}


def _number(file: BinaryIO, place: int, length: int) -> int:
    """A little-endian number of a file's header."""
    here = file.tell()
    file.seek(place)
    number = int.from_bytes(file.read(length), "little")
    file.seek(here)
    return number


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
