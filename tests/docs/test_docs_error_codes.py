"""Codes of errors: each names one cause, none is forgotten, and the page lists them."""

import re
from collections import Counter

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
    twice = [code for code, count in Counter(each.code for each in found).items() if count > 1]
    assert not twice
    assert all(re.fullmatch(r"E-[A-Z]+-\d{3}", each.code) for each in found)


def test_the_page_lists_every_code(codes):
    assert codes.PAGE.read_text(encoding="utf-8") == codes.page()
