"""The form for the sponsor's fields as a Word file: one row per field, from the types of `Sponsor`, and read back.

It is read by the names in its first column, as not every word processor keeps content controls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smoothcert.errors import InputError
from smoothcert.evidence.directory import write_derived
from smoothcert.formats.strict import read_bytes
from smoothcert.report.memo.sponsor import Sponsor, read_sponsor
from smoothcert.report.word import package
from smoothcert.report.word.package import CELLS, SMALL
from smoothcert.report.word.read import read_word
from smoothcert.report.word.xml import Controls, Entry, paragraph, run, table

SUFFIX = ".docx"
LARGEST = 20_000_000
"""Maximum size of a form, in bytes."""
TITLE = "Sponsor's fields of the memo"
INTRODUCTION = (
    "Fill in the grey cells; what is left out stays open. Save the file and run: smoothcert report RUN --sponsor FILE. "
    "Dates as 2026-10-01, numbers with a decimal point, lists with semicolons."
)
OPEN = "[to complete]"
_HEADINGS = ("field", "answer", "what is asked")
_ROWS = 3
"""Least number of rows of a table of the sponsor, such as approvals."""
_DATED = datetime(2026, 1, 1)
_YES = {"yes": True, "no": False}
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Leaf:
    """A cell of the form.

    Attributes:
        path: its field, such as `approvals/1/role`; rows are counted from 1.
        kind: JSON type: string, number, integer, boolean or array.
        choices: what can be chosen, or empty for text.
        asked: what is asked, in words.
        of: type of the items of an array.
    """

    path: str
    kind: str
    choices: tuple[str, ...]
    asked: str
    of: str = "string"


def leaves(sponsor: Sponsor) -> list[Leaf]:
    """Return the cells of the form, with rows for the sponsor's tables."""
    schema = Sponsor.model_json_schema()
    return list(_object(schema, "", schema["$defs"], sponsor.model_dump(mode="json")))


def _object(schema: dict[str, Any], before: str, known: dict[str, Any], value: Any) -> Iterator[Leaf]:
    for name, part in schema["properties"].items():
        held = value.get(name) if isinstance(value, dict) else None
        asked = part.get("description") or (schema.get("description", "") if before else "")
        yield from _part(part, f"{before}{name}", known, held, asked)


def _part(part: dict[str, Any], path: str, known: dict[str, Any], value: Any, asked: str) -> Iterator[Leaf]:
    options = [_resolved(each, known) for each in part.get("anyOf", [part])]
    options = [each for each in options if each.get("type") != "null"]
    first = next((each for each in options if each.get("type") in ("object", "array")), options[0])
    asked = asked or first.get("description", "")
    if first.get("type") == "object":
        yield from _object(first, f"{path}/", known, value)
        return
    items = _resolved(first.get("items", {}), known)
    if items.get("type") == "object":
        rows = value if isinstance(value, list) else []
        for number in range(max(_ROWS, len(rows) + 1)):
            held = rows[number] if number < len(rows) else None
            yield from _object(items, f"{path}/{number + 1}/", known, held)
        return
    choices = [choice for each in options for choice in _choices(each)]
    yield Leaf(path, first.get("type", "string"), tuple(choices), asked, items.get("type", "string"))


def _resolved(part: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = known[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return found


def _choices(part: dict[str, Any]) -> list[str]:
    if part.get("type") == "boolean":
        return [*_YES]
    return [*map(str, part.get("enum", [])), *([str(part["const"])] if "const" in part else [])]


def write_form(path: Path, sponsor: Sponsor) -> Path:
    """Write a form that holds the fields which are already given.

    Args:
        path: a file that does not exist, with the suffix .docx.
        sponsor: the sponsor's fields.

    Raises:
        InputError: the file exists, has another suffix, or cannot be written.
        MissingExtraError: python-docx is not installed.
    """
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"--form {path}: expected a name that ends in {SUFFIX}.", code="E-INPUT-221")
    if path.exists():
        raise InputError(f"--form {path}: the file exists; choose another name.", code="E-INPUT-222")
    try:
        write_derived(path, form_of(sponsor))
    except OSError as error:
        raise InputError(f"--form {path}: cannot be written: {error.strerror}.", code="E-INPUT-223") from None
    return path


def form_of(sponsor: Sponsor) -> bytes:
    """Return the form as a Word file; the same bytes for the same fields."""
    document = package.new_document(package.Properties(TITLE, TITLE, _DATED))
    controls, given = Controls(), sponsor.model_dump(mode="json", exclude_defaults=True)
    head = paragraph(run(TITLE), "Title") + paragraph(run(INTRODUCTION), SMALL)
    package.append(document, controls.locked("form", "introduction", head))
    rows = [[Entry(run(each, bold=True)) for each in _HEADINGS]]
    for leaf in leaves(sponsor):
        text = _printed(_at(given, leaf.path.split("/")))
        content = run(text or OPEN)
        control = (
            controls.choice(leaf.path, leaf.path, leaf.choices, content)
            if leaf.choices
            else controls.editable(leaf.path, leaf.path, content)
        )
        asked = leaf.asked.replace("None:", "left out:") + (f" ({' or '.join(leaf.choices)})" if leaf.choices else "")
        rows.append([Entry(run(leaf.path.replace("/", " "))), Entry(control, open=True), Entry(run(asked))])
    package.append(document, table(rows, (1.3, 2.2, 2), header=True, style=CELLS))
    return package.packed(document)


def _at(given: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(given, list):
            given = given[int(part) - 1] if int(part) <= len(given) else None
        else:
            given = given.get(part) if isinstance(given, dict) else None
    return given


def _printed(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(_printed, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "" if value is None else str(value)


def read_fields(path: Path | None) -> Sponsor:
    """Read the sponsor's fields from a form (.docx) or a YAML file; without a file, every field is open.

    Raises:
        InputError: the file cannot be read, or a cell or field is unknown or of the wrong type; the message names it.
    """
    if path is None or path.suffix.lower() != SUFFIX:
        return read_sponsor(path)
    rows = read_word(read_bytes(path, LARGEST, InputError), str(path)).rows
    if _HEADINGS not in rows:
        raise InputError(
            f"{path}: expected a form of smoothcert, got another Word file. `smoothcert report RUN --form FILE` writes "
            "one.",
            code="E-INPUT-224",
        )
    given = (row[:2] for row in rows if len(row) == len(_HEADINGS) and row != _HEADINGS)
    return _sponsor({name: text for name, text in given if text not in ("", OPEN)}, path)


def _sponsor(stated: dict[str, str], path: Path) -> Sponsor:
    fields: dict[str, Any] = {}
    known = {leaf.path: leaf for leaf in leaves(Sponsor())}
    for name, text in stated.items():
        path_of = name.split()
        leaf = known.get("/".join("1" if part.isdigit() else part for part in path_of))
        if leaf is None:
            raise InputError(f"{path}: the cell '{name[:60]}' is none of this version's form.", code="E-INPUT-225")
        _put(fields, path_of, _value(leaf, text))
    try:
        return Sponsor(**{name: _rows(value) for name, value in fields.items()})
    except ValidationError as error:
        cells = "; ".join(_cell(each) for each in error.errors(include_url=False)[:5])
        raise InputError(f"{path}: {cells}.", code="E-INPUT-226") from None


def _value(leaf: Leaf, text: str) -> Any:
    if leaf.kind == "array":
        return [_number(each.strip(), leaf.of) for each in text.split(";") if each.strip()]
    return _YES.get(text.lower(), text) if "yes" in leaf.choices else _number(text, leaf.kind)


def _number(text: str, kind: str) -> str:
    """Return a number without thousands separators; pydantic reads it, or names the cell."""
    return text.replace(",", "") if kind in ("number", "integer") and _THOUSANDS.fullmatch(text) else text


def _put(fields: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        fields = fields.setdefault(part, {})
    fields[path[-1]] = value


def _rows(value: Any) -> Any:
    """Return tables, whose keys are numbers of rows, as lists of rows."""
    if not isinstance(value, dict):
        return value
    if all(name.isdigit() for name in value):
        return [_rows(value[name]) for name in sorted(value, key=int)]
    return {name: _rows(part) for name, part in value.items()}


def _cell(error: Any) -> str:
    """Return the cell of an error, and what is expected there; rows are counted from 1."""
    parts = [str(part + 1) if isinstance(part, int) else str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] in ("missing", "value_error") else f", got '{str(error['input'])[:60]}'"
    return f"the cell '{' '.join(parts)}': {message[0].lower()}{message[1:]}{got}"
