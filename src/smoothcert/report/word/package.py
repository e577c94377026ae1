"""The file around the XML: styles, page, properties; the same bytes for the same content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from smoothcert.errors import MissingExtraError
from smoothcert.report.word.xml import NAMESPACE, paragraph

if TYPE_CHECKING:
    from docx.document import Document
    from docx.oxml.xmlchemy import BaseOxmlElement

BODY, CELLS, SMALL, STRONG, CAPTION, FRAME, WARN, GAP = (
    "Normal",
    "Cells",
    "Small",
    "Emphatic",
    "Captions",
    "Frame",
    "Warning",
    "Gap",
)
"""Ids of paragraph styles."""
FONT, MONO = "Times New Roman", "Courier New"
_SIZES = {BODY: 9.5, CELLS: 8.0, SMALL: 8.0, STRONG: 9.5, CAPTION: 8.0, FRAME: 9.5, WARN: 9.5, GAP: 3.0}
_FILLS = {FRAME: "EEF3F8", WARN: "FBEEE6"}
_MARGIN = 18  # mm
_OLDEST = (1980, 1, 1, 0, 0, 0)
_TYPES = "[Content_Types].xml"


@dataclass(frozen=True)
class Properties:
    """Title, subject and date of a document; the date is that of the run, never the current time."""

    title: str
    subject: str
    date: datetime


def new_document(properties: Properties) -> Document:
    """Return an empty A4 document with the styles of the memo.

    Raises:
        MissingExtraError: python-docx is not installed.
    """
    try:
        import docx
    except ImportError:
        raise MissingExtraError("A Word file", "report") from None
    document = docx.Document()
    core = document.core_properties
    core.title, core.subject, core.author, core.comments = properties.title, properties.subject, "smoothcert", ""
    core.last_modified_by, core.keywords, core.revision = "smoothcert", "", 1
    core.created = core.modified = properties.date.replace(tzinfo=None)
    _page(document)
    _styles(document)
    return document


def _page(document: Document) -> None:
    from docx.shared import Mm

    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    for side in ("left", "right", "top", "bottom"):
        setattr(section, f"{side}_margin", Mm(_MARGIN))
    section.header_distance = section.footer_distance = Mm(8)


def _styles(document: Document) -> None:
    from docx.enum.style import WD_STYLE_TYPE
    from docx.oxml import parse_xml
    from docx.shared import Pt

    for name, size in _SIZES.items():
        style = document.styles[name] if name == BODY else document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.font.name, style.font.size = FONT, Pt(size)
        spacing = style.paragraph_format
        close = name in (CELLS, FRAME, WARN, GAP)
        spacing.space_before, spacing.space_after = Pt(0 if close else 2), Pt(1 if close else 3)
        spacing.line_spacing = 1.0
        style.font.bold, style.font.italic = name == STRONG, name == CAPTION
        if name in _FILLS:
            shade = f'<w:shd xmlns:w="{NAMESPACE}" w:val="clear" w:color="auto" w:fill="{_FILLS[name]}"/>'
            properties = style.element.get_or_add_pPr()
            properties.find(f"{{{NAMESPACE}}}spacing").addprevious(parse_xml(shade))  # the order of the schema
    for name, size in (("Heading 1", 10.5), ("Title", 13)):
        style = document.styles[name]
        style.font.name, style.font.size, style.font.bold = FONT, Pt(size), True
        fonts = style.element.rPr.rFonts
        for theme in [each for each in fonts.attrib if each.endswith("Theme")]:
            del fonts.attrib[theme]
        style.paragraph_format.space_before, style.paragraph_format.space_after = Pt(7), Pt(3)


def elements(xml: str) -> Iterable[BaseOxmlElement]:
    """Return the elements of a piece of XML."""
    from docx.oxml import parse_xml

    return list(parse_xml(f'<w:body xmlns:w="{NAMESPACE}">{xml}</w:body>'))


def append(document: Document, xml: str) -> None:
    """Add paragraphs, tables and controls at the end of the body."""
    for element in elements(xml):
        document.element.body.insert_element_before(element, "w:sectPr")


def edge(document: Document, header: str, footer: str) -> None:
    """Set header and footer to one paragraph each, of runs and controls."""
    for part, content in ((document.sections[0].header, header), (document.sections[0].footer, footer)):
        part.is_linked_to_previous = False
        for old in list(part._element):
            part._element.remove(old)
        for element in elements(paragraph(content, SMALL)):
            part._element.append(element)


def packed(document: Document) -> bytes:
    """Return the file: the same bytes for the same document, whatever the clock says."""
    stored = io.BytesIO()
    document.save(stored)
    out = io.BytesIO()
    with zipfile.ZipFile(stored) as made, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as whole:
        names = sorted(made.namelist(), key=lambda name: (name != _TYPES, name))  # the types come first
        for name in names:
            facts = zipfile.ZipInfo(name, _OLDEST)
            facts.compress_type, facts.external_attr, facts.create_system = zipfile.ZIP_DEFLATED, 0o600 << 16, 3
            whole.writestr(facts, made.read(name))
    return out.getvalue()
