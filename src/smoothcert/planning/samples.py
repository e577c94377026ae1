"""How many images: what an interval over m of them leaves open, and how many a claim about a population takes."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence import CONFIDENCE
from smoothcert.evidence.outlook import Width
from smoothcert.stats import interval, lower_bound, population_bound

FloatArray = NDArray[np.float64]

MOST_IMAGES = 10**7
DELTA = 1 - CONFIDENCE
"""Error probability of a population bound, as in the results of a run."""


def width(share: float, origin: str, m: int, alpha: float, wanted: float) -> Width:
    """Return what a certified accuracy over m images leaves open, and the images a wanted population bound takes.

    Args:
        share: certified accuracy, in [0, 1].
        origin: what it is.
        m: images, >= 1.
        alpha: error probability of one image's certificate.
        wanted: population bound wanted, in (0, 1).
    """
    certified = math.floor(share * m + 1e-9)
    low, high = interval(certified, m, CONFIDENCE)
    bound = population_bound(certified, m, alpha, DELTA)
    return Width(share, origin, m, low, high, bound, wanted, images_needed(share, alpha, wanted))


def images_needed(share: float, alpha: float, wanted: float) -> int | None:
    """Return the images from which on a certified share gives a population bound, whatever larger number is taken.

    With m images floor(share m) are certified, so the bound is a sawtooth in m: it falls where the floor stands still.
    Returned is the least m such that it and every larger number give the bound. It lies between the numbers at which
    share m and share m - 1 would suffice, as real numbers.

    Args:
        share: certified share, in [0, 1].
        alpha: error probability of one image's certificate.
        wanted: population bound, in (0, 1), at confidence 95 %.

    Returns:
        A number of images; None where the share is too low for any number, or more than ten million were needed.

    >>> images_needed(0.675, 0.001, 0.6), images_needed(0.6, 0.001, 0.6)
    (149, None)
    """

    def enough(m: int, certified: float) -> bool:
        return bool(_bound(np.array(m), np.array(max(certified, 0.0)), alpha) >= wanted)

    if (share - alpha) / (1 - alpha) <= wanted:
        return None
    most = bisect_left(range(MOST_IMAGES + 1), True, lo=1, key=lambda m: enough(m, share * m - 1))
    if most > MOST_IMAGES:
        return None
    least = bisect_left(range(most + 1), True, lo=1, key=lambda m: enough(m, share * m))
    between = np.arange(least, most + 1)
    short = _bound(between, np.floor(share * between + 1e-9), alpha) < wanted
    return int(between[np.flatnonzero(short)[-1]]) + 1 if short.any() else int(least)


def _bound(m: NDArray[np.int64], certified: FloatArray, alpha: float) -> FloatArray:
    """`population_bound`, for many numbers of images and real-valued numbers of certified ones."""
    found: FloatArray = (lower_bound(np.minimum(certified, m), m, DELTA) - alpha) / (1 - alpha)
    return found
