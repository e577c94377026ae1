"""What stored votes say about prediction: how often it gives no answer, and how many copies it takes; an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence.line import Line
from smoothcert.spec import Production
from smoothcert.stats import prediction_looks, prediction_odds

FloatArray = NDArray[np.float64]
_STEPS = 400  # of the grid over p


def predicted(
    lines: Sequence[Line], production: Production, first: int = 1
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Estimate, from stored votes, how often adaptive prediction abstains and how many copies it takes.

    The votes of selection and of the last look are pooled; the leader's share among its own and the runner-up's votes
    stands for p, moved towards 1/2 as far as votes for other classes slow the test down; `prediction_odds` gives the
    rest. An estimate: an image's share is not its probability, and an image stopped because of its votes.

    Args:
        lines: ledger lines of one noise level, at least one.
        production: votes and alpha of a prediction.
        first: least copies of a look: a share of a batch where many studies are predicted at once, a batch for one.

    Returns:
        Mean over the images and its standard error, of abstention and of copies.
    """
    chances, grid = duels(lines), np.linspace(0.5, 1, _STEPS + 1)
    abstain, copies = (np.interp(chances, grid, each) for each in _odds(production.votes, production.alpha, first))
    return mean(abstain), mean(copies)


def duels(lines: Sequence[Line]) -> FloatArray:
    """Return for each image the probability of a duel of two classes that is as hard to decide as its votes, (m,).

    With a share s of the votes for the two leading classes and p of these for the leader, n copies move the test as far
    as n copies of a duel at (1 + sqrt(s) (2 p - 1)) / 2.
    """
    chances = []
    for line in lines:
        last = line.looks[-1][1] if line.looks else {}
        first = line.selection or {}
        votes = sorted((first.get(c, 0) + last.get(c, 0) for c in {*first, *last}), reverse=True)
        leader, runner_up = (*votes, 0, 0)[:2]
        both, drawn = leader + runner_up, sum(votes)
        chances.append(0.5 + (leader - runner_up) / (2 * np.sqrt(both * drawn)) if both else 0.5)
    return np.array(chances, dtype=np.float64)


@lru_cache(maxsize=8)
def _odds(votes: int, alpha: float, first: int = 1) -> tuple[FloatArray, FloatArray]:
    odds = prediction_odds(prediction_looks(votes, alpha, first), alpha, np.linspace(0.5, 1, _STEPS + 1))
    return odds.abstain, odds.copies


def padded(looks: Sequence[int], size: int) -> int:
    """Return the copies of a lone image at cumulative sample numbers, each step rounded up to whole batches."""
    return sum(-(-(after - before) // size) * size for before, after in pairwise((0, *looks)))


def mean(values: Sequence[float] | FloatArray) -> tuple[float, float]:
    """Return the mean over images and its standard error; 0 for the error of a single image."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return 0.0, 0.0
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else 0.0
