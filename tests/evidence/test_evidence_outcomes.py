"""Certificates and claims of hand-made votes, against SciPy's own Clopper-Pearson and numbers computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, norm

from factories import make_line, make_spec
from refusals import refuses
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.outcomes import line_tallies, outcomes, outcomes_by_k, plan_of, winner
from smoothcert.evidence.results import entries, results_record
from smoothcert.stats import running

ALPHA = 0.001
LABELS = (0, 1, 2, 0, 1)


def upper(x, n, level):
    return beta.isf(level, x + 1, n - x)


def fixed(**request):
    return make_spec(LABELS, looks=(1000,), stopping="fixed", **{"bound": "cohen", "radius": "0.25,0.5", **request})


def five():
    """Strong, weak, wrong class, tied (abstains); the fifth image has no line yet."""
    return (
        make_line(0, 0, {0: 99, 1: 1}, [{0: 990, 1: 10}]),
        make_line(1, 1, {1: 60, 0: 40}, [{1: 640, 0: 360}]),
        make_line(2, 2, {1: 80, 2: 20}),
        make_line(3, 0, {0: 51, 3: 49}, [{0: 500, 3: 500}]),
    )


def test_radii_are_those_of_the_theorem():
    found = outcomes(fixed(), five(), 0.25, 1)
    expected = [-0.25 * norm.ppf(upper(x, 1000, ALPHA)) for x in (10, 360)]
    assert found.radius[:2] == pytest.approx(expected, rel=1e-7)
    assert [round(r, 4) for r in expected] == [0.4945, 0.058]
    assert found.wrong.tolist() == [False, False, True, False]
    assert found.abstained.tolist() == [False, False, False, True]
    assert found.certified_correct(0.25).tolist() == [True, False, False, False]
    assert found.certified_correct(0.0).tolist() == [True, True, False, False]
    assert found.samples.tolist() == [1100, 1100, 100, 1100]


def test_certificates_say_none_for_abstentions_and_wrong_classes():
    found = outcomes(fixed(), five(), 0.25, 1).certificates((0.25, 0.5))
    assert [certificate.label for certificate in found] == [0, 1, None, None]
    assert [certificate.certified_at for certificate in found] == [(0.25,), (), (), ()]
    assert found[0].radius == math.floor(1e6 * -0.25 * norm.ppf(upper(10, 1000, ALPHA))) / 1e6
    assert [certificate.radius for certificate in found[2:]] == [0.0, 0.0]


def test_abstentions_wrong_classes_and_missing_images_stay_in_the_denominator():
    quarter, half = entries(fixed(), Ledger(five()))
    assert (quarter.certified, quarter.images, quarter.lines, quarter.observed) == (1, 5, 4, 0.2)
    assert (quarter.wrong, quarter.abstained) == (1, 1)
    assert (half.certified, half.observed) == (0, 0.0)
    exact = binomtest(1, 5).proportion_ci(0.95, "exact")
    assert (quarter.low, quarter.high) == pytest.approx((exact.low, exact.high), rel=1e-6)
    assert (quarter.samples_mean, quarter.samples_median, quarter.samples_max) == (850.0, 1100.0, 1100)


def test_a_partial_run_says_nothing_about_the_population():
    lines = five()
    assert {(c.population, c.joint) for c in entries(fixed(), Ledger(lines))} == {(None, None)}
    assert {(c.population, c.joint) for c in entries(fixed(), Ledger(()))} == {(None, None)}
    whole = (*lines, make_line(4, 1, {1: 100}, [{1: 1000}]))
    quarter = entries(fixed(), Ledger(whole))[0]
    for bound, delta in ((quarter.population, 0.05), (quarter.joint, 0.05 / 2)):
        low = beta.ppf(delta, 2, 4)
        assert bound == pytest.approx((low - ALPHA) / (1 - ALPHA), rel=1e-6)
    assert quarter.sample == 2


def test_a_radius_chosen_after_the_run_has_no_population_bound():
    whole = Ledger((*five(), make_line(4, 1, {1: 100}, [{1: 1000}])))
    other, own = entries(fixed(), whole, (0.1, 0.5))
    assert (other.radius, other.population, other.joint) == (0.1, None, None)
    assert None not in (own.population, own.joint)


def test_an_unattainable_cell_is_flagged():
    spec = make_spec((0,), looks=(1000,), stopping="fixed", bound="cohen", radius="0.25,0.5,0.75")
    unanimous = Ledger((make_line(0, 0, {0: 100}, [{0: 1000}]),))
    limit = -0.25 * norm.isf(ALPHA ** (1 / 1000))
    assert limit == pytest.approx(0.6158, abs=1e-4)
    found = entries(spec, unanimous)
    assert [c.attainable for c in found] == [True, True, False]
    assert [c.r_max for c in found] == pytest.approx([limit] * 3, rel=1e-7)
    assert [c.certified for c in found] == [1, 1, 0]


def test_prediction_and_label_as_targets():
    """Selection picks class 1, the label is 2: wrong for k = 1 by prediction, certified in the top 2."""
    line = make_line(2, 2, {1: 80, 2: 20}, [{1: 700, 2: 290, 0: 10}])
    spec = fixed(k="1,2", radius="0.1")
    one, two = (outcomes(spec, [line], 0.25, k) for k in (1, 2))
    assert (one.wrong.tolist(), two.wrong.tolist()) == ([True], [False])
    labelled = outcomes(fixed(target="label", bound="rankcp"), [line], 0.25, 1)
    assert (labelled.wrong.tolist(), labelled.abstained.tolist()) == ([False], [True])
    ranked = outcomes(fixed(k="2", radius="0.1", bound="rankcp"), [line], 0.25, 2)
    q, u1, u2 = upper(710, 1000, 0.7 * ALPHA), upper(700, 1000, 0.15 * ALPHA), upper(10, 1000, 0.15 * ALPHA)
    assert ranked.bounds.q[0] == pytest.approx(q, rel=1e-7)
    assert ranked.bounds.u[0] == pytest.approx([u1, u2], rel=1e-7)
    alone = 0.125 * (norm.isf(q) - norm.ppf(u2))
    assert ranked.radius[0] >= alone * (1 - 1e-7)
    assert ranked.certified_correct(0.1).tolist() == [True]


@settings(max_examples=50)
@given(st.integers(0, 100), st.integers(0, 100))
def test_bounds_are_running_minima_over_the_looks(first, second):
    """Looks at 100 and 200: levels 0.7 alpha and 0.3 alpha; a second look can only sharpen."""
    votes = [{0: 100 - first, 1: first}, {0: 200 - first - second, 1: first + second}]
    found = outcomes(make_spec(bound="cohen"), [make_line(0, 0, {0: 100}, votes)], 0.25, 1)
    each = [
        upper(x, n, level) if x < n else 1.0
        for x, n, level in ((first, 100, 0.7 * ALPHA), (first + second, 200, 0.3 * ALPHA))
    ]
    assert found.bounds.q[0] == pytest.approx(min(each), rel=1e-7)


def test_a_look_not_taken_leaves_the_bounds():
    spec = make_spec(bound="cohen")
    early = outcomes(spec, [make_line(0, 0, {0: 100}, [{0: 95, 1: 5}])], 0.25, 1)
    assert early.bounds.q[0] == pytest.approx(upper(5, 100, 0.7 * ALPHA), rel=1e-7)
    none = outcomes(spec, [make_line(0, 0, {0: 100})], 0.25, 1)
    assert (none.bounds.q[0], none.radius[0]) == (1.0, -math.inf)


def test_tallies_hold_the_strongest_rivals():
    line = make_line(0, 1, None, [{1: 50, 0: 3, 2: 40, 3: 7}])
    found = line_tallies([line, make_line(1, 1)], 2, 2)
    assert found.n.tolist() == [[100, 0], [0, 0]]
    assert found.label_votes.tolist() == [[50, 0], [0, 0]]
    assert found.rivals.tolist() == [[[40, 7], [0, 0]], [[0, 0], [0, 0]]]


@pytest.mark.parametrize(("selection", "expected"), [({1: 5, 0: 5}, 0), ({2: 6, 0: 4}, 2), (None, None), ({}, None)])
def test_the_winner_of_selection_is_the_lowest_class_on_a_tie(selection, expected):
    assert winner(make_line(selection=selection)) == expected


GROUPS = ("a", "a", "a", "b", "b", "c")


def grouped(strong):
    """Six images of three patients; `strong` ones are certified everywhere, the others nowhere."""
    votes = {True: {0: 1000}, False: {0: 500, 1: 500}}
    looks = [votes[i in strong] for i in range(6)]
    lines = tuple(make_line(i, 0, {0: 100}, [looks[i]], group=GROUPS[i]) for i in range(6))
    spec = make_spec((0,) * 6, looks=(1000,), stopping="fixed", bound="cohen", radius="0.25", grouped=True)
    return entries(spec, Ledger(lines))[0]


def test_grouped_images_carry_the_population_bound_one_a_group():
    every = grouped(strong=range(6))
    assert (every.certified, every.images, every.groups) == (6, 6, 3)
    assert every.population == pytest.approx((0.05 ** (1 / 3) - ALPHA) / (1 - ALPHA), rel=1e-6)
    chosen = [sum(grouped({i}).population > 0 for i in patient) for patient in ((0, 1, 2), (3, 4), (5,))]
    assert chosen == [1, 1, 1]


def test_images_without_groups_all_count():
    whole = Ledger((*five(), make_line(4, 1, {1: 100}, [{1: 1000}])))
    assert {entry.groups for entry in entries(fixed(), whole)} == {None}


def test_the_results_record_names_spec_and_ledger():
    spec, ledger = fixed(sigma="0.25,0.5", k="1,2"), Ledger(five())
    record = results_record(spec, ledger)
    assert record["spec_sha256"] == spec.sha256()
    assert record["ledger_sha256"] == ledger.sha256()
    assert (record["lines"], record["confidence"]) == (4, 0.95)
    order = [(entry["sigma"], entry["k"], entry["radius"]) for entry in record["cells"]]
    assert order == [(s, k, r) for s in (0.25, 0.5) for k in (1, 2) for r in (0.25, 0.5)]
    assert np.isfinite([entry["r_max"] for entry in record["cells"]]).all()


@pytest.mark.parametrize("bound", ["rankcp", "simuem", "cohen"])
def test_several_k_and_blocks_give_what_each_gives_alone(monkeypatch, bound):
    """Votes of many lines, derived in blocks of 3 and all k together; the bounds are those of `stats.running`."""
    rng = np.random.default_rng(5)
    spec = make_spec((0,) * 20, classes=6, looks=(100, 200, 400), k="1,2,4", bound=bound, target="prediction")
    lines = [
        make_line(i, 0, _votes(rng.multinomial(100, p)), [_votes(v) for v in np.cumsum(draws[:taken], axis=0)])
        for i in range(20)
        for p in rng.dirichlet(np.full(6, 0.4), 1)
        for draws, taken in [([rng.multinomial(n, p) for n in (100, 100, 200)], i % 4)]
    ]
    alone = {k: outcomes(spec, lines, 0.25, k) for k in (1, 2, 4)}
    monkeypatch.setattr("smoothcert.evidence.line_store.BLOCK", 3)
    together = outcomes_by_k(spec, lines, 0.25, (1, 2, 4))
    for k, found in together.items():
        path = running(line_tallies(lines, 3, k), plan_of(spec, 0.25), k)
        assert found.bounds.q.tolist() == alone[k].bounds.q.tolist() == path.q[:, -1].tolist()
        assert found.bounds.u.tolist() == alone[k].bounds.u.tolist() == path.u[:, -1].tolist()
        assert found.wrong.tolist() == [winner(line) != 0 for line in lines]
        assert found.radius.tolist() == alone[k].radius.tolist()
        assert found.index.tolist() == list(range(20))
        part = found.of(slice(4, 9))
        assert part.certified_correct(0.25).tolist() == found.certified_correct(0.25)[4:9].tolist()
        assert part.samples.tolist() == [line.samples for line in lines[4:9]]


def test_votes_at_other_looks_are_refused():
    for looks in ([{0: 101}], [{0: 100}, {0: 201}]):
        with refuses("E-SPEC-010", match="expected votes at the looks \\(100, 200\\), got other sample numbers"):
            outcomes(make_spec(), [make_line(0, 0, {0: 100}, looks)], 0.25, 1)


def _votes(counts):
    return {int(c): int(counts[c]) for c in np.flatnonzero(counts)}
