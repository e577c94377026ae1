"""The PDF: exactly four pages on both papers whatever the run, PDF/A, the same bytes, nothing outside the margins."""

import io
import re

import pytest

from refusals import refuses
from report.memo_runs import CRITERIA, FULL, LONG, OVERLONG, PRIMARY, memo_run
from smoothcert.report.documents.memo_pdf import against, squeeze
from smoothcert.report.memo import FIELDS, FILES, build, make_memo, make_sponsor, write_memo
from smoothcert.report.memo.build import printed_pages, typeset
from smoothcert.report.memo.pdftext import page_count, page_texts

pytest.importorskip("typst")
pypdf = pytest.importorskip("pypdf")

MANY_CRITERIA = [
    {"sigma": s, "radius": r, "k": 1, "at_least": 0.6, "of": o}
    for s in (0.25, 0.5)
    for r in (0.1, 0.25, 0.5)
    for o in ("joint", "observed")
]
NINE = {
    "sigma": ",".join(f"0.{i}" for i in range(1, 10)),
    "noise": "float",
    "k": "1,2,3",
    "radius": "0.1,0.2,0.3,0.4,0.5,0.6",
}
NAMES = ("白血球", "тромбоцит", "\u202eabc", "a class whose name is far too long for a table of the memo")
KINDS = {
    "plain": {},
    "one image, one sigma": {"images": 1, "classes": 2, "sigma": "0.25", "radius": "0.25"},
    "nine sigmas, three k, six radii": NINE,
    "nothing certified": {"p": 0.2},
    "everything certified": {"p": 0.9999},
    "unattainable": {"radius": "3,4"},
    "partial": {"drop": 5},
    "many criteria": {"criteria": MANY_CRITERIA, "primary": PRIMARY, "k": "1,2,3"},
    "groups": {"groups": 8},
    "ten long classes": {
        "classes": 10,
        "data": {"class_names": tuple(f"a kind with quite a long name {i}" for i in range(10))},
    },
    "letters the fonts lack": {"data": {"class_names": NAMES, "reference": f"/a/{'b' * 90}.npz#血"}},
    "synthetic": {"data": {"reference": "synthetic:40", "preprocessing": (LONG, LONG)}},
}
FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 86 80"><rect width="86" height="80" fill="#ddd"/></svg>'


def starts(pdf, page):
    """Where the pieces of text of a page begin, in points."""
    found = []
    page = pypdf.PdfReader(io.BytesIO(pdf)).pages[page]

    def note(text, cm, tm, *_):
        if text.strip():
            x, y = tm[4], tm[5]
            found.append((x * cm[0] + y * cm[2] + cm[4], x * cm[1] + y * cm[3] + cm[5]))

    page.extract_text(visitor_text=note)
    return page.mediabox, found


QUICK = ("plain", "nine sigmas, three k, six radii", "unattainable", "groups", "letters the fonts lack")


@pytest.mark.parametrize(
    "sponsor", [pytest.param({}, id="open", marks=pytest.mark.slow), pytest.param(OVERLONG, id="overlong")]
)
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_four_pages_on_both_papers_which_hold_the_memo_and_nothing_else(tmp_path, kind, sponsor):
    memo = make_memo(memo_run(tmp_path / "run", **{"images": 12, **KINDS[kind]}), make_sponsor(sponsor))
    for paper in FILES:
        pdf = typeset(memo, FIGURE, paper)
        assert page_count(pdf) == 4
    for text, wanted in zip(page_texts(pdf), printed_pages(memo), strict=True):
        assert list(against(text, wanted)) == []


@pytest.mark.parametrize("paper", FILES)
def test_every_text_lies_inside_the_sheet(tmp_path, paper):
    memo = make_memo(memo_run(tmp_path / "run", images=12, **NINE), make_sponsor(OVERLONG))
    pdf = typeset(memo, FIGURE, paper)
    for page in range(4):
        sheet, found = starts(pdf, page)
        assert min(x for x, _ in found) >= 50
        assert max(x for x, _ in found) <= float(sheet.width) - 50
        assert min(y for _, y in found) >= 20
        assert max(y for _, y in found) <= float(sheet.height) - 20


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memo")
    run = memo_run(folder / "run", images=16, primary=PRIMARY, criteria=CRITERIA)
    return run, write_memo(run, run.directory.results, make_sponsor(FULL))


def test_the_files(written):
    run, files = written
    assert [file.name for file in files] == [FIELDS, "memo.pdf", "memo-letter.pdf"]
    assert not [path for path in run.directory.results.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("name", "size"), [("memo.pdf", (595, 842)), ("memo-letter.pdf", (612, 792))])
def test_papers_and_archive_standard(written, name, size):
    data = (written[0].directory.results / name).read_bytes()
    reader = pypdf.PdfReader(io.BytesIO(data))
    assert tuple(round(float(side)) for side in reader.pages[0].mediabox[2:]) == size
    described = reader.xmp_metadata.rdf_root.toxml()
    assert re.search(r"part>2<.*conformance>A<", described.replace("\n", ""))
    assert "pdfuaid" in described
    assert reader.metadata.title.startswith("Robustness memo")
    assert reader.trailer["/Root"]["/Lang"] == "en-GB"
    fonts = {font.get_object()["/BaseFont"] for page in reader.pages for font in page["/Resources"]["/Font"].values()}
    assert {name.split("+")[1].split("-")[0] for name in fonts} == {"LibertinusSerif", "DejaVuSansMono"}


def test_the_date_is_the_seals_and_the_bytes_are_the_same_again(written, tmp_path):
    run, _ = written
    again = write_memo(run, tmp_path, make_sponsor(FULL))
    for file in again:
        assert file.read_bytes() == (run.directory.results / file.name).read_bytes()
    sealed = run.directory.seal().at
    made = pypdf.PdfReader(tmp_path / "memo.pdf").metadata.creation_date
    assert made.strftime("%Y-%m-%dT%H:%M:%SZ") == sealed


def test_the_figure_is_on_page_2_with_a_description(written):
    data = (written[0].directory.results / "memo.pdf").read_bytes()
    root = pypdf.PdfReader(io.BytesIO(data)).trailer["/Root"]["/StructTreeRoot"]
    assert "Certified accuracy in percent against the L2 radius" in repr(described(root))


def described(node, depth=0):
    """Every alternative text of the structure tree."""
    node = node.get_object() if hasattr(node, "get_object") else node
    if isinstance(node, list):
        return [text for each in node for text in described(each, depth + 1)]
    if not isinstance(node, dict) or depth > 60:
        return []
    own = [str(node["/Alt"])] if "/Alt" in node else []
    return own + (described(node["/K"], depth + 1) if "/K" in node else [])


def test_too_much_text_is_an_error_and_leaves_the_old_files(written, monkeypatch):
    run, files = written
    before = [file.read_bytes() for file in files]
    monkeypatch.setattr(build.text, "TITLE", "word " * 3000)
    with refuses("E-INPUT-037", match="\\d pages on a4 paper, expected 4"):
        write_memo(run, run.directory.results, make_sponsor({}))
    assert [file.read_bytes() for file in files] == before


def test_the_annex_comes_and_goes(tmp_path):
    run = memo_run(tmp_path / "run", images=6)
    assert write_memo(run, tmp_path / "out", make_sponsor(OVERLONG), ["a4"])[-1].name == "memo_annex.txt"
    assert LONG.strip() in (tmp_path / "out" / "memo_annex.txt").read_text()
    write_memo(run, tmp_path / "out", None, ["a4"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["memo.pdf", FIELDS]


@pytest.mark.parametrize("missing", ["typst", "pypdf"])
def test_a_missing_library_names_its_extra(tmp_path, monkeypatch, missing):
    memo = make_memo(memo_run(tmp_path / "run", images=4), make_sponsor({}))
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with refuses("E-EXTRA-001", match="extra `report`"):
        typeset(memo, FIGURE, "a4")


def test_only_long_words_may_break_and_no_number_leaves_its_sign():
    text = build._breakable("p_L = (q_L − alpha) / (1 − alpha), 95 % at r = 0.5 of " + "x" * 40)
    assert text.startswith(
        "p_L\u00a0=\u00a0(q_L\u00a0−\u00a0alpha)\u00a0/\u00a0(1\u00a0−\u00a0alpha), 95\u00a0% at r\u00a0=\u00a00.5 of x"
    )
    assert text.count("\u200b") == 4
    assert build._breakable("a" * 64) == "a" * 64


def test_markup_in_a_sponsors_text_is_printed_not_run(tmp_path):
    hostile = '#panic("x") $x$ *bold* @ref <label> \\ #read("/etc/passwd") = // "quoted"'
    memo = make_memo(memo_run(tmp_path / "run", images=4), make_sponsor({"device": hostile}))
    pdf = typeset(memo, FIGURE, "a4")
    assert page_count(pdf) == 4
    assert squeeze(hostile) in squeeze(page_texts(pdf)[0])
