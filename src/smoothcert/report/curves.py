"""Certified accuracy as a function of the L2 radius: one exact step function per (sigma, k), derived from votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.errors import SpecError
from smoothcert.evidence import Run
from smoothcert.evidence.outcomes import Outcomes
from smoothcert.formats.results import CONFIDENCE
from smoothcert.stats import lower_bound, r_max, upper_bound

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_BEYOND, _FARTHEST = 1.25, 1.65
"""An axis ends at this multiple of the last point drawn (room for names); at most at the second, to show an R_max."""


@dataclass(frozen=True)
class Marker:
    """Certified accuracy at one radius of the spec.

    Attributes:
        radius: L2 radius r, in units of the [0, 1] range.
        certified: images certified-correct at r; meaningless if r is not attainable.
        low: lower end of the exact 95 % interval of certified / images.
        high: its upper end.
        attainable: whether the sampling budget can certify r at all.
    """

    radius: float
    certified: int
    low: float
    high: float
    attainable: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """Images certified-correct at every radius, for one sigma and k.

    Attributes:
        sigma: noise level.
        k: rank of the certificates.
        images: m, all images of the spec; images without a result count as not certified.
        radii: float (p,), increasing from 0 to R_max: `certified[i]` images are certified at every r with
            radii[i-1] < r <= radii[i]; r = 0 asks for any positive radius.
        certified: int (p,), non-increasing.
        low: float (p,): lower end of the exact (Clopper-Pearson) 95 % interval of certified / images, one radius at a
            time.
        high: float (p,): its upper end; None if the curve is not exact.
        grid: a marker for each radius of the spec.
        r_max: largest radius the budget can certify, 0 if it can certify none.
        exact: True if each image took all looks. With early stopping, sampling ends once every radius of the spec
            is decided, so all counts except those of the markers are only "at least" (`only_at_least`).
    """

    sigma: float
    k: int
    images: int
    radii: FloatArray
    certified: IntArray
    low: FloatArray
    high: FloatArray | None
    grid: tuple[Marker, ...]
    r_max: float
    exact: bool

    def shown(self, steps: int = 400) -> Curve | None:
        """Return the part of the curve that a figure draws, or None if there is nothing to draw.

        It ends at R_max if the curve is exact, else at the largest attainable radius of the spec. A curve of more
        than `steps` steps is thinned to about that number; between two kept steps it is at or below the curve.
        """
        marks = [mark.radius for mark in self.grid if mark.attainable]
        end = self.r_max if self.exact else max(marks, default=0.0)
        if end <= 0:
            return None
        kept = np.flatnonzero(self.radii <= end)
        if len(kept) > steps:
            kept = np.unique(np.searchsorted(self.radii, np.concatenate([np.linspace(0, end, steps), marks])))
        parts = {name: getattr(self, name)[kept] for name in ("radii", "certified", "low")}
        return replace(self, **parts, high=None if self.high is None else self.high[kept])


def curve(run: Run, sigma: float, k: int) -> Curve:
    """Derive the curve of one noise level and k of a run, complete or partial.

    Args:
        run: the run.
        sigma: one of its noise levels.
        k: one of its k.

    Raises:
        SpecError: the run has no such sigma or k.
    """
    return curve_of(run.spec, certificates_of(run, sigma, k))


def reach(curves: Sequence[Curve]) -> float:
    """Return the end of the radius axis: beyond everything drawn, and beyond each R_max that is not far away."""
    ends = [float(shown.radii[-1]) for each in curves if (shown := each.shown())]
    last = max([*ends, *(mark.radius for mark in curves[0].grid)])
    return max([_BEYOND * last, *(1.04 * each.r_max for each in curves if each.r_max < _FARTHEST * last)])


def certificates_of(run: Run, sigma: float, k: int) -> Outcomes:
    """Return the certificates of one sigma and k that belong to a run.

    Raises:
        SpecError: the run has no such sigma or k.
    """
    if k not in run.spec.request.k:
        raise SpecError(f"Expected one of the run's k {run.spec.request.k}, got {k}.", code="E-SPEC-026")
    return run.certificates(sigma, k)


def curve_of(spec: Spec, found: Outcomes) -> Curve:
    """Derive the curve from certificates that are already computed.

    Args:
        spec: the locked spec.
        found: certificates of one sigma and k of it.
    """
    m, limit = spec.data.images, max(r_max(found.plan, found.k), 0.0)
    decided = {r: found.certified_correct(r) for r in spec.request.radius}
    attainable = [r for r in spec.request.radius if r <= limit]
    held = found.certified_correct(0.0)
    exact = np.minimum(np.where(held, found.radius, -np.inf), limit)
    for r in attainable:  # a radius within rounding of r goes to the side on which its image was decided
        exact = np.where(decided[r], np.maximum(exact, r), np.minimum(exact, np.nextafter(r, 0.0)))
    ordered = np.sort(exact[held])
    radii = np.unique(np.concatenate([[0.0, limit], attainable, ordered]))
    certified = len(ordered) - np.searchsorted(ordered, radii)
    low, high = intervals(certified, m)
    whole = not spec.stops_early
    marks = np.array([int(decided[r].sum()) for r in spec.request.radius], dtype=np.int64)
    ends = intervals(marks, m)
    return Curve(
        sigma=float(found.plan.sigma),
        k=found.k,
        images=m,
        radii=radii,
        certified=certified,
        low=low,
        high=high if whole else None,
        grid=tuple(
            Marker(r, int(s), float(least), float(most), r <= limit)
            for r, s, least, most in zip(spec.request.radius, marks, *ends, strict=True)
        ),
        r_max=limit,
        exact=whole,
    )


def intervals(counts: IntArray, m: int) -> tuple[FloatArray, FloatArray]:
    """Return exact two-sided 95 % intervals of many counts out of m, one at a time (`smoothcert.stats.interval`).

    Args:
        counts: int (p,), 0..m.
        m: images.

    Returns:
        Lower and upper ends, float (p,).

    >>> intervals(np.array([8]), 10)[0].round(4).tolist()
    [0.4439]
    """
    tail = (1 - CONFIDENCE) / 2
    distinct, place = np.unique(counts, return_inverse=True)
    return lower_bound(distinct, m, tail)[place], upper_bound(distinct, m, tail)[place]
