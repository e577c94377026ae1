"""WordprocessingML as text: runs, paragraphs, tables and content controls. ECMA-376, part 1, 17.5.2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

NAMESPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
LOCKED, KEPT = "sdtContentLocked", "sdtLocked"
"""Locks of a control: its content cannot be edited; or it cannot be deleted, but its content can be edited."""
OURS, SPONSOR = "smoothcert/", "sponsor/"
"""Beginnings of the tags of locked controls, and of controls that the sponsor may edit."""
WIDTH = 9865
"""Width between the margins, in twentieths of a point: A4 less 36 mm."""
_TITLE = 60
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GREY, _LINE = "DEDEDE", "C8C8C8"


def quoted(text: str) -> str:
    """Return a text as XML, without the characters that XML cannot hold."""
    return escape(_ILLEGAL.sub("", text))


def run(text: str, bold: bool = False, size: float | None = None, font: str = "") -> str:
    """Return a run of text; `size` in points."""
    facts = f'<w:rFonts w:ascii="{font}" w:hAnsi="{font}" w:cs="{font}"/>' if font else ""
    facts += "<w:b/>" if bold else ""
    facts += "" if size is None else f'<w:sz w:val="{round(2 * size)}"/><w:szCs w:val="{round(2 * size)}"/>'
    return f'<w:r><w:rPr>{facts}</w:rPr><w:t xml:space="preserve">{quoted(text)}</w:t></w:r>'


def paragraph(content: str, style: str = "", right: bool = False) -> str:
    """Return a paragraph of runs and controls, in a style of the document by its id."""
    facts = f'<w:pStyle w:val="{style}"/>' if style else ""
    facts += '<w:jc w:val="right"/>' if right else ""
    return f"<w:p><w:pPr>{facts}</w:pPr>{content}</w:p>"


@dataclass
class Controls:
    """Makes the content controls of one document; each has its own id and, if locked, its own tag."""

    made: int = field(default=0)

    def locked(self, tag: str, title: str, content: str) -> str:
        """Return a control whose content cannot be edited, around paragraphs, a table or runs."""
        return self._control(OURS + tag, title, LOCKED, "", content)

    def editable(self, name: str, title: str, content: str) -> str:
        """Return a plain-text control for a sponsor's field, around runs; it can be edited, but not deleted."""
        return self._control(SPONSOR + name, title, KEPT, '<w:text w:multiLine="1"/>', content)

    def choice(self, name: str, title: str, items: Sequence[str], content: str) -> str:
        """Return a drop-down list for a sponsor's field."""
        listed = "".join(f'<w:listItem w:displayText="{quoted(i)}" w:value="{quoted(i)}"/>' for i in items)
        return self._control(SPONSOR + name, title, KEPT, f"<w:dropDownList>{listed}</w:dropDownList>", content)

    def _control(self, tag: str, title: str, lock: str, kind: str, content: str) -> str:
        self.made += 1
        facts = f'<w:alias w:val="{quoted(title[:_TITLE])}"/><w:tag w:val="{quoted(tag)}"/><w:id w:val="{self.made}"/>'
        properties = f'<w:sdtPr>{facts}<w:lock w:val="{lock}"/>{kind}</w:sdtPr>'
        return f"<w:sdt>{properties}<w:sdtContent>{content}</w:sdtContent></w:sdt>"


@dataclass(frozen=True)
class Entry:
    """A table cell: its paragraph content as XML, and how it is drawn."""

    content: str
    columns: int = 1
    right: bool = False
    open: bool = False
    """Whether it is an open field of the sponsor, which is grey."""


def table(rows: Iterable[Sequence[Entry]], widths: Sequence[float], header: bool, style: str, lines: float = 1) -> str:
    """Return a table as wide as the page.

    Args:
        rows: the cells.
        widths: relative widths of the columns.
        header: whether the first row is repeated on each page.
        style: id of the paragraph style of the cells.
        lines: minimum height of a row after the first, in lines.
    """
    total = sum(widths)
    exact = [round(WIDTH * each / total) for each in widths]
    borders = "".join(
        f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="{_LINE}"/>' for side in ("top", "bottom", "insideH")
    )
    margins = '<w:left w:w="50" w:type="dxa"/><w:right w:w="50" w:type="dxa"/>'
    properties = (
        f'<w:tblPr><w:tblW w:w="{sum(exact)}" w:type="dxa"/><w:tblBorders>{borders}</w:tblBorders>'
        f'<w:tblLayout w:type="fixed"/><w:tblCellMar>{margins}</w:tblCellMar></w:tblPr>'
    )
    grid = "".join(f'<w:gridCol w:w="{each}"/>' for each in exact)
    height = f'<w:trHeight w:val="{round(240 * lines)}" w:hRule="atLeast"/>' if lines > 1 else ""
    written = []
    for number, row in enumerate(rows):
        first = header and number == 0
        facts = "<w:tblHeader/>" if first else height
        written.append(f"<w:tr><w:trPr><w:cantSplit/>{facts}</w:trPr>{_cells(row, exact, style)}</w:tr>")
    return f"<w:tbl>{properties}<w:tblGrid>{grid}</w:tblGrid>{''.join(written)}</w:tbl>"


def _cells(row: Sequence[Entry], widths: Sequence[int], style: str) -> str:
    written, at = [], 0
    for entry in row:
        width = sum(widths[at : at + entry.columns])
        at += entry.columns
        span = f'<w:gridSpan w:val="{entry.columns}"/>' if entry.columns > 1 else ""
        fill = f'<w:shd w:val="clear" w:color="auto" w:fill="{_GREY}"/>' if entry.open else ""
        facts = f'<w:tcPr><w:tcW w:w="{width}" w:type="dxa"/>{span}{fill}<w:vAlign w:val="center"/></w:tcPr>'
        written.append(f"<w:tc>{facts}{paragraph(entry.content, style, entry.right)}</w:tc>")
    return "".join(written)
