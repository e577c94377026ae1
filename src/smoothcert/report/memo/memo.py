"""The memo as data: fields, tables and pages, a pure function of a run and the sponsor's fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from smoothcert.evidence import Run
from smoothcert.evidence.events import writer
from smoothcert.report.memo import by_subgroup, claimed, facts, notes, settings, shares, sponsored
from smoothcert.report.memo.blocks import Block
from smoothcert.report.memo.field import Field, Fields, words
from smoothcert.report.memo.material import Material, gather
from smoothcert.report.memo.pages import pages
from smoothcert.report.memo.sponsor import Sponsor
from smoothcert.report.memo.wording import refused
from smoothcert.report.table import Table
from smoothcert.verify import Report

FORMAT = 1


@dataclass(frozen=True)
class Memo:
    """Everything the memo prints.

    Attributes:
        fields: every printed value that stands in a text.
        tables: every table, rows as printed and the records they came from.
        pages: the blocks of the four pages.
        sponsor: the sponsor's fields.
    """

    fields: Fields
    tables: dict[str, Table]
    pages: tuple[tuple[Block, ...], ...]
    sponsor: Sponsor

    def record(self) -> dict[str, Any]:
        """Return `memo_fields.json` as a plain record."""
        return {
            "format": FORMAT,
            **writer(),
            "sponsor": self.sponsor.model_dump(mode="json"),
            "fields": {name: asdict(field) for name, field in self.fields.items()},
            "tables": {name: _table(table) for name, table in self.tables.items()},
        }


def _table(table: Table) -> dict[str, Any]:
    return {"headings": [*table.headings], "rows": [[*row] for row in table.rows], "records": [*table.records]}


def make_memo(run: Run, sponsor: Sponsor, checked: Report | None = None) -> Memo:
    """Derive the memo of a run, complete or partial; needs neither torch nor typst.

    Args:
        run: the run.
        sponsor: the sponsor's fields, open or filled.
        checked: what verify says about the evidence; left out, it is asked.
    """
    found = gather(run, sponsor, checked)
    tables = _tables(found)
    fields = _fields(found, tables, 0)
    made = pages(fields, tables)
    count = len(refused(made, sponsor))
    if count:
        fields = _fields(found, tables, count)
        made = pages(fields, tables)
    return Memo(fields, tables, made, sponsor)


def memo_fields(run: Run, sponsor: Sponsor) -> dict[str, Field]:
    """Return every value that the text of the memo prints: raw value, rounding, printed string, source."""
    return make_memo(run, sponsor).fields


def _fields(found: Material, tables: dict[str, Table], refusals: int) -> Fields:
    return {
        **claimed.identity(found, refusals),
        **settings.settings(found),
        **claimed.claim(found),
        **notes.records(found),
        **settings.prespecified(found),
        **settings.statistics(found),
        **settings.cost(found),
        "price_row": words(settings.price_row(found), "sponsor.yaml: production"),
        **notes.notes(found, tables),
        **by_subgroup.notes(found, tables.get("subgroups")),
        **notes.unit_notes(found, tables["units"]),
        **claimed.remaining(found),
        **notes.closing(found),
    }


def _tables(found: Material) -> dict[str, Table]:
    return {
        "device": sponsored.device_table(found.sponsor),
        "items": facts.items(found),
        "item_facts": facts.item_facts(found),
        "headline": shares.headline(found),
        "criteria": facts.criteria(found),
        "parameters": facts.parameters(found),
        "cost": shares.cost(found),
        "results": shares.results(found),
        "accuracy": shares.accuracy(found),
        "classes": shares.classes(found),
        **by_subgroup.tables(found),
        "units": shares.units(found),
        "changes": shares.changes(found),
        "guarantees": shares.guaranteed(found),
        "risk": sponsored.risk_table(found.sponsor),
        "hashes": facts.hashes(found),
        "approvals": sponsored.approval_table(found.sponsor),
        "revisions": sponsored.revision_table(found.sponsor),
    }
