"""Flags and withheld sentences of documents: whoever removes or adds one is found out, even with a log that fits."""

import json
import re
import shutil

import pytest

from report.memo_runs import CRITERIA, FULL, PRIMARY, memo_run
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.report.documents import check_documents
from smoothcert.report.html_report import write_page
from smoothcert.report.memo import FIELDS, make_sponsor, write_memo
from smoothcert.report.write import log_documents

for library in ("typst", "pypdf", "jinja2"):
    pytest.importorskip(library)

SPONSOR = {name: value for name, value in FULL.items() if name != "population"} | {"demonstration": True}
BOUND = (
    "If the 12 images are independent draws from the population that the sponsor describes, the smoothed classifier is "
    "correct for at least 50.0 % of that population."
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = memo_run(tmp_path_factory.mktemp("stated") / "run", images=12, primary=PRIMARY, criteria=CRITERIA)
    sponsor, results = make_sponsor(SPONSOR), run.directory.results
    files = write_memo(run, results, sponsor)
    write_page(sponsor.of(run), results, sponsor.production)
    log_documents(run.directory, [*files, results / "report.html"])
    return run.directory.path


def field(name, old, new):
    def change(results):
        record = json.loads((results / FIELDS).read_text())
        printed = record["fields"][name]["printed"]
        assert old in printed
        record["fields"][name]["printed"] = printed.replace(old, new)
        (results / FIELDS).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")

    return change


def verdict(results):
    record = json.loads((results / FIELDS).read_text())
    row = record["tables"]["criteria"]["rows"][0]
    assert row[-1] == "undecided"
    row[-1] = "met"
    (results / FIELDS).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def page(old, new):
    def change(results):
        path = results / "report.html"
        text = path.read_text()
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text))

    return change


MUTATIONS = {
    "a population sentence that is withheld": (field("population", "No statement", f"{BOUND} No statement"), FIELDS),
    "a mark that is removed": (field("marks", "DEMONSTRATION DATA", ""), FIELDS),
    "the condition of an interval": (field("observed", "if the images are independent draws", "exactly"), FIELDS),
    "what the log shows": (field("conduct", "Earlier use of these images", "No use of these images"), FIELDS),
    "a verdict": (verdict, FIELDS),
    "a mark of the page": (page("DEMONSTRATION DATA", ""), "report.html"),
    "a sentence of the page": (page("No statement about a population is made: [^<]*", BOUND), "report.html"),
    "the outcome of the page": (page("not a finding", "a finding"), "report.html"),
}


def test_the_documents_hold(finished):
    assert check_documents(open_run(finished)).faults == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found(finished, tmp_path, name):
    change, document = MUTATIONS[name]
    directory = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    names = [*directory.read_events()[-1].facts["documents"]]
    change(directory.results)
    lines = directory.events.read_bytes().splitlines(keepends=True)
    directory.events.write_bytes(b"".join(lines[:-1]))
    log_documents(directory, [directory.results / each for each in names])
    faults = check_documents(open_run(directory.path)).faults
    assert any(document in fault for fault in faults), faults
