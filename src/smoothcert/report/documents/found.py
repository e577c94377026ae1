"""Findings of the check of documents, and the check of the list of documents in the log."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from smoothcert.config import Production
from smoothcert.errors import EvidenceError, InputError
from smoothcert.evidence import Run
from smoothcert.evidence.directory import file_sha256
from smoothcert.evidence.events import REPORTED, Event, writer
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.report.cost import read_stated
from smoothcert.report.memo.memo import Memo, make_memo
from smoothcert.report.memo.sponsor import FIELDS, Sponsor, make_sponsor
from smoothcert.report.word.memo import MEMO
from smoothcert.report.write import CHECKSUMS
from smoothcert.verify import Report
from smoothcert.verify.keys import Compared, compare, some

LARGEST = 300_000_000
"""Maximum size of a document, in bytes."""


@dataclass(frozen=True)
class Finding:
    """One finding about one document.

    Attributes:
        kind: "fault": it contradicts evidence or log; "note": a part was not checked; "held": it was recomputed, and
            every number that could be compared follows from the votes.
        name: the document, relative to `results/`.
        message: continues the name of the document; empty for "held".
        parts: number of parts of the document that were not compared because another version wrote it.
    """

    kind: Literal["fault", "note", "held"]
    name: str
    message: str = ""
    parts: int = 0

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        return f"results/{self.name}{self.message}"


Findings = Iterator[Finding]


def fault(name: str, message: str) -> Finding:
    """Return a contradiction with evidence or log; `message` continues the name of the document."""
    return Finding("fault", name, message)


def note(name: str, message: str, parts: int = 0) -> Finding:
    """Return what was not checked, and why; `message` continues the name of the document."""
    return Finding("note", name, message, parts)


def held(name: str) -> Finding:
    """Return the finding that a document was recomputed and holds."""
    return Finding("held", name)


@dataclass(frozen=True)
class Written:
    """The documents of a run, and the code that wrote them.

    Attributes:
        run: the run as of the last report, without later events.
        folder: the folder of the documents.
        checked: the result of verify for the evidence, or None to run it.
    """

    run: Run
    folder: Path
    checked: Report | None

    @cached_property
    def fields(self) -> dict[str, Any] | None:
        """The record memo_fields.json, or None without such a file.

        Raises:
            EvidenceError: the file cannot be read.
        """
        return self.record(FIELDS) if (self.folder / FIELDS).is_file() else None

    @cached_property
    def sponsor(self) -> Sponsor:
        """The sponsor's fields that the documents were written with; open fields if unknown."""
        try:
            return make_sponsor((self.fields or {})["sponsor"])
        except (InputError, KeyError, TypeError):
            return Sponsor()

    @cached_property
    def memo(self) -> Memo:
        """The memo that follows from votes, log and the sponsor's fields."""
        return make_memo(self.run, self.sponsor, self.checked, self.final)

    @property
    def final(self) -> bool:
        """Whether the record of the memo says that it is final."""
        return (self.fields or {}).get("final") is True

    @property
    def production(self) -> Production | None:
        """The section on production that the documents were written with, or None for the defaults."""
        return self.sponsor.production if (self.folder / FIELDS).is_file() else read_stated(self.folder)

    @cached_property
    def same_code(self) -> bool:
        """Whether this code wrote the documents, so that wording can be compared."""
        return self._writer("smoothcert", "code_sha256")

    @cached_property
    def same_libraries(self) -> bool:
        """Whether the libraries for figures and memo are the same as well, so that bytes can be compared."""
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
            EvidenceError: it cannot be read, or is not a regular file.
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
            raise EvidenceError(f"results/{name}: expected UTF-8 text, got other bytes.", code="E-RUN-063") from None

    def record(self, name: str) -> dict[str, Any]:
        """Return a JSON document.

        Raises:
            EvidenceError: it cannot be read, or is not one JSON object.
        """
        found = parse(self.bytes(name), f"results/{name}")
        if not isinstance(found, dict):
            raise EvidenceError(f"results/{name}: expected a record, got {type(found).__name__}.", code="E-RUN-064")
        return found


def reports(run: Run) -> list[Event]:
    """Return the events that say which documents were written, oldest first."""
    return [event for event in run.events if event.event == REPORTED]


def by_keys(written: Written, name: str, record: Any, computed: Any) -> Findings:
    """Compare a record with the computed one: numbers always, words and keys only if the same code wrote it."""
    yield from describe(written, name, compare(record, computed, CONDITIONAL if name != RESULTS else frozenset()))


def describe(written: Written, name: str, found: Compared) -> Findings:
    """Yield the findings of a comparison, or that the document holds."""
    if found.wrong:
        yield fault(name, f": {some(found.wrong)} does not follow from votes and log")
    differences = (
        ("parts unknown to this version, not checked", found.unknown),
        ("missing parts", found.absent),
        ("wording that differs from this version, not checked", found.worded),
    )
    for text, paths in differences:
        if paths and written.same_code:
            yield fault(name, f": {text}: {some(paths)}")
        elif paths:
            yield note(name, f": {text}: {some(paths)}; another version wrote it", len(paths))
    if not found.wrong and not (written.same_code and (found.unknown or found.absent or found.worded)):
        yield held(name)


CONDITIONAL = frozenset(("low", "high", "population", "joint", "met"))
"""Keys of intervals, bounds and verdicts that documents withhold where the sponsor does not state their condition."""
RESULTS = "results.json"
"""Written with the seal, before any report; checked with the evidence."""
OURS = re.compile(
    r"SHA256SUMS|certificates\.parquet|cost\.json|memo(-letter)?\.pdf|memo\.docx|risk_rows\.csv|requirements_trace\.csv|model-card\.md|memo_fields\.json|memo_annex\.txt|notebook\.ipynb|"
    r"report\.html|results\.(csv|md|tex)|tables/[^/]+\.csv|"
    r"figures/(figure_data\.json|((curve|classes)_k\d+|samples|image_units)\.(svg|png))"
)
"""Names of documents; any file with such a name would be taken for one."""
LARGEST_FILE = 2**32
"""Maximum size of a listed file, in bytes."""
EDITED = (MEMO,)
"""Documents that the sponsor may edit: their content is checked in place of their hash."""
_HASH = re.compile(r"[0-9a-f]{64}")


def files_of(folder: Path) -> list[str]:
    """Return every file below a folder, by its name relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def check_list(run: Run, folder: Path) -> Findings:
    """Yield documents that are missing, altered, or not written by the last report."""
    named = reports(run)
    present = [name for name in files_of(folder) if name != RESULTS]
    if not named:
        yield from _strays(present, "the log of events has no report")
        return
    facts = named[-1].facts
    hashes = _hashes(facts.get("documents"))
    if hashes is None:
        hashes = yield from _from_sums(folder, facts.get("files"))
    if hashes is None:
        return
    yield from _sums(folder, facts.get("sha256sums"))
    for name, wanted in hashes.items():
        yield from _file(folder, name, wanted)
    foreign = [name for name in hashes if not OURS.fullmatch(name) and name != RESULTS]
    if foreign:
        yield note("", f": not checked, as this version writes no such documents: {', '.join(foreign)}")
    strays = [name for name in present if name not in hashes and name != CHECKSUMS]
    yield from _strays(strays, "the last report did not write them")


def _strays(names: list[str], why: str) -> Findings:
    """Yield files that no report wrote: a fault if named like a document, else a note."""
    ours = [name for name in names if OURS.fullmatch(name)]
    others = [name for name in names if not OURS.fullmatch(name)]
    if ours:
        yield fault("", f": not documents of this run, as {why}: {', '.join(ours)}")
    if others:
        yield note("", f": not checked, as {why}: {', '.join(others)}")


def _hashes(facts: object) -> dict[str, str] | None:
    """Return the hashes by name in an event, or None if it has no list."""
    if not isinstance(facts, dict):
        return None
    return {name: str(sha) for name, sha in facts.items() if _inside(name)}


def _inside(name: str) -> bool:
    return bool(name) and not name.startswith("/") and "\\" not in name and ".." not in name.split("/")


def _sums(folder: Path, wanted: object) -> Findings:
    if not (folder / CHECKSUMS).is_file():
        yield fault(CHECKSUMS, " is missing, but the log of events names it")
    elif file_sha256(folder / CHECKSUMS) != wanted:
        yield fault(CHECKSUMS, " is not the list that the log of events names")


def _file(folder: Path, name: str, wanted: str) -> Findings:
    path = folder / name
    if not path.is_file():
        yield fault(name, " is missing; the last report wrote it")
    elif not path.resolve().is_relative_to(folder.resolve()):
        yield fault(name, " is a link to a file outside; the last report wrote a file")
    elif path.stat().st_size > LARGEST_FILE:
        yield fault(name, f" is larger than {LARGEST_FILE:,} bytes; the last report wrote no such file")
    elif name not in EDITED and file_sha256(path) != wanted:
        yield fault(name, " is not the file that the last report wrote; it was changed or replaced")


def _from_sums(folder: Path, count: object) -> Generator[Finding, None, dict[str, str] | None]:
    """Return the hashes in SHA256SUMS, for logs with only the hash of that file; None if it cannot be read."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        yield fault(CHECKSUMS, " is missing or not text, but the log of events names it")
        return None
    parts = [line.partition("  ") for line in lines]
    if not all(_HASH.fullmatch(sha) and _inside(name) for sha, _, name in parts):
        yield fault(CHECKSUMS, ": a line is not a hash and a file of results/")
        return None
    if count != len(parts) + 1:
        yield fault(CHECKSUMS, f" lists {len(parts):,} documents; the log of events counts another number")
    return {name: sha for sha, _, name in parts}
