"""What stored votes say under other settings, and how many copies a radius needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from smoothcert.evidence import Run, line_tallies, outcomes, plan_of
from smoothcert.report.notebook.facts import rows
from smoothcert.report.table import Table
from smoothcert.stats import Bounds, format_down, r_max, radius, upper_bound

FloatArray = NDArray[np.float64]
MOST = 10_000_000
"""Copies beyond which none are counted."""


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
            *(f"r = {r:g}" for r in self.radii),
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
        return f"{'' if own else '>= '}{format_down(100 * s / self.images, 1)} % ({s:,})"


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
    found = [_counted(run, cell, dict(changes)) for changes in values.values()]
    names = tuple(values)
    return Moves(
        setting=setting,
        values=names,
        own=names.index(own) if own in names else None,
        limits=tuple(limit for limit, _ in found),
        certified=tuple(counts for _, counts in found),
        images=run.spec.data.images,
        radii=run.spec.request.radius,
    )


def _counted(run: Run, cell: tuple[float, int], changes: dict[str, Any]) -> tuple[float, tuple[int | None, ...]]:
    """R_max, and images certified-correct at each radius, as the results table derives them from a spec."""
    sigma, k = cell[0], changes.pop("k", cell[1])
    looks = changes.pop("looks", run.spec.looks)
    spec = run.spec.model_copy(update={"looks": looks, "request": run.spec.request.model_copy(update=changes)})
    found = outcomes(spec, run.ledger.at(sigma), sigma, k)
    limit = r_max(found.plan, k)
    counts = (int(found.certified_correct(r).sum()) if r <= limit else None for r in spec.request.radius)
    return limit, tuple(counts)


def copies_needed(reach: FloatArray, radii: Sequence[float], sigma: float, alpha: float) -> dict[float, FloatArray]:
    """How many copies one look of Cohen's bound needs, if the votes come out in their proportions.

    Args:
        reach: float (p,): radii that unlimited copies would certify, sigma Phi^-1(p_label) for two classes.
        radii: L2 radii to certify.
        sigma: noise standard deviation.
        alpha: error probability.

    Returns:
        For each radius, float (p,): the least whole number of copies; infinite beyond `MOST`.
    """
    miss, wanted = ndtr(-reach / sigma), ndtr(-np.array(radii) / sigma)[:, None]
    low, high = np.zeros((len(radii), len(reach))), np.full((len(radii), len(reach)), MOST + 1.0)
    for _ in range(MOST.bit_length() + 1):  # enough at high, not at low
        n = np.floor((low + high) / 2)
        enough = upper_bound(miss * n, n, alpha) <= wanted
        low, high = np.where(enough, low, n), np.where(enough, n, high)
    return dict(zip(radii, np.where(high <= MOST, high, np.inf), strict=True))


def margin_table(margins: Sequence[float], radii: Sequence[float], sigma: float, alpha: float) -> Table:
    """Return copies needed by how far the radius of unlimited copies lies above the radius wanted."""
    columns = [copies_needed(r + np.array(margins), (r,), sigma, alpha)[r] for r in radii]
    found = [
        (f"{gap:g}", *(f"{column[i]:,.0f}" if np.isfinite(column[i]) else f"over {MOST:,}" for column in columns))
        for i, gap in enumerate(margins)
    ]
    return rows(("margin above r", *(f"r = {r:g}" for r in radii)), found)


def observed_points(run: Run, sigma: float, k: int) -> FloatArray:
    """Return for each image with looks the radius its observed shares of votes would give, and its copies at the end.

    Returns:
        float (m, 2): the radius, at least 0 and at most R_max, and the copies after selection.
    """
    plan = plan_of(run.spec, sigma)
    last = [replace(line, looks=line.looks[-1:]) for line in run.ledger.at(sigma) if line.looks]
    tally = line_tallies(last, 1, k)
    n = tally.n[:, 0]
    shares = Bounds(1 - tally.label_votes[:, 0] / n, tally.rivals[:, 0] / n[:, None])
    return np.stack([np.clip(radius(shares, sigma), 0, max(r_max(plan, k), 0)), n], axis=1)
