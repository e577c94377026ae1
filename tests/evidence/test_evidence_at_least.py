"""After early stopping, counts at radii not in the spec are "at least"; what is not attainable has no numbers."""

import csv
import io
import json

import numpy as np
import pytest

from factories import make_line, make_spec
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.outcomes import only_at_least, outcomes, plan_of
from smoothcert.evidence.results import entries, results_record
from smoothcert.report import results_table
from smoothcert.stats import Bounds, bounds, schedule, tally
from smoothcert.stats.bounds_rule import undecided

CLASSES, IMAGES, N0 = 4, 120, 50
LOOKS = schedule(2000)
GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.55, 0.6, 0.7)


def drawn(spec, seed):
    """Votes of each image at every look, and the number of looks after which it stops."""
    rng, plan = np.random.default_rng(seed), plan_of(spec, 0.25)
    for index in range(IMAGES):
        p = np.full(CLASSES, 0.0)
        p[0] = rng.choice([0.6, 0.9, 0.97, 0.995, 0.9999])
        p[1:] = (1 - p[0]) * rng.dirichlet(np.ones(CLASSES - 1))
        votes = np.cumsum([rng.multinomial(n, p) for n in np.diff((0, *spec.looks))], axis=0)
        yield index, votes, stopped(spec, plan, votes)


def stopped(spec, plan, votes):
    """How many looks an image takes until no radius of the spec is open: the rule, written out."""
    now = Bounds(np.ones(1), np.ones((1, 1)))
    for look, level in enumerate(plan.spent_alpha):
        counted = tally(votes[None, look], [0], 1)
        now = bounds(counted, level, 1, plan.bound, CLASSES).minimum(now)
        if not undecided(counted, now, spec.request.radius, plan, 1)[0]:
            return look + 1
    return len(plan.spent_alpha)


def lines_of(found, early):
    return tuple(
        make_line(
            index,
            0,
            {0: N0},
            [{c: int(n) for c, n in enumerate(look) if n} for look in votes[: looks if early else len(votes)]],
        )
        for index, votes, looks in found
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("radii", ["0.1,0.25", "0.3", "0.05,0.5,0.6"])
def test_no_count_is_above_that_of_all_looks_and_radii_of_the_spec_are_not_cut_short(seed, radii):
    spec = make_spec([0] * IMAGES, classes=CLASSES, looks=LOOKS, n0=N0, radius=radii)
    found = list(drawn(spec, seed))
    assert any(looks < len(LOOKS) for _, _, looks in found)
    early, whole = (outcomes(spec, lines_of(found, stop), 0.25, 1) for stop in (True, False))
    below = []
    for r in GRID:
        kept, held = early.certified_correct(r), whole.certified_correct(r)
        assert not (kept & ~held).any()  # each image certified early is certified by all looks
        if only_at_least(spec, r):
            below.append(kept.sum() < held.sum())
    assert any(below)
    assert (early.abstained.sum()) >= whole.abstained.sum()
    for entry in entries(spec, Ledger(lines_of(found, True)), GRID):
        assert entry.at_least == (entry.radius not in spec.request.radius) == (entry.high is None)
        assert entry.population is None or not entry.at_least
        record = entry.record()
        assert (record["abstained"] is None) == (entry.at_least and entry.attainable)


def test_a_radius_added_to_the_spec_would_have_counted_at_least_as_many():
    few = make_spec([0] * IMAGES, classes=CLASSES, looks=LOOKS, n0=N0, radius="0.25")
    more = make_spec([0] * IMAGES, classes=CLASSES, looks=LOOKS, n0=N0, radius=",".join(map(str, (*GRID[1:],))))
    lines = {spec: lines_of(drawn(spec, 5), True) for spec in (few, more)}
    for r in GRID[1:]:
        counts = [outcomes(spec, lines[spec], 0.25, 1).certified_correct(r).sum() for spec in (few, more)]
        assert counts[0] <= counts[1]


@pytest.mark.parametrize("looks", [(1000,), LOOKS])
def test_every_radius_is_exact_where_each_image_took_all_looks(looks):
    spec = make_spec([0], looks=looks, radius="0.25", stopping="fixed" if len(looks) == 1 else "looks")
    assert [only_at_least(spec, r) for r in (0.0, 0.1, 0.25, 0.3)] == [len(looks) > 1] * 2 + [False, len(looks) > 1]


def unattainable():
    spec = make_spec([0, 0], classes=CLASSES, looks=LOOKS, n0=N0, radius="0.25,9")
    line = [make_line(i, 0, {0: N0}, [{0: n} for n in LOOKS[:4]]) for i in range(2)]
    return spec, Ledger(tuple(line))


def test_what_is_not_attainable_has_no_numbers_in_any_form():
    spec, ledger = unattainable()
    table = results_table(entries(spec, ledger))
    names = ("certified", "observed", "low", "high", "sample", "population", "joint")
    (row,) = [row for row in csv.DictReader(io.StringIO(table.render("csv"))) if row["radius"] == "9.0"]
    stored = [results_record(spec, ledger)["cells"], json.loads(table.render("json"))]
    for record in (found for part in stored for found in part if found["radius"] == 9):
        assert record["attainable"] is False
        assert {record[name] for name in names} == {None}
    assert row["attainable"] == "False"
    assert {row[name] for name in names} == {""}
    for form in ("md", "tex"):
        (line,) = [line for line in table.render(form).splitlines() if "not attainable" in line]
        assert "0.0" not in line
        assert "0/2" not in line


def test_at_least_is_said_in_every_form():
    spec, ledger = unattainable()
    table = results_table(entries(spec, ledger, (0.1, 0.25)))
    least, exact = table.rows
    at = table.headings.index
    assert [least[at(name)] for name in ("certified", "certified accuracy %")] == [">= 2/2", ">= 100.0"]
    assert least[at("95 % interval if independent")].startswith(">= ")
    assert least[at("abstained")] == "-"
    assert exact[at("certified")] == "2/2"
    assert [record["at_least"] for record in table.records] == [True, False]
    assert table.records[0]["high"] is None
    assert all("at least" in table.render(form) for form in ("md", "tex"))
