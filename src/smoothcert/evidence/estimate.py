"""What stored votes say about prediction: how often it gives no answer, and how many copies it takes; an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence.stored import in_blocks
from smoothcert.formats.line import Line
from smoothcert.spec import Production
from smoothcert.stats import prediction_looks, prediction_odds

FloatArray = NDArray[np.float64]
TOGETHER = 64
"""Studies that share a batch where many are predicted at once, as the sampler's window holds them."""
_STEPS = 400  # of the grid over p


def predicted(
    chances: FloatArray, production: Production, first: int = 1
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Estimate, from stored votes, how often adaptive prediction abstains and how many copies it takes.

    The votes of selection and of the last look are pooled. An estimate: an image's share is not its probability, and an
    image stopped because of its votes.

    Args:
        chances: `duels` of one noise level, at least one.
        production: votes and alpha of a prediction.
        first: least copies of a look: a share of a batch where many studies are predicted at once, a batch for one.

    Returns:
        Mean over the images and its standard error, of abstention and of copies.
    """
    abstain, copies = expected(chances, production, first)
    return mean(abstain), mean(copies)


def duels(lines: Sequence[Line]) -> FloatArray:
    """Return the duel of each image's two leading classes, float (m,), from its pooled votes."""
    chances = np.empty(len(lines))
    for rows, block in in_blocks(lines):
        chances[rows] = duel(*np.array([_leaders(line) for line in block], dtype=np.float64).T)
    return chances


def duel(leader: FloatArray, runner_up: FloatArray, drawn: FloatArray | float) -> FloatArray:
    """Return the probability of a duel of two classes that is as hard to decide, float (m,).

    With a share s of the votes for the two leading classes and p of these for the leader, n copies move the test as far
    as n copies of a duel at (1 + sqrt(s) (2 p - 1)) / 2.

    Args:
        leader: votes (or probability) of the leading class, (m,).
        runner_up: of the second, (m,).
        drawn: of all classes together; 0 gives an even duel.

    >>> duel(np.array([90.0]), np.array([10.0]), 100.0).tolist()
    [0.9]
    """
    wide = np.sqrt((leader + runner_up) * drawn)
    chances: FloatArray = 0.5 + np.divide(leader - runner_up, 2 * wide, out=np.zeros_like(wide), where=wide > 0)
    return chances


def expected(chances: FloatArray, production: Production, first: int) -> tuple[FloatArray, FloatArray]:
    """Return for each duel the probability that adaptive prediction abstains, and the copies it takes on average."""
    grid = np.linspace(0.5, 1, _STEPS + 1)
    abstain, copies = (np.interp(chances, grid, each) for each in _odds(production.votes, production.alpha, first))
    return abstain, copies


def _leaders(line: Line) -> tuple[int, int, int]:
    """Votes of the leading class, of the second and of all, selection and last look together."""
    last, first = line.looks[-1][1] if line.looks else {}, line.selection or {}
    votes = sorted((first.get(c, 0) + last.get(c, 0) for c in {*first, *last}), reverse=True)
    return (*votes, 0, 0)[0], (*votes, 0, 0)[1], sum(votes)


@lru_cache(maxsize=8)
def _odds(votes: int, alpha: float, first: int = 1) -> tuple[FloatArray, FloatArray]:
    odds = prediction_odds(prediction_looks(votes, alpha, first), alpha, np.linspace(0.5, 1, _STEPS + 1))
    return odds.abstain, odds.copies


def padded(looks: Sequence[int], size: int) -> int:
    """Return the copies of a lone image at cumulative sample numbers, each step rounded up to whole batches."""
    return sum(-(-(after - before) // size) * size for before, after in pairwise((0, *looks)))


def mean(values: Sequence[float] | NDArray[Any]) -> tuple[float, float]:
    """Return the mean over images and its standard error; 0 for the error of a single image."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return 0.0, 0.0
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else 0.0
