"""From ledger lines to certificates: bounds, radii and decisions of every image, a pure function of votes.

The same votes also estimate how often a prediction abstains and how many samples it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Production, Spec
from smoothcert.config.certify import CertifyConfig
from smoothcert.evidence.line_store import Columns, columns_of, in_blocks
from smoothcert.formats.line import Line
from smoothcert.stats import (
    Bounds,
    Certificate,
    Certified,
    Plan,
    StoredVotes,
    Tally,
    prediction_looks,
    rule_of,
    schedule,
)
from smoothcert.stats.betting.grid import radius_grid
from smoothcert.stats.prediction import prediction_power
from smoothcert.stats.rounding import round_down
from smoothcert.stats.sequential import BETTING

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Certificates of m images at one sigma and k.

    Attributes:
        plan: looks, alpha, bound, sigma.
        k: rank of the certificates.
        index: int (m,): index of each image in its source.
        label: int (m,): reference labels, whose probabilities are bounded.
        wrong: bool (m,): another class than the label leads, so that nothing is certified. If the target is the
            prediction: in the selection votes. If it is the label: nothing is certified, and at the last look the label
            is not among the k most voted classes; only with betting, with other bounds such images are abstentions.
        certified: what is certified for the label, by the rule of the plan.
        samples: int (m,): noise samples drawn, selection included.
    """

    plan: Plan
    k: int
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    wrong: Mask
    certified: Certified
    samples: NDArray[np.int64]

    @property
    def radius(self) -> NDArray[np.float64]:
        """Float (m,): certified L2 radius, not rounded; <= 0 if nothing is certified."""
        return self.certified.radius

    @property
    def bounds(self) -> Bounds | None:
        """Running bounds at the last look taken, q (m,) and u (m, k); None if the rule has none."""
        return self.certified.bounds

    @property
    def abstained(self) -> Mask:
        """bool (m,): images that are not `wrong` and have no positive certified radius."""
        return ~self.wrong & (self.radius <= 0)

    def of(self, rows: slice) -> Outcomes:
        """Return the outcomes of consecutive images, as views."""
        parts = {name: getattr(self, name)[rows] for name in ("index", "label", "wrong", "samples")}
        return replace(self, certified=self.certified.of(rows), **parts)

    def certified_correct(self, r: float) -> Mask:
        """Return bool (m,): certified for the reference label at radius r; r = 0 means any positive radius."""
        return ~self.wrong & (self.radius > 0) & self.certified.at(r)

    def certificates(self, radii: Sequence[float]) -> list[Certificate]:
        """Return one certificate per image; label None for an abstention or a wrong class."""
        at = {r: self.certified_correct(r) for r in radii}
        down = round_down(np.maximum(self.radius, 0.0))
        held = ~self.wrong & (self.radius > 0)
        return [
            Certificate(
                label=int(self.label[i]) if held[i] else None,
                k=self.k,
                radius=float(down[i]) if held[i] else 0.0,
                certified_at=tuple(r for r in radii if at[r][i]),
                samples=int(self.samples[i]),
            )
            for i in range(len(self.index))
        ]


def plan_of(spec: Spec, sigma: float) -> Plan:
    """Return the statistical plan of one noise level of a run."""
    return _plan(spec.request, spec.looks, (spec.classes, float(sigma), spec.model_at(sigma).eta), spec.grid_at(sigma))


def planned(settings: CertifyConfig, classes: int, sigma: float, eta: float = 0.0) -> Plan:
    """Return the statistical plan of one noise level of a run with these settings, not locked yet.

    Args:
        settings: what is certified.
        classes: number of classes.
        sigma: noise level.
        eta: total-variation distance of the noise drawn from Gaussian noise, for one noisy image.
    """
    looks = schedule(settings.n_max, settings.stopping, settings.bound)
    grid = grid_of(settings, looks, float(sigma), eta)
    return _plan(settings, looks, (classes, float(sigma), eta), grid)


def grid_of(settings: CertifyConfig, looks: tuple[int, ...], sigma: float, eta: float) -> tuple[float, ...]:
    """Return the radii that are decided at a noise level; none if the bound decides every radius."""
    if settings.bound != BETTING:
        return ()
    return radius_grid(settings.radius, settings.k, sigma, settings.alpha, looks, eta)


def _plan(
    settings: CertifyConfig, looks: tuple[int, ...], level: tuple[int, float, float], grid: tuple[float, ...]
) -> Plan:
    return Plan(looks, settings.alpha, settings.bound, *level, grid, settings.stops_by, settings.worth_samples)


def only_at_least(spec: Spec, r: float) -> bool:
    """Whether the number of certified images at radius r is only a lower bound ("at least").

    Every image counted is certified at r. The question is whether more images would be if r were a radius of the spec.

    Exact for every r if each image took all looks, as with `stopping: fixed`, a single look or `stop: never`.
    Exact for the radii of the spec under early stopping: an image stops once each of them is certified or given up, by
    a rule that is fixed before the first vote, so the count is the outcome of that procedure, and its interval holds.
    Only "at least" for every other r under early stopping, 0 ("any positive radius") included: an image certified at
    all radii of the spec stopped there, although more samples might have certified it beyond the largest or between two
    of them; one that was given up at the smallest might be certified below it. More looks never take a certificate
    away, so no count is too high: the lower end of its interval holds, the upper end does not, and the number of
    abstentions is "at most".

    Args:
        spec: the locked spec.
        r: L2 radius >= 0, in units of the [0, 1] range.
    """
    return spec.stops_early and r not in spec.request.radius


def outcomes(spec: Spec, lines: Sequence[Line], sigma: float, k: int) -> Outcomes:
    """Derive the certificates of one sigma and k.

    Args:
        spec: the locked spec.
        lines: ledger lines of that sigma.
        sigma: one of the spec's noise levels.
        k: one of the spec's k.

    Returns:
        Outcomes over the lines, in their order.
    """
    return outcomes_by_k(spec, lines, sigma, (k,))[k]


def outcomes_by_k(spec: Spec, lines: Sequence[Line], sigma: float, ks: Sequence[int]) -> dict[int, Outcomes]:
    """Derive the certificates of one sigma and several k in one pass over the lines, block by block."""
    columns = columns_of(lines)
    looks, most = len(spec.looks), max(ks)
    parts = [derived(spec, seen(block, columns.of(rows), looks, most), sigma, ks) for rows, block in in_blocks(lines)]
    parts = parts or [derived(spec, seen((), columns, looks, most), sigma, ks)]
    return {k: joined([part[k] for part in parts], columns) for k in ks}


@dataclass(frozen=True, eq=False)
class Seen:
    """The votes of m lines as arrays, from which outcomes at any alpha, bound and k <= K are derived.

    Attributes:
        columns: all of the lines but their votes.
        votes: their votes at the looks.
        others: bool (m,): the selection winner is not the label, or there is none.
    """

    columns: Columns
    votes: StoredVotes
    others: Mask


def seen(lines: Sequence[Line], columns: Columns, looks: int, k: int) -> Seen:
    """Return the votes of lines in memory as arrays, with `looks` looks and the k strongest rivals."""
    others = np.array([winner(line) != line.label for line in lines], dtype=np.bool_)
    return Seen(columns, stored_votes(lines, looks, k), others)


def derived(spec: Spec, block: Seen, sigma: float, ks: Sequence[int]) -> dict[int, Outcomes]:
    """Derive the certificates of some lines of one sigma, at several k."""
    plan, columns, found = plan_of(spec, sigma), block.columns, {}
    for k in ks:
        rule = rule_of(plan, k)
        certified = rule.certificates(block.votes)
        wrong = np.zeros_like(block.others)
        if spec.request.target_of(k) == "prediction":
            wrong = block.others
        elif rule.names_wrong:
            wrong = (certified.radius <= 0) & block.votes.behind(k)
        found[k] = Outcomes(
            plan=plan,
            k=k,
            index=columns.index,
            label=columns.label,
            wrong=wrong,
            certified=certified,
            samples=columns.samples,
        )
    return found


def joined(parts: Sequence[Outcomes], columns: Columns) -> Outcomes:
    """Concatenate the outcomes of consecutive blocks of lines at one sigma and k; `columns` are those of all lines."""
    return Outcomes(
        plan=parts[0].plan,
        k=parts[0].k,
        index=columns.index,
        label=columns.label,
        wrong=np.concatenate([part.wrong for part in parts]),
        certified=type(parts[0].certified).joined([part.certified for part in parts]),
        samples=columns.samples,
    )


def winner(line: Line) -> int | None:
    """Return the class with most selection votes (the lowest on a tie); None without selection."""
    if not line.selection:
        return None
    votes = line.selection
    return min(votes, key=lambda c: (-votes[c], c))


def stored_votes(lines: Sequence[Line], looks: int, k: int) -> StoredVotes:
    """Return the votes of lines at the first `looks` looks, for certificates of rank up to k."""
    return StoredVotes([line.looks for line in lines], [line.label for line in lines], looks, k)


def line_tallies(lines: Sequence[Line], looks: int, k: int) -> Tally:
    """Return the votes of lines: n and label_votes (m, looks), rivals (m, looks, k); n = 0 where no look was taken."""
    return stored_votes(lines, looks, k).tally


FloatArray = NDArray[np.float64]
TOGETHER = 64
"""Number of studies that share a batch when many are predicted at once (the window of the sampler)."""
_STEPS = 400  # of the grid over p


def prediction_estimate(
    chances: FloatArray, production: Production, first: int = 1
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Estimate from stored votes how often adaptive prediction abstains and how many samples it takes.

    The votes of selection and of the last look are pooled. This is an estimate: a vote share is not a probability, and
    sampling stopped because of the votes.

    Args:
        chances: `pairwise_probabilities` of one noise level, at least one.
        production: maximum samples and alpha of a prediction.
        first: minimum samples of a look: a share of a batch if many studies are predicted at once, a batch for one.

    Returns:
        Mean over the images and its standard error, for abstention and for samples.
    """
    abstain, samples = expected(chances, production, first)
    return mean(abstain), mean(samples)


def pairwise_probabilities(lines: Sequence[Line]) -> FloatArray:
    """Return the pairwise probability of the two leading classes of each image, float (m,), from its pooled votes."""
    chances = np.empty(len(lines))
    for rows, block in in_blocks(lines):
        chances[rows] = pairwise_probability(*np.array([_leaders(line) for line in block], dtype=np.float64).T)
    return chances


def pairwise_probability(leader: FloatArray, runner_up: FloatArray, drawn: FloatArray | float) -> FloatArray:
    """Return the success probability of the two-class problem that is as hard to decide, float (m,).

    With a share s of the votes for the two leading classes and a share p of these for the leader, n samples move the
    test as far as n samples of a two-class problem with probability (1 + sqrt(s) (2 p - 1)) / 2.

    Args:
        leader: votes (or probability) of the leading class, (m,).
        runner_up: those of the second class, (m,).
        drawn: those of all classes; 0 gives 1/2.

    >>> pairwise_probability(np.array([90.0]), np.array([10.0]), 100.0).tolist()
    [0.9]
    """
    wide = np.sqrt((leader + runner_up) * drawn)
    chances: FloatArray = 0.5 + np.divide(leader - runner_up, 2 * wide, out=np.zeros_like(wide), where=wide > 0)
    return chances


def expected(chances: FloatArray, production: Production, first: int) -> tuple[FloatArray, FloatArray]:
    """Return, for each pairwise probability, the probability of an abstention and the mean number of samples."""
    grid = np.linspace(0.5, 1, _STEPS + 1)
    abstain, samples = (np.interp(chances, grid, each) for each in _odds(production.votes, production.alpha, first))
    return abstain, samples


def _leaders(line: Line) -> tuple[int, int, int]:
    """Return the votes of the leading class, of the second, and of all, selection and last look pooled."""
    last, first = line.looks[-1][1] if line.looks else {}, line.selection or {}
    votes = sorted((first.get(c, 0) + last.get(c, 0) for c in {*first, *last}), reverse=True)
    return (*votes, 0, 0)[0], (*votes, 0, 0)[1], sum(votes)


@lru_cache(maxsize=8)
def _odds(votes: int, alpha: float, first: int = 1) -> tuple[FloatArray, FloatArray]:
    odds = prediction_power(prediction_looks(votes, alpha, first), alpha, np.linspace(0.5, 1, _STEPS + 1))
    return odds.abstain, odds.samples


def padded(looks: Sequence[int], size: int) -> int:
    """Return the samples of a single image at cumulative sample numbers, each step padded to whole batches."""
    return sum(-(-(after - before) // size) * size for before, after in pairwise((0, *looks)))


def mean(values: Sequence[float] | NDArray[Any]) -> tuple[float, float]:
    """Return the mean over images and its standard error, which is 0 for a single image."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return 0.0, 0.0
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else 0.0
