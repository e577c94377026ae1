"""memo.docx: the blocks of the memo in locked content controls, and the sponsor's boxes in editable ones."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from smoothcert.evidence import Run
from smoothcert.evidence.directory import write_derived
from smoothcert.report.memo import text
from smoothcert.report.memo.blocks import Block, Box, Grid, Heading, Pair, Picture, Prose, Span
from smoothcert.report.memo.build import edges
from smoothcert.report.memo.memo import Memo
from smoothcert.report.word import package
from smoothcert.report.word.package import CAPTION, CELLS, FRAME, GAP, MONO, SMALL, STRONG, WARN
from smoothcert.report.word.xml import Controls, Entry, paragraph, run, table

if TYPE_CHECKING:
    from docx.document import Document

MEMO = "memo.docx"
BOXES = {
    "Device": "device",
    "Intended use": "intended_use",
    "Users": "users",
    "Reference standard": "reference_standard",
    "Origin of the images": "data_origin",
    "Role of the images": "data_role",
    "Before storage (sponsor)": "preprocessing",
    "Deviations, earlier use (sponsor)": "deviations",
    "Rationale of thresholds": "thresholds",
    "Threat model": "threat_model",
    "Risk file": "risk_ids",
}
"""The sponsor's fields that may be edited in the file, by row heading; sentences of the memo depend on the others."""
SIGNED = {
    ("role", "name", "date", "signature"): "approvals",
    ("version", "date", "change"): "revisions",
}
"""The sponsor's tables that may be edited in the file, by their headings."""
_STYLES = {"small": SMALL, "strong": STRONG, "reference": SMALL}
_FRAMES = {"claim": FRAME, "warning": WARN}
_OPEN = "[SPONSOR TO COMPLETE"
_PICTURE = 90  # mm


def write_docx(run: Run, folder: Path, memo: Memo) -> Path:
    """Write memo.docx; the same run gives the same bytes.

    Raises:
        MissingExtraError: python-docx or matplotlib is not installed.
    """
    path = folder / MEMO
    write_derived(path, docx_of(memo, figure_of(memo.sponsor.of(run), memo)))
    return path


def figure_of(run: Run, memo: Memo) -> bytes:
    """Return the figure of the memo as PNG."""
    from smoothcert.report.figures import curve_figure
    from smoothcert.report.figures.style import drawn

    return drawn(curve_figure(run, memo.fields["figure_k"].value), "png")


def docx_of(memo: Memo, figure: bytes) -> bytes:
    """Return the memo as a Word file.

    Args:
        memo: the content.
        figure: the figure, as PNG.

    Raises:
        MissingExtraError: python-docx is not installed.
    """
    dated = datetime.fromisoformat(memo.fields["dated"].printed.replace(" UTC", "+00:00"))
    document = package.new_document(
        package.Properties(text.TITLE, f"{memo.fields['status'].printed}, run {memo.fields['run_id'].printed}", dated)
    )
    writer = _Writer(document, figure)
    marks, of, named = edges(memo)[:3]
    header = writer.controls.locked("header", "header", run(f"{marks}   {of}"))
    footer = writer.controls.locked("footer", "footer", run(named))
    package.edge(document, header, f"{footer}{run('   ')}{_page_number()}")
    title = writer.controls.locked("title", "title", paragraph(run(text.TITLE), "Title"))
    package.append(document, title)
    for number, page in enumerate(memo.pages, 1):
        writer.page(number, page)
    return package.packed(document)


def _page_number() -> str:
    fields = (f'<w:fldSimple w:instr="{name}">{run("1")}</w:fldSimple>' for name in ("PAGE", "NUMPAGES"))
    return run(" of ").join(fields)


@dataclass
class _Writer:
    """Writes blocks one after the other; the tag of a locked control is the place of its block."""

    document: Document
    figure: bytes
    controls: Controls = field(default_factory=Controls)
    section: str = ""

    def page(self, number: int, blocks: Sequence[Block]) -> None:
        """Add the blocks of a page."""
        self.section = f"page {number}"
        for place, block in enumerate(_flat(blocks), 1):
            if isinstance(block, Picture):
                self._picture(f"{number}.{place}", block)
            else:
                package.append(self.document, self._block(f"{number}.{place}", block))

    def _block(self, tag: str, block: Block) -> str:
        match block:
            case Heading(number, title):
                self.section = f"{number} {title}".strip()
                return self.controls.locked(tag, "heading", paragraph(run(self.section), "Heading1"))
            case Prose():
                return self.controls.locked(tag, self.section, _prose(block, _STYLES.get(block.style, "")))
            case Box(paragraphs, style):
                content = "".join(_prose(each, _FRAMES.get(style, FRAME)) for each in paragraphs)
                return self.controls.locked(tag, self.section, content)
            case Grid():
                return self._grid(tag, block)
        raise TypeError(type(block).__name__)

    def _grid(self, tag: str, grid: Grid) -> str:
        caption = paragraph(run(grid.caption), CAPTION) if grid.caption else ""
        table_of = SIGNED.get(grid.headings)
        if table_of is None and not any(row[0] in BOXES for row in grid.rows if not grid.headings):
            return self.controls.locked(tag, grid.caption or self.section, caption + self._table(grid)) + _gap()
        if caption:
            caption = self.controls.locked(f"{tag}.caption", self.section, caption)
        return caption + self._table(grid, tag, table_of) + _gap()

    def _table(self, grid: Grid, tag: str = "", of: str | None = None) -> str:
        """Return a table, with a control in each cell if a tag is given: cells of the sponsor are editable."""
        rows = []
        if grid.headings:
            heads = [run(each, bold=True) for each in grid.headings]
            if tag:
                heads = [self.controls.locked(f"{tag}.0.{i}", self.section, each) for i, each in enumerate(heads)]
            rows.append([Entry(each, right=i in grid.right) for i, each in enumerate(heads)])
        for number, row in enumerate(grid.rows, 1):
            entries = []
            for column, cell in enumerate(row):
                printed, columns = (cell.text, cell.columns) if isinstance(cell, Span) else (cell, 1)
                label = not grid.headings and column == 0
                content = run(printed, label, 6.2 if column in grid.mono else None, MONO if column in grid.mono else "")
                if tag:
                    name = _sponsored(grid, of, number, column, str(row[0]))
                    content = (
                        self.controls.editable(name, name, content)
                        if name
                        else self.controls.locked(f"{tag}.{number}.{column}", self.section, content)
                    )
                entries.append(Entry(content, columns, column in grid.right, printed.startswith(_OPEN)))
            rows.append(entries)
        return table(rows, grid.widths, bool(grid.headings), CELLS, grid.lines)

    def _picture(self, tag: str, picture: Picture) -> None:
        from docx.shared import Mm

        added = self.document.add_paragraph()
        shape = added.add_run().add_picture(io.BytesIO(self.figure), width=Mm(_PICTURE))
        shape._inline.docPr.set("descr", picture.description)
        control = next(iter(package.elements(self.controls.locked(tag, "figure", ""))))
        place = added._p.getparent()
        place.replace(added._p, control)
        control[-1].append(added._p)


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield the blocks in reading order; columns follow each other."""
    for block in blocks:
        if isinstance(block, Pair):
            yield from _flat((*block.left, *block.right))
        else:
            yield block


def _prose(prose: Prose, style: str) -> str:
    lead = run(f"{prose.lead} ", bold=True) if prose.lead else ""
    if prose.style == "code":
        return paragraph(run(f"{prose.lead} ") + run(prose.text, font=MONO), style)
    return paragraph(lead + run(prose.text, prose.style == "strong"), style)


def _sponsored(grid: Grid, of: str | None, number: int, column: int, label: str) -> str:
    """Return the name of the sponsor's field in a cell that may be edited, or an empty text."""
    if of is not None:
        return f"{of}/{number}/{grid.headings[column]}"
    return BOXES.get(label, "") if column == 1 else ""


def _gap() -> str:
    """Return the paragraph that Word needs between two tables."""
    return paragraph("", GAP)
