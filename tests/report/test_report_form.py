"""The sponsor's form: what is written is read back, and bad cells are named."""

import shutil
import zipfile

import pytest

from report.memo_runs import FULL
from smoothcert.errors import EvidenceError, InputError
from smoothcert.report.memo import Sponsor, make_sponsor
from smoothcert.report.word.form import OPEN, form_of, leaves, read_fields, write_form
from smoothcert.report.word.read import read_word

docx = pytest.importorskip("docx")

PARTS = {
    "full": FULL,
    "open": {},
    "not in the release": {"smoothing": {"in_release": False}, "demonstration": True},
    "four rows": {"approvals": [{"role": f"Role {i}", "name": f"N. {i}", "date": "2026-10-01"} for i in range(4)]},
    "markup": {"device": 'Reader <b> & "2"', "risk_ids": ["RM-1", "RM-2"]},
    "production": {"production": {"studies_a_day": [7, 1000], "utilisation": 0.25, "votes": 500}},
}


@pytest.mark.parametrize("fields", PARTS)
def test_what_is_written_is_read_back(tmp_path, fields):
    sponsor = make_sponsor(PARTS[fields])
    path = write_form(tmp_path / "sponsor.docx", sponsor)
    assert read_fields(path) == sponsor
    assert form_of(sponsor) == path.read_bytes()
    assert docx.Document(path).tables


def test_every_field_of_the_sponsor_has_a_cell():
    names = {leaf.path.split("/")[0] for leaf in leaves(Sponsor())}
    assert names == {*Sponsor.model_fields}
    asked = {leaf.path: leaf for leaf in leaves(Sponsor())}
    assert {"approvals/1/role", "production/devices/1/hour/amount", "independence/statement"} <= {*asked}
    assert asked["smoothing/in_release"].choices == ("yes", "no")
    assert "random" in asked["independence/sampling"].choices


def filled(path, **cells):
    """Fill in cells as a word processor would: the text of a control is replaced."""
    w = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    form = docx.Document(path)
    left = dict(cells)
    for control in form.element.body.iter(f"{w}sdt"):
        tag = control.find(f"{w}sdtPr/{w}tag").get(f"{w}val").removeprefix("sponsor/").replace("/", "__")
        if tag in left:
            next(control.iter(f"{w}t")).text = left.pop(tag)
    assert not left
    form.save(path)
    return path


@pytest.fixture
def form(tmp_path):
    return write_form(tmp_path / "sponsor.docx", Sponsor())


def test_a_form_that_was_filled_in(form):
    filled(
        form,
        device="Reader 3",
        smoothing__in_release="Yes",
        smoothing__sigma="0.5",
        smoothing__copies="1,000",
        risk_ids="RM-1; RM-2",
        approvals__2__role="Reviewer",
        production__devices__1__name="PC",
        production__devices__1__source="quote",
        production__devices__1__hour__amount="0.40",
        production__devices__1__hour__currency="EUR",
        production__devices__1__hour__date="2026-10-01",
    )
    found = read_fields(form)
    assert found.device == "Reader 3"
    assert (found.smoothing.in_release, found.smoothing.sigma, found.smoothing.copies) == (True, 0.5, 1000)
    assert found.risk_ids == ("RM-1", "RM-2")
    assert [each.role for each in found.approvals] == ["Reviewer"]
    assert found.production.devices[0].hour.amount == 0.4


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"smoothing__in_release": "yes", "smoothing__sigma": "0,5", "smoothing__copies": "9"}, "'smoothing sigma'"),
        ({"smoothing__in_release": "perhaps"}, "'smoothing in_release'"),
        ({"independence__statement": "one a patient"}, "'independence independent'"),
        ({"independence__sampling": "haphazard"}, "'independence sampling'"),
        ({"revisions__1__version": "1", "revisions__1__change": "x", "revisions__1__date": "x"}, "revisions 1 date"),
        ({"production__devices__1__name": "PC"}, "'production devices 1 source'"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named(form, cells, named):
    with pytest.raises(InputError) as refused:
        read_fields(filled(form, **cells))
    assert named in str(refused.value)
    assert refused.value.code == "E-INPUT-226"


def test_a_cell_of_another_version_is_named(form):
    with zipfile.ZipFile(form) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    body = parts["word/document.xml"].decode().replace('preserve">device<', 'preserve">gadget<')
    parts["word/document.xml"] = body.replace(OPEN, "x", 1).encode()
    with zipfile.ZipFile(form, "w") as package:
        for name, data in parts.items():
            package.writestr(name, data)
    with pytest.raises(InputError, match="'gadget'") as refused:
        read_fields(form)
    assert refused.value.code == "E-INPUT-225"


def test_a_form_without_its_controls_is_read(form):
    """LibreOffice 7.4 saves their texts alone."""
    filled(form, device="Reader 3", approvals__1__role="Author")
    w = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    plain = docx.Document(form)
    for control in list(plain.element.body.iter(f"{w}sdt")):
        for each in list(control.find(f"{w}sdtContent")):
            control.addprevious(each)
        control.getparent().remove(control)
    plain.save(form)
    found = read_fields(form)
    assert found.device == "Reader 3"
    assert found.approvals[0].role == "Author"


def test_other_files_are_refused(tmp_path):
    docx.Document().save(tmp_path / "letter.docx")
    with pytest.raises(InputError) as refused:
        read_fields(tmp_path / "letter.docx")
    assert refused.value.code == "E-INPUT-224"
    (tmp_path / "text.docx").write_text("device: x")
    with pytest.raises(EvidenceError) as refused:
        read_fields(tmp_path / "text.docx")
    assert refused.value.code == "E-RUN-222"
    with pytest.raises(InputError):
        read_fields(tmp_path / "none.docx")


def test_a_form_is_never_written_over(form, tmp_path):
    shutil.copy(form, tmp_path / "copy.docx")
    with pytest.raises(InputError) as refused:
        write_form(form, Sponsor())
    assert refused.value.code == "E-INPUT-222"
    with pytest.raises(InputError) as refused:
        write_form(tmp_path / "sponsor.doc", Sponsor())
    assert refused.value.code == "E-INPUT-221"
    assert form.read_bytes() == (tmp_path / "copy.docx").read_bytes()


def test_yaml_is_read_as_before(tmp_path):
    (tmp_path / "sponsor.yaml").write_text("device: Reader\n")
    assert read_fields(tmp_path / "sponsor.yaml").device == "Reader"
    assert read_fields(None) == Sponsor()


def test_the_grey_cells_are_the_only_ones_that_can_be_edited():
    file = read_word(form_of(make_sponsor(FULL)), "form")
    assert [each.tag for each in file.locked()] == ["smoothcert/form"]
    assert file.stated()["device"] == FULL["device"]
