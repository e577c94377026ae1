"""Names from the data are plain text in every document: no control character, no formula, no turned letters."""

import csv
import io
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from factories import make_run
from smoothcert.cli.terminal import print_text, show
from smoothcert.errors import printable
from smoothcert.report.html_report import write_page
from smoothcert.report.markup import FORMULA, inert, markdown, tex, visible
from smoothcert.report.notebook import facts as display
from smoothcert.report.notebook.facts import line_table, spec_table
from smoothcert.report.results import table_of, write_results
from smoothcert.report.results_table import Table

HOSTILE = ("\x1b]0;x\x07", "\u202egnorw", "x;=1+1", "\t=2\u2028|@a\x85\u200b\n;-3")
SEPARATORS = (",", ";", "\t", "|")
texts = st.text(st.sampled_from([*"\";|,\t\n =+-@a'", "\x1b", "\u202e", "\uff1d"])) | st.text()


def controls(text):
    """What a text holds that is neither shown nor a line break of the document; the notebook keeps figures together."""
    return {letter for letter in text if not letter.isprintable()} - {"\n", "\N{NO-BREAK SPACE}"}


def formulas(text):
    """Cells that begin like a formula for a spreadsheet that splits at any one separator; a number is none."""
    for separator in SEPARATORS:
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            for entry in row:
                if entry.lstrip(' "').startswith(FORMULA):
                    yield separator, entry


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    facts = {"class_names": HOSTILE, "reference": "a\x1b[2J\u202e\n;=1.npz"}
    column = {"co\x1bl;=3": [HOSTILE[i % 4] for i in range(40)]}
    return make_run(tmp_path_factory.mktemp("names") / "run", images=40, data=facts, subgroups=column)


def test_result_files(run, tmp_path):
    for path in write_results(run, tmp_path):
        text = path.read_text(encoding="utf-8")
        assert not controls(text), path.name
        if path.suffix == ".csv":
            assert not list(formulas(text)), path.name


def test_page(run, tmp_path):
    text = write_page(run, tmp_path).read_text(encoding="utf-8")
    assert not controls(text)
    assert "\\\\u202egnorw" in text  # in the data of the page's script, too, a name is its escape


def test_notebook(run, monkeypatch):
    shown = []
    monkeypatch.setattr(display, "_show", lambda page, plain: shown.extend([page, plain]))
    for found in (spec_table(run.spec), line_table(run.spec, run.ledger.lines[0]), table_of(run, "classes")):
        display.table(found, HOSTILE[0])
    display.say("".join(HOSTILE))
    assert len(shown) == 8
    assert not [text for text in shown if controls(text)]


def test_terminal(run, capsys, monkeypatch):
    print_text("".join(HOSTILE))
    show(table_of(run, "classes"))
    monkeypatch.setattr("smoothcert.cli.terminal.sys.stdout", sys.stdout)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "is_terminal", False)
    show(table_of(run, "subgroups"))
    print_text("".join(HOSTILE))
    assert not controls(capsys.readouterr().out)


@given(texts)
def test_every_form_of_a_text_is_printable(text):
    assert tex(text).isprintable()
    assert inert(text).isprintable()
    for lines in (markdown(text), visible(text)):
        assert lines.count("\n") == text.count("\n")
        assert lines.replace("\n", "").isprintable()


@example(["a", 'x;"=1+1'])
@example([";|=1"])
@given(st.lists(texts, min_size=1, max_size=4))
def test_no_separator_makes_a_formula_and_csv_is_read_back(values):
    record = dict(enumerate(values))
    text = Table((), (), (record,)).render("csv").partition("\n")[2]
    assert not list(formulas(text))
    (row,) = csv.reader(io.StringIO(text)) if text else [[""]]
    for entry, value in zip(row, values, strict=True):
        assert entry.replace("'", "") == printable(value).replace("'", "")
