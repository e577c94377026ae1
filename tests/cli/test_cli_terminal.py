"""Tables in a terminal: no line is wider than it, and what is left out is said."""

import re

import pytest

from smoothcert.cli import terminal
from smoothcert.report import Table

HEADINGS = ("sigma", "k", "r", "certified", "certified accuracy %", "95 % interval", "joint >= %")
ROWS = (
    ("0.25", "1", "1", "-", "not attainable (R_max 0.7848)", "-", "-"),
    ("0.5", "1", "1", "3/4", "75.0", "1 to 2", "9"),
)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits(width, monkeypatch, capsys):
    monkeypatch.setattr(terminal.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    terminal.show(Table(HEADINGS, ROWS, ({},)))
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, said.splitlines())) <= width
    assert ("3/4" in said) == (width >= 80)
    assert ("--format csv" in said) == (width < 80)
    assert "not attainable" in said


def test_wide_cells_are_wrapped_where_no_column_can_be_left_out(monkeypatch, capsys):
    monkeypatch.setattr(terminal.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "50")
    terminal.show(Table(("topic", "text"), (("arithmetic", "word " * 30),), ({},)))
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, said.splitlines())) <= 50
    assert said.count("word") == 30


def test_elsewhere_it_is_markdown(capsys):
    terminal.show(Table(HEADINGS, ROWS, ({},)))
    assert capsys.readouterr().out.startswith("| sigma |")
