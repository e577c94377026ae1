"""The sponsor's statements, read from an optional YAML file; missing ones are printed as open fields."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from smoothcert.config import Production, Reference, Stated
from smoothcert.config.values import Frozen, explain
from smoothcert.errors import InputError, SmoothcertError
from smoothcert.evidence import Run
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.report.memo.blocks import MISSING, cut, substitute
from smoothcert.report.memo.text import LAWS, STANDARDS
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import full
from smoothcert.yaml_files import parse_yaml, read_text

LARGEST = 1_000_000
"""Maximum size of a sponsor's file, in bytes."""


def _trim(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


def _independent(value: object) -> object:
    if isinstance(value, bool) or str(value).lower() in ("true", "false", "yes", "no"):
        return value
    if value != "grouped":
        raise ValueError("expected true, false or grouped")
    return value


Text = Annotated[str, BeforeValidator(_trim)]
Open = Annotated[str | None, BeforeValidator(_trim)]


class _Part(Frozen):
    model_config = ConfigDict(coerce_numbers_to_str=True, str_max_length=100_000)


class Independence(_Part):
    """How the images were drawn, which is the condition of every population claim."""

    statement: Text
    """In words: images per patient, source, sampling rule."""
    independent: Annotated[bool | Literal["grouped"], BeforeValidator(_independent)]
    """Whether the images (or the groups, if the run has groups) are independent draws; "grouped": only groups are."""
    sampling: Literal["random", "consecutive", "class-stratified", "other"]
    """Only random and consecutive sampling keep the class mix of the population."""


class Smoothing(_Part):
    """Whether the released build uses smoothing, and how."""

    in_release: bool
    sigma: Annotated[float, Field(gt=0, le=100)] | None = None
    copies: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Smoothing:
        if self.in_release and (self.sigma is None or self.copies is None):
            raise ValueError("expected sigma and copies of the released build, as in_release is true")
        return self


class ReferenceModel(_Part):
    """An ordinary classifier, trained and run without noise, on the images of the run: for comparison."""

    name: Text
    correct: Annotated[int, Field(ge=0)]
    images: Annotated[int, Field(ge=1)]
    source: Text
    """Where these counts are recorded; they are not recomputed."""

    @model_validator(mode="after")
    def _possible(self) -> ReferenceModel:
        if self.correct > self.images:
            raise ValueError(f"expected at most {self.images:,} correct images, got {self.correct:,}")
        return self


class Approval(_Part):
    """A row of the sign-off table; the signature itself is added on paper or by the quality system."""

    role: Text
    name: Open = None
    date: datetime.date | None = None


class Revision(_Part):
    """A row of the revision history."""

    version: Text
    date: datetime.date
    change: Text


class Sponsor(_Part):
    """The sponsor's fields; each may be omitted and is then printed as an open field."""

    device: Open = None
    """Device and version."""
    intended_use: Open = None
    users: Open = None
    """Intended users."""
    population: Open = None
    """Patients and images that the device is intended for."""
    reference_standard: Open = None
    """How the reference labels were made."""
    data_origin: Open = None
    """Where the images come from, and that none of them was used in training."""
    independence: Independence | None = None
    data_role: Open = None
    """Role of the images in development, such as held-out test data, not used for training or tuning."""
    preprocessing: Open = None
    """Steps between the acquired image and the stored one, which no tool here has seen."""
    deviations: Open = None
    """Deviations from the plan, and earlier use of these images."""
    regulation: Literal["MDR", "IVDR", "FDA", "none"] | None = None
    """Which law or guidance the product is under; it decides the regulatory map."""
    reference_model: ReferenceModel | None = None
    threat_model: Open = None
    """Who could change an image on its way to the classifier, and how."""
    smoothing: Smoothing | None = None
    thresholds: Open = None
    """Why these radii and accuracies matter for the intended use."""
    risk_ids: tuple[Text, ...] = ()
    """Identifiers of the risks in the risk management file."""
    production: Production | None = None
    """Studies per day, votes, devices and prices (docs/cost.md)."""
    approvals: tuple[Approval, ...] = ()
    revisions: tuple[Revision, ...] = ()
    images_in_documents: bool | None = None
    """Whether documents may show images of the run."""
    demonstration: bool = False
    """True for public or demonstration data, which is stated on every page."""

    @property
    def open(self) -> tuple[str, ...]:
        """Names of the open fields, in the order of the memo."""
        return tuple(name for name in type(self).model_fields if name not in _OPTIONAL and not getattr(self, name))

    @property
    def stated(self) -> Stated:
        """What every document depends on."""
        independent = self.independence.independent if self.independence else None
        given = self.reference_model
        reference = None if given is None else Reference(given.name, given.correct, given.images, given.source)
        return Stated(bool(self.population), independent, self.demonstration, reference, self.deviations)

    def of(self, run: Run) -> Run:
        """Return a run with these statements about its images."""
        return run if run.stated == self.stated else replace(run, stated=self.stated)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield every text with the name of its field, such as `device` or `revisions.change`."""
        for name, value in self.model_dump(mode="json").items():
            yield from _texts(name, value)


_OPTIONAL = ("demonstration", "images_in_documents", "reference_model")


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(f"{name}.{key}", part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(name, part)


def read_sponsor(path: Path | None) -> Sponsor:
    """Read the sponsor's file; without a file, every field is open.

    Args:
        path: YAML file, or None.

    Raises:
        InputError: the file cannot be read, is not YAML, or has an unknown or ill-typed field; the message names it.
    """
    if path is None:
        return Sponsor()
    found = parse_yaml(read_text(path, LARGEST), str(path))
    if found is not None and not isinstance(found, dict):
        raise InputError(
            f"{path}: expected fields such as `device: ...`, got {type(found).__name__}.", code="E-INPUT-038"
        )
    return make_sponsor({str(name): value for name, value in (found or {}).items()}, str(path))


def make_sponsor(fields: dict[str, Any], where: str = "sponsor") -> Sponsor:
    """Build the sponsor's fields from plain values.

    Raises:
        InputError: a field is unknown or of the wrong type.

    >>> make_sponsor({"device": "Demo reader 1.0"}).open[:2]
    ('intended_use', 'users')
    """
    try:
        return Sponsor(**fields)
    except ValidationError as error:
        unknown = [e["loc"][0] for e in error.errors() if e["type"] == "extra_forbidden" and len(e["loc"]) == 1]
        known = f" The fields are {', '.join(Sponsor.model_fields)}." if unknown else ""
        raise InputError(f"{where}: {explain(error)}{known}", code="E-INPUT-039") from None


FIELDS = "memo_fields.json"


def as_stated(run: Run) -> Run:
    """Return a run with what the sponsor stated to its last report; nothing if there is none."""
    path = run.directory.results / FIELDS
    if not path.is_file():
        return run
    try:
        return make_sponsor(parse(read_bytes(path, MOST_FIELDS), FIELDS)["sponsor"]).of(run)
    except (SmoothcertError, KeyError, TypeError):
        return run  # verify says what is wrong with it


MOST_FIELDS = 300_000_000
"""Maximum size of memo_fields.json, in bytes."""
ANNEX = "memo_annex.txt"
OPEN = "[SPONSOR TO COMPLETE: {}]"
ROW = 210
"""Maximum printed characters of a text, unless in `LIMITS`."""
LIMITS = {
    "independence.statement": 150,
    "threat_model": 330,
    "risk_ids": 28,
    "production.devices.name": 40,
    "production.devices.source": 80,
    "production.devices.hour.currency": 12,
    "approvals.role": 24,
    "approvals.name": 36,
    "revisions.version": 8,
    "revisions.change": 70,
}
"""Maximum printed characters of other texts, by field."""
_POINTED = 100  # shorter texts are cut without a pointer to the annex
_LISTED = 4
_IDS = 6

_ASKED = {
    "device": "device and version",
    "intended_use": "intended use",
    "users": "intended users",
    "population": "patients and images that the device is intended for",
    "reference_standard": "how the reference labels were made",
    "data_origin": "origin of the images; none used in training",
    "independence": "how the images were drawn; independent or not",
    "data_role": "role of the images in development",
    "preprocessing": "steps between the acquired and the stored image",
    "deviations": "deviations from the plan; earlier use of these images",
    "regulation": "MDR, IVDR, FDA or none",
    "threat_model": "who could change an image before it is classified, and how",
    "smoothing": "smoothing in the released build: yes or no, sigma, samples",
    "thresholds": "why these radii and accuracies matter for the intended use",
    "risk_ids": "identifiers of the risks in the risk management file",
    "production": "studies per day, devices, and the price per device-hour with its date",
    "hour": "price per device-hour, with its date",
    "approvals": "names",
    "revisions": "revision history",
}


def opened(name: str) -> str:
    """Return the grey box of an open field."""
    return OPEN.format(_ASKED[name])


def quoted(text: str, name: str) -> str:
    """Return the printed form of a text: one line within its limit, with a pointer to the annex if it is cut."""
    shown, most = substitute(text), LIMITS.get(name, ROW)
    if not _differs(name, text) or most < _POINTED:
        return cut(shown, most)
    pointer = f" [full text: {ANNEX}, {name}]"
    return cut(shown, most - len(pointer)) + pointer


def _differs(name: str, text: str) -> bool:
    shown = substitute(text)
    return len(shown) > LIMITS.get(name, ROW) or MISSING in shown


def field_text(sponsor: Sponsor, name: str) -> str:
    """Return a field of plain text, or its grey box."""
    text = getattr(sponsor, name)
    return quoted(text, name) if text else opened(name)


def device_table(sponsor: Sponsor) -> Table:
    """Return section 3: device, intended use, and origin of the images."""
    rows = [
        ("Device", field_text(sponsor, "device")),
        ("Intended use", field_text(sponsor, "intended_use")),
        ("Users", field_text(sponsor, "users")),
        ("Population", field_text(sponsor, "population")),
        ("Reference standard", field_text(sponsor, "reference_standard")),
        ("Origin of the images", field_text(sponsor, "data_origin")),
        ("Independence", _independence(sponsor)),
        ("Smoothing in released build", _smoothing(sponsor)),
    ]
    return Table(("field", "sponsor's statement"), tuple(rows), ())


def _independence(sponsor: Sponsor) -> str:
    statement = sponsor.independence
    if statement is None:
        return opened("independence")
    said = quoted(statement.statement, "independence.statement")
    return f"{_INDEPENDENT[statement.independent]}; sampling: {statement.sampling}. {said}"


_INDEPENDENT = {True: "independent draws", False: "NOT independent draws", "grouped": "groups are independent draws"}


def _smoothing(sponsor: Sponsor) -> str:
    smoothing = sponsor.smoothing
    if smoothing is None:
        return opened("smoothing")
    if not smoothing.in_release:
        return "no"
    return f"yes, sigma {full(smoothing.sigma or 0.0)}, {smoothing.copies:,} noise samples per image"


def risk_table(sponsor: Sponsor) -> Table:
    """Return section 15: threat model and risks in the risk management file."""
    ids = [quoted(each, "risk_ids") for each in sponsor.risk_ids[:_IDS]]
    more = len(sponsor.risk_ids) - len(ids)
    listed = ", ".join(ids) + (f" and {more:,} more [{ANNEX}, risk_ids]" if more else "")
    rows = (
        ("Threat model", field_text(sponsor, "threat_model")),
        ("Risk file", listed or opened("risk_ids")),
    )
    return Table(("field", "sponsor's statement"), rows, ())


def regulatory_map(sponsor: Sponsor) -> Table:
    """Return section 16: the law or guidance that the product is under, and where the memo addresses it."""
    laws = LAWS[sponsor.regulation] if sponsor.regulation else ((opened("regulation"), "", ""),)
    return Table(("provision", "topic", "where this memo addresses it"), (*laws, *STANDARDS), ())


def approval_table(sponsor: Sponsor) -> Table:
    """Return section 18: the roles that sign; the tool never signs."""
    given = [
        (quoted(each.role, "approvals.role"), quoted(each.name or "", "approvals.name"), str(each.date or ""), "")
        for each in sponsor.approvals[:_LISTED]
    ]
    blank = [(role, opened("approvals"), "", "") for role in ("Author", "Reviewer", "Approver")]
    return Table(("role", "name", "date", "signature"), tuple(given or blank), ())


def revision_table(sponsor: Sponsor) -> Table:
    """Return section 18: the last revisions, newest last."""
    rows = tuple(
        (quoted(each.version, "revisions.version"), str(each.date), quoted(each.change, "revisions.change"))
        for each in sponsor.revisions[-_LISTED:]
    )
    return Table(("version", "date", "change"), rows or (("", "", opened("revisions")),), ())


def annex(sponsor: Sponsor) -> str:
    """Return in full every text and list that the memo cuts or cannot print, or an empty text."""
    listed = {"risk_ids": _IDS, "approvals": _LISTED, "revisions": _LISTED}
    whole = {name for name, most in listed.items() if len(getattr(sponsor, name)) > most}
    held = [(name, text) for name, text in sponsor.texts() if name.split(".")[0] in whole or _differs(name, text)]
    head = "Annex to the robustness memo: full texts of the sponsor that the memo cuts or cannot print.\n"
    return head + "".join(f"\n== {name} ==\n{text}\n" for name, text in held) if held else ""
