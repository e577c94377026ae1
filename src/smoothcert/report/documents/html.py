"""What an HTML text holds: its tables, and whatever could run, load or lead somewhere."""

from __future__ import annotations

from html.parser import HTMLParser

from smoothcert.errors import EvidenceError
from smoothcert.report.documents.cells import Cells

ACTIVE = frozenset(
    "script iframe frame object embed applet form base link portal audio video svg math template slot".split()  # noqa: SIM905
)
_ADDRESSES = ("href", "src", "action", "formaction", "data", "srcset", "xlink:href", "background", "poster", "ping")


class Markup(HTMLParser):
    """A text read as HTML; raises EvidenceError where it cannot be read.

    Attributes:
        tables: its tables, those without a row of headings included.
        scripts: text and type of each script element.
        styles: text of each style element.
        policy: the content security policies it states.
        tags: names of all its elements.
        active: what could run, load or lead away, other than scripts.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[Cells] = []
        self.scripts: list[tuple[str, str]] = []
        self.styles: list[str] = []
        self.policy: list[str] = []
        self.tags: set[str] = set()
        self.active: list[str] = []
        self._rows: list[list[str]] = []
        self._cell: list[str] | None = None
        self._raw: str | None = None
        self._kind = ""
        try:
            self.feed(text)
            self.close()
        except AssertionError as error:  # so the library says that it cannot go on
            raise EvidenceError(f"expected HTML, got a mistake: {error}") from None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in the beginning of an element."""
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag in ("script", "style"):
            self._raw, self._kind = "", given.get("type", "")
        if tag in ACTIVE - {"script"} or (tag == "script" and "src" in given):
            self.active.append(f"<{tag}>")
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy.append(given.get("content", ""))
        elif tag == "meta" and "http-equiv" in given:
            self.active.append("<meta http-equiv>")
        self.active += [f"{name} of <{tag}>" for name, value in given.items() if _runs(name, value)]
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag == "br" and self._cell is not None:
            self._cell.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Take in the end of an element."""
        if tag == "script":
            self.scripts.append((self._raw or "", self._kind))
            self._raw = None
        elif tag == "style":
            self.styles.append(self._raw or "")
            self._raw = None
        elif tag in ("td", "th") and self._cell is not None:
            if self._rows:
                self._rows[-1].append("".join(self._cell).strip())
            self._cell = None
        elif tag == "table" and self._rows:
            width = len(self._rows[0])
            body = tuple(tuple((row + [""] * width)[:width]) for row in self._rows[1:])
            self.tables.append(Cells(tuple(self._rows[0]), body))
            self._rows = []

    def handle_data(self, data: str) -> None:
        """Take in text."""
        if self._raw is not None:
            self._raw += data
        elif self._cell is not None:
            self._cell.append(data.replace("\N{NO-BREAK SPACE}", " "))


def _runs(name: str, value: str) -> bool:
    """Whether an attribute can run code or load something: handlers, and addresses outside the page."""
    if name.startswith("on"):
        return True
    if name in _ADDRESSES:
        return not value.startswith("#")
    return name == "style" and ("url(" in value.lower() or "expression" in value.lower() or "@" in value)
