"""Forged documents: rewriting a file, SHA256SUMS and the last line of the log is still detected."""

import hashlib
import io
import json
import re
import shutil

import pytest

from report.memo_runs import FULL, PRIMARY, memo_run
from smoothcert import version
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import RESUMED, append_event
from smoothcert.report import ReportOptions, write_report
from smoothcert.report.documents import check, check_documents
from smoothcert.report.documents.found import Written
from smoothcert.report.memo import FIELDS
from smoothcert.report.memo.pdftext import foreign_parts, strange_glyphs
from smoothcert.report.write import log_documents

for library in ("typst", "jinja2", "nbclient", "jupytext", "pyarrow"):
    pytest.importorskip(library)
pypdf = pytest.importorskip("pypdf")

FIRST_OF = {
    "memo.pdf": FIELDS,
    "memo-letter.pdf": FIELDS,
    "results.csv": "results.json",
    "results.md": "results.json",
    "results.tex": "results.json",
    "tables/accuracy.csv": "results.json",
    "figures/curve_k1.svg": "figures/figure_data.json",
}
"""The main file of the check of each document."""


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged")
    run = memo_run(folder / "run", images=12, primary=PRIMARY, k=(1, 2))
    sponsor = folder / "sponsor.yaml"
    sponsor.write_text(json.dumps(FULL))
    write_report(run.directory.path, ReportOptions(sponsor, live=False))
    return run.directory.path


@pytest.fixture
def copy(reported, tmp_path):
    return shutil.copytree(reported, tmp_path / "run")


def rechain(run):
    """Write SHA256SUMS and the report event again for the files in results, as a forger would."""
    directory = RunDirectory(run)
    names = [*directory.read_events()[-1].facts["documents"]]
    lines = directory.events.read_bytes().splitlines(keepends=True)
    directory.events.write_bytes(b"".join(lines[:-1]))
    log_documents(directory, [directory.results / name for name in names if (directory.results / name).is_file()])


def as_by_other_code(run):
    path = run / "results" / FIELDS
    record = json.loads(path.read_text())
    record.update(smoothcert="9.9.9", code_sha256="0" * 64)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def found_of(run, name):
    """Return the findings of the check of one document."""
    opened = open_run(run)
    written = Written(check._as_reported(opened), opened.directory.results, None)
    first = FIRST_OF.get(name, name)
    return check._findings(first, check.CHECKS[first], written)


def faults_of(run, name):
    return [each.words for each in found_of(run, name) if each.kind == "fault"]


def another_digit(text, at):
    """Return a text with the first digit after a position changed."""
    digit = re.compile(r"[0-8]").search(text, at)
    return text[: digit.start()] + str(int(digit[0]) + 1) + text[digit.end() :]


def text_of(name, after):
    def change(results):
        path = results / name
        text = path.read_text()
        path.write_text(another_digit(text, text.index(after) + len(after)))

    return name, change


def certificates(results):
    import pyarrow
    from pyarrow import parquet

    path = results / "certificates.parquet"
    whole = parquet.read_table(path)
    votes = whole["label_votes"].to_pylist()
    votes[3] += 1
    at = whole.schema.get_field_index("label_votes")
    parquet.write_table(whole.set_column(at, "label_votes", pyarrow.array(votes, pyarrow.int64())), path)


def data_of_the_page(results):
    path = results / "report.html"
    text = path.read_text()
    at = text.index('id="data">')
    path.write_text(another_digit(text, text.index('"n0":', at) + len('"n0":')))


def packed_data_of_the_page(results):
    from smoothcert.report.html_report.images import pack, unpack

    path = results / "report.html"
    text = path.read_text()
    record = json.loads(re.search(r'\{"bytes":[^}]*\}', text)[0])
    numbers = unpack(record, 10_000)
    forged = pack([numbers[0] + 1, *numbers[1:]], record["steps"])
    path.write_text(text.replace(record["data"], forged["data"], 1))


def cell_of_the_page(results):
    path = results / "report.html"
    text = path.read_text()
    at = text.index("/12</bdi>")
    path.write_text(text[: at - 1] + str((int(text[at - 1]) + 1) % 10) + text[at:])


def count_in_markdown(results):
    path = results / "results.md"
    text = path.read_text()
    at = text.index("/12 |")
    path.write_text(text[: at - 1] + str((int(text[at - 1]) + 1) % 10) + text[at:])


def output_of_the_notebook(results):
    path = results / "notebook.ipynb"
    record = json.loads(path.read_text())
    tables = [o["data"] for c in record["cells"] for o in c.get("outputs", []) if "certified accuracy %" in str(o)]
    for kind in ("text/html", "text/plain"):
        text = "".join(tables[0][kind])
        at = text.index("/12")
        tables[0][kind] = text[: at - 1] + str((int(text[at - 1]) + 1) % 10) + text[at:]
    path.write_text(json.dumps(record, indent=1))


NUMBERS = {
    "results.csv": text_of("results.csv", "\n0.25,1,0.1,True,"),
    "results.md": ("results.md", count_in_markdown),
    "results.tex": text_of("results.tex", "0.25 & 1 & 0.1 & "),
    "another table": text_of("tables/accuracy.csv", "\n0.25,1,12,"),
    "results.json": text_of("results.json", '"certified": '),
    "cost": text_of("cost.json", '"copies": '),
    "data of the figures": text_of("figures/figure_data.json", '"certified": '),
    "certificates": ("certificates.parquet", certificates),
    "data of the page": ("report.html", data_of_the_page),
    "packed data of the page": ("report.html", packed_data_of_the_page),
    "a table cell of the page": ("report.html", cell_of_the_page),
    "an output of the notebook": ("notebook.ipynb", output_of_the_notebook),
    "a value of the memo": text_of(FIELDS, '"printed": "'),
}


def script_of_the_page(results):
    path = results / "report.html"
    path.write_text(path.read_text().replace("</main>", "<script>document.title='robust'</script></main>", 1))


def handler_of_the_page(results):
    path = results / "report.html"
    path.write_text(path.read_text().replace("<main ", '<main onclick="alert(1)" ', 1))


def policy_of_the_page(results):
    path = results / "report.html"
    path.write_text(path.read_text().replace("script-src ", "script-src data: ", 1))


def markup_of_the_notebook(results):
    path = results / "notebook.ipynb"
    record = json.loads(path.read_text())
    shown = next(o for c in record["cells"] for o in c.get("outputs", []) if "text/html" in o.get("data", {}))
    shown["data"]["text/html"] = "<p>fine</p><img src=x onerror='alert(1)'>"
    path.write_text(json.dumps(record, indent=1))


def words_beside_an_image(results):
    path = results / "notebook.ipynb"
    record = json.loads(path.read_text())
    shown = next(o for c in record["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {}))
    shown["data"]["text/html"] = "<p>All 12 images are certified.</p>"
    path.write_text(json.dumps(record, indent=1))


def rewritten(results, change):
    """The memo's PDF, with its objects changed by `change(writer)`."""
    path = results / "memo.pdf"
    writer = pypdf.PdfWriter(clone_from=path)
    change(writer)
    writer.write(path)


def annotated(writer):
    from pypdf.annotations import FreeText

    writer.add_annotation(0, FreeText(text="100.0 % certified", rect=(50, 550, 200, 650)))


def fonts(writer, kind):
    every = (font.get_object() for page in writer.pages for font in page["/Resources"]["/Font"].values())
    parts = (part.get_object() for font in every for part in font.get("/DescendantFonts", ()))
    return [part for part in parts if part["/Subtype"] == kind]


def other_letters(writer):
    from pypdf.generic import NameObject, StreamObject

    mapped = StreamObject()
    mapped.set_data(b"".join((glyph + 1).to_bytes(2, "big") for glyph in range(400)))
    fonts(writer, "/CIDFontType2")[0][NameObject("/CIDToGIDMap")] = writer._add_object(mapped)


def other_font(writer):
    from pypdf.generic import NameObject

    fonts(writer, "/CIDFontType0")[0][NameObject("/BaseFont")] = NameObject("/ABCDEF+Liberated")


def second_layer(writer):
    from pypdf.generic import ArrayObject, NameObject, StreamObject

    layer = StreamObject()
    layer.set_data(b"q 1 1 1 rg 40 40 500 700 re f Q")
    page = writer.pages[0]
    page[NameObject("/Contents")] = ArrayObject([page["/Contents"].indirect_reference, writer._add_object(layer)])


def opening(writer):
    from pypdf.generic import DictionaryObject, NameObject, TextStringObject

    action = {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("app.alert(1)")}
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(action)


def switched_content(writer):
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject

    writer.root_object[NameObject("/OCProperties")] = DictionaryObject({NameObject("/OCGs"): ArrayObject()})


STRUCTURE = {
    "a script in the page": ("report.html", script_of_the_page),
    "a handler in the page": ("report.html", handler_of_the_page),
    "a weaker policy of the page": ("report.html", policy_of_the_page),
    "markup that runs in the notebook": ("notebook.ipynb", markup_of_the_notebook),
    "words beside an image": ("notebook.ipynb", words_beside_an_image),
    "text that is no HTML": ("report.html", lambda results: (results / "report.html").write_text("<![x y")),
    "text that is no CSV": ("results.csv", lambda results: (results / "results.csv").write_text('"' + "x" * 200_000)),
}
FOREIGN = {
    "an annotation": annotated,
    "an attachment": lambda writer: writer.add_attachment("x", b"x"),
    "a script": opening,
    "a font with another character mapping": other_letters,
    "a font that is not of the memo": other_font,
    "a second content layer on a page": second_layer,
    "optional content, which can be switched on and off": switched_content,
}


@pytest.mark.slow
@pytest.mark.parametrize("other", [False, True], ids=["same code", "other code"])
@pytest.mark.parametrize("forgery", [*NUMBERS, *STRUCTURE])
def test_a_forgery_with_a_matching_log_is_named(copy, forgery, other):
    name, change = {**NUMBERS, **STRUCTURE}[forgery]
    change(copy / "results")
    if other:
        as_by_other_code(copy)
    rechain(copy)
    assert any(told.startswith(f"results/{name}") for told in faults_of(copy, name)), faults_of(copy, name)


@pytest.mark.slow
@pytest.mark.parametrize("part", FOREIGN)
def test_foreign_parts_of_a_pdf_are_named(copy, part):
    rewritten(copy / "results", FOREIGN[part])
    assert any(told.startswith(part) for told in foreign_parts((copy / "results" / "memo.pdf").read_bytes()))


@pytest.mark.slow
def test_parts_appended_to_a_pdf_are_named(reported):
    pdf = (reported / "results" / "memo.pdf").read_bytes()
    assert foreign_parts(pdf) == []
    assert foreign_parts(pdf + b"trailing") == ["appended parts"]


@pytest.mark.slow
def test_a_pdf_with_foreign_parts_is_a_fault_whatever_code_wrote_it(copy):
    rewritten(copy / "results", annotated)
    as_by_other_code(copy)
    rechain(copy)
    assert any("an annotation" in told for told in faults_of(copy, "memo.pdf"))


def redrawn(writer):
    """The embedded monospaced font with the outline of 3 drawn for 8."""
    from fontTools.ttLib import TTFont

    stream = fonts(writer, "/CIDFontType2")[0]["/FontDescriptor"]["/FontFile2"].get_object()
    font = TTFont(io.BytesIO(stream.get_data()))
    font["glyf"]["eight"] = font["glyf"]["three"]
    changed = io.BytesIO()
    font.save(changed)
    stream.set_data(changed.getvalue())


def copied_as_another(writer):
    """The copied text has 9 where 8 is drawn, and 8 where 9 is drawn."""
    for page in writer.pages:
        for font in page["/Resources"]["/Font"].values():
            mapped = font.get_object()["/ToUnicode"].get_object()
            text = mapped.get_data()
            mapped.set_data(
                text.replace(b"<0038>\n", b"<003?>\n").replace(b"<0039>", b"<0038>").replace(b"<003?>", b"<0039>")
            )


@pytest.mark.slow
@pytest.mark.parametrize("change", [redrawn, copied_as_another])
def test_redrawn_glyphs_are_named_whatever_code_wrote_them(copy, change):
    rewritten(copy / "results", change)
    strange, same = strange_glyphs((copy / "results" / "memo.pdf").read_bytes())
    assert "8" in strange
    assert same
    as_by_other_code(copy)
    rechain(copy)
    assert faults_of(copy, "memo.pdf")


@pytest.mark.slow
def test_glyphs_of_an_unchanged_memo_are_not_strange(reported):
    for name in ("memo.pdf", "memo-letter.pdf"):
        assert strange_glyphs((reported / "results" / name).read_bytes()) == ([], True)


def white_box(results):
    def cover(writer):
        page = writer.pages[0]
        content = page.get_contents()
        content.set_data(content.get_data() + b"\nq 1 1 1 rg 40 40 500 700 re f Q")
        page.replace_contents(content)

    rewritten(results, cover)


def drawing(results):
    path = results / "figures" / "curve_k1.svg"
    path.write_text(path.read_text().replace("#0072b2", "#0072b3", 1))


def source(results):
    path = results / "notebook.ipynb"
    path.write_text(path.read_text().replace("from smoothcert import stats", "from smoothcert import statz", 1))


def sentence(results):
    path = results / "results.md"
    path.write_text(path.read_text().replace("# Certified accuracy", "# Guaranteed", 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("memo.pdf", white_box),
        ("figures/curve_k1.svg", drawing),
        ("notebook.ipynb", source),
        ("results.md", sentence),
    ],
)
def test_shapes_drawings_cells_and_words_are_compared_if_the_same_code_wrote_them(copy, name, change):
    change(copy / "results")
    rechain(copy)
    assert any(told.startswith(f"results/{name}") for told in faults_of(copy, name))
    as_by_other_code(copy)
    rechain(copy)
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert any(name in told for told in found.notes)


def test_an_unchanged_report_holds_to_the_byte(copy):
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert [told.split(":")[0] for told in found.notes] == ["results/notebook.ipynb"]  # its pictures
    names = RunDirectory(copy).read_events()[-1].facts["documents"]
    assert {*found.held} == {*names}


@pytest.mark.slow
def test_another_version_is_no_fault(copy, monkeypatch):
    monkeypatch.setattr(version, "__version__", "9.9.9")
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert any("memo.pdf" in told for told in found.notes)


NEEDED = {
    "jinja2": "report.html",
    "jupytext": "notebook.ipynb",
    "pyarrow": "certificates.parquet",
    "matplotlib": "figures/figure_data.json",
    "typst": FIELDS,
    "pypdf": FIELDS,
}


@pytest.mark.slow
@pytest.mark.parametrize("library", NEEDED)
def test_what_needs_a_missing_library_is_a_note(copy, monkeypatch, library):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    found = found_of(copy, NEEDED[library])
    assert {each.kind for each in found} <= {"note", "held"}
    assert any("[report]" in each.words for each in found)


@pytest.mark.slow
def test_a_replaced_memo_without_lists_is_named(copy):
    results = copy / "results"
    (results / "memo.pdf").write_bytes(b"%PDF-1.7 anything")
    (results / "SHA256SUMS").unlink()
    (results / FIELDS).unlink()
    faults = check_documents(open_run(copy)).faults
    for name in ("memo.pdf", "SHA256SUMS", FIELDS):
        assert any(told.startswith(f"results/{name}") for told in faults)


@pytest.mark.slow
def test_a_log_without_its_report_vouches_for_no_document(copy):
    events = copy / "events.jsonl"
    events.write_bytes(b"".join(events.read_bytes().splitlines(keepends=True)[:-1]))
    faults = check_documents(open_run(copy)).faults
    for name in ("memo.pdf", "SHA256SUMS", "report.html", "certificates.parquet", "figures/curve_k1.png"):
        assert any(name in told for told in faults)


@pytest.mark.slow
def test_files_more_and_files_less(copy):
    results = copy / "results"
    (results / "slides.pptx").write_bytes(b"x")
    (results / "tables" / "best.csv").write_text("sigma\n0.5\n")
    (results / "cost.json").unlink()
    found = check_documents(open_run(copy))
    assert any("slides.pptx" in told for told in found.notes)
    assert any("tables/best.csv" in told for told in found.faults)
    assert any("cost.json" in told for told in found.faults)
    assert not any("slides" in told for told in found.faults)


@pytest.mark.slow
def test_documents_of_a_continued_run_must_be_written_again(copy):
    append_event(copy / "events.jsonl", RESUMED, lines=0)
    (told,) = check_documents(open_run(copy)).faults
    assert "smoothcert report" in told


@pytest.mark.slow
def test_a_document_that_no_report_writes_is_named_though_the_log_lists_it(copy):
    (copy / "results" / "APPROVAL.txt").write_text("99.9")
    events = copy / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])
    last["documents"]["APPROVAL.txt"] = hashlib.sha256(b"99.9").hexdigest()
    events.write_bytes(b"".join([*lines[:-1], json.dumps(last, sort_keys=True).encode() + b"\n"]))
    assert any("APPROVAL.txt" in told for told in check_documents(open_run(copy)).notes)


@pytest.mark.slow
def test_a_list_of_hashes_names_files_of_results_only(copy):
    events = copy / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])
    last["documents"] = {"../spec.json": "0" * 64}
    events.write_bytes(b"".join([*lines[:-1], json.dumps(last, sort_keys=True).encode() + b"\n"]))
    assert any("memo.pdf" in told for told in check_documents(open_run(copy)).faults)


@pytest.mark.slow
def test_verify_ends_with_1_for_a_forged_document_and_with_0_for_another_version(copy, capsys, monkeypatch):
    from smoothcert.cli.verify import verify

    as_by_other_code(copy)
    rechain(copy)
    assert verify(copy) == 0
    brief = [line for line in capsys.readouterr().out.splitlines() if line.startswith("NOTE")]
    assert verify(copy, notes=True) == 0
    full = [line for line in capsys.readouterr().out.splitlines() if line.startswith("NOTE")]
    documents = [line.split(":")[0] for line in brief if "results/" in line]
    assert len(documents) == len(set(documents)) <= len(full)
    assert ("--notes" in "".join(brief)) == (brief != full)
    NUMBERS["results.csv"][1](copy / "results")
    rechain(copy)
    assert verify(copy) == 1
