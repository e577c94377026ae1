"""What a caller hears of a run while it is sampled: how far it is, what was found before, which workers come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from smoothcert.data.inspection import Inspection
from smoothcert.engine.preflight import Preflight
from smoothcert.engine.work import Reading


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        sigma: noise level being sampled.
        decided: (sigma, image) pairs with a ledger line.
        total: all pairs of the run, or of the part of it that is sampled here.
        lines: pairs this session decided; those of earlier sessions are not among them.
        copies: noisy copies drawn in this session, by all its workers.
        fixed_copies: copies fixed sampling would have drawn for those lines.
        decided_copies: copies those lines took.
        seconds: time this session has been sampling.
    """

    sigma: float
    decided: int
    total: int
    lines: int
    copies: int
    fixed_copies: int
    decided_copies: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """Time left at this session's pace, as earlier lines took none of its seconds; None before its first line."""
        return self.seconds / self.lines * (self.total - self.decided) if self.lines else None


@dataclass(frozen=True)
class Hooks:
    """What a caller may hear of a run, and how it may change the order of work."""

    on_read: Reading = lambda done, total: None
    on_images: Callable[[Inspection], None] = lambda _: None
    on_preflight: Callable[[Preflight], None] = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    on_worker: Callable[[dict[str, Any]], None] = lambda _: None
    on_warning: Callable[[str], None] = lambda _: None
    order: Callable[[list[int]], Sequence[int]] = lambda indices: indices
