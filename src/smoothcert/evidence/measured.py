"""What a run measured beside its votes, read from its event log: accuracy without noise, changed images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from smoothcert.evidence.events import CHANGED, CLEAN, Event


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


def _change(name: str, found: dict[str, Any], facts: dict[str, Any]) -> Change:
    within = tuple(zip(facts["radius"], found["within"], strict=True))
    return Change(name, float(found["median"]), within, int(facts["images"]))
