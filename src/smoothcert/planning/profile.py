"""Which other distributions explain a pilot's votes almost as well, and how far they move what is forecast.

The forecast is a mean over images, `effect @ mixture`. Its profile likelihood is traced: for each value of the mean,
the distribution with that mean that explains the votes best. Twice the loss of log-likelihood is taken as chi-square
with one degree of freedom (as for the empirical likelihood of a mean: Owen, Biometrika 75, 1988), so each point of the
trace has a signed root s, and the trace is a confidence distribution with s standard normal. Where the votes cannot
tell two distributions apart, the trace jumps from one end of what is possible to the other, as it should.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from smoothcert.planning.shares import FloatArray, Seen, climb

_ROOTS = (0.4, 1.0, 2.0, 3.2)  # signed roots aimed at, on either side
_AIMS, _ROUNDS = 3, 400
_NEAR = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4)
_BETWEEN = np.array([0.0, *_NEAR, 0.5, *(1 - near for near in reversed(_NEAR))])
"""Where a line between two traced points is looked at: closely at its ends, as a trace may jump far from them."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Distributions along one profile, from the lowest mean to the highest.

    Attributes:
        mixtures: float (Q, points), rows summing to one.
        weights: float (Q,): confidence mass of each, summing to one.
    """

    mixtures: FloatArray
    weights: FloatArray


def traces(votes: Seen, best: FloatArray, effects: FloatArray) -> list[Trace]:
    """Trace the profile likelihood of several means.

    Args:
        votes: what the pilot's votes say.
        best: float (points,): `mixture(votes)`.
        effects: float (F, points) in [0, 1]: what is averaged, at each point.

    Returns:
        One trace an effect.
    """
    both = np.repeat(np.concatenate([effects, 1 - effects]), len(_ROOTS), axis=0)
    aims = np.tile(_ROOTS, 2 * len(effects))
    spread = both**2 @ best - (both @ best) ** 2
    pull = aims / np.sqrt(votes.images * (np.maximum(spread, 0) + 1 / votes.images))
    found = np.tile(0.9 * best + 0.1 / len(best), (len(both), 1))
    for _ in range(_AIMS):
        found = climb(votes, found, pull[:, None] * both, _ROUNDS)
        roots = np.sqrt(2 * np.maximum(_loss(votes, best, found), 1e-6))
        pull = pull * np.clip(aims / roots, 0.3, 3)
    up, down = np.split(found.reshape(-1, len(_ROOTS), len(best)), 2)
    return [
        _trace(votes, best, np.concatenate([low[::-1], best[None], high]), effect)
        for low, high, effect in zip(down, up, effects, strict=True)
    ]


def _loss(votes: Seen, best: FloatArray, found: FloatArray) -> FloatArray:
    """Return the log-likelihood that each distribution loses against the best."""
    like = votes.likelihood
    lost: FloatArray = (np.log(like @ best) - np.log(found @ like.T)) @ votes.numbers
    return lost


def _trace(votes: Seen, best: FloatArray, points: FloatArray, effect: FloatArray) -> Trace:
    """Fill the gaps between traced points, along straight lines, and weigh each point by its signed root."""
    part = _BETWEEN[:, None]
    lines = [(1 - part) * a + part * b for a, b in pairwise(points)]
    filled = np.concatenate([*lines, points[-1:]])
    sign = np.sign(filled @ effect - best @ effect)
    roots = sign * np.sqrt(2 * np.maximum(_loss(votes, best, filled), 0))
    order = np.argsort(roots, kind="stable")
    return Trace(filled[order], _masses(roots[order]))


def _masses(roots: NDArray[np.float64]) -> FloatArray:
    """Return the standard normal mass around each of some increasing roots."""
    middles = (roots[1:] + roots[:-1]) / 2
    masses: FloatArray = np.diff(ndtr(np.concatenate([[-np.inf], middles, [np.inf]])))
    return masses
