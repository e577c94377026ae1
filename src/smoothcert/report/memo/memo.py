"""The memo as data: fields, tables and four pages, a pure function of a run and the sponsor's fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from smoothcert.evidence import Run
from smoothcert.evidence.events import writer
from smoothcert.report.claims import ONE_SUPPLY
from smoothcert.report.memo import claim_box, facts, settings, text
from smoothcert.report.memo import sponsor as sponsor_fields
from smoothcert.report.memo import tables as shared
from smoothcert.report.memo.blocks import (
    DOES_NOT,
    Block,
    Box,
    Field,
    Fields,
    Grid,
    Heading,
    Pair,
    Picture,
    Prose,
    Span,
    fill,
    words,
)
from smoothcert.report.memo.context import MemoContext, gather
from smoothcert.report.memo.sponsor import Sponsor
from smoothcert.report.memo.text import references
from smoothcert.report.memo.wording import refused
from smoothcert.report.results_table import Table
from smoothcert.report.tables import NOT_MET
from smoothcert.verify import Report

Tables = Mapping[str, Table]
UNATTAINABLE = "not attainable"
_ALL = tuple(range(6))
_SIGNED = 1.8
_ITEMS = (0.9, 2.2, 1.2, 1.9, 1.3)
"""Relative widths of the columns of section 4."""


def pages(fields: Fields, tables: Tables) -> tuple[tuple[Block, ...], ...]:
    """Return the blocks of the four pages.

    Args:
        fields: the printed values of all texts.
        tables: all tables.
    """
    return (_first(fields, tables), _second(fields, tables), _third(fields, tables), _fourth(fields, tables))


def _first(fields: Fields, tables: Tables) -> tuple[Block, ...]:
    printed = {name: field.printed for name, field in fields.items()}
    opening = Grid(
        ("document", "run", "status", "date", "open sponsor fields"),
        ((printed["document_id"], printed["run_id"], printed["status"], printed["dated"], printed["open_fields"]),),
        (1.6, 1, 1.2, 1.4, 1),
    )
    return (
        opening,
        Prose(f"{printed['reasons']}.", lead=_lead(printed["status"]), style="small"),
        *_warnings(fields),
        Heading("1", "Purpose and scope"),
        Prose(fill(text.PURPOSE, fields)),
        Heading("2", "What may be claimed"),
        _claim_box(fields),
        Heading("3", "Device and intended use"),
        _facts(tables["device"], 0.27),
        Heading("4", "Item tested"),
        _items(tables["items"]),
        _facts(tables["item_facts"], 0.27),
        Heading("5", "Headline"),
        _grid(
            tables["headline"],
            (0.4, 0.5, *(2.0 for _ in tables["headline"].headings[2:])),
            (),
            fields["headline_note"].printed,
        ),
        Heading("6", "Records"),
        Prose(printed["records"]),
    )


def _lead(status: str) -> str:
    return text.FINAL_LEAD if status == text.FINAL else text.DRAFT_LEAD


def _items(table: Table) -> Grid:
    """Return section 4; with a denoiser, its first column is the order in which the networks are applied."""
    first = len(table.headings) - len(_ITEMS)
    return _grid(table, (*(0.9,) * first, *_ITEMS), _ALL, mono=(first + 3,))


def _warnings(fields: Fields) -> tuple[Block, ...]:
    sentences = tuple(Prose(sentence, style="strong") for sentence in fields["warnings"].value)
    return (Box(sentences, "warning"),) if sentences else ()


def _claim_box(fields: Fields) -> Box:
    printed = {name: field.printed for name, field in fields.items()}
    if printed["first_fault"]:
        return Box((Prose(printed["failed"], style="strong"),), "warning")
    stated = [Prose(printed["claim_heading"], style="strong")]
    if "object" in printed:
        stated.append(Prose(f"{printed['object']} {text.LISTED}", "Object."))
    counted = (printed[name] for name in ("observed", "by_class", "stable_wrong"))
    stated.append(Prose(" ".join(filter(None, counted)), "Observed."))
    if printed["sample"]:
        stated.append(Prose(printed["sample"], "This sample."))
    if printed["population"]:
        stated.append(Prose(f"{printed['population']} {printed['condition']}".strip(), "Population."))
    stated.append(Prose(f"{printed['size']} {printed['deployment']} {printed['arithmetic']}", "Limits."))
    style = "strong" if NOT_MET in printed["criteria_words"] else "body"
    stated.append(Prose(printed["criteria_words"], "Criteria.", style))
    return Box(tuple(stated))


def _second(fields: Fields, tables: Tables) -> tuple[Block, ...]:
    criteria = tables["criteria"]
    judged: tuple[Block, ...] = (Prose(text.DESCRIPTIVE),)
    if criteria.rows:
        judged = (_grid(criteria, (5.2, 0.55, 0.75, 0.7, 0.8), (0, 4), fields["criteria_note"].printed),)
    return (
        Heading("7", "Method"),
        Prose(fields["method"].printed),
        Heading("8", "Pre-specification, acceptance criteria, deviations and earlier use of these images"),
        Prose(fields["locked_words"].printed),
        *judged,
        Grid(
            (),
            (
                ("Rationale of thresholds", fields["thresholds"].printed),
                ("Deviations that the log shows", fields["conduct"].printed),
                ("Deviations, earlier use (sponsor)", fields["deviations"].printed),
            ),
            (0.24, 1),
        ),
        Heading("9", "Statistics"),
        Prose(fields["statistics"].printed),
        Pair(
            (Picture(fields["figure"].printed, 88),),
            (_facts(tables["parameters"], 0.42), Prose(fields["one_image"].printed, "One certificate.")),
            0.57,
        ),
        Heading("10", "Cost and sample size"),
        _grid(tables["cost"], _cost_widths(tables["cost"]), (), fields["cost_note"].printed),
        Prose(fields["cost"].printed),
        Grid((), (("Price per device-hour", fields["price_row"].printed),), (0.24, 1)),
    )


def _cost_widths(table: Table) -> tuple[float, ...]:
    of = {"device time": 1.7, "devices": 1.1, "energy": 0.85, "price": 0.85}
    return (0.8, *(of[heading.partition(": ")[2]] for heading in table.headings[1:]))


def _third(fields: Fields, tables: Tables) -> tuple[Block, ...]:
    results = _spanned(tables["results"])
    return (
        Heading("11", "Results"),
        results,
        Prose(fields["results_note"].printed, style="small"),
        _grid(
            tables["accuracy"],
            (0.4, 0.3, *(1.7 for _ in tables["accuracy"].headings[5:]), 1.1, 0.7, 0.8),
            (),
            fields["accuracy_caption"].printed,
        ),
        _grid(
            tables["classes"],
            (1.8, 0.5, *(1.4 for _ in tables["classes"].headings[2:])),
            (0,),
            fields["class_caption"].printed,
        ),
        Prose(fields["class_note"].printed, style="small"),
        *_subgroups(fields, tables),
        Heading("12", "The radius in image units"),
        _units(tables, fields),
        Heading("13", "What the bound does and does not guarantee"),
        Grid(tables["guarantees"].headings, tables["guarantees"].rows, (1.0, 2.3, 2.1), places={2: DOES_NOT}),
    )


def _subgroups(fields: Fields, tables: Tables) -> tuple[Block, ...]:
    if "subgroups" not in tables:
        return ()
    grid = _grid(tables["subgroups"], (1.2, 0.5, 2.6, 2.6), _ALL, fields["subgroup_caption"].printed)
    return grid, Prose(fields["subgroup_note"].printed, style="small")


def _units(tables: Tables, fields: Fields) -> Pair:
    grid, table = _grid(tables["units"], (0.4, 1.8, 1.2), ()), tables["changes"]
    note = Prose(fields["units_note"].printed, style="small")
    if not table.rows:
        return Pair((grid,), (note, Prose(text.CHANGES_MISSING, style="small")), 0.45)
    measured = _grid(table, (2.7, 1.1, *(0.7 for _ in table.headings[2:])))
    return Pair((grid, note), (measured, Prose(fields["changes_note"].printed, style="small")), 0.45)


def _fourth(fields: Fields, tables: Tables) -> tuple[Block, ...]:
    return (
        Heading("14", "Limitations"),
        Prose(fields["limitations"].printed),
        Heading("15", "Residual risk and its place in the risk file"),
        Prose(fields["residual"].printed),
        _facts(tables["risk"], 0.14),
        Heading("16", "Regulatory map"),
        Prose(ONE_SUPPLY),
        _grid(tables["map"], (2.1, 1.7, 2.3), (0, 1, 2)),
        Heading("17", "Traceability"),
        Prose(text.COMMAND, text.RECHECK, "code"),
        _grid(tables["hashes"], (0.26, 1), _ALL, mono=(1,)),
        Prose(fields["versions"].printed, style="small"),
        Heading("18", "Sign-off and revision history"),
        Pair(
            (_sign_off(tables["approvals"], (0.9, 2.3, 0.75, 1.05)),),
            (_grid(tables["revisions"], (0.6, 0.8, 2.2), _ALL),),
            0.61,
        ),
        Heading("", "References"),
        *(
            Prose(each, style="reference")
            for each in references("object" in fields, "price" in fields, fields["regulation"].value)
        ),
    )


def _grid(
    table: Table, widths: tuple[float, ...], left: tuple[int, ...] = (0,), caption: str = "", mono: tuple[int, ...] = ()
) -> Grid:
    """Return a table; columns that are not in `left` contain numbers and are right-aligned."""
    right = tuple(i for i in range(len(table.headings)) if i not in left)
    return Grid(table.headings, table.rows, widths, caption, right, mono)


def _sign_off(table: Table, widths: tuple[float, ...]) -> Grid:
    """Return a table with room for signatures."""
    return Grid(table.headings, table.rows, widths, lines=_SIGNED)


def _facts(table: Table, first: float) -> Grid:
    """Return a table with row headings in its first column."""
    return Grid((), table.rows, (first, 1))


def _spanned(table: Table) -> Grid:
    """Return the results with one wide cell in place of dashes if a radius is not attainable."""
    rows: list[tuple[str | Span, ...]] = []
    for row in table.rows:
        at = next((i for i, entry in enumerate(row) if entry.startswith(UNATTAINABLE)), None)
        rows.append(row if at is None else (*row[: at - 1], Span(row[at], 6), *row[at + 5 :]))
    widths = (0.5, 0.25, 0.45, 0.7, 0.85, 0.9, 1.2, 0.75, 1.0, 1.0, 0.85, 0.65, 0.75)
    return Grid(table.headings, tuple(rows), widths, right=tuple(range(len(table.headings))))


FORMAT = 1


@dataclass(frozen=True)
class Memo:
    """The content of the memo.

    Attributes:
        fields: the printed values of all texts.
        tables: all tables, as printed rows and the records behind them.
        pages: the blocks of the four pages.
        sponsor: the sponsor's fields.
        checked: the result of verify for the evidence.
        gaps: why it cannot be final, empty if it can.
        final: whether it is printed without "draft".
    """

    fields: Fields
    tables: dict[str, Table]
    pages: tuple[tuple[Block, ...], ...]
    sponsor: Sponsor
    checked: Report
    gaps: tuple[str, ...] = ()
    final: bool = False

    def record(self) -> dict[str, Any]:
        """Return `memo_fields.json` as a plain record."""
        return {
            "format": FORMAT,
            **writer(),
            **({"final": True} if self.final else {}),
            "sponsor": self.sponsor.model_dump(mode="json"),
            "fields": {name: asdict(field) for name, field in self.fields.items()},
            "tables": {name: _table(table) for name, table in self.tables.items()},
        }


def _table(table: Table) -> dict[str, Any]:
    return {"headings": [*table.headings], "rows": [[*row] for row in table.rows], "records": [*table.records]}


def make_memo(run: Run, sponsor: Sponsor, checked: Report | None = None, final: bool = False) -> Memo:
    """Return the memo of a run, complete or partial. Needs neither torch nor typst.

    Args:
        run: the run.
        sponsor: the sponsor's fields, open or filled.
        checked: the result of verify for the evidence. Default: verify is run.
        final: whether to print it without "draft"; it stays a draft if it has `gaps`.
    """
    memo = _made(gather(run, sponsor, checked, final))
    return _made(gather(run, sponsor, memo.checked)) if final and memo.gaps else memo


def _made(found: MemoContext) -> Memo:
    tables = _tables(found)
    fields = _fields(found, tables, 0)
    made = pages(fields, tables)
    count = len(refused(made, found.sponsor))
    if count:
        fields = _fields(found, tables, count)
        made = pages(fields, tables)
    gaps = (*claim_box.open_reasons(found, count), *_unnamed(found.sponsor))
    return Memo(fields, tables, made, found.sponsor, found.checked, gaps, found.final)


def _unnamed(sponsor: Sponsor) -> Iterator[str]:
    """Yield what is missing in the signature block."""
    if sponsor.open:
        yield f"open sponsor fields: {', '.join(sponsor.open)}"
    roles = [each.role for each in sponsor.approvals if each.name is None]
    if roles:
        yield f"the signature block (approvals) has no name for: {', '.join(roles)}"


def memo_fields(run: Run, sponsor: Sponsor) -> dict[str, Field]:
    """Return the printed values of all texts: raw value, rounding rule, printed string, source."""
    return make_memo(run, sponsor).fields


def _fields(found: MemoContext, tables: dict[str, Table], refusals: int) -> Fields:
    return {
        **claim_box.identity(found, refusals),
        **settings.settings(found),
        **claim_box.claim(found),
        **facts.records(found),
        **settings.prespecified(found),
        **settings.statistics(found),
        **settings.cost(found),
        "price_row": words(settings.price_row(found), "sponsor.yaml: production"),
        **facts.notes(found, tables),
        **shared.subgroup_notes(found, tables.get("subgroups")),
        **facts.unit_notes(found, tables["units"]),
        **claim_box.remaining(found),
        **facts.closing(found),
    }


def _tables(found: MemoContext) -> dict[str, Table]:
    return {
        "device": sponsor_fields.device_table(found.sponsor),
        "items": facts.items(found),
        "item_facts": facts.item_facts(found),
        "headline": shared.headline(found),
        "criteria": shared.criteria(found),
        "parameters": facts.parameters(found),
        "cost": shared.cost(found),
        "results": shared.results(found),
        "accuracy": shared.accuracy(found),
        "classes": shared.classes(found),
        **shared.subgroup_tables(found),
        "units": shared.units(found),
        "changes": shared.changes(found),
        "guarantees": shared.guaranteed(found),
        "risk": sponsor_fields.risk_table(found.sponsor),
        "map": sponsor_fields.regulatory_map(found.sponsor),
        "hashes": facts.hashes(found),
        "approvals": sponsor_fields.approval_table(found.sponsor),
        "revisions": sponsor_fields.revision_table(found.sponsor),
    }
