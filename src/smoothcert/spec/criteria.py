"""What is promised before the first image: the primary cell of a run, and acceptance criteria."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from smoothcert.spec.values import Frozen, Sigma


class Place(Frozen):
    """One cell of the results table."""

    sigma: Sigma
    """Noise level, in units of the [0, 1] range."""
    radius: float
    """L2 radius, in units of the [0, 1] range."""
    k: int = 1
    """Rank of the certificate."""

    @property
    def words(self) -> str:
        """The cell as people write it."""
        return f"sigma {self.sigma.text}, k {self.k}, r {repr(self.radius).removesuffix('.0')}"


class Criterion(Place):
    """An acceptance criterion: a cell's certified accuracy must reach a fraction."""

    at_least: float
    """Fraction from above 0 to 1: 0.6 means 60 %."""
    of: Literal["observed", "population", "joint"] = "population"
    """observed: s / m of this sample. population: the 95 % lower bound over images and noise. joint: the same, holding
    for all cells of the run together."""

    @field_validator("at_least")
    @classmethod
    def _fraction(cls, value: float) -> float:
        if not 0 < value <= 1:
            raise ValueError(f"expected a fraction above 0 and at most 1, got {value:g}; 60 % is written 0.6")
        return value
