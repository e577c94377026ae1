"""Read the content controls of a Word file: strictly, with the standard library alone, whoever wrote it."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from smoothcert.errors import EvidenceError
from smoothcert.report.word.xml import NAMESPACE, OURS, SPONSOR

LARGEST = 64_000_000
"""Maximum size of all parts that are read, unpacked, in bytes."""
_PARTS = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
_MEDIA = "word/media/"
_SKIPPED = ("sdtPr", "del", "moveFrom", "instrText", "delText")
"""Elements without text of the document: properties, what a tracked change removed, codes of fields."""
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SEPARATE = {"p", "tr", "tc"}
_BLANK = {"tab", "br", "cr", "noBreakHyphen"}
_STRANGE = {
    "vanish": "hidden text",
    "dataBinding": "a binding to other data",
    "fldSimple": "a field",
    "fldChar": "a field",
    "altChunk": "an embedded document",
    "object": "an embedded object",
    "pict": "a drawing",
}
"""Parts of a locked control that would show something else than its text."""
_W = f"{{{NAMESPACE}}}"


@dataclass(frozen=True)
class Control:
    """A content control.

    Attributes:
        tag: its tag: `smoothcert/...` if it is locked, `sponsor/...` if the sponsor may edit it.
        texts: its paragraphs and table cells, in order.
        strange: parts that would show something else than its text, in words.
    """

    tag: str
    texts: tuple[str, ...]
    strange: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its whole text, one line per paragraph or cell."""
        return "\n".join(self.texts)


@dataclass(frozen=True)
class WordFile:
    """What a Word file contains.

    Attributes:
        controls: the controls of the memo or of a form, in order.
        outside: paragraphs with text outside of them.
        media: SHA-256 of each embedded picture.
        rows: the texts of each table row, cell by cell.
    """

    controls: tuple[Control, ...]
    outside: tuple[str, ...]
    media: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()

    def locked(self) -> Iterator[Control]:
        """Yield the locked controls."""
        return (each for each in self.controls if each.tag.startswith(OURS))

    def stated(self) -> dict[str, str]:
        """Return the text of each of the sponsor's controls, by the name of its field; the first of several."""
        found: dict[str, str] = {}
        for each in self.controls:
            if each.tag.startswith(SPONSOR):
                found.setdefault(each.tag.removeprefix(SPONSOR), each.text)
        return found


def read_word(data: bytes, name: str) -> WordFile:
    """Read a Word file.

    Args:
        data: its bytes.
        name: its name in messages.

    Raises:
        EvidenceError: it is no Word file, or has parts that none has.
    """
    reader = _Reader()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = sorted(each for each in package.namelist() if _PARTS.fullmatch(each))
            media = [each for each in package.namelist() if each.startswith(_MEDIA)]
            if sum(package.getinfo(each).file_size for each in (*names, *media)) > LARGEST:
                raise EvidenceError(f"{name}: expected at most {LARGEST:,} bytes unpacked.", code="E-RUN-220")
            if "word/document.xml" not in names:
                raise EvidenceError(f"{name}: expected a Word file (.docx), got another archive.", code="E-RUN-221")
            for each in names:
                reader.part(_parsed(package.read(each), name))
            pictures = tuple(hashlib.sha256(package.read(each)).hexdigest() for each in media)
    except (zipfile.BadZipFile, OSError, RuntimeError, KeyError, ValueError, zlib.error) as error:
        raise EvidenceError(
            f"{name}: expected a Word file (.docx), got a file that cannot be read ({type(error).__name__}).",
            code="E-RUN-222",
        ) from None
    return WordFile(tuple(reader.controls), tuple(reader.outside), pictures, tuple(reader.rows))


def _parsed(data: bytes, name: str) -> ElementTree.Element:
    try:
        text = data.decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise EvidenceError(f"{name}: expected no document type declaration, got one.", code="E-RUN-223")
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise EvidenceError(
            f"{name}: expected XML in UTF-8, got other bytes ({type(error).__name__}).", code="E-RUN-224"
        ) from None


def _texts(element: ElementTree.Element) -> Iterator[str]:
    """Yield the text of an element, with a space after each paragraph."""
    kind = element.tag.removeprefix(_W)
    if kind in _SKIPPED or element.tag == _FALLBACK:
        return
    if kind == "t":
        yield element.text or ""
    for each in element:
        yield from _texts(each)
    if kind in _SEPARATE or kind in _BLANK:
        yield " "


@dataclass
class _Open:
    """A control while it is read."""

    tag: str
    texts: list[str] = field(default_factory=list)
    strange: dict[str, None] = field(default_factory=dict)
    place: int = 0


class _Reader:
    def __init__(self) -> None:
        self.controls: list[Control] = []
        self.outside: list[str] = []
        self.rows: list[tuple[str, ...]] = []
        self._line: dict[int, str] = {}

    def part(self, root: ElementTree.Element) -> None:
        """Read the text of a part."""
        self._walk(root, None)
        for row in root.iter(f"{_W}tr"):
            self.rows.append(tuple(" ".join("".join(_texts(cell)).split()) for cell in row.iter(f"{_W}tc")))
        self._end(None)

    def _walk(self, element: ElementTree.Element, control: _Open | None) -> None:
        kind = element.tag.removeprefix(_W)
        if kind in _SKIPPED or element.tag == _FALLBACK:
            return
        if kind == "sdt":
            self._control(element, control)
            return
        if control is not None and kind in _STRANGE and element.get(f"{_W}val", "1") not in ("0", "false"):
            control.strange[_STRANGE[kind]] = None
        if kind == "t":
            self._add(element.text or "", control)
        elif kind in _BLANK:
            self._add(" ", control)
        for each in element:
            self._walk(each, control)
        if kind in _SEPARATE:
            self._end(control)

    def _control(self, element: ElementTree.Element, outer: _Open | None) -> None:
        found = element.find(f"{_W}sdtPr/{_W}tag")
        tag = "" if found is None else found.get(f"{_W}val", "")
        if not tag.startswith((OURS, SPONSOR)):  # a control of the user's own
            for each in element:
                self._walk(each, outer)
            return
        control = _Open(tag)
        if element.find(f"{_W}sdtPr/{_W}dataBinding") is not None:
            control.strange[_STRANGE["dataBinding"]] = None
        for each in element:
            self._walk(each, control)
        self._end(control)
        self.controls.append(Control(tag, tuple(control.texts), tuple(control.strange)))

    def _add(self, text: str, control: _Open | None) -> None:
        at = id(control)
        self._line[at] = self._line.get(at, "") + text

    def _end(self, control: _Open | None) -> None:
        text = " ".join(self._line.pop(id(control), "").split())
        if text:
            (self.outside if control is None else control.texts).append(text)
