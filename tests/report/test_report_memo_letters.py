"""Text of others: whatever comes in, what goes out can be printed, in the length that was asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.report.memo.blocks import _COVERED, _SINGLE, class_label, clean, cut, has_glyphs, substitute

anything = st.text(max_size=120)


@given(anything)
def test_what_is_printed_can_be_printed(text):
    shown = substitute(text)
    assert has_glyphs(shown)
    assert substitute(shown) == shown == clean(shown)


@given(anything, st.integers(2, 60))
def test_cut_texts_have_their_length_and_are_beginnings(text, most):
    short = cut(text, most)
    assert len(short) <= most
    assert text.startswith(short.removesuffix("…"))
    assert short == text or short.endswith("…")


@given(st.integers(0, 2000), anything)
def test_a_class_is_named_or_numbered(number, name):
    label = class_label(number, name)
    assert has_glyphs(label)
    assert label
    assert label in (clean(name), f"class {number}")


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u200b", "\u00ad", "\ufeff", "\x00", "\x1b", "\ud800", "\ue000", "\u2028"]
)
def test_hidden_characters_are_dropped(hidden):
    assert clean(f"a{hidden}b") in ("ab", "a b")
    assert class_label(1, hidden) == "class 1"


def test_the_fonts_have_every_character_that_counts_as_covered():
    typst = pytest.importorskip("typst")
    characters = [chr(c) for low, high in _COVERED for c in range(low, high + 1)] + sorted(_SINGLE)
    template = b"""#set document(title: "t", date: datetime(year: 2026, month: 1, day: 1))
#set text(lang: "en", font: "Libertinus Serif", fallback: false)
#let t = json(bytes(sys.inputs.t))
#t #strong(t) #emph(t)"""
    typst.compile(
        template,
        format="pdf",
        ignore_system_fonts=True,
        pdf_standards=["a-2a", "ua-1"],
        sys_inputs={"t": json.dumps(" ".join(characters))},
    )
