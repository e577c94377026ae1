import csv
import io
import json
import math
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_line, make_spec
from refusals import refuses
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import entries
from smoothcert.formats.published import PublishedLog, read_log
from smoothcert.formats.results import Entry
from smoothcert.report import FORMATS, log_table, results_table
from smoothcert.stats import claims

RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def entry(certified=2, images=3, lines=None, attainable=True, **changed):
    """One entry of a run; its claims are those of the votes."""
    claim = claims(certified, images, 0.001, 2)
    values = Entry(
        sigma=0.5,
        k=1,
        radius=0.25,
        attainable=attainable,
        r_max=1.90572894,
        images=images,
        lines=images if lines is None else lines,
        certified=certified,
        observed=claim.observed,
        low=claim.low,
        high=claim.high,
        sample=claim.sample,
        population=claim.population,
        joint=claim.joint,
        abstained=1,
        wrong=0,
        samples_mean=1234.5,
        samples_median=600.0,
        samples_max=100_100,
        groups=None,
        at_least=False,
        withheld=None,
    )
    return replace(values, **changed)


def printed(table):
    """The only row of a table, by heading."""
    (row,) = table.rows
    return dict(zip(table.headings, row, strict=True))


def percent_down(value):
    return f"{math.floor(Fraction(value) * 1000) / 10:.1f}"


@settings(max_examples=200)
@given(st.integers(1, 10_000).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))))
def test_lower_bounds_are_rounded_down_and_upper_bounds_up(pair):
    s, m = pair
    found = entry(s, m)
    row = printed(results_table([found]))
    assert row["certified"] == f"{s}/{m}"
    assert row["certified accuracy %"] == percent_down(Fraction(s, m))
    low, high = (float(end) for end in row["95 % interval if independent"].split(" to "))
    assert low <= 100 * found.low < low + 0.1 + 1e-9
    assert high - 0.1 - 1e-9 < 100 * found.high <= high
    for heading, exact in (
        ("population >= % if independent", found.population),
        ("joint >= % if independent", found.joint),
    ):
        assert float(row[heading]) <= 100 * exact < float(row[heading]) + 0.1 + 1e-9


def test_a_row_as_it_is_printed():
    assert printed(results_table([entry()])) == {
        "sigma": "0.5",
        "k": "1",
        "r": "0.25",
        "certified": "2/3",
        "certified accuracy %": "66.6",
        "95 % interval if independent": "9.4 to 99.2",
        "this sample >=": "2",
        "population >= % if independent": "13.4",
        "joint >= % if independent": "9.3",
        "abstained": "1",
        "wrong class": "0",
        "R_max": "1.9057",
        "mean samples": "1,234",
        "median": "600",
    }


def test_an_unattainable_cell_is_never_a_percentage():
    row = printed(results_table([entry(0, attainable=False, r_max=0.95286)]))
    assert row["certified accuracy %"] == "not attainable (R_max 0.9528)"
    assert {
        row[name]
        for name in ("certified", "95 % interval if independent", "this sample >=", "joint >= % if independent")
    } == {"-"}
    assert "0.0" not in row.values()


def test_a_partial_run_has_no_population_sentence():
    partial = printed(results_table([entry(lines=2, population=None, joint=None, withheld="partial run")]))
    assert (partial["population >= % if independent"], partial["joint >= % if independent"]) == (
        "partial run",
        "partial run",
    )
    assert partial["certified"] == "2/3"
    whole = printed(results_table([entry(joint=None)]))
    assert (whole["population >= % if independent"], whole["joint >= % if independent"]) == ("13.4", "withheld")


def run_cells():
    spec = make_spec((0, 1), looks=(1000,), stopping="fixed", bound="cohen", radius="0.25,0.75", k="1,2")
    lines = (make_line(0, 0, {0: 100}, [{0: 1000}]), make_line(1, 1, {1: 90, 2: 10}, [{1: 700, 2: 300}]))
    return entries(spec, Ledger(lines))


def test_every_form_holds_the_same_rows():
    found = run_cells()
    table = results_table(found)
    assert [len(row) for row in table.rows] == [len(table.headings)] * 4
    assert [{**row, **each.record()} for row, each in zip(json.loads(table.render("json")), found, strict=True)] == [
        *table.records
    ]
    rows = list(csv.DictReader(io.StringIO(table.render("csv"))))
    assert [row["population"] for row in rows] == [str(each.population) if each.attainable else "" for each in found]
    assert [row["attainable"] for row in rows] == ["True", "False", "True", "False"]
    lines = table.render("md").splitlines()
    assert lines[-2:] == ["", table.note]
    markdown = [[text.strip() for text in line.strip("|").split("|")] for line in lines[:-2]]
    assert [tuple(row) for row in (markdown[0], *markdown[2:])] == [table.headings, *table.rows]
    assert len({len(line) for line in lines[:-2]}) == 1
    tex = table.render("tex").splitlines()
    body = [line for line in tex if line.endswith(r"\\")]
    assert tex[-2:] == ["", rf"\noindent {table.note}"]
    assert [line.count("&") for line in body] == [len(table.headings) - 1] * 5
    assert r"not attainable (R\_max 0.6158)" in body[2]
    assert r"certified accuracy \%" in body[0]
    assert (tex[0], tex[-3]) == (rf"\begin{{tabular}}{{{'r' * 14}}}", r"\end{tabular}")
    assert set(FORMATS) == {"md", "csv", "tex", "json"}


def a_log(name, radii):
    radii = np.array(radii)
    return PublishedLog(name, radii, radii > 0, radii == 0)


def test_a_log_makes_no_claim_beyond_the_observed():
    table = log_table([a_log("a.tsv", [0.5, 0.3, 0.0])], (0.25, 0.5))
    assert table.headings == (
        "log",
        "r",
        "certified",
        "certified accuracy",
        "95 % interval if independent",
        "abstained",
    )
    assert table.rows == (
        ("a.tsv", "0.25", "2/3", "0.67", "9.4 to 99.2", "1"),
        ("a.tsv", "0.5", "1/3", "0.33", "0.8 to 90.6", "1"),
    )


@pytest.mark.parametrize("special", list(r"\%_&#{}$~^"))
def test_names_are_escaped_in_latex(special):
    line = log_table([a_log(f"a{special}b", [0.5])], (0.25,)).render("tex").splitlines()[4]
    name = line.split(" & ")[0] if special != "&" else line[: line.index(" & 0.25")]
    escaped = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    assert name == f"a{escaped.get(special, chr(92) + special)}b"


def published(path):
    """{sigma: texts} of the published Markdown table, stars and tags removed."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.search(r"sigma; = ([0-9.]+)", line):
            texts = line.split("</b>|", 1)[1].rstrip("| ").split("|")
            found[match[1]] = [re.search(r"[0-9.]+", text)[0] for text in texts]
    return found


@pytest.mark.parametrize("sigma", ["0.12", "0.25", "0.50", "1.00"])
def test_the_published_table_to_its_last_digit(shared_data, sigma):
    folder = shared_data / "locuslab_cifar10"
    table = log_table([read_log(folder / f"noise_{sigma}_sigma_{sigma}.tsv")], RADII)
    assert [row[3] for row in table.rows] == published(folder / "published_table.md")[sigma]
    assert {row[2].split("/")[1] for row in table.rows} == {"500"}


def test_the_published_table_itself_is_not_a_log(shared_data):
    with refuses("E-RUN-056"):
        read_log(shared_data / "locuslab_cifar10" / "published_table.md")
