"""The evidence of the reference run: it verifies, names no machine, and the page's arithmetic agrees with it."""

import sys

import numpy as np
import pytest

from smoothcert.cli import main
from smoothcert.evidence import open_run
from verify.simulated import simulate

from .conftest import ROOT

EXAMPLES = ROOT / "examples"
RUNS = sorted(path.parent.name for path in EXAMPLES.glob("*/spec.json"))
MODULES = ("make", "layout", "learned", "result", "wording")
PLACES = ("/home/", "/root/", "/tmp/", "/work/", "/Users/")


@pytest.fixture(scope="module")
def page():
    """The modules behind the page, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "pbc28"))
        patch.setattr(sys, "dont_write_bytecode", True)
        for name in MODULES:  # other scripts have pages too
            patch.delitem(sys.modules, name, raising=False)
        yield {name: __import__(name) for name in MODULES}
        for name in MODULES:
            sys.modules.pop(name)


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


def test_the_dearest_cell_alone_takes_what_the_image_took(page):
    run = open_run(EXAMPLES / "pbc28")
    sigma = run.spec.request.sigma[0]
    alone = [page["learned"].alone(run, sigma, k, r) for k in run.spec.request.k for r in run.spec.request.radius]
    taken = np.array([line.samples for line in run.ledger.at(float(sigma))])
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
    early = open_run(simulate(tmp_path / "early", images=40))
    fixed = open_run(simulate(tmp_path / "fixed", images=40, seed=1, stopping="fixed", drop=15))
    for found in page["learned"].agreement(early, fixed, 0.5):
        expected = {(True, True): 0, (False, False): 0, (True, False): 0, (False, True): 0}
        one, other = (certified(each, found.k, found.radius) for each in (early, fixed))
        for index, answer in other.items():
            expected[one[index], answer] += 1
        assert found.images == len(other) == 25
        assert [found.both, found.neither, found.first, found.second] == list(expected.values())


def test_the_budget_is_all_copies_of_all_images(page, tmp_path):
    run = open_run(simulate(tmp_path / "run", images=30))
    for sigma in run.spec.request.sigma:
        taken = [line.samples for line in run.ledger.at(float(sigma))]
        found, most = page["learned"].budget(run, sigma), run.spec.request.most_copies
        assert (found.images, found.copies) == (30, sum(taken))
        assert found.at_most == taken.count(most) > 0
        assert found.share == pytest.approx(found.at_most * most / sum(taken))
        assert found.early == sum(n <= page["learned"].FEW for n in taken)
