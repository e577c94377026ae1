"""Check `report.html`: its data and tables, and that nothing else in it can run, load or navigate."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from smoothcert.errors import EvidenceError, MissingExtraError
from smoothcert.formats.strict import parse
from smoothcert.report.documents.found import CONDITIONAL, Findings, Written, describe, fault, held, note
from smoothcert.report.documents.printed import PrintedTable, compare_tables
from smoothcert.report.html_report.build import NAME, page_text, policy_of
from smoothcert.report.html_report.images import unpack
from smoothcert.verify.keys import Compared, compare

ACTIVE = frozenset(
    "script iframe frame object embed applet form base link portal audio video svg math template slot".split()  # noqa: SIM905
)
_ADDRESSES = ("href", "src", "action", "formaction", "data", "srcset", "xlink:href", "background", "poster", "ping")


class Markup(HTMLParser):
    """A text parsed as HTML; raises EvidenceError if it cannot be parsed.

    Attributes:
        tables: its tables, including those without headings.
        scripts: text and type of each script element.
        styles: text of each style element.
        policy: its content security policies.
        tags: names of all its elements.
        active: what could run, load or navigate, other than scripts.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[PrintedTable] = []
        self.scripts: list[tuple[str, str]] = []
        self.styles: list[str] = []
        self.policy: list[str] = []
        self.tags: set[str] = set()
        self.active: list[str] = []
        self._rows: list[list[str]] = []
        self._text: list[str] | None = None
        self._raw: str | None = None
        self._kind = ""
        try:
            self.feed(text)
            self.close()
        except AssertionError as error:  # raised by the library if it cannot continue
            raise EvidenceError(f"expected HTML, got invalid markup: {error}", code="E-RUN-065") from None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Process the start of an element."""
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
            self._text = []
        elif tag == "br" and self._text is not None:
            self._text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Process the end of an element."""
        if tag == "script":
            self.scripts.append((self._raw or "", self._kind))
            self._raw = None
        elif tag == "style":
            self.styles.append(self._raw or "")
            self._raw = None
        elif tag in ("td", "th") and self._text is not None:
            if self._rows:
                self._rows[-1].append("".join(self._text).strip())
            self._text = None
        elif tag == "table" and self._rows:
            width = len(self._rows[0])
            body = tuple(tuple((row + [""] * width)[:width]) for row in self._rows[1:])
            self.tables.append(PrintedTable(tuple(self._rows[0]), body))
            self._rows = []

    def handle_data(self, data: str) -> None:
        """Process text."""
        if self._raw is not None:
            self._raw += data
        elif self._text is not None:
            self._text.append(data.replace("\N{NO-BREAK SPACE}", " "))


def _runs(name: str, value: str) -> bool:
    """Whether an attribute can run code or load something: event handlers, and addresses outside the page."""
    if name.startswith("on"):
        return True
    if name in _ADDRESSES:
        return not value.startswith("#")
    return name == "style" and ("url(" in value.lower() or "expression" in value.lower() or "@" in value)


DATA = "application/json"
MOST = 100_000_000
"""Maximum number of values of a packed column."""


def check_page(written: Written) -> Findings:
    """Check the page, if there is one."""
    if not (written.folder / NAME).is_file():
        return
    try:
        text = page_text(written.run, written.production)
    except MissingExtraError as missing:
        yield note(NAME, f": not checked. {missing}")
        return
    found = written.text(NAME)
    if found == text:
        yield held(NAME)
        return
    theirs, ours = Markup(found), Markup(text)
    unsafe = list(_unsafe(theirs))
    yield from (fault(NAME, message) for message in unsafe)
    differing = _data(theirs, ours)
    compare_tables(theirs.tables, ours.tables, differing)
    if not written.same_code:
        differing.worded.append("sentences, style and script")
    elif not unsafe and not differing.wrong and not differing.unknown and not differing.absent:
        yield fault(NAME, " is not the page that this version writes for this run: its text, style or script differs")
        return
    yield from describe(written, NAME, differing)


def _unsafe(page: Markup) -> list[str]:
    """Return what no version writes into a page: anything that runs or loads, other than its one script."""
    found = [f": {each} could run or load something; no version writes that" for each in page.active[:5]]
    kinds = sorted(kind for _, kind in page.scripts)
    if kinds != ["", DATA] or len(page.styles) != 1:
        found.append(" has more scripts or styles than any version: expected one script, one data block, one style")
        return found
    script = next(text for text, kind in page.scripts if kind == "")
    if page.policy != [policy_of(page.styles[0], script)]:
        found.append(": its security policy does not match its style and script")
    return found


def _data(theirs: Markup, ours: Markup) -> Compared:
    """Compare the data blocks from which the script draws chart, classes and images."""
    blocks = [next((text for text, kind in page.scripts if kind == DATA), "") for page in (theirs, ours)]
    try:
        written, computed = (_unpacked(parse(block, "its data")) for block in blocks)
        return compare(written, computed, CONDITIONAL)
    except (EvidenceError, ValueError):
        return Compared(wrong=["its data block"])


def _unpacked(value: Any) -> Any:
    """Return plain values with their packed columns as lists of numbers."""
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if {*value} == {"bytes", "steps", "data"}:
        return unpack(value, MOST)
    return {name: _unpacked(each) for name, each in value.items()}
