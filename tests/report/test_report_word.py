"""memo.docx: the blocks of the memo, locked, and the sponsor's boxes, editable; what verify finds in an edited file."""

import io
import re
import shutil
import zipfile

import pytest

from report.memo_runs import FULL, OVERLONG, PRIMARY, memo_run
from smoothcert.errors import EvidenceError
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.report.documents import check_documents
from smoothcert.report.documents.memo_pdf import squeeze
from smoothcert.report.memo import Sponsor, make_memo, make_sponsor, write_memo
from smoothcert.report.memo.blocks import pieces
from smoothcert.report.word import MEMO, docx_of, write_docx
from smoothcert.report.word.memo import BOXES, figure_of
from smoothcert.report.word.read import read_word
from smoothcert.report.write import log_documents

pytest.importorskip("typst")
docx = pytest.importorskip("docx")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = memo_run(tmp_path_factory.mktemp("word") / "run", images=12, primary=PRIMARY, k=(1, 2))
    results = run.directory.results
    memo = make_memo(run, make_sponsor({**FULL, "threat_model": None}))
    log_documents(run.directory, [*write_memo(run, results, memo), write_docx(run, results, memo)])
    return run.directory.path


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def edit(run, change, part="word/document.xml"):
    """Rewrite a part of memo.docx: `change` maps its text to another one."""
    path = run / "results" / MEMO
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    changed = change(parts[part].decode())
    assert changed != parts[part].decode()
    parts[part] = changed.encode()
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as package:
        for name, data in parts.items():
            package.writestr(name, data)
    path.write_bytes(stored.getvalue())


def replaced(old, new):
    return lambda text: text.replace(old, new, 1)


def outside(text):
    """XML of a paragraph before everything."""
    return replaced("<w:body>", f"<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p>")


def control(text, of):
    """Return the whole XML of the innermost control with a text."""
    at = text.index(of)
    start = text.rindex("<w:sdt>", 0, at)
    return text[start : text.index("</w:sdt>", at) + len("</w:sdt>")]


def about(found, kind="faults"):
    return [each for each in getattr(found, kind) if each.startswith(f"results/{MEMO}")]


def test_it_holds_every_string_of_the_memo_in_locked_controls(finished):
    run = open_run(finished)
    memo = make_memo(run, make_sponsor({**FULL, "threat_model": None}))
    file = read_word((finished / "results" / MEMO).read_bytes(), MEMO)
    text = squeeze("".join(each.text for each in file.controls))
    for page in memo.pages:
        for piece in pieces(page):
            assert squeeze(piece.text) in text
    assert all(each in ("1 of 1", "of") for each in file.outside)
    stated = file.stated()
    assert {*BOXES.values()} & {*Sponsor.model_fields} <= {*stated}
    assert stated["device"] == FULL["device"]
    assert stated["threat_model"].startswith("[SPONSOR TO COMPLETE")
    assert stated["approvals/1/name"] == "A. Example"
    numbers = {each.tag for each in file.locked()}
    assert len(numbers) == len([*file.locked()])


def test_the_locks_are_those_of_word(finished):
    body = docx.Document(finished / "results" / MEMO).element.body
    w = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    locks = {}
    for each in body.iter(f"{w}sdtPr"):
        tag = each.find(f"{w}tag").get(f"{w}val")
        locks.setdefault(tag.split("/")[0], set()).add(each.find(f"{w}lock").get(f"{w}val"))
        assert (each.find(f"{w}text") is not None) == tag.startswith("sponsor/")
    assert locks == {"smoothcert": {"sdtContentLocked"}, "sponsor": {"sdtLocked"}}


@pytest.mark.parametrize("fields", [FULL, OVERLONG, {}], ids=["full", "overlong", "open"])
def test_the_same_run_gives_the_same_bytes(finished, fields):
    run = open_run(finished)
    memo = make_memo(run, make_sponsor(fields))
    first = docx_of(memo, figure_of(run, memo))
    assert docx_of(make_memo(run, make_sponsor(fields)), figure_of(run, memo)) == first


def test_an_unchanged_file_holds_to_the_byte(copy):
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert MEMO in found.held
    assert about(found, "notes") == []


def test_an_edited_box_and_added_text_are_no_fault_but_named(copy):
    edit(copy, replaced("Cell reader 2.1", "Cell reader 2.2"))
    edit(copy, outside("Our own introduction."))
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert MEMO in found.held
    notes = "\n".join(about(found, "notes"))
    for named in ("device", "Our own introduction.", "edited after it was written"):
        assert named in notes


def test_runs_that_a_word_processor_split_are_the_same_text(copy):
    edit(copy, replaced("Of 12 images", 'Of 1</w:t></w:r><w:r><w:t xml:space="preserve">2 images'))
    found = check_documents(open_run(copy))
    assert found.faults == ()


def test_a_copy_of_a_locked_control_may_be_added(copy):
    edit(copy, lambda text: text.replace("<w:body>", f"<w:body>{control(text, 'Of 12 images')}", 1))
    assert check_documents(open_run(copy)).faults == ()


def digit(text):
    at = re.search(r"Of 12 images, (\d)", text).start(1)
    return text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]


def deleted(text):
    """The text of the paragraph on counts, as a tracked change deletes it."""
    start = text.rindex("<w:r>", 0, text.index("Of 12 images"))
    end = text.index("</w:r>", start) + len("</w:r>")
    gone = text[start:end].replace("<w:t ", "<w:delText ").replace("</w:t>", "</w:delText>")
    return f"{text[:start]}<w:del>{gone}</w:del>{text[end:]}"


def swapped(text):
    one, other = control(text, "1 Purpose and scope"), control(text, "2 What may be claimed")
    return text.replace(one, "#").replace(other, one).replace("#", other)


SHOWN = '<w:r><w:rPr><w:vanish/></w:rPr><w:t xml:space="preserve">Of 12'
MUTATIONS = {
    "a changed digit": (digit, "the votes give"),
    "a changed word": (replaced("This is a count of procedure", "This is no count of procedure"), "the votes give"),
    "a removed control": (lambda text: text.replace(control(text, "Of 12 images"), "<w:p/>", 1), "was removed"),
    "a tracked deletion": (deleted, "the votes give"),
    "controls in another order": (swapped, "in another order"),
    "a control of no memo": (replaced('w:val="smoothcert/title"', 'w:val="smoothcert/titled"'), "is of no memo"),
    "hidden text": (
        lambda text: re.sub(r'<w:r><w:rPr></w:rPr><w:t xml:space="preserve">Of 12|'
                            r'<w:r><w:rPr/><w:t xml:space="preserve">Of 12', SHOWN, text, count=1),
        "hidden text",
    ),
    "a binding": (replaced('w:val="sdtContentLocked"/>', 'w:val="sdtContentLocked"/><w:dataBinding/>'), "a binding"),
    "refused wording in a box": (replaced("Cell reader 2.1", "An immune reader"), 'wording "immune"'),
    "refused wording outside": (outside("The classifier is certified safe."), "wording"),
    "an entity": (replaced("<w:document", '<!DOCTYPE x [<!ENTITY a "b">]><w:document'), "document type declaration"),
    "no XML": (replaced("</w:body>", ""), "expected XML"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_is_named(copy, mutation):
    change, message = MUTATIONS[mutation]
    edit(copy, change)
    found = check_documents(open_run(copy))
    assert any(message in each for each in about(found)), found.faults
    assert MEMO not in found.held


def test_a_changed_header_is_named(copy):
    with zipfile.ZipFile(copy / "results" / MEMO) as package:
        header = next(name for name in package.namelist() if "header" in name)
    edit(copy, replaced("UNSIGNED DRAFT", "APPROVED"), header)
    assert any("'APPROVED" in each for each in about(check_documents(open_run(copy))))


def test_a_file_that_was_saved_without_controls_is_named(copy):
    edit(copy, lambda text: re.sub(r"<w:tag [^>]*/>", "", text))
    for part in ("header", "footer"):
        with zipfile.ZipFile(copy / "results" / MEMO) as package:
            name = next(each for each in package.namelist() if each.startswith(f"word/{part}"))
        edit(copy, lambda text: re.sub(r"<w:tag [^>]*/>", "", text), name)
    assert about(check_documents(open_run(copy))) == [
        f"results/{MEMO} has none of its locked controls; a program that does not keep them saved it"
    ]


def test_a_missing_file_and_no_word_file_are_named(copy):
    path = copy / "results" / MEMO
    path.write_bytes(b"PK\x03\x04 nothing")
    assert any("expected a Word file" in each for each in about(check_documents(open_run(copy))))
    path.unlink()
    assert any("is missing" in each for each in about(check_documents(open_run(copy))))


@pytest.mark.slow
def test_numbers_are_compared_if_another_version_wrote_it(copy):
    from report.test_report_documents_mutated import as_by_other_code

    as_by_other_code(copy)
    directory = RunDirectory(copy)
    names = [*directory.read_events()[-1].facts["documents"]]
    log_documents(directory, [directory.results / name for name in names])
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert MEMO in found.held
    edit(copy, digit)
    assert any("but not on its pages: observed" in each for each in about(check_documents(open_run(copy))))


def test_a_bomb_is_refused():
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", b"<a>" + b" " * 70_000_000 + b"</a>")
    with pytest.raises(EvidenceError, match="unpacked") as refused:
        read_word(stored.getvalue(), MEMO)
    assert refused.value.code == "E-RUN-220"


@pytest.mark.slow
def test_a_figure_that_was_replaced_is_named(copy):
    from smoothcert.report.figures import curve_figure
    from smoothcert.report.figures.style import drawn

    path = copy / "results" / MEMO
    other = drawn(curve_figure(open_run(copy), 2), "png")
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    name = next(each for each in parts if each.startswith("word/media/"))
    assert parts[name] != other
    parts[name] = other
    with zipfile.ZipFile(path, "w") as package:
        for each, data in parts.items():
            package.writestr(each, data)
    notes = "\n".join(about(check_documents(open_run(copy)), "notes"))
    assert "its figure is not the" in notes
