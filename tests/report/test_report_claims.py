"""Claim sentences: the values of an entry in reviewed words, rounded so that a bound stays a bound."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import simulate_run
from smoothcert.config import Stated
from smoothcert.evidence import open_run
from smoothcert.evidence.results import entries
from smoothcert.report import claims
from smoothcert.report.claims import guarantees


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    opened = open_run(simulate_run(tmp_path_factory.mktemp("claims") / "run", images=60, radius="0.1,0.25,5"))
    return replace(opened, stated=Stated(described=True, independent=True))


def test_a_sentence_for_every_entry(run):
    for entry in entries(run.spec, run.ledger):
        said = claims.observed(entry, run)
        if entry.attainable:
            assert f"Of 60 images, {entry.certified} were certified-correct at r = {entry.radius:g}" in said
            smaller = entry.lines - entry.certified - entry.abstained - entry.wrong
            assert f"{entry.certified} + {smaller} + {entry.abstained} + {entry.wrong} = 60" in said
        else:
            assert "not attainable" in said
            assert "not a finding about the model" in said
            assert " % " not in said


def test_no_percentage_of_the_population_from_a_partial_run(run):
    entry = replace(entries(run.spec, run.ledger)[0], population=None, joint=None)
    for joint in (False, True):
        assert "No statement about a population" in claims.population(entry, joint, run)


@settings(max_examples=100)
@given(st.floats(0, 1, exclude_max=True))
def test_a_population_bound_is_never_printed_above_itself(run, bound):
    entry = replace(ENTRY, population=bound)
    printed = re.search(r"at least ([\d.]+) % of that population", claims.population(entry, False, run))[1]
    assert Fraction(printed) / 100 <= Fraction(bound) + ULP  # 100 * bound is itself rounded to the nearest double
    assert Fraction(bound) - Fraction(printed) / 100 < Fraction(1, 999)


def test_the_population_sentence_carries_its_condition(run):
    entry = entries(run.spec, run.ledger)[0]
    said = claims.population(entry, True, run)
    assert said.startswith("If the 60 images are independent draws")
    assert "jointly over which images were drawn and over the noise, for all entries of the run together" in said
    assert "groups (one random image of each)" in claims.population(replace(entry, groups=7), True, run)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_what_is_kept_is_what_was_bounded(run, k):
    """A label among the k most probable classes is not a correct classification."""
    entry = replace(ENTRY, k=k, population=0.5, joint=0.4)
    said = [claims.this_sample(entry, 0.001), *(claims.population(entry, joint, run) for joint in (False, True))]
    for sentence in said:
        assert ("correct" in sentence) == (k == 1)
        assert (f"{k} most probable classes" in sentence) == (k > 1)
        assert f"(sigma {entry.sigma:g}{f', k = {k}' if k > 1 else ''})" in sentence


def test_groups_speak_for_draws_of_one_image_of_a_group(run):
    said = claims.population(replace(ENTRY, groups=7, population=0.5), False, run)
    assert said.endswith("for at least 50.0 % of draws of one random image of a random group of that population.")


def test_a_partial_count_has_no_interval(run):
    said = claims.observed(replace(ENTRY, lines=ENTRY.images - 7), run)
    assert "% so far." in said
    assert "Clopper" not in said
    assert "7 have no result" in said


def test_the_seed_is_named(run):
    assert "chosen by the user" in claims.arithmetic(run)


def test_the_arithmetic_row_follows_the_run():
    covered, not_covered = guarantees(True), guarantees(False)
    assert covered.rows[:-1] == not_covered.rows[:-1]
    assert "not covered" in not_covered.rows[-1][1]


ULP = Fraction(1, 2**52)
ENTRY = None


@pytest.fixture(scope="module", autouse=True)
def _entry(run):
    global ENTRY
    ENTRY = entries(run.spec, run.ledger)[0]
