"""The sample-complexity page says what the package's functions give, and its measured part what a run's votes say."""

import re

import numpy as np
import pytest
from scipy.special import ndtr

from factories import make_run
from smoothcert.stats import Plan, power, votes_needed
from smoothcert.stats.power import least_margin

from .conftest import ROOT, scripts
from .markdown import links

DOCS = ROOT / "docs"
MODULES = ("make", "page", "wording", "figures", "measured", "theory")


@pytest.fixture(scope="module")
def page():
    """The modules behind the page, by name."""
    pytest.importorskip("matplotlib")
    with scripts(DOCS / "complexity", MODULES) as found:
        yield found


@pytest.fixture(scope="module")
def stored(page):
    return page["make"].stored()


def test_the_page_is_what_its_numbers_give(page, stored):
    text = (DOCS / "sample-complexity.md").read_text(encoding="utf-8")
    assert text == page["page"].page(stored)
    for target in links(text):
        assert (DOCS / target.partition("#")[0]).is_file(), target


def test_exact_numbers_are_what_the_functions_give(page, stored):
    numbers, theory = page["theory"], stored.theory
    assert theory.needed == tuple(numbers.needed(ratio) for ratio in numbers.RATIOS)
    assert theory.tens == tuple(numbers.ten(n) for n in numbers.TENS)
    for alpha, row in zip(numbers.ALPHAS, theory.alphas, strict=True):
        assert row == numbers.votes(1.0, numbers.MARGINS, numbers.plan_at(alpha=alpha))
    for (bound, classes), row in zip(numbers.BOUNDS.values(), theory.bounds.values(), strict=True):
        assert row[:-1] == numbers.votes(1.0, numbers.MARGINS, numbers.plan_at(bound, classes))


def test_simulated_numbers_are_what_the_functions_give(page, stored):
    numbers, theory = page["theory"], stored.theory
    again = numbers.of_k(5)
    assert np.allclose(again, theory.top[5], rtol=0.06)
    for mine, theirs in zip(numbers.around(1.0), theory.around[numbers.SHOWN.index(1.0)], strict=True):
        assert mine.mean == pytest.approx(theirs.mean, rel=0.06)
        assert mine.power == pytest.approx(theirs.power, abs=0.02)
        assert mine.fixed == theirs.fixed


def test_the_numbers_agree_with_each_other_and_with_what_is_known(page, stored):
    numbers, theory = page["theory"], stored.theory
    for row in theory.needed:
        assert votes_needed(row.ratio, 1.0, 0.7 * numbers.ALPHA) == row.unanimous
        assert row.least_p == ndtr(row.ratio)
        for margin, n in zip(numbers.MARGINS, row.votes, strict=True):
            p = [ndtr(row.ratio + margin), ndtr(-row.ratio - margin), *([0.0] * (numbers.CLASSES - 2))]
            assert power(int(n), p, row.ratio, numbers.plan_at()) >= numbers.WANTED
    for ratio, (fixed, looks) in zip(numbers.SHOWN, theory.least, strict=True):
        assert fixed == least_margin(numbers.N_MAX, ratio, Plan((1,), numbers.ALPHA, "rankcp", numbers.CLASSES, 1.0))
        assert fixed < looks < 1.3 * fixed
    assert len(theory.around) == len(theory.least) == len(numbers.SHOWN)


def test_every_number_of_the_conclusions_stands_in_a_table(page, stored):
    text = (DOCS / "sample-complexity.md").read_text(encoding="utf-8")
    told = text.partition("## In short")[2].partition("## ")[0]
    tables = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    large = re.findall(r"\b\d{1,3}(?:,\d{3})+\b", told)
    assert len(large) >= 8
    derived = {f"{stored.measured.n0 + stored.measured.n_max:,}"}
    for number in set(large) - derived:
        assert re.search(rf"(?<![\d,]){number}(?![\d,])", tables), number


def test_conclusions_in_words_are_true_of_the_numbers(stored):
    theory = stored.theory
    cohen, rank, few, many = (row[:-1] for row in theory.bounds.values())
    assert all(a < b < c < d for a, b, c, d in zip(cohen, rank, few, many, strict=True))
    assert theory.alphas[-1][3] < 3 * theory.alphas[0][3], "a small alpha is cheap"
    assert theory.top[1][3] > theory.top[3][3] > theory.top[5][3]
    for rows in theory.around:
        below = [row for row in rows if row.margin < 0]
        assert all(row.power < 0.01 and row.mean < 10_000 for row in below), "they give up"


def test_the_measured_part_is_what_the_votes_say(page, tmp_path):
    measured = page["measured"]
    run = make_run(tmp_path / "run", images=40, radius="0.1,0.25,3")
    found = measured.measured(run)
    assert (found.images, found.n_max, found.ks) == (40, run.spec.request.n_max, run.spec.request.k)
    for level in found.levels:
        taken = [line.samples for line in run.ledger.at(level.sigma)]
        assert level.run.mean == pytest.approx(np.mean(taken))
        assert level.run.median == np.median(taken)
        assert np.mean(np.array(taken) <= level.run.high) >= 0.9
        entries = {entry.radius: entry for entry in run.results() if (entry.sigma, entry.k) == (level.sigma, 1)}
        for edge in level.edges:
            assert edge.attainable == entries[edge.radius].attainable
            assert edge.certified == (entries[edge.radius].certified if edge.attainable else 0)
            assert edge.ten <= edge.open <= 40 - edge.certified


def test_the_figure_of_votes_draws_what_the_table_says(page, stored):
    numbers, figure = page["theory"], page["figures"].stopping()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"r/σ = {ratio:g}" for ratio in numbers.SHOWN]
    for axes, rows in zip(figure.axes, stored.theory.around, strict=True):
        mean = next(line for line in axes.lines if len(line.get_xdata()) == 61)
        for row in rows:
            if row.margin in (-1.0, -0.5, 0.1, 0.2, 0.5, 1.0, 2.0):
                drawn = mean.get_ydata()[np.argmin(abs(mean.get_xdata() - row.margin))]
                assert drawn == pytest.approx(row.mean, rel=0.25)
