"""What a run's measured cost means elsewhere: re-certification, and production at so many studies per day.

An amount is a number with its spread and origin: measured, extrapolated or stated. Unknown is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from smoothcert.config import Device, Production

Origin = Literal["measured", "extrapolated", "stated"]


@dataclass(frozen=True)
class Amount:
    """One number of a scenario; what is unknown is None in its place.

    Attributes:
        value: the number.
        low: the same at the highest rate and the fewest copies that the measured spread allows.
        high: the same at the lowest rate and the most copies.
        origin: measured in the run or pilot, extrapolated from what was measured, or stated by the user.
    """

    value: float
    low: float
    high: float
    origin: Origin

    def times(self, factor: float) -> Amount:
        """Return so many times this, extrapolated."""
        return Amount(factor * self.value, factor * self.low, factor * self.high, "extrapolated")

    def over(self, rate: Amount) -> Amount:
        """Return this divided by a rate, extrapolated: least at the highest rate, most at the lowest."""
        return Amount(self.value / rate.value, self.low / rate.high, self.high / rate.low, "extrapolated")

    def whole(self) -> Amount:
        """Return this rounded up to whole numbers, at least 1."""
        return Amount(_up(self.value), _up(self.low), _up(self.high), self.origin)


def exactly(value: float, origin: Origin) -> Amount:
    """Return a number without spread."""
    return Amount(float(value), float(value), float(value), origin)


def around(value: float, error: float, least: float, most: float, origin: Origin) -> Amount:
    """Return a mean with two standard errors on either side (about 95 %), within the range it can have."""
    low, high = max(least, value - 2 * error), min(most, value + 2 * error)
    return Amount(value, min(low, value), max(high, value), origin)


def _up(x: float) -> float:
    """Round up; a billionth above a whole number is the computer's rounding, not another device."""
    return float(max(1, math.ceil(x - 1e-9 * max(1.0, x))))


RUN, AGAIN = "this run", "re-certification"
PREDICT, PREDICT_MOST, CERTIFY, CERTIFY_MOST = "predict", "predict, at most", "certify", "certify, at most"
_HOUR, _DAY = 3600.0, 86_400.0


@dataclass(frozen=True)
class Basis:
    """What scenarios are extrapolated from: measured in a run (`basis_of`), or in the pilot of a plan.

    Attributes:
        sigma: one noise level: the primary cell's, or the first.
        device: the device that was measured.
        precision: arithmetic of the classifier.
        rate: noisy copies a second at this sigma; None: no time was recorded.
        rate_low: the lowest of ten consecutive parts.
        rate_high: the highest of them.
        joules: energy of one noisy copy; None: the device does not report it.
        energy_source: "NVML" or "RAPL", or why the energy is unknown.
        copies: mean noisy copies a certified image takes at this sigma.
        images: (image, sigma) pairs of a whole run, which re-certification does again.
        passes: noisy copies of the run at all sigmas, so far as it is done.
        seconds: time of the device that they took.
        abstention: share of images on which `predict` abstains, estimated; None: unknown.
        prediction_copies: mean copies adaptive prediction takes, estimated; None: unknown.
        origin: whether a run or a plan's pilot was measured.
        copies_error: standard error of `copies` over the images.
        copies_most: n0 + n_max, what a certified image can take at most; None: unknown.
        passes_error: standard error of `passes` over the images.
        abstention_error: standard error of `abstention` over the images.
        prediction_error: standard error of `prediction_copies` over the images.
        done: share of the run's (image, sigma) pairs that are decided.
        joules_run: energy of the copies that were metered; None: none was.
        metered: copies of `passes` whose energy was metered.
        batch: noisy copies of one forward pass.
        alone: copies, padding of batches included, that a study waits for which has the device for itself, by task; one
            that is left out waits for its copies in whole batches.
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
        studies: studies a day; None for a task that is done once.
        rate: noisy copies a second.
        copies: noisy copies of one study; of the whole task where it is done once.
        latency: seconds of one study that has the device for itself.
        devices: devices needed, a whole number.
        hours: device-hours at work; a day where `studies` is given, as are `kwh`, `money` and `held`.
        kwh: energy at work, without idle devices.
        money: price of the hours at work.
        held: price of the devices needed if each is paid for all 24 hours.
        currency: of `money` and `held`.
        abstention: share of studies without an answer.
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


def scenarios(basis: Basis, production: Production) -> tuple[Scenario, ...]:
    """Return what a measured cost means: this run, re-certification, and production.

    Nothing is guessed: the device of the run has its measured rate; rate, power and price of every other device, and
    every price, are the user's; what neither gives is None.

    Args:
        basis: what was measured.
        production: what the user states.

    Returns:
        A row for the run, one a device for re-certification, and for each number of studies a day and device one for
        prediction and one for certification of each served image, each at its mean number of copies and at the most.
    """
    here = production.here or Device(name=basis.device, source="measured in this run")
    others = tuple(device for device in production.devices if device is not production.here)
    machines = [_Machine(basis, production, device, device is here) for device in (here, *others)]
    once = (machines[0].run(), *(machine.again() for machine in machines))
    served = (row for n in production.studies_a_day for machine in machines for row in machine.served(n))
    return (*once, *served)


@dataclass(frozen=True)
class _Machine:
    """One device, and what the tasks cost on it."""

    basis: Basis
    production: Production
    device: Device
    here: bool

    @property
    def rate(self) -> Amount | None:
        basis = self.basis
        if not self.here:
            return exactly(self.device.copies_per_second or math.nan, "stated")
        if basis.rate is None or basis.rate_low is None or basis.rate_high is None:
            return None
        return Amount(basis.rate, basis.rate_low, basis.rate_high, "measured")

    def run(self) -> Scenario:
        """The run itself: measured; of a plan, forecast."""
        basis, forecast = self.basis, self.basis.origin == "pilot"
        samples = exactly(basis.passes, "extrapolated" if forecast else "measured")
        hours = exactly(basis.seconds / _HOUR, samples.origin) if basis.seconds > 0 else None
        if forecast:
            hours = self._all_levels(around(basis.passes, basis.passes_error, 0, math.inf, "extrapolated"), 1.0)
        whole = basis.joules_run is not None and basis.metered >= basis.passes
        metered = exactly((basis.joules_run or 0.0) / 3.6e6, "measured") if whole else self._kwh(samples, hours)
        return self._row(RUN, samples, hours, metered)

    def again(self) -> Scenario:
        """Re-certification of the same images at all noise levels, as after an update of the model."""
        basis, part = self.basis, max(self.basis.done, 1e-12)
        samples = around(basis.passes / part, basis.passes_error / part, 0, math.inf, "extrapolated")
        hours = self._all_levels(samples, part)
        return self._row(AGAIN, samples, hours, self._kwh(samples, hours))

    def served(self, studies: int) -> Iterator[Scenario]:
        """Prediction and certification of so many studies a day."""
        basis, most = self.basis, float(self.production.votes)
        mean = basis.prediction_copies
        silent = None
        if basis.abstention is not None:
            silent = around(basis.abstention, basis.abstention_error, 0, 1, "extrapolated")
        predicted = None if mean is None else around(mean, basis.prediction_error, 1, most, "extrapolated")
        yield self._served(PREDICT, studies, predicted, silent)
        yield self._served(PREDICT_MOST, studies, exactly(most, "stated"), silent)
        limit = math.inf if basis.copies_most is None else float(basis.copies_most)
        found: Origin = "measured" if basis.origin == "run" else "extrapolated"
        yield self._served(CERTIFY, studies, around(basis.copies, basis.copies_error, 1, limit, found), None)
        yield self._served(CERTIFY_MOST, studies, None if basis.copies_most is None else exactly(limit, "stated"), None)

    def _served(self, task: str, studies: int, samples: Amount | None, silent: Amount | None) -> Scenario:
        rate = self.rate
        if samples is None or rate is None:
            return self._row(task, samples, None, None, studies, abstention=silent)
        hours = samples.over(rate).times(studies / _HOUR)
        devices = hours.times(_HOUR / (_DAY * self.production.utilisation)).whole()
        batch, alone = self.basis.batch, self.basis.alone.get(task)
        waits = samples.times(1 / batch).whole().times(batch) if alone is None else exactly(alone, "extrapolated")
        latency = waits.over(rate)
        kwh = self._kwh(samples.times(studies), hours)
        return self._row(task, samples, hours, kwh, studies, latency=latency, devices=devices, abstention=silent)

    def _all_levels(self, samples: Amount, part: float) -> Amount | None:
        """Time of the copies of all noise levels, of which so large a part is in the basis; levels differ in rate."""
        rate, seconds = self.rate, self.basis.seconds
        hours = None if rate is None else samples.over(rate).times(1 / _HOUR)
        if hours is None or not self.here or seconds <= 0:
            return hours
        return hours.times(seconds / part / _HOUR / hours.value)

    def _kwh(self, samples: Amount, hours: Amount | None) -> Amount | None:
        """Energy at work: measured energy a copy on the device of the run, else the stated power."""
        if self.here and self.basis.joules is not None:
            return samples.times(self.basis.joules / 3.6e6)
        watts = self.device.watts
        return None if watts is None or hours is None else hours.times(watts / 1000)

    def _row(
        self,
        task: str,
        samples: Amount | None,
        hours: Amount | None,
        kwh: Amount | None,
        studies: int | None = None,
        **served: Amount | None,
    ) -> Scenario:
        price, devices = self.device.hour, served.get("devices")
        money = None if price is None or hours is None else replace(hours.times(price.amount), origin=hours.origin)
        held = None if price is None or devices is None else devices.times(24 * price.amount)
        return Scenario(
            task=task,
            device=self.device.name,
            here=self.here,
            studies=studies,
            rate=self.rate,
            copies=samples,
            hours=hours,
            kwh=kwh,
            money=money,
            held=held,
            currency=None if price is None else price.currency,
            **served,
        )
