"""Near-tied multinomials: the share of false certificates stays below alpha, whatever stops the sampling."""

import numpy as np
import pytest

from smoothcert.stats import BOUNDS

from .simulate import allowed, false_share

CASES = {
    "tie of two, c=3": ((0.48, 0.48, 0.04), 1),
    "clear label, c=3": ((0.8, 0.15, 0.05), 1),
    "tie of three, k=2": ((0.34, 0.33, 0.33), 2),
    "two roads to the radius, k=2": ((0.7, 0.2171, 0.0829), 2),
    "flat, c=10, k=1": ((0.19, *[0.09] * 9), 1),
    "flat, c=10, k=2": ((0.1, *[0.1] * 9), 2),
    "flat, c=10, k=3": ((0.16, 0.14, 0.14, *[0.08] * 7), 3),
    "long tail, c=10, k=3": ((0.6, 0.2, 0.1, 0.05, 0.03, *[0.004] * 5), 3),
}
STOPPING = ("fixed", "futility", "worst")


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize("bound", BOUNDS)
def test_light(bound, stopping):
    repetitions = 4000
    p, k = CASES["clear label, c=3"]
    assert false_share(p, k, bound, stopping, repetitions) <= allowed(repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("case", CASES)
def test_near_ties(case, bound, stopping):
    repetitions = 20_000
    p, k = CASES[case]
    assert np.isclose(sum(p), 1)
    assert false_share(p, k, bound, stopping, repetitions) <= allowed(repetitions)
