"""`Production`: what the user states about production: studies per day, votes, devices and prices. Never guessed."""

from __future__ import annotations

import datetime
import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, field_validator, model_validator

from smoothcert.config.values import Alpha, Frozen, make

MOST_VOTES, MOST_STUDIES, MOST_NAMED = 100_000, 10**9, 8


def _said(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("expected a few words, got none")
    return " ".join(value.split()) if isinstance(value, str) else value


def _listed(value: object) -> object:
    return (value,) if isinstance(value, int) else value


def _positive(most: float, unit: str) -> AfterValidator:
    def check(value: float | None) -> float | None:
        if value is not None and not (math.isfinite(value) and 0 < value <= most):
            raise ValueError(f"expected {unit} above 0 and at most {most:,.0f}, got {value:g}")
        return value

    return AfterValidator(check)


Words = Annotated[str, BeforeValidator(_said)]


class _Stated(Frozen):
    model_config = ConfigDict(coerce_numbers_to_str=True, str_max_length=1_000)


class Price(_Stated):
    """A price quoted on a date."""

    amount: Annotated[float, _positive(10**6, "a price")]
    currency: Words
    """As given; amounts in different currencies are never added."""
    date: datetime.date
    """Date of the price."""


class Device(_Stated):
    """A device that may run in production, as stated by the user."""

    name: Words
    source: Words
    """Source of rate, watts and price, such as a measurement of your own, a data sheet, or "assumed"."""
    copies_per_second: Annotated[float | None, _positive(10**12, "a rate in noise samples per second")] = None
    """Noise samples per second of this classifier; None: the device of the run, at its measured rate."""
    watts: Annotated[float | None, _positive(10**6, "a power in watts")] = None
    """Power at work; None: as measured on the device of the run, else unknown."""
    hour: Price | None = None
    """Price of an hour of the device, including everything that the user wants to count."""


class Production(_Stated):
    """How the smoothed classifier will be used in production."""

    votes: int = 1000
    """Maximum number of noise samples per prediction."""
    alpha: Alpha = 0.001
    """Probability of returning a class other than the smoothed classifier's, over the noise draws of a prediction."""
    studies_a_day: Annotated[tuple[int, ...], BeforeValidator(_listed)] = (1_000, 100_000, 10_000_000)
    """Studies per day; a study is one image."""
    utilisation: float = 0.5
    """Share of the day in which a device works; the rest is reserved for peaks, repairs and nights."""
    devices: tuple[Device, ...] = ()
    """Devices to compare. The device of the run is always included."""

    @field_validator("votes")
    @classmethod
    def _votes(cls, votes: int) -> int:
        if not 1 <= votes <= MOST_VOTES:
            raise ValueError(f"expected from 1 to {MOST_VOTES:,} noise samples per prediction, got {votes:,}")
        return votes

    @field_validator("studies_a_day")
    @classmethod
    def _studies(cls, studies: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(studies) <= MOST_NAMED or len(set(studies)) != len(studies):
            raise ValueError(f"expected 1 to {MOST_NAMED} distinct numbers of studies per day, got {len(studies)}")
        for each in studies:
            if not 1 <= each <= MOST_STUDIES:
                raise ValueError(f"expected from 1 to {MOST_STUDIES:,} studies per day, got {each:,}")
        return tuple(sorted(studies))

    @field_validator("utilisation")
    @classmethod
    def _utilisation(cls, share: float) -> float:
        if not 0.01 <= share <= 1:
            raise ValueError(f"expected a share of the day from 0.01 to 1, got {share:g}; 50 % is written 0.5")
        return share

    @field_validator("devices")
    @classmethod
    def _devices(cls, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        if len(devices) > MOST_NAMED:
            raise ValueError(f"expected at most {MOST_NAMED} devices, got {len(devices)}")
        names = [device.name for device in devices]
        if len(set(names)) != len(names):
            raise ValueError(f"expected devices with distinct names, got {', '.join(names)}")
        unrated = [device.name for device in devices if device.copies_per_second is None]
        if len(unrated) > 1:
            raise ValueError(
                "expected copies_per_second of every device other than the device of the run, "
                f"got none for {' and '.join(unrated)}"
            )
        return devices

    @model_validator(mode="after")
    def _decidable(self) -> Production:
        least = math.ceil(math.log2(2 / self.alpha))
        if self.votes < least:
            raise ValueError(
                f"votes: expected at least {least} at alpha {self.alpha:g}, because fewer can never decide, "
                f"got {self.votes}"
            )
        return self

    @property
    def here(self) -> Device | None:
        """What the user states about the device of the run, or None."""
        return next((device for device in self.devices if device.copies_per_second is None), None)


def make_production(fields: dict[str, Any]) -> Production:
    """Build the production section from plain values.

    Raises:
        SpecError: a field is unknown, missing or out of range; the message names it.

    >>> make_production({"votes": 5})
    Traceback (most recent call last):
        ...
    smoothcert.errors.SpecError: votes: expected at least 11 at alpha 0.001, because fewer can never decide, got 5.
    """
    return make(Production, **fields)
