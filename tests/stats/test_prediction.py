"""Adaptive PREDICT: every probability exact, against references that enumerate votes one by one."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.errors import SpecError
from smoothcert.stats import Prediction, predict_counts, prediction_looks
from smoothcert.stats import prediction as odds
from smoothcert.stats.prediction import least_votes, predict_sets, prediction_power
from smoothcert.stats.sequential import alpha_spending

ALPHAS = (0.05, 0.01, 0.001)
NEAR_A_TIE = 0.5 + np.array([0.0, 1e-12, 1e-6, 1e-4, 1e-3, 0.005, 0.01])
P = np.unique(np.concatenate([1 - NEAR_A_TIE, NEAR_A_TIE, np.linspace(0, 1, 41)]))


def p_value(a: int, b: int) -> Fraction:
    """Two-sided binomial test at 1/2 in integers."""
    tail = sum(math.comb(a + b, x) for x in range(max(a, b), a + b + 1))
    return min(Fraction(1), Fraction(2 * tail, 2 ** (a + b)))


def decides(n, level):
    """The fewest votes of n that pass a level, by integers from the top down."""
    tail, x, room = 0, n + 1, Fraction(level) * 2**n
    while 2 * (tail + math.comb(n, x - 1)) <= room:
        x -= 1
        tail += math.comb(n, x)
    return x


def by_sequences(looks, each, p):
    """Every sequence of votes, one by one: P(first class), P(second), P(neither), mean samples."""
    found = [0.0, 0.0, 0.0, 0.0]
    for votes in itertools.product((1, 0), repeat=looks[-1]):
        weight = math.prod(p if vote else 1 - p for vote in votes)
        for n, level in zip(looks, each, strict=True):
            ones = sum(votes[:n])
            if p_value(ones, n - ones) <= level:
                found[0 if ones > n - ones else 1] += weight
                break
        else:
            found[2] += weight
        found[3] += weight * n
    return found


def by_dynamic_programming(looks, each, p):
    """The distribution of the votes, one sample at a time: the same four numbers, for any n."""
    state, found = np.array([1.0]), [0.0, 0.0, 0.0, 0.0]
    for n in range(1, looks[-1] + 1):
        state = np.append(state, 0.0) * (1 - p) + np.append(0.0, state) * p
        if n not in looks:
            continue
        level = each[looks.index(n)]
        first = np.arange(n + 1) >= decides(n, level)
        decided = first | first[::-1]
        found[0] += state[decided & first].sum()
        found[1] += state[decided & ~first].sum()
        found[3] += n * state[decided].sum()
        state = np.where(decided, 0.0, state)
    return [found[0], found[1], state.sum(), found[3] + looks[-1] * state.sum()]


@pytest.mark.parametrize(("looks", "alpha"), [((5, 8, 12), 0.2), ((3, 4, 7, 11), 0.5), ((9,), 0.05), ((2, 9), 0.01)])
@pytest.mark.parametrize("p", [0.5, 0.52, 0.7, 0.95, 1.0])
def test_power_are_those_of_all_sequences(looks, alpha, p):
    right, wrong, abstain, samples = by_sequences(looks, alpha_spending(looks, alpha), p)
    if p == 0.5:
        right, wrong = 0.0, right + wrong
    assert np.allclose(prediction_power(looks, alpha, p), (right, wrong, abstain, samples), rtol=1e-12, atol=1e-15)
    assert prediction_power(looks, alpha, 1 - p).wrong == pytest.approx(wrong, rel=1e-10)


@pytest.mark.parametrize(("n", "alpha"), [(60, 0.05), (300, 0.001), (1000, 0.01), (1500, 1e-6)])
def test_power_is_that_of_single_samples(n, alpha):
    looks, p = prediction_looks(n, alpha), np.array([0.501, 0.55, 0.6, 0.75, 0.9])
    wanted = np.array([by_dynamic_programming(looks, alpha_spending(looks, alpha), each) for each in p]).T
    assert np.allclose(prediction_power(looks, alpha, p), wanted, rtol=1e-9, atol=1e-18)


def test_power_keep_the_shape_of_p_and_sum_to_one():
    found = prediction_power(prediction_looks(200, 0.01), 0.01, P.reshape(-1, 1))
    assert all(value.shape == (len(P), 1) for value in found)
    assert np.allclose(found.right + found.wrong + found.abstain, 1, rtol=0, atol=1e-12)
    assert prediction_power((50,), 0.05, 0.7).samples.shape == ()


def test_a_matrix_in_pieces_is_the_same_matrix(monkeypatch):
    looks = prediction_looks(400, 0.01)
    whole = prediction_power(looks, 0.01, P)
    monkeypatch.setattr(odds, "_ENTRIES", 1000)
    assert np.allclose(prediction_power(looks, 0.01, P), whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize("stopping", ["looks", "fixed"])
@pytest.mark.parametrize("first", [1, 8, 100])
@pytest.mark.parametrize("n", [30, 31, 37, 50, 99, 100, 250, 1000])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_wrong_answer_has_probability_at_most_alpha(alpha, n, first, stopping):
    looks = prediction_looks(n, alpha, first, stopping)
    wrong = prediction_power(looks, alpha, P).wrong
    assert wrong.max() <= alpha * (1 + 1e-10)
    assert wrong.max() == wrong[P == 0.5]  # a tie is the worst case
    assert wrong.max() > 0.15 * alpha  # not valid by saying nothing


def test_alpha_at_each_look_would_be_wrong_too_often(monkeypatch):
    """The mutation that the test above must catch."""
    looks = prediction_looks(1000, 0.05)
    assert prediction_power(looks, 0.05, 0.5).wrong <= 0.05
    monkeypatch.setattr(odds, "alpha_spending", lambda looks, alpha: (alpha,) * len(looks))
    assert prediction_power(looks, 0.05, 0.5).wrong > 0.15


@pytest.mark.parametrize("p", [0.55, 0.6, 0.7, 0.9, 0.99])
def test_looks_save_samples_and_cost_little(p):
    adaptive = prediction_power(prediction_looks(1000, 0.001), 0.001, p)
    fixed = prediction_power((1000,), 0.001, p)
    assert fixed.samples == pytest.approx(1000)
    assert adaptive.samples < fixed.samples
    assert fixed.abstain - 1e-12 <= adaptive.abstain <= fixed.abstain + 0.2


@given(st.floats(1e-12, 0.99))
def test_least_votes_are_the_fewest_that_can_pass(alpha):
    n = least_votes(alpha)
    assert p_value(n, 0) <= Fraction(alpha)
    assert n == 1 or p_value(n - 1, 0) > Fraction(alpha) * Fraction(1 - 1e-12)


def test_least_votes_of_usual_levels():
    assert [least_votes(alpha) for alpha in (0.05, 0.01, 0.001, 2.0**-10, 1e-6)] == [6, 8, 11, 11, 21]


@settings(max_examples=200)
@given(st.integers(1, 10**6), st.floats(1e-12, 0.9), st.integers(1, 2000))
def test_looks_rise_to_n_and_the_first_can_decide(n, alpha, first):
    if n < least_votes(alpha):
        with refuses("E-SPEC-077", match=f"n >= {least_votes(alpha)}"):
            prediction_looks(n, alpha, first)
        return
    looks = prediction_looks(n, alpha, first)
    each = alpha_spending(looks, alpha)
    assert looks[-1] == n
    assert all(a < b for a, b in itertools.pairwise(looks))
    assert all(look % first == 0 for look in looks[:-1])
    assert math.fsum(each) <= alpha
    assert least_votes(each[0]) <= looks[0]
    gaps = [b * 2 // 3 - a for a, b in itertools.pairwise(looks)]
    assert all(0 <= gap < first for gap in gaps)  # two thirds, rounded down to the multiple
    before = looks[0] * 2 // 3 // first * first
    assert before == 0 or least_votes(alpha_spending((before, *looks), alpha)[0]) > before  # none dropped without need


def test_looks_refuse():
    assert prediction_looks(11, 0.001) == prediction_looks(11, 0.001, stopping="fixed") == (11,)
    assert prediction_looks(300, 0.001, first=512) == (300,)
    with refuses("E-SPEC-077", match=r"expected n >= 11 .* alpha = 0.001 .* got 10; raise n or alpha"):
        prediction_looks(10, 0.001)
    for bad in ((0, 0.001), (1000, 0.0), (1000, 1.0), (1000, 0.001, 0), (1000, 0.001, 1, "sometimes")):
        with pytest.raises(SpecError):
            prediction_looks(*bad)
    for bad in (((), 0.01, 0.5), ((5, 5), 0.01, 0.5), ((0, 5), 0.01, 0.5), ((5,), 0, 0.5), ((5,), 0.1, 1.5)):
        with pytest.raises(SpecError):
            prediction_power(*bad)


def test_a_prediction_names_its_leader_and_what_it_drew():
    clear, tie, pair = predict_counts([[3, 90, 7], [50, 50, 0], [48, 2, 50]], 1, 0.001)
    assert clear == Prediction(1, 1, leader=1, votes=90, samples=100)
    assert type(clear.answer) is int
    assert clear.share == 0.9
    assert tie == Prediction(None, 1, leader=0, votes=50, samples=100)
    assert pair.answer is None
    (both,) = predict_counts([[48, 2, 50]], 2, 0.001)
    assert both == Prediction(frozenset({0, 2}), 2, leader=2, votes=50, samples=100)


def test_labels_and_sets_of_one_look():
    counts = [[11, 0, 0, 0], [10, 0, 0, 0], [60, 40, 1, 0], [50, 49, 50, 0], [5, 5, 0, 90]]
    assert predict_sets(counts) == [frozenset({0}), None, None, None, frozenset({3})]
    assert predict_sets(counts, k=2) == [None, None, frozenset({0, 1}), None, None]
    assert predict_sets(counts, k=3)[3] == frozenset({0, 1, 2})
    for bad, k, alpha in (([[1, 2]], 2, 0.1), ([[1, 2]], 1, 0.0), ([1, 2], 1, 0.1), ([[1, -2]], 1, 0.1)):
        with pytest.raises(SpecError):
            predict_sets(bad, k, alpha)


def test_each_image_is_judged_at_its_own_level():
    counts = [[60, 40, 0], [60, 40, 0]]
    assert [each.answer for each in predict_counts(counts, 1, [0.06, 0.05])] == [0, None]
    for level in ([0.05, 0.0], 1.0):
        with pytest.raises(SpecError):
            predict_counts(counts, 1, level)


@given(
    st.lists(st.lists(st.integers(0, 60), min_size=4, max_size=4), min_size=1, max_size=5),
    st.integers(1, 3),
    st.sampled_from(ALPHAS),
)
def test_sets_and_predictions_are_one_rule(counts, k, alpha):
    """The rule of the paper, written out with integers."""
    counts = [row if sum(row) else [1, 0, 0, 0] for row in counts]
    for row, found, answer in zip(
        counts, predict_sets(counts, k, alpha), predict_counts(counts, k, alpha), strict=True
    ):
        ranked = sorted(row, reverse=True)
        clear = p_value(ranked[k - 1], ranked[k]) <= alpha
        best = frozenset(c for c in range(4) if row[c] >= ranked[k - 1]) if clear else None
        assert found == best
        assert answer.answer == (best if best is None or k > 1 else next(iter(best)))
        assert (answer.votes, answer.samples) == (ranked[0], sum(row))


def compositions(n, c):
    """All vote counts of n samples among c classes, int (?, c)."""
    bars = np.array(list(itertools.combinations(range(n + c - 1), c - 1)))
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), n + c - 1)], axis=1)
    return np.diff(edges, axis=1) - 1


def chances(counts, p):
    """Multinomial probabilities, from integers and logarithms."""
    factorials = np.array([math.lgamma(x + 1) for x in range(counts.sum(axis=1)[0] + 1)])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(p), 0.0)
    return np.exp(factorials[-1] - factorials[counts].sum(axis=1) + terms.sum(axis=1))


NEAR_TIES = [
    ((0.5, 0.5, 0.0), 1),
    ((1 / 3, 1 / 3, 1 / 3), 1),
    ((1 / 3, 1 / 3, 1 / 3), 2),
    ((0.5, 0.25, 0.25), 2),
    ((0.4, 0.3, 0.3), 2),
    ((0.9, 0.05, 0.05), 2),
    ((0.45, 0.45, 0.1), 1),
    ((0.34, 0.33, 0.33), 2),
    ((0.25, 0.25, 0.25, 0.25), 1),
    ((0.25, 0.25, 0.25, 0.25), 2),
    ((0.25, 0.25, 0.25, 0.25), 3),
    ((0.4, 0.2, 0.2, 0.2), 2),
    ((0.3, 0.3, 0.2, 0.2), 3),
    ((0.7, 0.1, 0.1, 0.1), 3),
]


@pytest.mark.parametrize(("p", "k"), NEAR_TIES)
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
def test_one_look_errs_at_most_at_alpha_for_classes_and_sets(p, k, alpha):
    """Every count of n samples, enumerated: the theorem, and its extension to sets."""
    worst = 0.0
    for n in (12, 20, 29):
        counts, ranked = compositions(n, len(p)), sorted(p, reverse=True)
        right = frozenset(range(k)) if ranked[k - 1] > ranked[k] else None  # p falls; at a tie every set is wrong
        wrong = np.array([s is not None and s != right for s in predict_sets(counts, k, alpha)])
        worst = max(worst, float(chances(counts, np.array(p))[wrong].sum()))
    assert worst <= alpha


@pytest.mark.parametrize(("n", "c", "k"), [(18, 3, 1), (18, 3, 2), (14, 4, 1), (14, 4, 2), (14, 4, 3)])
def test_no_pair_across_the_edge_has_a_larger_p_value(n, c, k):
    """The step of the proof: given which classes lead, each pair's p-value is at most the two-sided one."""
    for row in compositions(n, c).tolist():
        row.sort(reverse=True)
        if row[k - 1] == row[k]:
            continue
        limit = p_value(row[k - 1], row[k])
        for i, j in itertools.product(range(k), range(k, c)):
            total = row[i] + row[j]
            weights = [Fraction(math.comb(total, x)) * leads(row, i, j, x, k) for x in range(total + 1)]
            assert sum(weights[row[i] :]) / sum(weights) <= limit


def leads(row, i, j, x, k):
    """Chance that the first k classes lead, ties broken at random, with x votes for i and the rest of both for j."""
    moved = list(row)
    moved[i], moved[j] = x, row[i] + row[j] - x
    edge = sorted(moved, reverse=True)[k - 1]
    if min(moved[:k]) < edge or max(moved[k:]) > edge:
        return Fraction(0)
    return Fraction(1, math.comb(moved.count(edge), moved[:k].count(edge)))
