"""Plans with betting: what is attainable, and forecasts by simulation of the same rule."""

import numpy as np
import pytest

from smoothcert.config import make_request
from smoothcert.planning.attainable import attainable_radius, powers, procedure_of
from smoothcert.planning.forecast import with_stopping
from smoothcert.planning.plan import changes
from smoothcert.stats import certify_counts, simulate

ASKED = make_request(model="m", data="d", bound="betting", n_max=1000, radius="0.1,0.25,0.6,3", sigma="0.25", k="1,2")
PROCEDURE = procedure_of(ASKED, 0.25, 5)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2])
def test_what_unanimous_votes_certify(k):
    found = attainable_radius(PROCEDURE, k, 0.6)
    looks = PROCEDURE.plan.looks
    assert found.look in looks
    for n, certified in ((found.look, True), (looks[looks.index(found.look) - 1], False)):
        counts = np.zeros((looks.index(n) + 1, 5), dtype=int)
        counts[:, 0] = looks[: looks.index(n) + 1]
        assert (0.6 in certify_counts(counts, 0, PROCEDURE.plan, k, (0.6,)).certified_at) is certified
    assert 0 < found.votes <= found.look
    beyond = attainable_radius(PROCEDURE, k, 3.0)
    assert (beyond.look, beyond.votes, beyond.probability) == (None, None, None)
    assert beyond.r_max < 3


def test_the_sufficient_probability_has_its_power():
    """95 % at one look at least: all looks together have more."""
    p = attainable_radius(PROCEDURE, 1, 0.25).probability
    never = with_stopping(PROCEDURE, "fixed")
    done = simulate(np.tile([p, 1 - p, 0, 0, 0], (300, 1)), np.zeros(300, int), never, np.random.default_rng(0))
    assert set(done.samples) == {1000}
    assert done.certified[:, 0, 1].mean() > 0.93
    assert not done.certified[:, :, 3].any()


@pytest.mark.slow
def test_other_settings_have_their_own_grid_and_looks():
    rows = changes(ASKED, PROCEDURE, None, 100, 0)
    r_max = {(row.setting, row.value): row.r_max for row in rows}
    assert r_max["n_max", "100,000"] > r_max["n_max", "1,000"]
    assert r_max["alpha", "0.01"] > r_max["alpha", "0.001"] > r_max["alpha", "1e-06"]
    assert r_max["k", "2"] > r_max["k", "1"] == r_max["stopping", "looks"] == r_max["stopping", "fixed"]
    assert [row.now for row in rows if row.setting == "stopping"] == [True, False]


def test_the_margins_are_those_of_a_single_look_with_bounds():
    assert all(row.copies for row in powers(PROCEDURE, 1, 0.25, np.random.default_rng(0)))
