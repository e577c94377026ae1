"""The evidence of the reference run: it verifies, names no machine, and the page's arithmetic agrees with it."""

import sys

import numpy as np
import pytest

from smoothcert.cli import main
from smoothcert.evidence import open_run

from .conftest import ROOT

RUN = ROOT / "examples" / "pbc28"
MODULES = ("make", "learned", "wording")


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
def test_the_evidence_verifies(capsys):
    with pytest.raises(SystemExit) as done:
        main(["verify", str(RUN)])
    assert not done.value.code
    assert "verifies" in capsys.readouterr().out


def test_the_evidence_names_no_machine():
    for path in RUN.glob("*.json*"):
        text = path.read_text(encoding="utf-8")
        assert not any(place in text for place in ("/home/", "/root/", "/tmp/", "/work/")), path


def test_the_dearest_cell_alone_takes_what_the_image_took(page):
    run = open_run(RUN)
    sigma = run.spec.request.sigma[0]
    alone = [page["learned"].alone(run, sigma, k, r) for k in run.spec.request.k for r in run.spec.request.radius]
    taken = np.array([line.samples for line in run.ledger.at(float(sigma))])
    dearest = np.max(alone, axis=0)
    assert len(taken) > 1_000
    assert np.all(dearest <= taken)
    # a cell that looked hopeless may look open again at a look which only another cell needed
    assert np.mean(dearest == taken) > 0.995
