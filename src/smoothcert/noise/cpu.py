"""Compiled loops of the noise: Philox4x64-10 (Salmon et al., SC 2011), table search, write-out.

Imported only where they run, because importing numba takes a third of a second. The kernels release the GIL and
access only their arguments; `philox.py` and `table.py` hold the readable reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import njit
from numba.extending import intrinsic

from smoothcert.noise.philox import MULTIPLIERS, ROUNDS, WEYL

M0, M1 = (np.uint64(m) for m in MULTIPLIERS)
W0, W1 = (np.uint64(w) for w in WEYL)
ONE = np.uint64(1)
types: Any = numba.types


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile without the GIL; cache the machine code on disk if a cache directory is writable."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


def _product(context, a, b):  # type: ignore[no-untyped-def]
    """Return the (high, low) words of the 128-bit product: one machine instruction."""

    def codegen(ctx, builder, signature, args):  # type: ignore[no-untyped-def]
        word = args[0].type
        wide = type(word)(128)
        product = builder.mul(*(builder.zext(arg, wide) for arg in args))
        high = builder.trunc(builder.lshr(product, wide(64)), word)
        return ctx.make_tuple(builder, signature.return_type, (high, builder.trunc(product, word)))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), codegen


_multiply: Any = intrinsic(_product)


@njit(nogil=True, inline="always")
def _philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        high0, low0 = _multiply(M0, c0)
        high1, low1 = _multiply(M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += W0
        k1 += W1
    return c0, c1, c2, c3


@njit(nogil=True)
def _draw(words, row, key):  # type: ignore[no-untyped-def]
    """Fill words, uint64 (4 blocks,), with the uniforms of the row (sample, image, stage)."""
    for block in range(words.size // 4):
        w0, w1, w2, w3 = _philox(np.uint64(block), row[0], row[1], row[2], key[0], key[1])
        words[4 * block] = w0
        words[4 * block + 1] = w1
        words[4 * block + 2] = w2
        words[4 * block + 3] = w3


@njit(nogil=True, inline="always")
def _count(word, thresholds, guide, shift):  # type: ignore[no-untyped-def]
    """Return the number of thresholds <= word: the guide brackets it (mostly to one number), bisection finds it."""
    entry = word >> shift
    low, high = np.uint64(guide[entry]), np.uint64(guide[entry + ONE])
    while low < high:
        middle = (low + high) >> ONE
        if thresholds[middle] <= word:
            low = middle + ONE
        else:
            high = middle
    return low


@_compiled
def fill_grid(out, images, slot, counters, key, thresholds, guide, shift, lookup):  # type: ignore[no-untyped-def]
    """Write lookup[channel, image + count] of every value of every row.

    Args:
        out: (B, C, P) of any strides; the dtype of `lookup`.
        images: integers (slots, C P).
        slot: int64 (B,).
        counters: uint64 (B, 3): sample, image, stage.
        key: two uint64.
        thresholds: see `GridTable`.
        guide: see `GridTable`.
        shift: uint64, see `GridTable`.
        lookup: (C, L); entry 0 belongs to image + count = 0; indices are clamped into it.
    """
    rows, channels, pixels = out.shape
    words = np.empty((channels * pixels + 3) // 4 * 4, np.uint64)
    top = np.int64(lookup.shape[1] - 1)
    for row in range(rows):
        _draw(words, counters[row], key)
        image = images[slot[row]]
        for channel in range(channels):
            start = channel * pixels
            for pixel in range(pixels):
                count = np.int64(_count(words[start + pixel], thresholds, guide, shift))
                place = min(max(np.int64(image[start + pixel]) + count, 0), top)
                out[row, channel, pixel] = lookup[channel, place]


@_compiled
def draw_steps(out, counters, key, thresholds, guide, shift, first):  # type: ignore[no-untyped-def]
    """Write the integer noise itself: out int32 (B, d); the rest as in `fill_grid`."""
    rows, values = out.shape
    words = np.empty((values + 3) // 4 * 4, np.uint64)
    for row in range(rows):
        _draw(words, counters[row], key)
        for value in range(values):
            out[row, value] = first + np.int64(_count(words[value], thresholds, guide, shift))


@_compiled
def draw_gaussian(out, counters, key, sigma):  # type: ignore[no-untyped-def]
    """Write plain Gaussian noise, out float32 (B, d): Box-Muller on each pair of lanes, in float64.

    z is rounded to float32, then multiplied by the float32 sigma.
    """
    rows, values = out.shape
    words = np.empty((values + 3) // 4 * 4, np.uint64)
    for row in range(rows):
        _draw(words, counters[row], key)
        for value in range(0, values, 2):
            radius = math.sqrt(-2.0 * math.log(_unit(words[value])))
            angle = 2.0 * math.pi * _unit(words[value + 1])
            out[row, value] = np.float32(radius * math.cos(angle)) * sigma
            if value + 1 < values:
                out[row, value + 1] = np.float32(radius * math.sin(angle)) * sigma


@njit(nogil=True, inline="always")
def _unit(word):  # type: ignore[no-untyped-def]
    """Return a float64 in (0, 1] from the top 53 bits."""
    return (np.float64(word >> np.uint64(11)) + 0.5) * 2.0**-53
