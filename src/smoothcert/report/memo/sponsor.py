"""What only the sponsor can say: read from an optional YAML file, never invented; what is missing stays open."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from smoothcert.errors import InputError
from smoothcert.handwritten import parse_yaml, read_text
from smoothcert.spec import Production
from smoothcert.spec.request import explain
from smoothcert.spec.values import Frozen

LARGEST = 1_000_000
"""Bytes; a sponsor's file is a page or two of text."""


def _trim(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_trim)]
Open = Annotated[str | None, BeforeValidator(_trim)]


class _Part(Frozen):
    model_config = ConfigDict(coerce_numbers_to_str=True, str_max_length=100_000)


class Independence(_Part):
    """How the images were drawn: the condition of every sentence about a population."""

    statement: Text
    """In words: how many images a patient, from where, by which rule."""
    independent: bool
    """Whether the images (or, where they come in groups, the groups) are independent draws."""
    sampling: Literal["random", "consecutive", "class-stratified", "other"]
    """Only random and consecutive sampling keep the population's own class mix."""


class Smoothing(_Part):
    """Whether the released build smooths, and how."""

    in_release: bool
    sigma: Annotated[float, Field(gt=0, le=100)] | None = None
    copies: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Smoothing:
        if self.in_release and (self.sigma is None or self.copies is None):
            raise ValueError("expected sigma and copies of the released build as in_release is true, got none")
        return self


class Approval(_Part):
    """A line of the sign-off table; the signature itself is put on paper or by the quality system."""

    role: Text
    name: Open = None
    date: datetime.date | None = None


class Revision(_Part):
    """A line of the revision history."""

    version: Text
    date: datetime.date
    change: Text


class Sponsor(_Part):
    """The sponsor's fields; each may be left out, and is then printed as an open field."""

    device: Open = None
    """Device and version."""
    intended_use: Open = None
    users: Open = None
    """Intended users."""
    population: Open = None
    """Patients and images the device is meant for."""
    reference_standard: Open = None
    """How the reference labels were made."""
    data_origin: Open = None
    """Where the images come from, and that none of them was used in training."""
    independence: Independence | None = None
    data_role: Open = None
    """Role of the images in development, such as internal test images."""
    threat_model: Open = None
    """Who could change an image on its way to the classifier, and how."""
    smoothing: Smoothing | None = None
    thresholds: Open = None
    """Why these radii and accuracies matter for the intended use."""
    risk_ids: tuple[Text, ...] = ()
    """Numbers of the risks in the risk management file."""
    production: Production | None = None
    """Studies a day, votes, devices and prices (docs/cost.md)."""
    approvals: tuple[Approval, ...] = ()
    revisions: tuple[Revision, ...] = ()
    demonstration: bool = False
    """True for public or demonstration data: the memo then says so on every page."""

    @property
    def open(self) -> tuple[str, ...]:
        """Names of the fields that are still open, in the order of the memo."""
        return tuple(name for name in type(self).model_fields if name not in _OPTIONAL and not getattr(self, name))

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield every text with the name of its field, such as `device` or `revisions.change`."""
        for name, value in self.model_dump(mode="json").items():
            yield from _texts(name, value)


_OPTIONAL = ("demonstration",)


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
    """Read the sponsor's file; without one, every field is open.

    Args:
        path: YAML file, or None.

    Raises:
        InputError: the file cannot be read, is not YAML, or has an unknown or ill-typed field; the message names it.
    """
    if path is None:
        return Sponsor()
    found = parse_yaml(read_text(path, LARGEST), str(path))
    if found is not None and not isinstance(found, dict):
        raise InputError(f"{path}: expected fields such as `device: ...`, got {type(found).__name__}.")
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
        raise InputError(f"{where}: {explain(error)}{known}") from None
