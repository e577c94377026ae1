"""The sponsor's file: strict, bounded, never a traceback, and never invented."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import error_of
from refusals import refuses
from report.memo_runs import FULL, LONG, OVERLONG
from smoothcert.errors import InputError
from smoothcert.report.memo import Sponsor, make_sponsor, read_sponsor
from smoothcert.report.memo.sponsor import (
    ANNEX,
    OPEN,
    ROW,
    annex,
    approval_table,
    device_table,
    revision_table,
    risk_table,
)


def write(folder, text):
    path = folder / "sponsor.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_without_a_file_every_field_is_open():
    assert len(read_sponsor(None).open) == len(Sponsor.model_fields) - 3 == 18
    assert make_sponsor(FULL).open == ()


@pytest.mark.parametrize("blank", ["", "# nothing yet\n", "device:\nusers: '  '\n"])
def test_a_blank_field_is_open(tmp_path, blank):
    assert read_sponsor(write(tmp_path, blank)) == Sponsor()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("devise: x", "devise: there is no such setting. The fields are device, intended_use"),
        ("device: [1, 2]", "device: input should be a valid string, got [1, 2]"),
        ("device: true", "device: input should be a valid string, got True"),
        ("smoothing: {in_release: true}", "smoothing: expected sigma and copies"),
        ("smoothing: {in_release: true, sigma: -1, copies: 5}", "smoothing.sigma: input should be greater than 0"),
        (
            "independence: {statement: x, independent: maybe, sampling: random}",
            "independence.independent: expected true, false or grouped",
        ),
        ("independence: {statement: x, independent: true, sampling: convenient}", "independence.sampling: "),
        (
            "production: {devices: [{name: a, source: b, hour: {amount: free, currency: EUR, date: 2026-01-01}}]}",
            "production.devices.hour.amount: input should be a valid number",
        ),
        ("production: {votes: 5}", "production: votes: expected at least 11 at alpha 0.001"),
        ("gpu_hour: {amount: 2}", "gpu_hour: there is no such setting"),
        ("revisions: [{version: 1.0, date: soon, change: x}]", "revisions.date: "),
        ("- device", "expected fields such as `device: ...`, got list"),
        ("device: {", "expected YAML, got an error in line"),
        ("device: a\nusers: b\ndevice: c\n", "duplicate key `device`"),
        ("smoothing: {in_release: false, in_release: true}", "duplicate key `in_release`"),
        ("device: &a x\nusers: *a\n", "YAML aliases"),
        ("device: !!python/object/apply:os.system [ls]", "expected YAML, got"),
        (b"device: \xff\xfe", "expected UTF-8"),
        ("device: " + "x" * 1_000_001, "expected at most 1,000,000 bytes"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        read_sponsor(write(tmp_path, text))
    message = str(error.value)
    assert expected in message
    assert "\n" not in message.strip()
    assert "http" not in message


def test_a_missing_file_is_named(tmp_path):
    with refuses("E-INPUT-043"):
        read_sponsor(tmp_path / "nothing.yaml")


@settings(max_examples=150)
@given(st.text(max_size=80))
def test_no_text_is_answered_with_a_traceback(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("sponsor") / "sponsor.yaml"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    said = error_of(InputError, read_sponsor, path)
    assert said is None or (said and "Traceback" not in said)


@pytest.mark.parametrize("fields", [{}, FULL, OVERLONG])
def test_json_gives_the_same_sponsor_back(fields):
    sponsor = make_sponsor(fields)
    assert make_sponsor(json.loads(json.dumps(sponsor.model_dump(mode="json")))) == sponsor


def test_numbers_are_read_as_text_where_text_is_meant():
    assert make_sponsor({"device": 2.1}).device == "2.1"


def test_open_fields_are_printed_as_such():
    rows = [*device_table(Sponsor()).rows, *risk_table(Sponsor()).rows]
    assert all(value.startswith(OPEN.split("{")[0]) for _, value in rows)
    assert all("SPONSOR TO COMPLETE" in row[1] for row in approval_table(Sponsor()).rows)


def test_long_texts_are_cut_with_a_pointer_to_the_annex_which_has_them_in_full():
    sponsor = make_sponsor(OVERLONG)
    for name, value in device_table(sponsor).rows:
        assert len(value) <= ROW
        assert name.startswith("Smoothing") or ANNEX in value
    rest = annex(sponsor)
    assert rest.count(LONG.strip()) >= len(OVERLONG) - 4
    assert "x" * 5000 in rest
    assert len(approval_table(sponsor).rows) == len(revision_table(sponsor).rows) == 4
    assert annex(make_sponsor(FULL)) == ""


def test_what_the_fonts_lack_is_marked_and_stands_in_the_annex():
    device = {**FULL["production"]["devices"][0], "hour": {"amount": 1, "currency": "円", "date": "2026-10-01"}}
    sponsor = make_sponsor({"device": "血球 reader 2.0", "production": {"devices": [device]}})
    assert dict(device_table(sponsor).rows)["Device"] == f"[?] reader 2.0 [full text: {ANNEX}, device]"
    assert "血球 reader 2.0" in annex(sponsor)
    assert "円" in annex(sponsor)


def test_a_build_that_does_not_smooth_says_no():
    assert (
        dict(device_table(make_sponsor({"smoothing": {"in_release": False}})).rows)["Smoothing in released build"]
        == "no"
    )
