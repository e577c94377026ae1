"""Adaptive prediction: the share of wrong answers stays below alpha, whatever the number of classes."""

import numpy as np
import pytest

from smoothcert.stats import predict_counts, prediction_looks
from smoothcert.stats.prediction import prediction_power
from smoothcert.stats.sequential import alpha_spending

from .simulate import ALPHA, allowed

N_MAX = 1000


def rest(*leading: float, classes: int) -> tuple[float, ...]:
    """Leading probabilities, and the rest shared equally by the other classes."""
    others = classes - len(leading)
    return (*leading, *[(1 - sum(leading)) / others] * others)


CASES = {
    "tie of two, c=3": ((0.48, 0.48, 0.04), 1),
    "near tie of two, c=3": ((0.485, 0.475, 0.04), 1),
    "near tie of three, c=3": ((0.34, 0.33, 0.33), 1),
    "last two tie, c=3, k=2": ((0.5, 0.25, 0.25), 2),
    "nearly no rival, c=3, k=2": ((0.98, 0.01, 0.01), 2),
    "tie of two, c=8": (rest(0.4, 0.4, classes=8), 1),
    "flat, c=8": (rest(classes=8), 1),
    "near tie of four, c=8, k=3": (rest(0.22, 0.2, 0.2, 0.195, classes=8), 3),
    "tie at the edge, c=8, k=3": (rest(0.4, 0.2, 0.12, 0.12, classes=8), 3),
    "tie of two, c=1000": (rest(0.35, 0.35, classes=1000), 1),
    "near tie of two, c=1000": (rest(0.3, 0.29, classes=1000), 1),
    "flat, c=1000": (rest(classes=1000), 1),
    "near tie at the edge, c=1000, k=5": (rest(0.3, 0.2, 0.1, 0.1, 0.055, 0.05, classes=1000), 5),
}


def predicted(p, k, looks, each, repetitions, seed=0):
    """Share of wrong answers and of abstentions, and mean copies; each image stops at the first look that decides."""
    rng, right = np.random.default_rng(seed), frozenset(range(k)) if p[k - 1] > p[k] else None
    counts, left = np.zeros((repetitions, len(p)), dtype=np.int64), repetitions
    wrong, samples, before = 0, 0, 0
    for n, level in zip(looks, each, strict=True):
        counts += rng.multinomial(n - before, p, left)
        found = [image.answer for image in predict_counts(counts, k, level)]
        wrong += sum(a is not None and (frozenset([a]) if k == 1 else a) != right for a in found)
        samples += left * (n - before)
        counts = counts[[answer is None for answer in found]]
        left, before = len(counts), n
    return wrong / repetitions, left / repetitions, samples / repetitions


def test_light():
    looks = prediction_looks(N_MAX, ALPHA)
    p, k = CASES["tie of two, c=8"]
    wrong, _, _ = predicted(p, k, looks, alpha_spending(looks, ALPHA), 4000)
    assert wrong <= allowed(4000)


def test_the_simulation_agrees_with_the_exact_odds():
    looks, repetitions = prediction_looks(N_MAX, ALPHA), 5000
    for p in (0.5, 0.53, 0.6):
        exact = prediction_power(looks, ALPHA, p)
        wrong, abstained, samples = predicted((p, 1 - p), 1, looks, alpha_spending(looks, ALPHA), repetitions)
        spread = 5 * np.sqrt(0.25 / repetitions)
        assert wrong == pytest.approx(float(exact.wrong), abs=spread)
        assert abstained == pytest.approx(float(exact.abstain), abs=spread)
        assert samples == pytest.approx(float(exact.samples), abs=spread * N_MAX)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 512])
@pytest.mark.parametrize("case", CASES)
def test_near_ties(case, first):
    p, k = CASES[case]
    assert np.isclose(sum(p), 1)
    assert list(p) == sorted(p, reverse=True)
    repetitions = 4000 if len(p) == 1000 else 20_000
    looks = prediction_looks(N_MAX, ALPHA, first)
    wrong, _, _ = predicted(p, k, looks, alpha_spending(looks, ALPHA), repetitions)
    assert wrong <= allowed(repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["tie of two, c=3", "tie of two, c=8", "tie of two, c=1000"])
def test_the_whole_of_alpha_at_each_look_fails(case):
    """The same simulation catches the shortcut."""
    p, k = CASES[case]
    repetitions = 4000 if len(p) == 1000 else 20_000
    looks = prediction_looks(N_MAX, ALPHA)
    wrong, _, _ = predicted(p, k, looks, [ALPHA] * len(looks), repetitions)
    assert wrong > 2 * allowed(repetitions)
