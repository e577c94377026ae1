"""What a run measured beside its votes, read from its event log: accuracy without noise, changed images, rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from smoothcert.evidence.events import CHANGED, CLEAN, RATES, Event


@dataclass(frozen=True)
class Clean:
    """The classifier of one noise level on the run's images without noise and without smoothing.

    Attributes:
        sigma: the noise level it belongs to.
        images: m, all images of the run.
        correct: for each k, the images of each class whose label is among the k highest logits.
    """

    sigma: float
    images: int
    correct: dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Change:
    """A simple change of the images, measured in L2.

    Attributes:
        name: the change in words.
        median: median L2 norm, in units of the [0, 1] range.
        within: (r, images that the change leaves within r), for each radius of the run.
        images: images it was measured on.
    """

    name: str
    median: float
    within: tuple[tuple[float, int], ...]
    images: int


@dataclass(frozen=True)
class Rates:
    """Noisy copies a second on the device of the run, in each precision it can run, not compiled.

    Attributes:
        device: the device.
        batch_size: copies a forward pass.
        rates: copies a second by precision.
        left_out: precisions that do not run there, with the reason.
    """

    device: str
    batch_size: int
    rates: dict[str, float]
    left_out: dict[str, str]


def clean_of(events: Iterable[Event], sigma: float) -> Clean | None:
    """Return the accuracy without noise at one noise level, or None where none was recorded."""
    for event in events:
        if event.event == CLEAN and event.facts.get("sigma") == sigma:
            correct = {int(k): tuple(each) for k, each in event.facts["correct"].items()}
            return Clean(sigma, int(event.facts["images"]), correct)
    return None


def changes_of(events: Iterable[Event]) -> tuple[Change, ...]:
    """Return the changes that were measured, in their order; none where a run recorded none."""
    for event in events:
        if event.event == CHANGED:
            return tuple(_change(name, found, event.facts) for name, found in event.facts["changes"].items())
    return ()


def rates_of(events: Iterable[Event]) -> Rates | None:
    """Return the rate in each precision, or None where a run recorded none."""
    for event in events:
        if event.event == RATES:
            facts = event.facts
            return Rates(str(facts["device"]), int(facts["batch_size"]), dict(facts["rates"]), dict(facts["left_out"]))
    return None


def _change(name: str, found: dict[str, Any], facts: dict[str, Any]) -> Change:
    within = tuple(zip(facts["radius"], found["within"], strict=True))
    return Change(name, float(found["median"]), within, int(facts["images"]))
