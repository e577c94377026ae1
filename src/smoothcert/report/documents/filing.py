"""Check the files for other systems: rows for a risk file, the trace of requirements, and the model card."""

from __future__ import annotations

from typing import Any

from smoothcert.errors import InputError, MissingExtraError
from smoothcert.report.documents.found import Findings, Written, describe, fault, held, note
from smoothcert.report.documents.printed import compare_tables, csv_records, markdown_tables
from smoothcert.report.filing import RISKS, TRACE, rows_texts
from smoothcert.report.filing.card import CARD, card_text
from smoothcert.verify.keys import Compared, compare
from smoothcert.yaml_files import parse_yaml

_EDGE = "---\n"
_COMPARED = {RISKS: (("topic", "not verified"), ("count",)), TRACE: (("source", "requirement"), ("verdict",))}
"""The columns that name a row, and those that are compared in rows of another version."""


def check_filing(written: Written) -> Findings:
    """Check risk_rows.csv, requirements_trace.csv and model-card.md, as far as they exist."""
    names = [name for name in (RISKS, TRACE, CARD) if (written.folder / name).is_file()]
    if not names:
        return
    for name, text in rows_texts(written.run, written.memo).items():
        if name in names:
            yield from _rows(written, name, text)
    if CARD in names:
        try:
            text = card_text(written.run, written.memo)
        except MissingExtraError as missing:
            yield note(CARD, f": not checked. {missing}")
            return
        yield from _card(written, text)


def _rows(written: Written, name: str, text: str) -> Findings:
    """Compare rows: the columns of the sponsor are empty, as they are filled in a copy."""
    found = written.text(name)
    if found == text:
        yield held(name)
    elif written.same_code:
        pairs = zip((*found.splitlines(), ""), (*text.splitlines(), ""), strict=False)
        line = next((i for i, (one, other) in enumerate(pairs, 1) if one != other), 1)
        yield fault(name, f", line {line}: it is not what votes, log and sponsor's fields give")
    else:
        yield from describe(written, name, _counts(name, csv_records(found), csv_records(text)))


def _counts(name: str, found: list[dict[str, Any]], computed: list[dict[str, Any]]) -> Compared:
    """Compare counts and verdicts of the rows that this version writes, too."""
    keys, values = _COMPARED[name]
    ours, differing = {tuple(row.get(key) for key in keys): row for row in computed}, Compared()
    for number, row in enumerate(found, 1):
        wanted = ours.pop(tuple(row.get(key) for key in keys), None)
        if wanted is None:
            differing.unknown.append(f"row {number}")
            continue
        differing.wrong += [f"row {number}, {each}" for each in values if row.get(each) != wanted[each]]
        differing.worded += [f"row {number}"] if row != wanted else []
    differing.absent += [f"row on {each[0]}" for each in ours]
    return differing


def _card(written: Written, text: str) -> Findings:
    """Compare the metadata by their keys, and the tables of the text; its sentences if the same code wrote it."""
    found = written.text(CARD)
    if found == text:
        yield held(CARD)
        return
    try:
        (facts, body), (wanted, ours) = _parts(found), _parts(text)
    except (InputError, ValueError):
        yield fault(CARD, ": expected metadata between two lines of ---")
        return
    differing = compare(facts, wanted)
    compare_tables(markdown_tables(body), markdown_tables(ours), differing)
    if body != ours:
        differing.worded.append("sentences")
    yield from describe(written, CARD, differing)


def _parts(card: str) -> tuple[Any, str]:
    empty, facts, body = card.split(_EDGE, 2)
    if empty:
        raise ValueError("text before the metadata")
    return parse_yaml(facts, CARD), body
