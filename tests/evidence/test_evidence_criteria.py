"""Acceptance criteria: fixed in the spec, judged by the table, never met where nothing can be said."""

import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_line, make_spec
from refusals import refuses
from smoothcert.config import Criterion, make_request
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import Verdict, entries, judge, verdicts

LABELS = (0, 1, 2, 0)


def judged(criterion, decided=4, certified=3):
    spec = make_spec(LABELS, looks=(1000,), stopping="fixed", radius="0.25,3", criteria=[criterion])
    winners = [label if i < certified else 3 for i, label in enumerate(LABELS)]
    lines = [make_line(i, LABELS[i], selection={winners[i]: 20}, looks=[{LABELS[i]: 1000}]) for i in range(decided)]
    (verdict,) = verdicts(spec, entries(spec, Ledger(tuple(lines), (), 0)))
    return verdict


def test_observed_accuracy_is_compared_exactly():
    assert judged({"sigma": 0.25, "radius": 0.25, "at_least": 0.75, "of": "observed"}).met is True
    missed = judged({"sigma": 0.25, "radius": 0.25, "at_least": 0.7500001, "of": "observed"})
    assert missed.met is False
    assert missed.words == (
        "certified accuracy of this sample at least 75.00001 % at sigma 0.25, k 1, r 0.25: 75.00000 %, not met"
    )


def of_counts(s: int, m: int, at_least: str) -> Verdict:
    """The verdict on a share of s of m images; the other facts of the entry do not matter."""
    spec = make_spec((0,), looks=(1000,), stopping="fixed", radius="0.25")
    (entry,) = entries(spec, Ledger((make_line(0, 0, {0: 100}, [{0: 1000}]),)))
    entry = replace(entry, images=m, lines=m, certified=s, observed=s / m)
    return judge(Criterion(sigma="0.25", radius=0.25, k=1, at_least=at_least, of="observed"), entry, whole=True)


@given(st.integers(1, 300).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))), st.integers(1, 10**5))
def test_a_criterion_is_judged_as_its_decimals_say_and_printed_so(counts, millionths):
    promised = f"{millionths / 10**5:.5f}"
    found, exact = of_counts(*counts, promised), Fraction(*counts)
    assert found.met is (exact >= Fraction(promised))
    least, reached = (Fraction(Decimal(each)) for each in re.findall(r"(\S+) %", found.words))
    assert least == 100 * Fraction(promised)
    assert (reached >= least) is found.met
    assert reached <= 100 * exact < reached + Fraction(1, 100)


def test_57_of_100_reach_57_percent():
    found = of_counts(57, 100, "0.57")
    assert (found.met, found.reached) == (True, "57.00 %")


def test_bounds_that_are_withheld_leave_a_criterion_undecided():
    lines = [replace(make_line(i, 0, {0: 20}, [{0: 1000}]), image="sha256:one") for i in range(4)]
    promised = [{"sigma": 0.25, "radius": 0.25, "at_least": 0.1, "of": of} for of in ("population", "joint")]
    spec = make_spec((0, 0, 0, 0), looks=(1000,), stopping="fixed", radius="0.25", criteria=promised)
    for found in verdicts(spec, entries(spec, Ledger(tuple(lines)))):
        assert (found.met, found.value) == (None, None)
        assert "repeat" in found.reached


def test_a_population_bound_lies_below_what_was_observed():
    verdict = judged({"sigma": 0.25, "radius": 0.25, "at_least": 0.75})
    assert verdict.met is False
    assert verdict.value < 0.75


def test_a_radius_out_of_reach_meets_nothing():
    verdict = judged({"sigma": 0.25, "radius": 3, "at_least": 1e-9, "of": "observed"})
    assert (verdict.met, verdict.attainable) == (False, False)
    assert "not attainable" in verdict.words


def test_a_partial_run_is_undecided():
    verdict = judged({"sigma": 0.25, "radius": 0.25, "at_least": 0.1, "of": "observed"}, decided=2)
    assert (verdict.met, verdict.value) == (None, None)
    assert "undecided" in verdict.words


def test_one_noise_level_that_is_partial_leaves_every_criterion_undecided():
    promised = [{"sigma": 0.25, "radius": 0.25, "at_least": 0.1, "of": of} for of in ("observed", "population")]
    spec = make_spec(LABELS, looks=(1000,), stopping="fixed", sigma="0.25,0.5", criteria=promised)
    lines = [make_line(i, label, selection={label: 20}, looks=[{label: 1000}]) for i, label in enumerate(LABELS)]
    judged = verdicts(spec, entries(spec, Ledger(tuple(lines), (), 0)))
    assert [(verdict.met, verdict.value) for verdict in judged] == [(None, None)] * 2


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"criteria": [{"sigma": 0.5, "radius": 0.25, "at_least": 0.5}]}, "criteria: expected a sigma, k and radius"),
        ({"criteria": [{"sigma": 0.25, "radius": 0.25, "at_least": 60}]}, "60 % is written 0.6"),
        ({"criteria": [{"sigma": 0.25, "radius": 0.25}]}, "at_least"),
        ({"primary": {"sigma": 0.25, "radius": 0.3}}, "primary: expected a sigma, k and radius of this run, got "),
        ({"primary": {"sigma": 0.25, "radius": 0.25, "k": 2}}, "k 2"),
    ],
)
def test_a_cell_that_is_not_of_the_run_is_refused(more, reason):
    with refuses("E-SPEC-005", match=reason):
        make_request(model="m", data="d", sigma=0.25, radius=0.25, **more)


def test_settings_that_are_not_used_leave_the_hash_of_a_spec_alone():
    spec = make_spec()
    assert "criteria" not in spec.to_json()
    assert "primary" not in spec.to_json()
    named = make_spec(primary={"sigma": 0.25, "radius": 0.25})
    assert named.sha256() != spec.sha256()
