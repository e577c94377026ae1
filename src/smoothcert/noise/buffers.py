"""Checks at the door of a fill, bits of the half precisions, and the split over threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from smoothcert.errors import InputError, SpecError
from smoothcert.noise.base import Buffer, Precision, Rows

FloatArray = NDArray[np.float32]


def check_noise(sigma: float, levels: int, seed: int) -> None:
    """Refuse a noise that cannot be drawn.

    Raises:
        SpecError: sigma is not a positive finite number, levels not in 1..65535, or seed not in 0..2^64 - 1.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise SpecError(f"sigma must be a positive number (in units of the [0, 1] range), got {sigma}")
    if not 1 <= levels <= 65535:
        raise SpecError(f"levels must be in 1..65535 (255 for 8-bit images), got {levels}")
    if not 0 <= seed < 2**64:
        raise SpecError(f"seed must be in 0..2^64 - 1, got {seed}")


def check_normalisation(mean: Sequence[float], std: Sequence[float], precision: str) -> None:
    """Refuse a normalisation or precision that no buffer can hold.

    Raises:
        SpecError: mean and std differ in length, a std is not positive, or the precision is unknown.
    """
    if precision not in get_args(Precision):
        raise SpecError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    if len(mean) != len(std) or not len(mean):
        raise SpecError(f"mean and std need one number a channel each, got {len(mean)} and {len(std)}")
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(std)) and min(std) > 0):
        raise SpecError(f"mean must be finite and std positive, got {tuple(mean)} and {tuple(std)}")


GRID_KINDS = (np.dtype(np.int32), np.dtype(np.uint16))
"""Types of grid images."""


def check_fill(
    out: Buffer,
    images: Buffer,
    rows: Rows,
    precision: Precision,
    channels: int,
    kinds: tuple[np.dtype[Any], ...] = GRID_KINDS,
) -> None:
    """Refuse buffers that do not fit together, before a kernel touches them.

    Raises:
        InputError: a shape, a dtype or a slot is not what `Writer.fill` says.
    """
    dtype = np.dtype(np.float32 if precision == "fp32" else np.uint16)
    if images.ndim != 4 or images.dtype not in kinds:
        raise InputError(
            f"images must be {' or '.join(map(str, kinds))} (slots, C, H, W), got {images.dtype} {images.shape}"
        )
    if channels not in (1, images.shape[1]):
        raise InputError(f"normalisation has {channels} channels, images have {images.shape[1]}")
    if out.shape != (len(rows), *images.shape[1:]) or out.dtype != dtype or not out.flags.writeable:
        raise InputError(
            f"out must be a writable {dtype} array of shape {(len(rows), *images.shape[1:])}, "
            f"got {out.dtype} {out.shape}"
        )
    if len(rows) and not (rows.slot.min() >= 0 and rows.slot.max() < len(images)):
        raise InputError(f"slots must be in 0..{len(images) - 1}, got {rows.slot.min()}..{rows.slot.max()}")


def encode(values: FloatArray, precision: Precision) -> Buffer:
    """Round float32 to the precision, to nearest and ties to even; half precisions as raw bits.

    >>> [hex(b) for b in encode(np.array([1.0, 1.00390625, 1.01171875], np.float32), "bf16").tolist()]
    ['0x3f80', '0x3f80', '0x3f82']
    """
    if precision == "fp32":
        return values
    if precision == "fp16":
        return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def flat_pixels(out: Buffer) -> Buffer | None:
    """View (B, C, H, W) as (B, C, H W) where the strides allow it, else None."""
    _, _, height, width = out.shape
    per_row, per_pixel = out.strides[2:]
    if width == 1:
        per_pixel = per_row
    elif height > 1 and per_row != width * per_pixel:
        return None
    return as_strided(out, (*out.shape[:2], height * width), (*out.strides[:2], per_pixel))


def in_parts(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call work(start, stop) on contiguous parts of range(count), one part a thread."""
    threads = max(1, min(threads, count))
    edges = [count * part // threads for part in range(threads + 1)]
    if threads == 1:
        work(0, count)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work, *span) for span in pairwise(edges[1:])]
        work(0, edges[1])
    for other in others:
        other.result()
