"""Codes of errors: each names one cause, none is forgotten, and the page lists them."""

import re
from collections import defaultdict

import pytest

from .conftest import ROOT, scripts


@pytest.fixture(scope="module")
def codes():
    """The script that writes the page."""
    with scripts(ROOT / "docs", ["error_codes"]) as modules:
        yield modules["error_codes"]


def test_a_code_names_one_cause(codes):
    found = list(codes.raised())
    assert len(found) > 400
    messages, named = defaultdict(set), defaultdict(set)
    for each in found:
        messages[each.code].add(each.message)
        if len(re.findall("[A-Za-z]", each.message)) > 8:  # not only what is filled in
            named[each.code.split("-")[1], each.message].add(each.code)
    assert not [code for code, texts in messages.items() if len(texts) > 1]
    assert not [codes for codes in named.values() if len(codes) > 1]
    assert all(re.fullmatch(r"E-[A-Z]+-\d{3}", each.code) for each in found)


def test_the_page_lists_every_code(codes):
    assert codes.PAGE.read_text(encoding="utf-8") == codes.page()
