"""Documents of a run with betting: they say what was done, and show no bounds where there are none."""

import pytest

from factories import make_run, simulate_run
from smoothcert.evidence import open_run
from smoothcert.report import ReportOptions, write_report
from smoothcert.report.curves import curve
from smoothcert.report.documents import check_documents
from smoothcert.report.html_report.build import page_text
from smoothcert.report.html_report.images import certificate_columns
from smoothcert.report.memo import text
from smoothcert.report.memo.text import references


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"stop": "never"}, {"target": "prediction", "stop": "futility"}], ids=str)
def test_every_document_holds(tmp_path, settings):
    path = simulate_run(tmp_path / "run", images=24, k="1,2", bound="betting", **settings)
    write_report(path, ReportOptions(live=False))
    assert check_documents(open_run(path)).faults == ()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("betting") / "run", images=24, bound="betting", sigma="0.5")


def test_the_page_has_certificates_without_bounds(run):
    columns = certificate_columns(run.spec, run.certificates(0.5, 1))
    assert set(columns) == {"outcome", "radius", "reached"}
    page = page_text(run)
    assert "bound betting" in page
    assert "not worth more samples" in page


def test_the_curve_has_steps_at_radii_of_the_grid(run):
    found = curve(run, 0.5, 1)
    assert set(found.radii.tolist()) <= {0.0, *run.spec.grid[0]}
    assert not found.exact
    assert [marker.certified for marker in found.grid] == [entry.certified for entry in run.results()]


def test_only_runs_with_betting_cite_it():
    assert [each for each in references(betting=False) if "[12]" in each or "[13]" in each] == []
    assert len(references()) == len(references(betting=False)) + 2
    assert "[12]" in text.BOUND_RULES["betting"]
    assert "[13]" in text.BOUND_RULES["betting"]
