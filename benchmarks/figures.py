"""What a benchmark run measured, as plain values: rates and certificates round by round, their spread and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Certified:
    """One contestant's certificates of the same images in one round.

    Attributes:
        images: images certified.
        samples: noise samples drawn for all of them, selection included.
        seconds: time for all of them, set-up left out.
        certified: images certified for their reference label at each radius, in the order of the radii.
    """

    images: int
    samples: int
    seconds: float
    certified: tuple[int, ...]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: rounds of the rates.
        seconds: measured time of each contestant in each round.
        least: samples of a warm-up, and of a measured run at least.
        batches: batch sizes tried for the contestants whose user chooses one.
        images: images certified at the same guarantee.
        n_max: noisy samples per image at most, after selection.
        guarantee_rounds: rounds of certifying them.
    """

    rounds: int
    seconds: float
    least: int
    batches: tuple[int, ...]
    images: int
    n_max: int
    guarantee_rounds: int

    @property
    def tries(self) -> int:
        """Short runs of each batch size tried; the better one counts."""
        return min(2, self.rounds)


@dataclass(frozen=True)
class Measured:
    """Everything the page is written from.

    Attributes:
        command: the command that measured it.
        trial: a quick run, for trying out; not a measurement.
        machine: facts about machine and versions, in words.
        peer_version: version of the peer, or None: not installed.
        scale: how much was measured.
        tried: contestant -> batch size -> samples per second.
        rates: contestant -> samples per second, one a round; () is a contestant that is not installed.
        guarantees: contestant -> certificates, one value a round; () as above.
    """

    command: str
    trial: bool
    machine: dict[str, str]
    peer_version: str | None
    scale: Scale
    tried: dict[str, dict[int, float]]
    rates: dict[str, tuple[float, ...]]
    guarantees: dict[str, tuple[Certified, ...]]


def spread(values: Sequence[float]) -> Spread:
    """Return median, lowest and highest of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(mine: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """Return mine / other of each round, so that a drift of the machine's speed cancels."""
    return tuple(a / b for a, b in zip(mine, other, strict=True))


def best(tried: dict[int, float]) -> int:
    """Return the batch size that was fastest."""
    return max(tried, key=lambda size: tried[size])


def to_json(measured: Measured) -> str:
    """Return every round's figures as JSON."""
    from pydantic import TypeAdapter

    return TypeAdapter(Measured).dump_json(measured, indent=1).decode() + "\n"


def from_json(text: str) -> Measured:
    """Read what `to_json` wrote."""
    from pydantic import TypeAdapter

    return TypeAdapter(Measured).validate_json(text)
