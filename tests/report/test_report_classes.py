"""Rows by class against a count made one line at a time."""

import pytest

from factories import make_run
from refusals import refuses
from smoothcert.evidence.outcomes import outcomes
from smoothcert.report.groups import SMALL, class_rows
from smoothcert.stats import interval


def by_hand(run, sigma, k, r):
    """Certified images of each class: each line alone."""
    counts = [0] * run.spec.classes
    for line in run.ledger.at(sigma):
        counts[line.label] += int(outcomes(run.spec, [line], sigma, k).certified_correct(r)[0])
    return counts


@pytest.mark.parametrize("kind", [{}, {"drop": 90}, {"stopping": "fixed", "k": "1,2", "target": "label"}], ids=str)
def test_rows_are_counts_and_sum_to_the_entry(tmp_path, kind):
    run = make_run(tmp_path / "run", images=102, classes=6, **kind)
    for entry in run.results():
        rows = class_rows(run, entry.sigma, entry.k, entry.radius)
        assert [row.certified for row in rows] == by_hand(run, entry.sigma, entry.k, entry.radius)
        assert sum(row.certified for row in rows) == entry.certified
        assert [row.images for row in rows] == [17] * 6
        assert [(row.number, row.name) for row in rows] == [(c, f"kind {c}") for c in range(6)]


def test_few_images_have_neither_percentage_nor_interval(tmp_path):
    run = make_run(tmp_path / "run", images=3 * SMALL - 1, classes=3)
    *enough, few = class_rows(run, 0.5, 1, 0.1)
    assert [row.images for row in (*enough, few)] == [50, 50, 49]
    assert (few.observed, few.low, few.high) == (None, None, None)
    assert few.certified > 0
    for row in enough:
        assert row.observed == row.certified / row.images
        assert (row.low, row.high) == interval(row.certified, row.images)


def test_images_without_a_result_stay_in_the_denominator_of_raw_counts(tmp_path):
    run = make_run(tmp_path / "run", images=120, classes=2, drop=119)
    first, second = class_rows(run, 0.5, 1, 0.1)
    assert (first.images, second.images) == (60, 60)
    assert first.certified + second.certified == 1
    assert {(row.observed, row.low, row.high) for row in (first, second)} == {(None, None, None)}
    assert all(row.observed is not None for row in class_rows(run, 0.25, 1, 0.1))


def test_what_is_not_attainable_is_not_zero_percent(tmp_path):
    run = make_run(tmp_path / "run", images=150, classes=3)
    for row in class_rows(run, 0.25, 1, 0.6):
        assert (row.attainable, row.observed, row.low, row.high) == (False, None, None, None)
    assert all(row.attainable for row in class_rows(run, 0.5, 1, 0.6))


def test_a_class_without_images_has_a_row(tmp_path):
    run = make_run(tmp_path / "run", images=3, classes=5)
    assert [(row.images, row.observed) for row in class_rows(run, 0.5, 1, 0.1)][3:] == [(0, None), (0, None)]


def test_any_positive_radius_is_radius_zero(tmp_path):
    run = make_run(tmp_path / "run", images=120, classes=2)
    assert sum(row.certified for row in class_rows(run, 0.5, 1, 0)) == run.certificates(0.5).certified_correct(0).sum()
    with refuses("E-SPEC-082", match="radius >= 0"):
        class_rows(run, 0.5, 1, -0.1)
    with refuses("E-SPEC-026"):
        class_rows(run, 0.5, 3, 0.1)
