"""Philox4x64-10, the counter-based generator of Salmon et al. (SC 2011): the readable NumPy reference."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x64(counter: Words, key: Words) -> Words:
    """Turn counters into blocks of four independent 64-bit uniforms (Salmon et al., SC 2011).

    Args:
        counter: uint64 (..., 4), one counter per block; word 0 is the least significant.
        key: uint64 (2,).

    Returns:
        uint64 (..., 4). `numpy.random.Philox` increments its counter first: its first block for counter 0
        is this function's block for counter 1.

    >>> [hex(word) for word in philox4x64(np.zeros(4, np.uint64), np.zeros(2, np.uint64)).tolist()]
    ['0x16554d9eca36314c', '0xdb20fe9d672d0fdc', '0xd7e772cee186176b', '0x7e68b68aec7ba23b']
    """
    c0, c1, c2, c3 = (counter[..., word] for word in range(4))
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(ROUNDS):
        high0, low0 = _multiply(c0, MULTIPLIERS[0])
        high1, low1 = _multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint64(k0), low1, high0 ^ c3 ^ np.uint64(k1), low0
        k0, k1 = (k0 + WEYL[0]) % 2**64, (k1 + WEYL[1]) % 2**64
    return np.stack([c0, c1, c2, c3], axis=-1)


def key(seed: int, sigma: float) -> tuple[int, int]:
    """Return the Philox key of a run's noise: the seed, and the bits of sigma as a float64.

    Args:
        seed: 0 to 2^64 - 1.
        sigma: noise standard deviation, in units of the [0, 1] range.

    Returns:
        Two integers in 0 to 2^64 - 1.

    >>> key(7, 0.25)
    (7, 4598175219545276416)
    """
    (bits,) = struct.unpack("<Q", struct.pack("<d", sigma))
    return seed, bits


def uniforms(counters: Words, key: tuple[int, int], values: int) -> Words:
    """Return the 64-bit uniforms of whole rows.

    Args:
        counters: uint64 (B, 3), the sample, image and stage of each row.
        key: the Philox key, see `key`.
        values: d, values per row; value v is lane v % 4 of block v // 4.

    Returns:
        uint64 (B, d).
    """
    blocks = -(-values // 4)
    counter = np.empty((len(counters), blocks, 4), dtype=np.uint64)
    counter[..., 0] = np.arange(blocks, dtype=np.uint64)
    counter[..., 1:] = counters[:, None, :]
    return philox4x64(counter, np.array(key, dtype=np.uint64)).reshape(len(counters), -1)[:, :values]


def _multiply(a: Words, b: int) -> tuple[Words, Words]:
    """Return the high and low word of the 128-bit product, from 32-bit halves (the low word wraps by design)."""
    b_low, b_high = np.uint64(b & 0xFFFFFFFF), np.uint64(b >> 32)
    a_low, a_high = a & _LOW, a >> _HALF
    low = a_low * b_low
    middle = a_high * b_low + (low >> _HALF)
    cross = a_low * b_high + (middle & _LOW)
    high = a_high * b_high + (middle >> _HALF) + (cross >> _HALF)
    return high, (cross << _HALF) | (low & _LOW)
