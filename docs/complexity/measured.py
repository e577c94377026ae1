"""What a finished run took: samples, measured and simulated, and images near a radius (sample-complexity page)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from theory import WANTED, Theory, generator

from smoothcert.evidence import Run
from smoothcert.evidence.outcomes import plan_of
from smoothcert.report.notebook.explore import procedure_of
from smoothcert.stats import Bounds, radius, simulate, tally
from smoothcert.stats.power import least_margin

AGAIN = 20
"""Times the real run is simulated."""


@dataclass(frozen=True)
class Samples:
    """Samples that an image took, selection included: mean, median, and what nine images in ten do not exceed."""

    mean: float
    median: float
    high: float


@dataclass(frozen=True)
class Edge:
    """Images at one sigma, radius and k = 1.

    Attributes:
        radius: the radius.
        attainable: whether the run could certify it.
        certified: images certified.
        open: images not certified though their observed vote shares would certify it.
        ten: of these, images whose observed margin one look of ten times the votes certifies with 95 %.
    """

    radius: float
    attainable: bool
    certified: int
    open: int
    ten: int


@dataclass(frozen=True)
class Level:
    """One noise level of the run.

    Attributes:
        sigma: noise level.
        run: samples measured.
        simulated: samples of the same procedure, simulated from each image's observed vote shares.
        edges: one a radius.
    """

    sigma: float
    run: Samples
    simulated: Samples
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Measured:
    """What a finished run took; named so that it can be found again."""

    data: str
    images: int
    n0: int
    n_max: int
    alpha: float
    bound: str
    radii: tuple[float, ...]
    ks: tuple[int, ...]
    spec_sha256: str
    ledger_sha256: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Numbers:
    """Everything on the page."""

    theory: Theory
    measured: Measured


def measured(run: Run) -> Measured:
    """Return what a complete run with k = 1 took."""
    request = run.spec.request
    return Measured(
        data=Path(run.spec.data.reference).name,
        images=run.spec.data.images,
        n0=request.n0,
        n_max=request.n_max,
        alpha=request.alpha,
        bound=request.bound,
        radii=request.radius,
        ks=request.k,
        spec_sha256=run.spec.sha256(),
        ledger_sha256=run.ledger.sha256(),
        levels=tuple(level(run, sigma) for sigma in request.sigma),
    )


def level(run: Run, sigma: float) -> Level:
    """Return one noise level."""
    shares, labels = observed(run, sigma)
    rng = generator()
    again = np.concatenate([simulate(shares, labels, procedure_of(run, sigma), rng).samples for _ in range(AGAIN)])
    taken = np.array([line.samples for line in run.ledger.at(sigma)])
    return Level(float(sigma), samples(taken), samples(again), tuple(edges(run, sigma, shares, labels)))


def samples(taken: np.ndarray) -> Samples:
    """Return mean, median and upper decile."""
    high = np.quantile(taken, 0.9, method="inverted_cdf")
    return Samples(float(taken.mean()), float(np.median(taken)), float(high))


def observed(run: Run, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's shares of votes (at its last look, or of its selection) and its label."""
    found = []
    for line in run.ledger.at(sigma):
        votes = dict(line.looks[-1][1]) if line.looks else dict(line.selection or {})
        found.append([votes.get(c, 0) for c in range(run.spec.classes)])
    counts = np.array(found, dtype=np.float64)
    return counts / counts.sum(axis=1, keepdims=True), np.array([line.label for line in run.ledger.at(sigma)])


def edges(run: Run, sigma: float, shares: np.ndarray, labels: np.ndarray) -> list[Edge]:
    """Return for each radius the images certified, and those that more votes might certify."""
    outcome, plan = run.certificates(sigma, 1), replace(plan_of(run.spec, sigma), looks=(run.spec.request.n_max,))
    entries = {entry.radius: entry for entry in run.results() if (entry.sigma, entry.k) == (sigma, 1)}
    split = tally(np.round(shares * 1e9).astype(np.int64), labels, 1)
    reach = radius(Bounds(1 - split.label_votes / split.n, split.rivals / split.n[:, None]), sigma)
    found = []
    for r in run.spec.request.radius:
        missing = ~outcome.certified_correct(r) & (reach > r)
        margin = float(least_margin(10 * plan.looks[0], r, plan, WANTED))
        ten = missing & ((reach - r) / sigma >= margin)
        kept = int(outcome.certified_correct(r).sum())
        found.append(Edge(r, entries[r].attainable, kept, int(missing.sum()), int(ten.sum())))
    return found
