"""What was returned for the images: outcomes that add up, stable wrong answers, extremes by class, confusion."""

import re
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_line, make_spec, simulate_run
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.ledger import Ledger
from smoothcert.report import claims, returned
from smoothcert.report.returned import breakdown, by_class, confusion_table, stable_wrong

VOTES = st.tuples(st.integers(0, 3), st.integers(0, 1000), st.booleans())
"""Selection winner, votes for the label of 1,000, and whether the image is decided."""


def made(images, k="1", **settings):
    """Return a run of class 0 with given votes; the classes that lose share no votes."""
    spec = make_spec((0,) * len(images), looks=(1000,), stopping="fixed", radius="0.1,0.25,9", k=k, **settings)
    lines = [
        make_line(i, 0, {winner: 100}, [{0: votes, 1: 1000 - votes}])
        for i, (winner, votes, decided) in enumerate(images)
        if decided
    ]
    return Run(None, spec, Ledger(tuple(lines)))


@settings(max_examples=60)
@given(st.lists(VOTES, min_size=1, max_size=12))
def test_the_outcomes_of_every_entry_add_up_to_its_images(images):
    run = made(images, k="1,2")
    for entry in run.results():
        parts = breakdown(entry)
        counts = (parts.certified, parts.smaller, parts.abstained, parts.wrong, parts.missing)
        assert min(counts) >= 0
        assert sum(counts) == parts.images == len(images)
        if entry.attainable:
            said = claims.observed(entry, run)
            terms, total = re.search(r"; ([\d,+ ]+) = ([\d,]+)\.", said).groups()
            assert sum(int(term.replace(",", "")) for term in terms.split("+")) == int(total) == len(images)


@settings(max_examples=60)
@given(st.lists(VOTES, min_size=1, max_size=12))
def test_every_decided_image_is_in_the_confusion_table_once(images):
    table = confusion_table(made(images))
    assert sum(record["images"] for record in table.records) == sum(decided for *_, decided in images)
    winners = Counter(winner for winner, _, decided in images if decided and winner)
    assert {each["returned"]: each["images"] for each in table.records if each["returned"]} == winners


def test_an_answer_can_be_stable_and_wrong():
    run = made([(0, 999, True), (1, 1, True), (1, 400, True), (1, 999, True)])
    found = stable_wrong(run, 0.25, 0.25)
    assert (found.wrong, found.sampled, found.certified) == (3, 3, 1)
    assert "of the 3 images with another class, at least 1 keep it" in claims.of_wrong(found)


def test_without_votes_after_selection_nothing_is_said_of_stability():
    spec = make_spec((0, 0), looks=(1000,), stopping="fixed", radius="0.25")
    run = Run(None, spec, Ledger((make_line(0, 0, {1: 100}, []), make_line(1, 0, {0: 100}, [{0: 1000}]))))
    found = stable_wrong(run, 0.25, 0.25)
    assert (found.wrong, found.sampled) == (1, 0)
    assert "was not measured" in claims.of_wrong(found)


def test_extremes_and_mean_by_class(tmp_path):
    run = open_run(simulate_run(tmp_path / "run", images=400, radius="0.1"))
    entry = run.results()[0]
    found = by_class(run, entry)
    counts = Counter(run.certificates(entry.sigma).label[run.certificates(entry.sigma).certified_correct(0.1)].tolist())
    shares = [Fraction(counts[c], m) for c, m in enumerate(run.spec.data.class_counts)]
    assert found.mean == sum(shares) / len(shares)
    assert Fraction(found.lowest.certified, found.lowest.images) == min(shares)
    assert Fraction(found.highest.certified, found.highest.images) == max(shares)


@pytest.mark.parametrize("most", [4, 3])
def test_many_classes_are_listed_in_pairs(monkeypatch, most):
    monkeypatch.setattr(returned, "MATRIX", most)
    spec = make_spec((0,) * 3, looks=(1000,), stopping="fixed", radius="0.25")
    lines = [make_line(i, 0, {winner: 100}, [{0: 1000}]) for i, winner in enumerate((0, 1, 1))]
    table = confusion_table(Run(None, spec, Ledger(tuple(lines))))
    if most == 4:
        assert len(table.rows) == 4
        assert table.rows[0][2:5] == ("1", "2", "0")
    else:
        ((_, label, selected, images),) = table.rows
        assert (label, selected, images) == (*spec.data.class_names[:2], "2")
