"""Rows by subgroup against counts made one line at a time, and names that must stay names in every document."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from factories import make_run, with_subgroups, write_run
from report.pages import Reader
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.outcomes import outcomes
from smoothcert.report import subgroup_note, table_of
from smoothcert.report.certificates import certificate_columns, write_certificates
from smoothcert.report.groups import EMPTY, SHOWN, SMALL, UNKNOWN, subgroup_rows, subgroup_table, subgroups_of
from smoothcert.report.html_report.build import render
from smoothcert.report.memo.wording import check_text
from smoothcert.report.results import write_results
from smoothcert.stats import interval

IMAGES = 120
SEX = [("F", "M", "F", "not stated")[i % 4] for i in range(IMAGES)]
SCANNER = [f"scanner {i * i % 7}" for i in range(IMAGES)]
COLUMNS = {"sex": SEX, "scanner": SCANNER}
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</td></table><script>alert(2)</script>",
    "a|b \\| `c` *d* _e_ [f](g) &amp; ~~h~~",
    "two\nlines\r\x1b[31m",
    "=1+1",
    "{50 %} #x_y^z~ \\input{/etc/passwd}",
    "[x]",
    "血小板 \u202egnorw",
    "",
)


def grouped_run(path, **kind):
    return make_run(path, images=IMAGES, subgroups=COLUMNS, k="1,2", **kind)


def by_hand(run, sigma, k, r, column):
    """Certified images by value: each line alone."""
    counts = {}
    for line in run.ledger.at(sigma):
        kept = int(outcomes(run.spec, [line], sigma, k).certified_correct(r)[0])
        counts[line.subgroups[column]] = counts.get(line.subgroups[column], 0) + kept
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, {"drop": 70}, {"stopping": "fixed", "target": "label"}], ids=str)
def test_rows_are_counts_and_sum_to_the_cell_in_each_column(tmp_path, kind):
    run = grouped_run(tmp_path / "run", **kind)
    for entry in run.results():
        rows = subgroup_rows(run, entry.sigma, entry.k, entry.radius)
        for column, values in COLUMNS.items():
            mine = {part.value: row for part, row in zip(subgroups_of(run), rows, strict=True) if part.column == column}
            counted = by_hand(run, entry.sigma, entry.k, entry.radius, column)
            assert {name: row.certified for name, row in mine.items()} == {name: counted.get(name, 0) for name in mine}
            assert {name: row.images for name, row in mine.items()} == {name: values.count(name) for name in mine}
            assert sum(row.certified for row in mine.values()) == entry.certified
            assert sum(row.images for row in mine.values()) == IMAGES


def test_columns_in_the_specs_order_values_by_size_then_name(tmp_path):
    run = make_run(tmp_path / "run", images=7, subgroups={"z": list("bbaaccd"), "a": list("xyzxyzw")})
    assert [(part.column, part.value) for part in subgroups_of(run)] == [
        *(("z", value) for value in "abcd"),
        *(("a", value) for value in "xyzw"),
    ]
    assert [row[:3] for row in subgroup_table(run, 1, 0.1).rows][:2] == [("z", "a", "2"), ("z", "b", "2")]


def test_few_images_are_raw_counts_and_many_have_the_exact_interval(tmp_path):
    values = ["many"] * SMALL + ["few"] * (SMALL - 1)
    run = make_run(tmp_path / "run", images=len(values), subgroups={"site": values})
    many, few = subgroup_rows(run, 0.5, 1, 0.1)
    assert (few.observed, few.low, few.high) == (None, None, None)
    assert (many.low, many.high) == interval(many.certified, SMALL)
    printed = dict(zip(("many", "few"), (row[4] for row in subgroup_table(run, 1, 0.1).rows), strict=True))
    assert printed["few"] == f"{few.certified}/{SMALL - 1}"
    assert printed["many"].endswith(f"), {many.certified}/{SMALL}")
    assert printed["many"].startswith(f"{100 * many.certified / SMALL:.1f} % (")


def test_what_is_not_attainable_is_not_zero_percent(tmp_path):
    run = grouped_run(tmp_path / "run", radius="0.1,5")
    assert {text for row in subgroup_table(run, 1, 5.0).rows for text in row[3:]} == {"not attainable"}


def test_abstentions_and_missing_results_stay_in_the_denominator(tmp_path):
    run = grouped_run(tmp_path / "run", drop=IMAGES, radius="0.1")  # nothing at sigma 0.5
    empty = subgroup_rows(run, 0.5, 1, 0.1)
    assert {(row.certified, row.observed) for row in empty if row.images >= SMALL} == {(0, None)}
    assert {row.observed for row in subgroup_rows(run, 0.25, 1, 0.1) if row.images >= SMALL} != {None}
    assert [row.images for row in subgroup_rows(run, 0.5, 1, 0.1)][:3] == [60, 30, 30]
    assert "its counts have no percentage" in subgroup_note(run)
    lost = make_run(tmp_path / "lost", images=IMAGES, p=0.3, subgroups=COLUMNS)
    assert {row.observed for row in subgroup_rows(lost, 0.5, 1, 0.25) if row.images >= SMALL} == {0}


def test_while_images_have_no_result_there_are_counts_only(tmp_path):
    columns = {"sex": SEX, "all": ["x"] * IMAGES}
    run = make_run(tmp_path / "run", images=IMAGES, subgroups=columns, drop=IMAGES + 30)  # 30 have none at any sigma
    rows = subgroup_rows(run, 0.25, 1, 0.1)
    assert max(row.images for row in rows) == IMAGES - 30
    assert {row.observed for row in rows} == {None}
    unknown = [row for row in rows if row.name == UNKNOWN]
    assert [(row.images, row.certified) for row in unknown] == [(30, 0)] * 2
    assert "its counts have no percentage" in subgroup_note(run)


def test_hundreds_of_values_are_cut_and_the_table_says_so(tmp_path):
    values = [f"id {i // 2 if i < 20 else i}" for i in range(300)]
    run = make_run(tmp_path / "run", images=300, subgroups={"id": values}, radius="0.1")
    table = subgroup_table(run, 1, 0.1)
    assert [row[2] for row in table.rows] == ["2"] * 10 + ["1"] * (SHOWN - 10) + ["260"]
    assert table.rows[-1][1] == "260 more values"
    entry = run.results()[0]
    mine = [record for record in table.records if record["sigma"] == 0.25]
    assert (mine[-1]["value"], mine[-1]["values"], mine[-1]["observed"]) == (None, 260, None)
    assert sum(record["certified"] for record in mine) == entry.certified
    assert sum(record["images"] for record in mine) == 300
    assert f"more than {SHOWN} values, the {SHOWN} with the most images" in subgroup_note(run)
    assert "260 more values" in Reader(render(run)).text


def test_the_note_says_what_the_intervals_are_not(tmp_path):
    run = grouped_run(tmp_path / "run")
    note = subgroup_note(run)
    for words in (
        "for its row alone; nothing corrects",
        "is no test of fairness",
        "Abstentions count as not certified",
    ):
        assert words in note
    spec = run.spec.model_copy(update={"data": run.spec.data.model_copy(update={"grouped": True})})
    assert "Images of one group (such as a patient) are treated as independent." in subgroup_note(
        Run(run.directory, spec, run.ledger)
    )
    assert list(check_text(note, "note")) == []
    assert [each.phrase for each in check_text("a fair classifier; fairness", "note")] == ["fair", "fairness"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    values = [HOSTILE[i % len(HOSTILE)] for i in range(40)]
    columns = {"<b>sex</b>|\n": values, "[c]": values, "=血": values}
    return make_run(tmp_path_factory.mktemp("hostile") / "run", images=40, subgroups=columns)


def test_names_are_one_printable_line(hostile):
    for part in subgroups_of(hostile):
        assert part.name.isprintable()
        assert part.column.isprintable()
        assert part.name
    assert {part.value for part in subgroups_of(hostile)} >= {EMPTY, "two\\nlines\\r\\x1b[31m"}
    assert len({part.value for part in subgroups_of(hostile)}) == len(HOSTILE)


def test_names_stay_names_in_markdown(hostile):
    markdown_it = pytest.importorskip("markdown_it")
    table = subgroup_table(hostile, 1, 0.1)
    reader = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    entries = [token for token in reader.parse(table.render("md")) if token.type == "inline"]
    assert {child.type for entry in entries for child in entry.children} <= {"text", "text_special"}
    seen = ["".join(child.content for child in entry.children) for entry in entries]
    assert seen == [text.strip() for row in (table.headings, *table.rows) for text in row]


def test_names_stay_names_in_latex_csv_and_json(hostile):
    table = subgroup_table(hostile, 1, 0.1)
    body = [line for line in table.render("tex").splitlines() if line.endswith(r" \\")]
    assert len(body) == len(table.rows) + 1
    for line in body:
        plain = line.removesuffix(r" \\").replace(r"\\", "")
        for escaped in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\_", r"\&", r"\%", r"\#"):
            plain = plain.replace(escaped, "")
        plain = plain.replace(r"\{", "").replace(r"\}", "").removeprefix("{}").replace(" {}[", " [")
        assert not line.startswith(("[", "*"))  # an option of the line break before it
        assert plain.count("&") == len(table.headings) - 1
        assert not set(plain) & set("\\{}_%#^~$")
    records = list(csv.DictReader(table.render("csv").splitlines()))
    assert len(records) == len(table.records)
    assert not any(text.startswith(("=", "+", "-", "@")) for record in records for text in record.values())
    assert {record["value"] for record in records} >= {"'=1+1", "[x]", EMPTY}
    assert json.loads(table.render("json")) == list(table.records)


def test_names_stay_names_in_the_page_and_every_file_is_written(hostile, tmp_path):
    found = Reader(render(hostile))
    assert (found.open, found.astray) == ([], [])
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert not {"img", "b"} & {tag for tag, _ in found.tags}
    words = set(found.words)
    for part in subgroups_of(hostile):
        assert " ".join(part.name.split()) in words
    files = write_results(hostile, tmp_path)
    assert {file.name for file in files if "subgroups" in file.name} == {
        f"subgroups_k1_r{r}.csv" for r in ("0.1", "0.25", "0.5")
    }
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = parquet.read_table(write_certificates(hostile, tmp_path)).column_names
    assert columns[-3:] == ["subgroup_<b>sex</b>|\\n", "subgroup_[c]", "subgroup_=血"]


def test_the_page_has_a_section_next_to_classes(tmp_path):
    found = Reader(render(grouped_run(tmp_path / "run")))
    ids = [attributes["id"] for tag, attributes in found.tags if tag == "section"]
    assert ids[ids.index("classes") + 1] == "subgroups"
    assert found.words[found.words.index("Subgroups", found.words.index("10")) - 1] == "10"
    assert "Certified accuracy by scanner, with exact 95 % intervals, k = 1, r = 0.1" in found.text
    assert list(check_text(found.text.replace("equal robustness", ""), "report.html")) == []
    assert "results by sex, scanner" in found.text


def test_certificates_name_the_subgroups_of_each_image(tmp_path):
    run = grouped_run(tmp_path / "run")
    found = certificate_columns(run, 0.5, 1)
    assert found["subgroup_sex"] == SEX
    assert found["subgroup_scanner"] == SCANNER


def test_results_page_and_table_name(tmp_path):
    run = grouped_run(tmp_path / "run")
    write_results(run, tmp_path)
    told = (tmp_path / "results.md").read_text()
    assert told.count("## Subgroups at k = ") == 6
    assert told.count(subgroup_note(run)) == 6
    assert table_of(run, "subgroups") == subgroup_table(run, 1, 0.1)


def test_without_columns_no_document_has_anything_of_it(tmp_path):
    run = make_run(tmp_path / "run")
    assert table_of(run, "subgroups").rows == ()
    files = write_results(run, tmp_path)
    assert not [file for file in files if "subgroup" in file.name]
    assert "ubgroup" not in (tmp_path / "results.md").read_text().partition("## Guarantees")[0]
    found = Reader(render(run))
    assert "subgroups" not in {attributes.get("id") for _, attributes in found.tags}
    assert "Subgroups" not in found.words
    assert not [name for name in certificate_columns(run, 0.5, 1) if "subgroup" in name]
    assert "subgroups" not in json.loads(run.directory.spec.read_text())["data"]


def test_votes_decide_and_subgroups_change_nothing_else(tmp_path):
    plain = make_run(tmp_path / "plain", images=IMAGES)
    run = make_run(tmp_path / "run", images=IMAGES, subgroups=COLUMNS)
    assert run.results() == plain.results()
    assert np.array_equal(run.certificates(0.5).radius, plain.certificates(0.5).radius)


def test_a_damaged_ledger_does_not_stop_the_table(tmp_path):
    run = grouped_run(tmp_path / "run")
    lines = with_subgroups(run.ledger.lines, COLUMNS)
    lines[3] = replace(lines[3], subgroups={})
    other = write_run(tmp_path / "other", run.spec, [*lines, replace(lines[0], index=9999)], sealed=False)
    rows = subgroup_rows(open_run(other.directory.path), 0.25, 1, 0.1)
    assert sum(row.images for row in rows) == 2 * IMAGES
    assert all(row.certified <= row.images for row in rows)
    assert [row.images for row in rows if row.name == UNKNOWN] == [1, 1]
