"""Subgroups in the memo: the lowest and the highest row of each column, on four pages, checked by verify."""

import json
import re

import pytest

from report.memo_runs import FULL, OVERLONG, PRIMARY, memo_run
from smoothcert.evidence import open_run
from smoothcert.evidence.outcomes import outcomes
from smoothcert.report.documents import check_documents
from smoothcert.report.documents.memo_pdf import against
from smoothcert.report.memo import FIELDS, FILES, make_memo, make_sponsor, text, write_memo
from smoothcert.report.memo.blocks import pieces
from smoothcert.report.memo.build import printed_pages, typeset
from smoothcert.report.memo.pdftext import page_count, page_texts
from smoothcert.report.memo.tables import COLUMNS, label
from smoothcert.report.write import log_documents
from smoothcert.stats import interval
from smoothcert.stats.rounding import format_down, format_up

IMAGES = 160
SITE = ["north"] * 60 + ["south"] * 55 + ["few"] * 45
SEX = ["FM"[i % 2] for i in range(IMAGES)]
NINE = {
    "sigma": ",".join(f"0.{i}" for i in range(1, 10)),
    "noise": "float",
    "k": "1,2,3",
    "radius": "0.1,0.2,0.3,0.4,0.5,0.6",
}
FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 86 80"><rect width="86" height="80" fill="#ddd"/></svg>'


def memo_of(path, subgroups, sponsor=None, **kind):
    run = memo_run(path, images=IMAGES, subgroups=subgroups, primary=PRIMARY, **kind)
    return make_memo(run, make_sponsor(sponsor or {}))


def words(memo):
    return " ".join(piece.text for page in memo.pages for piece in pieces(page))


def by_hand(run, values, wanted):
    """A printed row: images and certified images of one value counted line by line."""
    lines = [line for line in run.ledger.at(0.5) if values[line.index] == wanted]
    s = sum(int(outcomes(run.spec, [line], 0.5, 1).certified_correct(0.25)[0]) for line in lines)
    low, high = interval(s, len(lines))
    share = f"{format_down(100 * s / len(lines), 1)} ({format_down(100 * low, 1)} to {format_up(100 * high, 1)})"
    return s / len(lines), f"{wanted} ({len(lines)} images): {share}"


def test_lowest_and_highest_of_enough_images_at_the_entry_shown(tmp_path):
    run = memo_run(tmp_path / "run", images=IMAGES, subgroups={"site": SITE, "sex": SEX}, primary=PRIMARY)
    memo = make_memo(run, make_sponsor({}))
    for row, values, kinds in zip(memo.tables["subgroups"].rows, (SITE, SEX), (("north", "south"), "FM"), strict=True):
        (_, low), (_, high) = sorted(by_hand(run, values, kind) for kind in kinds)
        assert row[1:] == (str(len(set(values))), low, high)
    assert [row[0] for row in memo.tables["subgroups"].rows] == ["site", "sex"]
    assert "few" not in words(memo).split("Subgroup columns")[0].split("by subgroup")[1]
    assert "Subgroup columns: site, sex." in words(memo)
    assert (
        "at sigma 0.5, k = 1, r = 0.25, up to 1,000 noise samples per image" in memo.fields["subgroup_caption"].printed
    )
    assert text.NO_GROUPS not in words(memo)


def test_without_columns_the_memo_says_so_and_has_no_table(tmp_path):
    memo = memo_of(tmp_path / "run", {})
    assert text.NO_GROUPS in words(memo)
    assert "subgroups" not in memo.tables
    assert not [name for name in memo.fields if "subgroup" in name]


@pytest.mark.parametrize(
    ("subgroups", "kind", "row"),
    [
        ({"c": ["x"] * IMAGES}, {}, ("c", "1", None, "none is higher")),
        ({"c": SEX}, {"p": 0.9999}, ("c", "2", "F (80 images): 100.0 (95.4 to 100.0)", "none is higher")),
        ({"c": [str(i % 8) for i in range(IMAGES)]}, {}, ("c", "8", "none of 50 images or more", "-")),
        ({"c": SEX}, {"drop": IMAGES + 9}, ("c", "2", "partial run: counts in report.html", "-")),
    ],
)
def test_what_cannot_be_given_is_said(tmp_path, subgroups, kind, row):
    (found,) = memo_of(tmp_path / "run", subgroups, **kind).tables["subgroups"].rows
    assert all(wanted in (None, ours) for ours, wanted in zip(found, row, strict=True)), found


def test_an_unattainable_entry_has_no_percentage(tmp_path):
    run = memo_run(
        tmp_path / "run", images=IMAGES, subgroups={"sex": SEX}, radius="3", primary={**PRIMARY, "radius": 3.0}
    )
    memo = make_memo(run, make_sponsor({}))
    assert memo.tables["subgroups"].rows == (("sex", "2", "not attainable", "not attainable"),)


def test_names_that_cannot_be_printed_are_positions(tmp_path):
    skin = ["fair"] * 60 + ["白"] * 55 + ["x" * 50] * 45
    memo = memo_of(tmp_path / "run", {"guaranteed accuracy": skin, "two\nlines": SEX}, FULL)
    first, second = memo.tables["subgroups"].rows
    assert first[0] == "column 1"
    assert {entry.split(" (")[0] for entry in first[2:]} == {"value 1", "value 2"}
    assert second[0] == "two lines"
    assert "phrase" not in memo.fields["reasons"].printed
    assert memo.fields["subgroup_note"].printed.endswith(text.PLACES)
    assert [label("value", 1, name) for name in ("", "a" * 29, "\u202e")] == ["value 1"] * 3


MANY = {
    f"{'a quite long name ' if i % 2 else '列'}{i}": [f"{'v' * 20} {j % (2 + i)}" for j in range(IMAGES)]
    for i in range(9)
}


@pytest.mark.parametrize(
    "kind", [{}, pytest.param({**NINE, "classes": 10}, marks=pytest.mark.slow)], ids=["plain", "nine sigmas"]
)
def test_four_pages_on_both_papers_with_many_columns(tmp_path, kind):
    primary = {"primary": {**PRIMARY, "radius": 0.2}} if kind else {"primary": PRIMARY}
    memo = make_memo(
        memo_run(tmp_path / "run", images=IMAGES, subgroups=MANY, groups=40, **kind, **primary), make_sponsor(OVERLONG)
    )
    assert len(memo.tables["subgroups"].rows) == COLUMNS
    assert "and 1 more" in memo.fields["subgroup_note"].printed
    assert "The first 4 columns have a row." in memo.fields["subgroup_note"].printed
    for paper in FILES:
        pdf = typeset(memo, FIGURE, paper)
        assert page_count(pdf) == 4
        for page, wanted in zip(page_texts(pdf), printed_pages(memo), strict=True):
            assert list(against(page, wanted)) == []


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("subgroups") / "run"
    hostile = ["#panic(1) $x$ *b* @r <l> \\"] * 80 + ["| <script>"] * 80
    run = memo_run(path, images=IMAGES, subgroups={"site": SITE, "markup": hostile}, primary=PRIMARY)
    log_documents(run.directory, write_memo(run, run.directory.results, make_sponsor(FULL)))
    return run


def test_the_documents_hold_and_the_bytes_are_the_same_again(written, tmp_path):
    assert check_documents(open_run(written.directory.path)).faults == ()
    for file in write_memo(open_run(written.directory.path), tmp_path, make_sponsor(FULL)):
        assert file.read_bytes() == (written.directory.results / file.name).read_bytes()
    assert "#panic(1) $x$ *b* @r <l> \\" in page_texts((tmp_path / "memo.pdf").read_bytes())[2]


def test_a_changed_row_is_named(written, tmp_path):
    path = written.directory.results / FIELDS
    before = path.read_text()
    record = json.loads(before)
    entry = record["tables"]["subgroups"]["rows"][0][3]
    record["tables"]["subgroups"]["rows"][0][3] = re.sub(r": [\d.]+", ": 99.9", entry)
    path.write_text(json.dumps(record))
    faults = check_documents(open_run(written.directory.path)).faults
    path.write_text(before)
    assert any("table subgroups: row 1, highest: printed" in fault for fault in faults)
