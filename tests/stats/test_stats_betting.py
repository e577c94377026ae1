"""Betting: the null's tangents, the wealth against a slow literal loop, and what no order of classes may change."""

import itertools
import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from refusals import refuses
from smoothcert.errors import SpecError
from smoothcert.stats.betting import Bets, Wealth, certified_by_betting, columns, look, worth
from smoothcert.stats.betting.batch import Batch
from smoothcert.stats.betting.tangents import ROWS, _contact, lines, null, unanimous_miss
from smoothcert.stats.betting.wealth import mixture

RATIOS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
SMALL = {k: Bets(k, RATIOS, 0.01, 3000) for k in (1, 2, 3)}


def phi(z):
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def quantile(p):
    """Phi^-1 in mpmath's digits, by Newton's method from SciPy's value."""
    z = mpmath.mpf(float(ndtri(float(p))))
    for _ in range(4):
        z -= (phi(z) - p) / mpmath.npdf(z)
    return z


def highest(line, row, t, rho, eta):
    """Upper bound, over all p_l in [0, 1], of what a line with eta of slack has above g_t, and the line's slope.

    g_t is convex, so it is above its own tangent at any z; the difference of two lines is largest at 0 or at 1.
    """
    z = float(_contact(t, rho, np.arange(ROWS) / ROWS)[row])
    with mpmath.workdps(50):
        other = mpmath.mpf(float(line.other[row]))
        slope = mpmath.mpf(float(line.label[row])) - other
        y = quantile(t * phi(mpmath.mpf(z) - rho))
        own = t * mpmath.exp(mpmath.mpf(rho) * (mpmath.mpf(z) + y) - mpmath.mpf(rho) ** 2)
        own_c = own * phi(mpmath.mpf(z)) - phi(y - rho)
        return float(own_c + max(0, slope - own) + other + (1 + slope) * mpmath.mpf(eta)), float(slope)


@pytest.mark.parametrize(("t", "rho"), [(1, 0.25), (1, 4.0), (2, 1.0), (3, 0.1), (5, 2.0)])
def test_tangents_are_below_the_null_by_the_slack(t, rho):
    for eta, row in itertools.product((0.0, 1e-13, 0.01), (0, 1, 200, 255)):
        above, slope = highest(lines(t, rho, eta), row, t, rho, eta)
        assert above == pytest.approx(-1e-12 * (1 + slope), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("t", [1, 2, 4, 10, 50])
@pytest.mark.parametrize("rho", [1e-6, 0.05, 0.7, 3.0, 6.0, 12.0])
def test_all_tangents_are_below_the_null_by_the_slack(t, rho):
    for row in range(0, ROWS, 15):
        above, slope = highest(lines(t, rho, 1e-9), row, t, rho, 1e-9)
        assert above <= -0.9e-12 * (1 + slope)


@settings(max_examples=15)
@given(st.integers(1, 50), st.floats(1e-9, 40), st.floats(0, 0.99))
def test_no_vote_loses_everything(k, rho, eta):
    line = lines(k, rho, eta)
    assert all(np.all(np.isfinite(each)) for each in vars(line).values())
    assert np.all(line.member == line.other - 1)
    assert np.all(line.label > line.member)
    factors = Bets(k % 4 + 1, (rho,), 0.001, 1000, eta).log_factors
    assert np.all(np.abs(factors) < 4)
    assert np.log1p(0.98 * np.max(line.label / -line.member)) < 4


def test_tangents_touch_the_null():
    z = np.linspace(-5, 5, 4001)
    for t in (1, 3):
        line = lines(t, 1.0)
        above = (line.label - line.other)[:, None] * ndtr(z) + line.other[:, None] - null(z, t, 1.0)
        assert np.all(above < 0)
        assert np.all(above.max(axis=1) > -1e-5)


@given(st.integers(1, 6), st.floats(0.01, 6), st.floats(0.01, 6), st.floats(-6, 6))
def test_the_null_falls_in_the_radius(t, one, other, z):
    """A radius that does not hold implies that no larger one does: what makes a grid of radii nested."""
    small, large = sorted((one, other))
    assert null(np.array(z), t, large) <= null(np.array(z), t, small) * (1 + 1e-12)


def test_the_unanimous_null():
    for k, rho in itertools.product((1, 2, 5), (0.25, 1.0, 4.0)):
        miss = unanimous_miss(k, rho)
        assert float(null(-ndtri(np.array(miss)), k, rho)) == pytest.approx(miss, rel=1e-9)


def line_of(t, row, bets):
    return [float(each[row]) for each in vars(lines(t, bets.ratios[0], bets.eta)).values()]


def factors_of(t, row, bets):
    """For each expert, what a vote for the label, T and others does: by the formulas, one at a time."""
    *pays, deviation = line_of(t, row, bets)
    nats, most = 2 - math.log(bets.alpha), 0.98 / -pays[1]
    bold = [most, *(min(math.sqrt(2 * nats / n) / deviation, most) for n in made_for(bets)[1:])]
    return [[math.log(1 + bet * v) for v in pays] for bet in bold]


def made_for(bets):
    first = max((2 - math.log(bets.alpha)) / -math.log1p(-unanimous_miss(bets.k, bets.ratios[0])), 16)
    return [min(first, bets.n_max), *sorted(n for i in range(30) if (n := bets.n_max / 3**i) > first)]


def chosen(before, rivals, bets):
    """(t, row) from the votes before and rivals in ascending order of votes."""
    n, found = sum(before), []
    for t in range(1, bets.k + 1):
        x_t = sum(before[c] for c in rivals[:t])
        others = n - before[0] - x_t
        shares = before[0] + 0.5, x_t + 0.5, others + 0.5 if others else 0
        row = 256 * others // (n + 1)
        found.append((max(np.dot(each, shares) for each in factors_of(t, row, bets)), t, row))
    return max(found)[1:] if n else (bets.k, 0)


def against(rivals, looks, bets):
    """Log-wealth at each look against one set of k rivals; for k > 1 with the tangents that suit the most voted."""
    log, path, before = [0.0] * len(made_for(bets)), [], [0] * len(looks[0])
    for now in looks:
        by_votes = sorted(rivals, key=lambda c: (before[c], c))
        leaders = sorted(range(1, len(before)), key=lambda c: before[c])[-bets.k :]
        t, row = chosen(before, by_votes if bets.k == 1 else leaders, bets)
        for e, factors in enumerate(factors_of(t, row, bets)):
            for c, (a, b) in enumerate(zip(before, now, strict=True)):
                log[e] += (b - a) * factors[0 if c == 0 else 1 if c in by_votes[:t] else 2]
        roots = [math.sqrt(n) for n in made_for(bets)]
        path.append(math.log(sum(math.exp(w) * r for w, r in zip(log, roots, strict=True)) / sum(roots)))
        before = now
    return path


def random_looks(seed, classes, looks=6, size=150):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([4.0, *[0.3] * (classes - 1)])
    return np.cumsum([rng.multinomial(rng.integers(1, size), p) for _ in range(looks)], axis=0).tolist()


def stepwise(counts, bets):
    """Wealth after each look of images (m, L, 1 + w)."""
    wealth, before = Wealth.start(bets, len(counts), counts.shape[2] - 1), np.zeros_like(counts[:, 0])
    for now in np.moveaxis(counts, 1, 0):
        wealth = look(wealth, before, now - before, bets)
        yield wealth
        before = now


def path_of(looks, bets):
    return np.array([mixture(w.log[0, 0], bets.log_weights[0]) for w in stepwise(np.array([looks]), bets)])


@pytest.mark.parametrize(("seed", "eta"), [(0, 0.0), (2, 0.001), (4, 0.0)])
def test_wealth_against_one_rival_is_the_literal_one(seed, eta):
    looks, bets = random_looks(seed, classes=4), Bets(1, (0.3 + 0.3 * seed,), 0.01, 1000, eta)
    expected = np.transpose([against([j], looks, bets) for j in (1, 2, 3)])
    assert path_of(looks, bets) == pytest.approx(expected, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("seed", range(2))
def test_one_wealth_for_all_sets_is_never_above_that_of_any(seed, k):
    looks, bets = random_looks(10 + seed, classes=6), Bets(k, (0.3 + 0.3 * seed,), 0.01, 1000)
    each = np.transpose([against(rivals, looks, bets) for rivals in itertools.combinations(range(1, 6), k)])
    one = path_of(looks, bets)[:, 0]
    assert one[0] == pytest.approx(each[0].min())
    assert np.all(one <= each.min(axis=1) + 1e-9)


counts_of_rivals = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=3, max_size=5)


@given(counts_of_rivals, st.integers(2, 3))
def test_new_votes_of_t_are_the_most_of_any_set_and_any_order_of_ties(rivals, k):
    before, new = np.array([(7, 2), *rivals]).T
    most = [0] * k
    for order in itertools.permutations(range(1, len(before))):
        for members in itertools.combinations(order, k):
            by_votes = sorted(members, key=lambda c: (before[c], order.index(c)))
            most = [max(m, sum(new[by_votes[: t + 1]])) for t, m in enumerate(most)]
    batch = Batch.of(before, new, k)
    assert batch.new_members.tolist() == [most]
    assert batch.members.tolist() == [np.sort(before[1:])[-k:].cumsum().tolist()]


@st.composite
def hostile(draw):
    """Cumulative looks (m, L, classes), 4 classes: zeros, ties, one class with all votes, single votes, 500 at once."""
    one = st.lists(st.sampled_from([0, 0, 1, 7, 30]), min_size=4, max_size=4) | st.sampled_from(
        [[0, 0, 0, 0], [100, 100, 100, 100], [500, 0, 0, 0], [0, 500, 0, 0], [1, 0, 0, 0], [400, 3, 3, 3]]
    )
    images = st.lists(st.lists(one, min_size=4, max_size=4), min_size=1, max_size=3)
    return np.cumsum(draw(images), axis=1)


@settings(max_examples=30)
@given(hostile(), st.sampled_from([1, 2, 3]))
def test_stored_looks_are_looks_one_by_one(counts, k):
    *_, last = stepwise(counts, SMALL[k])
    assert certified_by_betting(counts, SMALL[k]).tolist() == last.certified.tolist()


@settings(max_examples=30)
@given(hostile(), st.sampled_from([1, 2, 3]))
def test_certified_radii_have_no_gap_and_stay(counts, k):
    before = np.zeros((len(counts), len(RATIOS)), dtype=bool)
    for wealth in stepwise(counts, SMALL[k]):
        now = wealth.certified
        assert np.all(now[:, 1:] <= now[:, :-1])
        assert np.all(before <= now)
        assert np.all(np.isfinite(wealth.log))
        before = now


@settings(max_examples=30)
@given(hostile(), st.sampled_from([1, 2, 3]), st.permutations([1, 2, 3]))
def test_the_order_of_rivals_is_of_no_account(counts, k, order):
    assert np.array_equal(
        certified_by_betting(counts[:, :, [0, *order]], SMALL[k]), certified_by_betting(counts, SMALL[k])
    )


@settings(max_examples=30)
@given(hostile(), st.sampled_from([1, 2, 3]))
def test_looks_without_votes_and_other_images_change_nothing(counts, k):
    twice = np.repeat(counts, 2, axis=1)
    assert np.array_equal(certified_by_betting(twice, SMALL[k]), certified_by_betting(counts, SMALL[k]))
    alone = [certified_by_betting(each[None], SMALL[k])[0] for each in counts]
    assert np.array_equal(certified_by_betting(counts, SMALL[k]), alone)


def test_many_images_are_decided_in_blocks(monkeypatch):
    counts = np.array([random_looks(seed, 4) for seed in range(30)])
    whole = certified_by_betting(counts, SMALL[2])
    monkeypatch.setattr("smoothcert.stats.betting.wealth._BLOCK", 1)
    assert np.array_equal(certified_by_betting(counts, SMALL[2]), whole)
    assert 0 < whole.mean() < 1


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(0, 100))
def test_sparse_votes_are_the_dense_ones(k, seed):
    dense = np.array([random_looks(seed + i, 7) for i in range(3)])
    sparse = [[{c: v for c, v in enumerate(each) if v} for each in looks] for looks in dense.tolist()]
    packed = columns(sparse, [0, 0, 0], 7, k)
    assert np.array_equal(certified_by_betting(packed, SMALL[k]), certified_by_betting(dense, SMALL[k]))
    for few, all_votes in zip(packed, dense, strict=True):
        assert np.array_equal(np.sort(few[-1, 1:])[::-1][:k], np.sort(all_votes[-1, 1:])[::-1][:k])
    thousand = columns(sparse, [0, 0, 0], 1000, k)
    assert thousand.shape[2] <= 1 + max(7, k)


def test_a_rival_without_votes_has_a_wealth_too():
    with_it = columns([[{0: 60, 1: 3}]], [0], 1000, 1)
    assert with_it.tolist() == [[[60, 3, 0]]]
    assert columns([[{0: 60, 1: 3}]], [0], 2, 1).tolist() == [[[60, 3]]]
    assert columns([], [], 5, 2).shape == (0, 0, 3)
    assert certified_by_betting(columns([], [], 5, 2), SMALL[2]).shape == (0, len(RATIOS))


@pytest.mark.parametrize("k", [1, 2])
def test_columns_may_be_added_for_new_rivals(k):
    counts = np.array([[[90, 4, 0, 0, 0], [180, 8, 5, 0, 0], [400, 9, 6, 2, 0]]])
    *_, expected = stepwise(counts, SMALL[k])
    wealth, before = Wealth.start(SMALL[k], 1, 2), counts[:, 0] * 0
    for now, width in zip(np.moveaxis(counts, 1, 0), (2, 3, 4), strict=True):
        wealth = wealth.widened(width)
        new = now - before
        wealth, before = look(wealth, before[:, : width + 1], new[:, : width + 1], SMALL[k]), now
    assert np.array_equal(wealth.log, expected.log)
    assert np.array_equal(wealth.rejected, expected.rejected)


def test_a_refuted_null_stays_refuted():
    bets = Bets(1, (0.5,), 0.01, 1000)
    after = [w.certified.item() for w in stepwise(np.array([[[200, 10], [300, 600]]]), bets)]
    assert after == [True, True]
    assert certified_by_betting([[[200, 10], [300, 600]]], bets).item()


def test_huge_numbers_of_votes():
    for k in (1, 2):
        bets = Bets(k, (0.5, 4.0), 1e-6, 10_000_000)
        counts = np.array([[[9_000_000, 500_000, 500_000]], [[10_000_000, 0, 0]], [[0, 10_000_000, 0]]])
        assert certified_by_betting(counts, bets).tolist() == [[True, False], [True, True], [False, False]]


def test_weights_sum_to_one_and_the_threshold_allows_for_rounding():
    bets = Bets(2, RATIOS, 0.001, 100_000)
    assert np.exp(bets.log_weights).sum(axis=1) == pytest.approx(1, abs=1e-14)
    assert -math.log(0.001) + 0.9e-6 < bets.threshold < -math.log(0.001) + 1.1e-6
    assert Bets(1, (0.5,), 0.001, 5).experts == ((5.0,),)


def test_worth_draws_on_where_the_answer_is_near():
    bets = Bets(1, (0.5, 1.0), 0.001, 100_000)
    counts = np.array([[999, 1], [600, 400], [840, 160], [100, 900], [0, 0]])
    after = look(Wealth.start(bets, 5, 1), np.zeros_like(counts), counts, bets)
    assert worth(after, counts, bets, 300_000).tolist() == [False, False, True, False, True]
    assert not worth(after, counts, bets, 0).any()
    full = np.array([[84_000, 16_000]])
    assert not worth(look(Wealth.start(bets, 1, 1), full * 0, full, bets), full, bets, 1e9).any()


@settings(max_examples=15)
@given(hostile(), st.sampled_from([1, 2, 3]))
def test_a_higher_price_never_stops_earlier(counts, k):
    *_, last = stepwise(counts, SMALL[k])
    low, high = (worth(last, counts[:, -1], SMALL[k], price) for price in (1000, 30_000))
    assert np.all(low <= high)
    by_ratio = [worth(last, counts[:, -1], SMALL[k], np.eye(len(RATIOS))[r] * 30_000) for r in range(len(RATIOS))]
    assert np.array_equal(np.any(by_ratio, axis=0), high)


@pytest.mark.parametrize(
    "change",
    [
        *({"k": k} for k in (0, 51)),
        *({"ratios": r} for r in ((), (0.0,), (1.0, 0.5), (1.0, 1.0), (-1.0,), (math.nan,), (math.inf,))),
        *({"alpha": a} for a in (0.0, 1.0, math.nan)),
        *({"eta": e} for e in (-1e-9, 1.0, math.nan)),
        {"n_max": 0},
    ],
)
def test_bets_out_of_range_are_refused(change):
    with pytest.raises(SpecError, match="expected"):
        Bets(**{"k": 1, "ratios": (0.5,), "alpha": 0.01, "n_max": 1000} | change)


@pytest.mark.parametrize(
    "bad", [(0, 1.0, 0.0), (51, 1.0, 0.0), (1, 0.0, 0.0), (1, math.nan, 0.0), (1, 1.0, 1.0), (1, 1.0, -0.1)]
)
def test_lines_out_of_range_are_refused(bad):
    with refuses("E-SPEC-040"):
        lines(*bad)


def test_a_tangent_above_the_null_is_refused(monkeypatch):
    monkeypatch.setattr("smoothcert.stats.betting.tangents.SLACK", -1e-9)
    with refuses("E-SPEC-041"):
        lines(1, 1.0)


@pytest.mark.parametrize(
    "votes", [[[[5, 1], [4, 3]]], [[[-1, 1]]], [[[3000, 1]]], [[[5]]], [[5, 1]], [[[1, 0]] * 2001]]
)
def test_votes_that_cannot_be_bet_on_are_refused(votes):
    with pytest.raises(SpecError, match="expected"):
        certified_by_betting(votes, SMALL[1])


def test_shapes_that_do_not_fit_are_refused():
    start = Wealth.start(SMALL[1], 2, 2)
    for before, new in (([[0, 0, 0]], [[1, 0, 0]]), ([[0, 0]] * 2, [[1, 0]] * 2), ([0, 0, 0], [0, 0, 1])):
        with pytest.raises(SpecError, match="expected"):
            look(start, before, new, SMALL[1])
    with refuses("E-SPEC-053"):
        worth(start, [[0, 0, 0]] * 2, SMALL[1], -1)
    with refuses("E-SPEC-053"):
        worth(start, [[0, 0, 0]] * 2, SMALL[1], math.nan)
    for images, labels, classes, k in (
        ([[{5: 1}]], [0], 5, 1),
        ([[{0: 1}]], [5], 5, 1),
        ([[]], [], 5, 1),
        ([], [], 2, 2),
    ):
        with pytest.raises(SpecError, match="expected"):
            columns(images, labels, classes, k)


def test_more_looks_than_the_allowance_for_rounding_are_refused():
    bets = Bets(1, (0.5,), 0.001, 1000)
    wealth, votes = Wealth.start(bets, images=1, rivals=1), np.array([[1, 0]])
    for _ in range(3):
        wealth = look(wealth, votes, votes, bets)
    assert wealth.looks == 3
    with refuses("E-SPEC-050"):
        look(replace(wealth, looks=2000), votes, votes, bets)
