"""What a check of documents finds: faults, what was not checked, and what holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from smoothcert.errors import EvidenceError, InputError
from smoothcert.evidence import Run
from smoothcert.evidence.events import REPORTED, Event, writer
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.report.cost import read_stated
from smoothcert.report.memo.build import FIELDS
from smoothcert.report.memo.sponsor import Sponsor, make_sponsor
from smoothcert.spec import Production
from smoothcert.verify import Report
from smoothcert.verify.keys import Compared, compare, some

LARGEST = 300_000_000
"""Bytes of a document."""


@dataclass(frozen=True)
class Finding:
    """One thing a check found about one document.

    Attributes:
        kind: "fault": it contradicts evidence or log; "note": a part was not checked; "held": it was recomputed, and
            every number that could be compared is what the votes give.
        name: the document, relative to `results/`.
        told: in words; empty for "held".
    """

    kind: Literal["fault", "note", "held"]
    name: str
    told: str = ""

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        return f"results/{self.name}{self.told}"


Findings = Iterator[Finding]


def fault(name: str, told: str) -> Finding:
    """Return what contradicts evidence or log; `told` continues the document's name."""
    return Finding("fault", name, told)


def note(name: str, told: str) -> Finding:
    """Return what was not checked, and why; `told` continues the document's name."""
    return Finding("note", name, told)


def held(name: str) -> Finding:
    """Return that a document was recomputed and holds."""
    return Finding("held", name)


@dataclass(frozen=True)
class Written:
    """The documents of a run, and which code wrote them.

    Attributes:
        run: the run as it was when they were written: events up to the last report.
        folder: where they lie.
        checked: what verify says about the evidence, or None to ask it.
    """

    run: Run
    folder: Path
    checked: Report | None

    @cached_property
    def fields(self) -> dict[str, Any] | None:
        """The record memo_fields.json; None where there is none.

        Raises:
            EvidenceError: it cannot be read.
        """
        return self.record(FIELDS) if (self.folder / FIELDS).is_file() else None

    @cached_property
    def sponsor(self) -> Sponsor:
        """The sponsor's fields that they were written with; open ones where none are known."""
        try:
            return make_sponsor((self.fields or {})["sponsor"])
        except (InputError, KeyError, TypeError):
            return Sponsor()

    @property
    def production(self) -> Production | None:
        """The section on production that they were written with; None: the defaults."""
        return self.sponsor.production if (self.folder / FIELDS).is_file() else read_stated(self.folder)

    @cached_property
    def same_code(self) -> bool:
        """Whether the very code that runs here wrote them, so that wording can be compared too."""
        return self._writer("smoothcert", "code_sha256")

    @cached_property
    def same_libraries(self) -> bool:
        """Whether the libraries that draw figures and memo are those of then too, so that bytes can be compared."""
        return self.same_code and self._writer("libraries")

    def _writer(self, *names: str) -> bool:
        try:
            record = self.fields or {}
        except EvidenceError:
            return False
        here = writer()
        return all(record.get(name) == here[name] for name in names)

    def bytes(self, name: str) -> bytes:
        """Return the bytes of a document.

        Raises:
            EvidenceError: it cannot be read, or is no regular file.
        """
        return read_bytes(self.folder / name, LARGEST)

    def text(self, name: str) -> str:
        """Return the text of a document.

        Raises:
            EvidenceError: it cannot be read, or is not UTF-8.
        """
        try:
            return self.bytes(name).decode("utf-8")
        except UnicodeDecodeError:
            raise EvidenceError(f"results/{name}: expected UTF-8 text, got other bytes.") from None

    def record(self, name: str) -> dict[str, Any]:
        """Return a JSON document.

        Raises:
            EvidenceError: it cannot be read, or is not one JSON object.
        """
        found = parse(self.bytes(name), f"results/{name}")
        if not isinstance(found, dict):
            raise EvidenceError(f"results/{name}: expected a record, got {type(found).__name__}.")
        return found


def reports(run: Run) -> list[Event]:
    """Return the events that say which documents were written, oldest first."""
    return [event for event in run.events if event.event == REPORTED]


def by_keys(written: Written, name: str, record: Any, computed: Any) -> Findings:
    """Compare a record of a document with the computed one: numbers always, words and keys of the same code only."""
    yield from told_of(written, name, compare(record, computed))


def told_of(written: Written, name: str, found: Compared) -> Findings:
    """Say what a comparison found, or that the document holds."""
    if found.wrong:
        yield fault(name, f": {some(found.wrong)} is not what votes and log give")
    kind = fault if written.same_code else note
    other = "" if written.same_code else "; another version wrote it"
    if found.unknown:
        yield kind(name, f": not checked, as this version knows no such part: {some(found.unknown)}{other}")
    if found.absent:
        yield kind(name, f": a part is missing: {some(found.absent)}{other}")
    if found.worded:
        yield kind(name, f": words that differ from this version's were not checked: {some(found.worded)}{other}")
    if not found.wrong and not (written.same_code and (found.unknown or found.absent or found.worded)):
        yield held(name)
