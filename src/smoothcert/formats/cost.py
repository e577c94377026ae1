"""The parts of `results/cost.json` and of the `basis` of `plan.json`: each class is an object, each attribute a key.

An amount is a number with its spread and origin: measured, extrapolated or stated. Unknown is null, never 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Origin = Literal["measured", "extrapolated", "stated"]


@dataclass(frozen=True)
class Amount:
    """One number of a scenario with its spread and origin; an unknown number is None, not an Amount.

    Attributes:
        value: the number.
        low: the number at the highest rate and the fewest samples within the measured spread.
        high: the number at the lowest rate and the most samples.
        origin: measured in the run or pilot, extrapolated from a measurement, or stated by the user.
    """

    value: float
    low: float
    high: float
    origin: Origin

    def times(self, factor: float) -> Amount:
        """Return the amount times a factor, extrapolated."""
        return Amount(factor * self.value, factor * self.low, factor * self.high, "extrapolated")

    def over(self, rate: Amount) -> Amount:
        """Return the amount divided by a rate, extrapolated: lowest at the highest rate, highest at the lowest."""
        return Amount(self.value / rate.value, self.low / rate.high, self.high / rate.low, "extrapolated")

    def whole(self) -> Amount:
        """Return the amount rounded up to whole numbers of at least 1."""
        return Amount(_up(self.value), _up(self.low), _up(self.high), self.origin)


def exactly(value: float, origin: Origin) -> Amount:
    """Return an amount without spread."""
    return Amount(float(value), float(value), float(value), origin)


def around(value: float, error: float, least: float, most: float, origin: Origin) -> Amount:
    """Return a mean with two standard errors on either side (about 95 %), clipped to [least, most]."""
    low, high = max(least, value - 2 * error), min(most, value + 2 * error)
    return Amount(value, min(low, value), max(high, value), origin)


def _up(x: float) -> float:
    """Round up; a relative 1e-9 above a whole number is floating-point error, not another device."""
    return float(max(1, math.ceil(x - 1e-9 * max(1.0, x))))


RUN, AGAIN = "this run", "re-certification"

PREDICT, PREDICT_MOST, CERTIFY, CERTIFY_MOST = "predict", "predict, at most", "certify", "certify, at most"


@dataclass(frozen=True)
class Basis:
    """What scenarios are extrapolated from: measured in a run (`basis_of`), or in the pilot of a plan.

    Attributes:
        sigma: noise level of the primary entry, or the first.
        device: the device that was measured.
        precision: arithmetic of the classifier.
        rate: noise samples per second at this sigma; None if no time was recorded.
        rate_low: lowest rate of ten consecutive parts.
        rate_high: highest of them.
        joules: energy per noise sample; None if the device does not report it.
        energy_source: "NVML" or "RAPL", or why the energy is unknown.
        copies: mean number of noise samples per certified image at this sigma.
        images: (image, sigma) pairs of the whole run, all of which re-certification repeats.
        passes: noise samples drawn at all sigma so far.
        seconds: device time they took.
        abstention: estimated share of images on which `predict` abstains; None if unknown.
        prediction_copies: estimated mean number of samples of an adaptive prediction; None if unknown.
        origin: whether a run or the pilot of a plan was measured.
        copies_error: standard error of `copies` over the images.
        copies_most: n0 + n_max, the maximum number of samples per certified image; None if unknown.
        passes_error: standard error of `passes` over the images.
        abstention_error: standard error of `abstention` over the images.
        prediction_error: standard error of `prediction_copies` over the images.
        done: share of the (image, sigma) pairs that are decided.
        joules_run: energy of the metered samples; None if none was metered.
        metered: number of samples in `passes` whose energy was metered.
        batch: noise samples per forward pass.
        alone: by task, samples (padding of batches included) that a study waits for which has the device to itself;
            for a task that is left out, its samples in whole batches.
    """

    sigma: float
    device: str
    precision: str
    rate: float | None
    rate_low: float | None
    rate_high: float | None
    joules: float | None
    energy_source: str
    copies: float
    images: int
    passes: int
    seconds: float
    abstention: float | None
    prediction_copies: float | None
    origin: Literal["run", "pilot"]
    copies_error: float = 0.0
    copies_most: int | None = None
    passes_error: float = 0.0
    abstention_error: float = 0.0
    prediction_error: float = 0.0
    done: float = 1.0
    joules_run: float | None = None
    metered: int = 0
    batch: int = 1
    alone: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One row: a task on a device.

    Attributes:
        task: `RUN`, `AGAIN`, `PREDICT`, `PREDICT_MOST`, `CERTIFY` or `CERTIFY_MOST`.
        device: name of the device.
        here: whether it is the device that was measured.
        studies: studies per day; None for a task that is done once.
        rate: noise samples per second.
        copies: noise samples per study; of the whole task if it is done once.
        latency: seconds per study if it has the device to itself.
        devices: number of devices needed, a whole number.
        hours: device-hours at work; per day if `studies` is given, as are `kwh`, `money` and `held`.
        kwh: energy at work in kWh, without idle devices.
        money: price of the hours at work.
        held: price of the devices needed if each is paid for 24 hours a day.
        currency: of `money` and `held`.
        abstention: share of studies that end in an abstention.
    """

    task: str
    device: str
    here: bool
    studies: int | None
    rate: Amount | None
    copies: Amount | None
    latency: Amount | None = None
    devices: Amount | None = None
    hours: Amount | None = None
    kwh: Amount | None = None
    money: Amount | None = None
    held: Amount | None = None
    currency: str | None = None
    abstention: Amount | None = None


AMOUNTS = ("rate", "copies", "latency", "devices", "hours", "kwh", "money", "held", "abstention")
