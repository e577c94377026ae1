"""Names that come with data, as messages show them: on one line, short, and not too many of them."""

from __future__ import annotations

from collections.abc import Iterable

from smoothcert.errors import printable

LONGEST, MOST = 60, 6


def shown(name: str) -> str:
    """A name as printable text, its middle left out where it is long.

    >>> shown("a\\x1b[2J"), len(shown("x" * 1000))
    ('a\\\\x1b[2J', 60)
    """
    text = printable(name[: 2 * LONGEST] + name[-LONGEST:] if len(name) > 3 * LONGEST else name)
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3 - half]}...{text[-half:]}"


def listed(names: Iterable[str], none: str = "none") -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b"]), listed("abcdefgh"), listed([], none="nothing")
    ('a, b', 'a, b, c, d, e, f and 2 more', 'nothing')
    """
    every = list(names)
    text = ", ".join(map(shown, every[:MOST])) or none
    return text if len(every) <= MOST else f"{text} and {len(every) - MOST:,} more"
