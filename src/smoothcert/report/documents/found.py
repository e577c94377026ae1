"""Findings of a check of documents (faults, what was not checked, what holds), and the log's list of documents."""

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
from smoothcert.report.memo.build import FIELDS
from smoothcert.report.memo.sponsor import Sponsor, make_sponsor
from smoothcert.report.write import CHECKSUMS
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
        parts: number of parts of the document that were not compared because another version wrote it.
    """

    kind: Literal["fault", "note", "held"]
    name: str
    told: str = ""
    parts: int = 0

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        return f"results/{self.name}{self.told}"


Findings = Iterator[Finding]


def fault(name: str, told: str) -> Finding:
    """Return what contradicts evidence or log; `told` continues the document's name."""
    return Finding("fault", name, told)


def note(name: str, told: str, parts: int = 0) -> Finding:
    """Return what was not checked, and why; `told` continues the document's name."""
    return Finding("note", name, told, parts)


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
    yield from describe(written, name, compare(record, computed))


def describe(written: Written, name: str, found: Compared) -> Findings:
    """Say what a comparison found, or that the document holds."""
    if found.wrong:
        yield fault(name, f": {some(found.wrong)} is not what votes and log give")
    differences = (
        ("parts that this version does not have were not checked", found.unknown),
        ("a part is missing", found.absent),
        ("words that differ from this version's were not checked", found.worded),
    )
    for text, paths in differences:
        if paths and written.same_code:
            yield fault(name, f": {text}: {some(paths)}")
        elif paths:
            yield note(name, f": {text}: {some(paths)}; another version wrote it", len(paths))
    if not found.wrong and not (written.same_code and (found.unknown or found.absent or found.worded)):
        yield held(name)


RESULTS = "results.json"
"""Written with the seal, before any report; checked with the evidence."""
OURS = re.compile(
    r"SHA256SUMS|certificates\.parquet|cost\.json|memo(-letter)?\.pdf|memo_fields\.json|memo_annex\.txt|notebook\.ipynb|"
    r"report\.html|results\.(csv|md|tex)|tables/[^/]+\.csv|"
    r"figures/(figure_data\.json|((curve|classes)_k\d+|samples|image_units)\.(svg|png))"
)
"""Names of our documents: whoever finds such a file takes it for one."""
LARGEST_FILE = 2**32
"""Bytes that a document may have."""
_HASH = re.compile(r"[0-9a-f]{64}")


def files_of(folder: Path) -> list[str]:
    """Return every file below a folder, by its name relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def check_list(run: Run, folder: Path) -> Findings:
    """Yield documents that are missing, altered, or that no report wrote."""
    named = reports(run)
    present = [name for name in files_of(folder) if name != RESULTS]
    if not named:
        yield from _strays(present, "the log of events has no report on record")
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
    strays = [name for name in present if name not in hashes and name != CHECKSUMS]
    yield from _strays(strays, "the last report on record did not write them")


def _strays(names: list[str], why: str) -> Findings:
    """Name files that no report wrote: under the name of a document they are a fault, else they are not checked."""
    ours = [name for name in names if OURS.fullmatch(name)]
    others = [name for name in names if not OURS.fullmatch(name)]
    if ours:
        yield fault("", f": not documents of this run, as {why}: {', '.join(ours)}")
    if others:
        yield note("", f": not checked, as {why}: {', '.join(others)}")


def _hashes(facts: object) -> dict[str, str] | None:
    """Return the hashes by name that an event holds; None where it holds no list of them."""
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
    elif file_sha256(path) != wanted:
        yield fault(name, " is not the file that the last report wrote; it was changed or replaced")


def _from_sums(folder: Path, count: object) -> Generator[Finding, None, dict[str, str] | None]:
    """Return the hashes that SHA256SUMS lists, where the log holds only its own hash; None where it cannot be read."""
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
