"""Text of others in print: what the embedded fonts lack, hidden characters, and what is too long."""

from __future__ import annotations

import unicodedata

_COVERED = ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x391, 0x3A1), (0x3A3, 0x3A9), (0x3B1, 0x3C9), (0x410, 0x44F))
"""Latin, Greek and Cyrillic letters of the fonts that come with typst; a test prints every one of them."""
_SINGLE = frozenset("ЁёІіЇїЄєҐґ–—‘’“”„…‹›€™←↑→↓−≤≥≠≈±×÷µ•†‡′″∞√")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
MISSING = "[?]"


def clean(text: str) -> str:
    """Return a text in one line, composed (NFC), without control, format and soft-hyphen characters.

    >>> clean("two\\nlines\\u202e of  text")
    'two lines of text'
    """
    spaced = "".join(" " if c.isspace() else c for c in unicodedata.normalize("NFC", text))
    return " ".join("".join(c for c in spaced if unicodedata.category(c) not in _HIDDEN).split())


def printable(text: str) -> bool:
    """Whether the fonts of the memo have every character of a text.

    >>> printable("Größe ≥ 3 µm"), printable("白血球")
    (True, False)
    """
    return all(c in _SINGLE or any(low <= ord(c) <= high for low, high in _COVERED) for c in text)


def substitute(text: str) -> str:
    """Return a clean text in which every word that cannot be printed is replaced by `MISSING`, once in a row.

    >>> substitute("reader 白血球 分類 2.0")
    'reader [?] 2.0'
    """
    words: list[str] = []
    for word in clean(text).split():
        shown = word if printable(word) else MISSING
        if shown != MISSING or words[-1:] != [MISSING]:
            words.append(shown)
    return " ".join(words)


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, ended by an ellipsis where it was longer.

    >>> cut("one two three", 9)
    'one two…'
    """
    if len(text) <= most:
        return text
    head = text[: most - 1]
    whole = head.rsplit(" ", 1)[0]
    return (whole if len(whole) > most // 2 else head).rstrip() + "…"


def class_label(number: int, name: str, most: int = 34) -> str:
    """Return a class's name; its number where the name is empty, too long, or has characters the fonts lack.

    >>> class_label(3, "白血球"), class_label(3, "platelet")
    ('class 3', 'platelet')
    """
    shown = clean(name)
    return shown if shown and printable(shown) and len(shown) <= most else f"class {number}"
