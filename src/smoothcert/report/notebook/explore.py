"""What stored votes say under other settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence import Run
from smoothcert.evidence.line_store import columns_of, in_blocks
from smoothcert.evidence.outcomes import derived, plan_of, seen
from smoothcert.report.notebook.facts import rows
from smoothcert.report.table import Table
from smoothcert.spec import Spec
from smoothcert.stats import r_max
from smoothcert.stats.rounding import format_down, full, percent_of

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Moves:
    """Certified accuracy under several values of one setting, everything else as in the run.

    Attributes:
        setting: its name.
        values: its values, as text.
        own: place of the run's own value among them, or None.
        limits: R_max at each value.
        certified: at each value, images certified-correct at each radius of the run; None where it is not attainable.
        images: m, all images of the run.
        radii: the radii of the run.
    """

    setting: str
    values: tuple[str, ...]
    own: int | None
    limits: tuple[float, ...]
    certified: tuple[tuple[int | None, ...], ...]
    images: int
    radii: tuple[float, ...]

    def table(self, **more: Sequence[object]) -> Table:
        """Return the table: a row a value, further columns by name (underscores are spaces).

        Counts under other values than the run's own are lower limits: sampling was not planned for them.
        """
        headings = (
            self.setting,
            *(name.replace("_", " ") for name in more),
            "R_max",
            *(f"r = {full(r)}" for r in self.radii),
        )
        found = [
            (
                f"{value} (this run)" if i == self.own else value,
                *(column[i] for column in more.values()),
                format_down(self.limits[i], 4),
                *("not attainable" if s is None else self._share(s, i == self.own) for s in self.certified[i]),
            )
            for i, value in enumerate(self.values)
        ]
        return rows(headings, found)

    def _share(self, s: int, own: bool) -> str:
        return f"{'' if own else '>= '}{percent_of(s, self.images)} % ({s:,})"


def moves(run: Run, cell: tuple[float, int], setting: str, values: Mapping[str, Mapping[str, Any]], own: str) -> Moves:
    """Derive certified accuracy from the stored votes under other settings.

    Sampling stopped when the run's own radii were decided under its own settings, so the counts are "at least".

    Args:
        run: the run, complete or partial.
        cell: (sigma, k); k holds where it is not what varies.
        setting: what varies.
        values: for each value, as text, what changes: `k`, `looks` (a beginning of the run's) or fields of the request.
        own: the run's own value.
    """
    names, variants = tuple(values), [_variant(run.spec, cell[1], dict(changes)) for changes in values.values()]
    found = _counted(run, cell[0], variants)
    return Moves(
        setting=setting,
        values=names,
        own=names.index(own) if own in names else None,
        limits=tuple(limit for limit, _ in found),
        certified=tuple(counts for _, counts in found),
        images=run.spec.data.images,
        radii=run.spec.request.radius,
    )


def _variant(spec: Spec, k: int, changes: dict[str, Any]) -> tuple[Spec, int]:
    k, looks = changes.pop("k", k), changes.pop("looks", spec.looks)
    return spec.model_copy(update={"looks": looks, "request": spec.request.model_copy(update=changes)}), k


def _counted(
    run: Run, sigma: float, variants: Sequence[tuple[Spec, int]]
) -> list[tuple[float, tuple[int | None, ...]]]:
    """R_max, and images certified-correct at each radius, under each spec and k; goes through the lines once."""
    lines, radii, most = run.ledger.at(sigma), run.spec.request.radius, max(k for _, k in variants)
    counts = np.zeros((len(variants), len(radii)), dtype=np.int64)
    for _, block in in_blocks(lines):
        votes = seen(block, columns_of(block), len(run.spec.looks), most)
        for i, (spec, k) in enumerate(variants):
            found = derived(spec, votes, sigma, (k,))[k]
            counts[i] += [int(found.certified_correct(r).sum()) for r in radii]
    limits = [r_max(plan_of(spec, sigma), k) for spec, k in variants]
    return [
        (limit, tuple(s if r <= limit else None for s, r in zip(row, radii, strict=True)))
        for limit, row in zip(limits, counts.tolist(), strict=True)
    ]
