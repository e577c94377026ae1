"""`CertifyConfig` and `RuntimeConfig`: what is certified, and how the base classifier is computed."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator

from smoothcert.config.values import Alpha, Count, Floats, Frozen, Ints, Sigma, split


class Place(Frozen):
    """One entry of the results table."""

    sigma: Sigma
    """Noise level, in units of the [0, 1] range."""
    radius: float
    """L2 radius, in units of the [0, 1] range."""
    k: int = 1
    """Rank of the certificate."""

    @property
    def words(self) -> str:
        """The entry as text, such as "sigma 0.5, k 1, r 0.25"."""
        return f"sigma {self.sigma.text}, k {self.k}, r {repr(self.radius).removesuffix('.0')}"


class Criterion(Place):
    """An acceptance criterion: the certified accuracy of an entry must reach a fraction."""

    at_least: float
    """Fraction from above 0 to 1: 0.6 means 60 %."""
    of: Literal["observed", "population", "joint"] = "population"
    """observed: s / m of these images. population: the 95 % lower bound over images and noise. joint: the same, holding
    for all entries of the run together."""

    @field_validator("at_least")
    @classmethod
    def _fraction(cls, value: float) -> float:
        if not 0 < value <= 1:
            raise ValueError(f"expected a fraction above 0 and at most 1, got {value:g}; 60 % is written 0.6")
        return value


SMALLEST_FIRST_LOOK = 100
MOST_ENTRIES = 2_000
"""Largest number of entries of a results table: each takes time, and a joint bound over more says little."""
MOST_BET_ON = 50
"""Largest k for which the arithmetic of betting is covered."""
MOST_PRICE = 10**12
MOST_SHOWN = 6
"""Values of a list that a message shows."""

Target = Literal["prediction", "label"]
_T = TypeVar("_T")


class CertifyConfig(Frozen):
    """What is certified: noise levels, radii, top-k, alpha, and the sampling budget."""

    sigma: Annotated[tuple[Sigma, ...], BeforeValidator(split)] = (Sigma(0.25), Sigma(0.5), Sigma(1.0))
    """Noise levels. Standard deviations of the noise, in units of the [0, 1] range (0.25 is 64 grey levels of 255)."""
    radius: Floats = (0.25, 0.5, 1.0)
    """L2 radii to report. Certified accuracy is reported at these radii, in units of the [0, 1] range."""
    k: Ints = (1,)
    """Top-k certificates. All are derived from the same votes; alpha holds for each k."""
    target: Literal["auto", "prediction", "label"] = "auto"
    """Class that is certified. prediction: the class the smoothed classifier returns. label: the reference label. auto:
    label with betting; for the other bounds prediction for k = 1, label for k > 1."""
    alpha: Alpha = 0.001
    """Error probability per certificate. For each image, the probability over its own noise that its certificate is
    wrong is at most alpha."""
    bound: Literal["rankcp", "simuem", "cohen", "betting"] = "rankcp"
    """Rule behind a certificate. Confidence bounds, or betting: each radius of a grid is tested by bets against it."""
    stopping: Literal["looks", "fixed"] = "looks"
    """When sampling of an image stops. looks: as soon as the image is decided, with the same guarantee. fixed: after
    n_max samples."""
    stop: Literal["worth", "futility", "never"] | None = None
    """When an undecided image is given up. worth (default with betting): more samples cost more than a certificate is
    worth. futility (default of the other bounds): no open radius can be reached. never: all looks are taken."""
    price: float | None = None
    """Samples that one certificate is worth. With --stop worth (default: 3 n_max)."""
    n0: Count = 100
    """Noise samples per image to select the class."""
    n_max: Count = 100_000
    """Maximum samples per image. Noise samples after those that select the class."""
    seed: int | None = None
    """Seed of the noise, to reproduce a run. 64 bits; left out, it is drawn from the operating system."""
    noise: Literal["grid", "float"] = "grid"
    """Kind of noise. grid: integer steps, sound in computer arithmetic. float: ordinary Gaussian noise; the arithmetic
    is not covered."""
    primary: Place | None = None
    """The entry that the documents report first. Fixed before the first image."""
    criteria: tuple[Criterion, ...] = ()
    """Acceptance criteria. A list in the --config file, fixed before the first image (docs/criteria.md)."""

    @field_validator("sigma")
    @classmethod
    def _sigmas(cls, sigmas: tuple[Sigma, ...]) -> tuple[Sigma, ...]:
        for sigma in sigmas:
            if not (math.isfinite(sigma) and 0.0 < sigma <= 4.0):
                raise ValueError(
                    f"expected noise levels above 0 and at most 4, in units of the [0, 1] range, got {sigma.text}; "
                    "divide a sigma in grey levels by 255"
                )
        return _distinct(sigmas)

    @field_validator("radius")
    @classmethod
    def _radii(cls, radii: tuple[float, ...]) -> tuple[float, ...]:
        for radius in radii:
            if not (math.isfinite(radius) and 0.0 < radius <= 100.0):
                raise ValueError(
                    f"expected L2 radii above 0 and at most 100, in units of the [0, 1] range, got {radius}"
                )
        return _distinct(tuple(sorted(radii)))

    @field_validator("k")
    @classmethod
    def _ks(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 for k in ks):
            raise ValueError(f"expected k of 1 or more, got {min(ks)}")
        return _distinct(tuple(sorted(ks)))

    @field_validator("seed")
    @classmethod
    def _seed(cls, seed: int | None) -> int | None:
        if seed is not None and not 0 <= seed < 2**64:
            raise ValueError(f"expected a whole number from 0 to 2^64 - 1, got {seed}")
        return seed

    @field_validator("n_max")
    @classmethod
    def _first_look(cls, n_max: int, others: ValidationInfo) -> int:
        if others.data.get("stopping") == "looks" and n_max < SMALLEST_FIRST_LOOK:
            raise ValueError(
                f"expected at least {SMALLEST_FIRST_LOOK}, the first look, got {n_max}; "
                "raise --n-max or use --stopping fixed"
            )
        return n_max

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        entries = len(self.sigma) * len(self.radius) * len(self.k)
        if entries > MOST_ENTRIES or len(self.criteria) > MOST_ENTRIES:
            raise ValueError(
                f"radius: expected at most {MOST_ENTRIES:,} combinations of sigma, k and radius, got {entries:,}"
            )
        return self

    @model_validator(mode="after")
    def _stops(self) -> Self:
        if self.bound == "betting" and max(self.k) > MOST_BET_ON:
            raise ValueError(f"k: expected at most {MOST_BET_ON} with bound = betting, got {max(self.k)}")
        if self.stop is not None and self.stopping == "fixed":
            raise ValueError(f"stop: expected none with stopping = fixed, got {self.stop}")
        if self.price is not None and (self.stopping == "fixed" or self.stops_by != "worth"):
            raise ValueError("price: expected none unless stop is worth; leave it out, or add --stop worth")
        if self.price is not None and not 0 < self.price <= MOST_PRICE:
            raise ValueError(f"price: expected samples above 0 and at most {MOST_PRICE:,}, got {self.price:g}")
        return self

    @model_validator(mode="after")
    def _places(self) -> Self:
        named = [("primary", self.primary)] if self.primary else []
        for name, place in [*named, *(("criteria", each) for each in self.criteria)]:
            if place.sigma not in self.sigma or place.k not in self.k or place.radius not in self.radius:
                raise ValueError(f"{name}: expected a sigma, k and radius of this run, got {place.words}")
        return self

    @property
    def stops_by(self) -> Literal["worth", "futility", "never"]:
        """When an undecided image is given up: `stop`, or the default of the bound."""
        if self.stopping == "fixed" and self.bound == "betting":
            return "never"
        return self.stop or ("worth" if self.bound == "betting" else "futility")

    @property
    def worth_samples(self) -> float:
        """Samples that one certificate is worth: `price`, or 3 n_max."""
        return 3.0 * self.n_max if self.price is None else self.price

    @property
    def first_radius(self) -> float:
        """The radius of the primary entry, or the smallest radius."""
        return self.primary.radius if self.primary else self.radius[0]

    @property
    def first_k(self) -> int:
        """The k of the primary entry, or the smallest k."""
        return self.primary.k if self.primary else self.k[0]

    @property
    def targets(self) -> dict[int, Target]:
        """For each k, which class is certified: "prediction" or "label"."""
        return {k: self.target_of(k) for k in self.k}

    @property
    def selects(self) -> bool:
        """Whether separate noise samples select the class, because some certificate is about the prediction."""
        return "prediction" in self.targets.values()

    @property
    def max_samples(self) -> int:
        """Maximum number of noise samples per image, selection included; the number drawn with fixed stopping."""
        return self.n_max + (self.n0 if self.selects else 0)

    def target_of(self, k: int) -> Target:
        """Return which class is certified at k: the smoothed prediction, or the reference label."""
        if self.target == "auto":
            return "prediction" if k == 1 and self.bound != "betting" else "label"
        return self.target


class RuntimeConfig(Frozen):
    """How the base classifier is computed. All but the device are part of what is certified."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the classifier. Part of what is certified."""
    batch_size: Count | None = None
    """Samples per forward pass (default: 512 or less). Fewer than 512 for large images; part of what is certified."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the classifier runs."""
    compile: Literal["off", "on"] = "off"
    """Use torch.compile. Needs a C++ compiler; part of what is certified."""


def _distinct(values: tuple[_T, ...]) -> tuple[_T, ...]:
    if not values:
        raise ValueError("expected at least one value, got none")
    if len(set(values)) != len(values):
        shown = [*map(str, values[:MOST_SHOWN]), *(["..."] if len(values) > MOST_SHOWN else [])]
        raise ValueError(f"expected distinct values, got {', '.join(shown)}")
    return values
