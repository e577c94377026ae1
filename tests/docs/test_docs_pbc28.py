"""The evidence of the reference run: it verifies, names no machine, and the page's arithmetic agrees with it."""

import numpy as np
import pytest

from factories import simulate_run
from smoothcert.cli import main
from smoothcert.evidence import open_run

from .conftest import ROOT, scripts
from .markdown import anchors, links

EXAMPLES = ROOT / "examples"
RUNS = sorted(str(path.parent.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("spec.json"))
MODULES = ("make", "layout", "learned", "denoised", "result", "wording")
PLACES = ("/home/", "/root/", "/tmp/", "/work/", "/Users/")


@pytest.fixture(scope="module")
def page():
    """The modules behind the page, by name."""
    with scripts(ROOT / "docs" / "pbc28", MODULES) as found:
        yield found


@pytest.fixture(scope="module")
def run():
    return open_run(EXAMPLES / "pbc28")


@pytest.fixture(scope="module")
def alone(page, run):
    """Samples per image that each entry of the first sigma alone would have taken, one row per entry."""
    return np.array(list(page["learned"].alone(run, run.spec.request.sigma[0]).values()))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_evidence_verifies(name, capsys):
    with pytest.raises(SystemExit) as done:
        main(["verify", str(EXAMPLES / name)])
    assert not done.value.code
    assert "verifies" in capsys.readouterr().out


@pytest.mark.parametrize("name", RUNS)
def test_the_evidence_names_no_machine(name):
    kinds = ("json", "jsonl", "yaml", "md", "csv", "html", "ipynb", "tex", "txt")
    files = [path for path in (EXAMPLES / name).rglob("*") if path.suffix[1:] in kinds]
    assert {"spec.json", "events.jsonl"} <= {path.name for path in files}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not any(place in text for place in PLACES), path


def test_the_dearest_cell_alone_takes_what_the_image_took(run, alone):
    taken = np.array([line.samples for line in run.ledger.at(float(run.spec.request.sigma[0]))])
    dearest = np.max(alone, axis=0)
    assert len(taken) > 1_000
    assert np.all(dearest <= taken)
    # a cell that looked hopeless may look open again at a look which only another cell needed
    assert np.mean(dearest == taken) > 0.995


def certified(run, k, r):
    """Whether each image is certified at r, by its index."""
    found = run.certificates(0.5, k)
    return {int(i): bool(each.certified_at) for i, each in zip(found.index, found.certificates((r,)), strict=True)}


def test_agreement_counts_each_image_that_both_runs_decided(page, tmp_path):
    early = open_run(simulate_run(tmp_path / "early", images=40))
    fixed = open_run(simulate_run(tmp_path / "fixed", images=40, seed=1, stopping="fixed", drop=15))
    for found in page["learned"].agreement(early, fixed, 0.5):
        expected = {(True, True): 0, (False, False): 0, (True, False): 0, (False, True): 0}
        one, other = (certified(each, found.k, found.radius) for each in (early, fixed))
        for index, answer in other.items():
            expected[one[index], answer] += 1
        assert found.images == len(other) == 25
        assert [found.both, found.neither, found.first, found.second] == list(expected.values())


def test_images_on_which_runs_differ_are_those_that_agreement_counts(page, tmp_path):
    learned = page["learned"]
    early = open_run(simulate_run(tmp_path / "early", images=40))
    fixed = open_run(simulate_run(tmp_path / "fixed", images=40, seed=1, stopping="fixed", drop=15))
    differ = learned.apart(early, fixed, 0.5)
    assert differ, "the simulated runs are close to some radius somewhere"
    for found in learned.agreement(early, fixed, 0.5):
        here = [each for each in differ if (each.k, each.radius) == (found.k, found.radius)]
        one, other = (certified(each, found.k, found.radius) for each in (early, fixed))
        assert [each.index for each in here] == [i for i in sorted(other) if one[i] != other[i]]
        assert len(here) == found.first + found.second
    for each in differ:
        lines = [{line.index: line for line in run.ledger.at(0.5)} for run in (early, fixed)]
        assert each.taken == tuple(at[each.index].samples for at in lines)


def test_the_budget_is_all_copies_of_all_images(page, tmp_path):
    run = open_run(simulate_run(tmp_path / "run", images=30))
    for sigma in run.spec.request.sigma:
        taken = [line.samples for line in run.ledger.at(float(sigma))]
        found, most = page["learned"].budget(run, sigma), run.spec.request.max_samples
        assert (found.images, found.samples) == (30, sum(taken))
        assert found.at_most == taken.count(most) > 0
        assert found.share == pytest.approx(found.at_most * most / sum(taken))
        assert found.early == sum(n <= page["learned"].FEW for n in taken)


@pytest.mark.slow
def test_the_page_and_the_readme_say_what_the_votes_give(page, run):
    make = page["make"]
    fixed, clean = (open_run(EXAMPLES / name) for name in (make.FIXED, make.CLEAN))
    assert make.PAGE.read_text(encoding="utf-8") == make.page(run, fixed, clean)
    readme = make.README.read_text(encoding="utf-8")
    assert readme == page["result"].with_result(readme, run)
    frozen = make.FROZEN.read_text(encoding="utf-8")
    assert frozen == page["denoised"].with_table(frozen, page["denoised"].compared(EXAMPLES / make.DENOISED))


def test_what_the_page_says_in_words_is_true_of_the_votes(page, run, alone):
    for sigma in run.spec.request.sigma:
        spent = page["learned"].budget(run, sigma)
        assert spent.at_most < 0.05 * spent.images, "few took all samples"
        assert spent.share > 0.15, "and had a large part of the work"
    means = alone.mean(axis=1)
    assert max(means) > sum(means) - max(means), "one entry costs more than all others together"
    entries = {(entry.sigma, entry.k, entry.radius): entry for entry in run.results()}
    for r in run.spec.request.radius:
        assert entries[1.0, 1, r].observed < entries[0.5, 1, r].observed, "sigma 1.0 pays with accuracy"
    assert not entries[0.25, 1, 1.0].attainable


def test_the_fixed_run_is_of_the_first_images(page):
    fixed = open_run(EXAMPLES / page["make"].FIXED)
    decided = sorted(line.index for line in fixed.ledger.lines)
    assert decided == list(range(200))


def test_where_the_fixed_run_differs_both_radii_lie_close_to_r(page, run):
    fixed = open_run(EXAMPLES / page["make"].FIXED)
    for each in page["learned"].apart(run, fixed, 0.5):
        assert all(abs(found - each.radius) < 0.01 for found in each.found)
        assert min(each.found) < each.radius < max(each.found)


def test_a_classifier_without_noise_certifies_one_class(page):
    clean = open_run(EXAMPLES / page["make"].CLEAN)
    assert len(page["learned"].answers(clean, 0.25)) <= 2, "one or two answers only"
    for sigma in (0.5, 1.0):
        ((name, images),) = page["learned"].answers(clean, sigma).items()
        assert images == clean.spec.data.images
        found = clean.certificates(sigma, 1)
        certified = [found.certified_correct(r) for r in clean.spec.request.radius]
        of = np.flatnonzero(found.label == clean.spec.data.class_names.index(name))
        assert all(np.flatnonzero(each).tolist() == of.tolist() for each in certified)


def test_links_of_the_page_and_of_the_evidence_exist():
    for page in (ROOT / "docs" / "pbc28.md", EXAMPLES / "pbc28" / "README.md"):
        text = page.read_text(encoding="utf-8")
        for target in links(text):
            path, _, anchor = target.partition("#")
            assert (page.parent / path).exists(), f"{page.name} links to {path}"
            where = (page.parent / path).read_text(encoding="utf-8") if anchor else ""
            assert not anchor or anchor in anchors(where), f"{page.name} links to {target}"


def test_a_row_of_the_frozen_classifier_counts_each_image(page):
    found = open_run(EXAMPLES / "pbc28-frozen" / "compared" / "ensemble")
    sigma = found.spec.request.sigma[0]
    row, outcome = page["denoised"].row_of(found, sigma), found.certificates(float(sigma), 1)
    for r, count in zip(found.spec.request.radius, row.certified, strict=True):
        assert count == sum(bool(each) for each in outcome.certified_correct(r))
    taken = [line.samples for line in found.ledger.at(float(sigma))]
    assert row.images == 400
    assert 0.9 * sum(taken) < 400 * row.samples <= sum(taken)
