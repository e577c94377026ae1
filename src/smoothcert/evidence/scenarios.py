"""Cost scenarios: what the measured cost of a run means for re-certification and for production."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from smoothcert.config import Device, Production
from smoothcert.formats.cost import (
    AGAIN,
    CERTIFY,
    CERTIFY_MOST,
    PREDICT,
    PREDICT_MOST,
    RUN,
    Amount,
    Basis,
    Origin,
    Scenario,
    around,
    exactly,
)

_HOUR, _DAY = 3600.0, 86_400.0


def scenarios(basis: Basis, production: Production) -> tuple[Scenario, ...]:
    """Extrapolate a measured cost to this run, re-certification and production.

    Nothing is guessed: the device of the run has its measured rate; the rate and power of every other device, and all
    prices, are stated by the user; what neither gives is None.

    Args:
        basis: what was measured.
        production: what the user states.

    Returns:
        One row for the run, one per device for re-certification, and per number of studies a day and device one for
        prediction and one for certification, each at the mean and at the maximum number of samples per image.
    """
    here = production.here or Device(name=basis.device, source="measured in this run")
    others = tuple(device for device in production.devices if device is not production.here)
    machines = [_Machine(basis, production, device, device is here) for device in (here, *others)]
    once = (machines[0].run(), *(machine.again() for machine in machines))
    served = (row for n in production.studies_a_day for machine in machines for row in machine.served(n))
    return (*once, *served)


@dataclass(frozen=True)
class _Machine:
    """One device, and the cost of each task on it."""

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
        """Return the row of the run itself: measured, or forecast by a plan."""
        basis, forecast = self.basis, self.basis.origin == "pilot"
        samples = exactly(basis.passes, "extrapolated" if forecast else "measured")
        hours = exactly(basis.seconds / _HOUR, samples.origin) if basis.seconds > 0 else None
        if forecast:
            hours = self._all_levels(around(basis.passes, basis.passes_error, 0, math.inf, "extrapolated"), 1.0)
        whole = basis.joules_run is not None and basis.metered >= basis.passes
        metered = exactly((basis.joules_run or 0.0) / 3.6e6, "measured") if whole else self._kwh(samples, hours)
        return self._row(RUN, samples, hours, metered)

    def again(self) -> Scenario:
        """Return the row of re-certifying the same images at all noise levels, as after an update of the model."""
        basis, part = self.basis, max(self.basis.done, 1e-12)
        samples = around(basis.passes / part, basis.passes_error / part, 0, math.inf, "extrapolated")
        hours = self._all_levels(samples, part)
        return self._row(AGAIN, samples, hours, self._kwh(samples, hours))

    def served(self, studies: int) -> Iterator[Scenario]:
        """Yield the rows of prediction and certification at a number of studies a day."""
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
        """Return the hours for samples at all noise levels, of which a share `part` is in the basis; rates differ."""
        rate, seconds = self.rate, self.basis.seconds
        hours = None if rate is None else samples.over(rate).times(1 / _HOUR)
        if hours is None or not self.here or seconds <= 0:
            return hours
        return hours.times(seconds / part / _HOUR / hours.value)

    def _kwh(self, samples: Amount, hours: Amount | None) -> Amount | None:
        """Return the energy at work: measured energy per sample on the device of the run, else the stated power."""
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
