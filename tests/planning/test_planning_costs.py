"""What entries and prices cost, against runs simulated on their own."""

from dataclasses import replace

import numpy as np
import pytest

from smoothcert.config import make_request
from smoothcert.formats.plan import Outlook
from smoothcert.planning.attainable import procedure_of
from smoothcert.planning.costs import PRICES, entry_costs, price_effects
from smoothcert.planning.population import estimate_population
from smoothcert.report.plan.tables import entries_table, prices_table
from smoothcert.stats import simulate

from .populations import CLASSES, pilot, procedure, vectors, wide


@pytest.fixture(scope="module")
def population():
    rng = np.random.default_rng(0)
    drawn = pilot(*vectors(wide(100, rng), rng), 100, 200, rng)
    return estimate_population(drawn.counts, drawn.labels, rng)


def asked(**settings):
    fields = {"model": "m", "data": "d", "n_max": 3000, "radius": "0.1,0.3,3", "sigma": "0.25", "k": "1,2"} | settings
    return procedure_of(make_request(**fields), 0.25, CLASSES)


def mean_samples(population, procedure):
    chance = population.weights(population.best)
    rng = np.random.default_rng(1)
    chosen = rng.choice(len(population.labels), 1000, p=chance)
    return simulate(population.vectors[chosen], population.labels[chosen], procedure, rng).samples.mean()


@pytest.mark.parametrize("bound", ["rankcp", "betting"])
def test_entries_alone_and_left_out(population, bound):
    whole = asked(bound=bound)
    rows = entry_costs(population, whole, np.random.default_rng(2))
    assert [(row.k, row.radius) for row in rows] == [(k, r) for k in (1, 2) for r in (0.1, 0.3, 3.0)]
    found = {(row.k, row.radius): row for row in rows}
    assert found[1, 3.0].alone is found[2, 3.0].alone is None
    for k, r in ((1, 0.1), (2, 0.3)):
        alone = mean_samples(population, replace(whole, targets={k: whole.targets[k]}, radii=(r,)))
        assert found[k, r].alone == pytest.approx(alone, rel=0.25)
    kept = [row for row in rows if row.alone is not None]
    total = mean_samples(population, whole)
    assert all(0 <= row.saved < row.alone <= 1.25 * total for row in kept)
    assert entries_table(rows).rows[2] == ("0.25", "1", "3", "not attainable", "-")


def test_the_only_entry_saves_all(population):
    rows = entry_costs(population, procedure(n_max=1000, radii=(0.25,)), np.random.default_rng(0))
    assert rows[0].saved == rows[0].alone > 0


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["rankcp", "betting"])
def test_a_lower_price_takes_fewer_samples_and_loses_more(population, bound):
    rows = price_effects(population, asked(bound=bound, radius="0.1,0.3"), np.random.default_rng(3))
    assert [row.price for row in rows] == [None, *(3000.0 * n for n in PRICES)]
    assert [row.now for row in rows] == [row.price == (None if bound == "rankcp" else 9000) for row in rows]
    samples = [row.copies for row in rows[1:]]
    assert samples == sorted(samples)
    assert samples[0] < 0.97 * rows[0].copies
    assert rows[0].lost == rows[0].most == 0
    assert rows[1].lost >= rows[-1].lost - 0.005
    assert prices_table(rows).rows[0][1] == ("futility (plan)" if bound == "rankcp" else "futility")


@pytest.mark.slow
def test_a_price_of_the_plan_has_its_own_row(population):
    rows = price_effects(population, asked(stop="worth", price=4500), np.random.default_rng(3))
    assert [row.price for row in rows if row.now] == [4500.0]
    rows = price_effects(population, asked(stop="never"), np.random.default_rng(3))
    assert not any(row.now for row in rows)


def test_records_of_earlier_plans_have_neither():
    assert Outlook((), (), (), ()).entries == Outlook((), (), (), ()).prices == ()
