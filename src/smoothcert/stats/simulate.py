"""Simulated runs with known class probabilities: votes are drawn from multinomials, look by look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import IntArray
from smoothcert.stats.rule import Rule
from smoothcert.stats.rules import rule_of
from smoothcert.stats.sequential import Plan

BoolArray = NDArray[np.bool_]
SUM = 1e-6
"""Largest deviation of a sum of probabilities from one that is accepted."""


@dataclass(frozen=True)
class Procedure:
    """What is decided from the votes of each image: fixed before the first vote is drawn.

    Attributes:
        plan: looks, alpha, bound, classes, sigma and eta.
        targets: for each k, whether its certificate is about the winner of the selection votes ("prediction") or about
            the reference label ("label").
        radii: L2 radii to decide, in units of the [0, 1] range.
        n0: noise samples for selection, drawn only where some target is "prediction".
    """

    plan: Plan
    targets: Mapping[int, Literal["prediction", "label"]]
    radii: tuple[float, ...]
    n0: int = 100

    @property
    def selects(self) -> bool:
        """Whether separate noise samples select the class."""
        return "prediction" in self.targets.values()

    def rule(self, k: int) -> Rule[Any]:
        """Return how votes become certificates at one k."""
        return rule_of(self.plan, k, tuple(self.radii))


@dataclass(frozen=True, eq=False)
class Simulated:
    """Outcome of one simulated run over m images.

    Attributes:
        samples: int64 (m,): noise samples, selection included.
        certified: bool (m, number of k, number of radii): certified with the correct label, in the order of `targets`
            and `radii`.
        wrong: bool (m,): the selection winner was not the label; all False without selection.
    """

    samples: IntArray
    certified: BoolArray
    wrong: BoolArray


def simulate(probabilities: ArrayLike, labels: ArrayLike, procedure: Procedure, rng: np.random.Generator) -> Simulated:
    """Simulate one run over m images with known class probabilities, all images at once.

    Selection, looks, running bounds, futility and the final decision are those of a real run; only the votes are drawn
    from the given probabilities instead of a classifier. A selection winner other than the label ends sampling for
    every k whose target is the prediction.

    Args:
        probabilities: float (m, c) in [0, 1]: true class probabilities of each image; rows sum to 1.
        labels: int (m,): reference labels, in 0..c-1.
        procedure: plan, targets, radii and n0.
        rng: random number generator; the same state gives the same result.

    Returns:
        Simulated over the m images.

    Raises:
        SpecError: if the shapes do not fit the plan's classes, or a row is not a distribution.

    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5)
    >>> p = [[0.999, 0.001, 0.0], [0.5, 0.3, 0.2], [0.1, 0.9, 0.0]]
    >>> run = simulate(p, [0, 0, 0], Procedure(plan, {1: "prediction"}, (0.25,)), np.random.default_rng(1))
    >>> run.samples.tolist(), run.certified[:, 0, 0].tolist(), run.wrong.tolist()
    ([200, 200, 100], [True, False, False], [False, False, True])
    """
    return simulate_together(probabilities, labels, (procedure,), rng)[0]


def simulate_together(
    probabilities: ArrayLike, labels: ArrayLike, procedures: Sequence[Procedure], rng: np.random.Generator
) -> list[Simulated]:
    """Simulate several procedures on the same votes, to compare them without the noise of different votes.

    Args:
        probabilities: float (m, c) in [0, 1]: true class probabilities of each image; rows sum to 1.
        labels: int (m,): reference labels, in 0..c-1.
        procedures: at least one, with the same looks, classes and n0.
        rng: random number generator.

    Returns:
        Simulated over the m images, one per procedure.

    Raises:
        SpecError: if the procedures have different looks, or the shapes do not fit.

    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5)
    >>> both = [Procedure(plan, {1: "label"}, radii) for radii in ((0.25,), (0.25, 0.5))]
    >>> runs = simulate_together([[0.85, 0.15, 0.0]] * 4, [0] * 4, both, np.random.default_rng(1))
    >>> [run.samples.tolist() for run in runs]
    [[1000, 1000, 100, 1000], [10000, 10000, 10000, 10000]]
    """
    plan, n0 = procedures[0].plan, procedures[0].n0
    if len({(each.plan.looks, each.plan.classes, each.n0) for each in procedures}) > 1:
        raise SpecError(
            "expected procedures with the same looks, classes and n0, got different ones", code="E-SPEC-144"
        )
    p, label = _checked(probabilities, labels, plan.classes)
    ks = {k for each in procedures for k in each.targets}
    p = p[:, : max(*np.flatnonzero(p.any(axis=0)), *label, *ks) + 1]  # with many classes most are empty
    wrong = np.zeros(len(p), dtype=np.bool_)
    if any(each.selects for each in procedures):
        wrong = rng.multinomial(n0, p).argmax(axis=1) != label
    runs = [_Simulation.of(each, wrong) for each in procedures]
    counts, before = np.zeros(p.shape, dtype=np.int64), 0
    for n in plan.looks:
        active = np.flatnonzero(np.any([each.open for each in runs], axis=0))
        if not len(active):
            break
        old = counts[active]
        counts[active] = new = old + rng.multinomial(n - before, p[active])
        for each in runs:
            mine = np.flatnonzero(each.open[active])
            each.look(active[mine], (old[mine], new[mine]), label[active[mine]])
        before = n
    return [each.result() for each in runs]


@dataclass(frozen=True, eq=False)
class Expected:
    """Noise samples and power of a procedure at each of j probability vectors, over many simulated images.

    Attributes:
        mean: float (j,): mean number of noise samples, selection included.
        low: float (j,): 10 % quantile.
        median: float (j,): median.
        high: float (j,): 90 % quantile.
        power: float (j, number of k, number of radii): share of images certified for the label.
    """

    mean: FloatArray
    low: FloatArray
    median: FloatArray
    high: FloatArray
    power: FloatArray


def expected_samples(
    probabilities: ArrayLike, procedure: Procedure, rng: np.random.Generator, images: int = 1000
) -> Expected:
    """Noise samples and power of a procedure at given class probabilities, by simulation.

    Args:
        probabilities: float (j, c): true class probabilities, class 0 the label, as from `probabilities_at`.
        procedure: plan, targets, radii and n0.
        rng: random number generator.
        images: simulated images per vector; a share of them has a standard error of at most 0.5 / sqrt(images).

    Returns:
        Expected over the j vectors.

    Raises:
        SpecError: if a row is not a distribution over the plan's classes, or images < 1.

    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5)
    >>> p = [[0.999, 0.001, 0.0], [0.78, 0.22, 0.0], [0.5, 0.5, 0.0]]
    >>> expected = expected_samples(p, Procedure(plan, {1: "label"}, (0.25,)), np.random.default_rng(1), 200)
    >>> expected.median.tolist(), expected.power[:, 0, 0].tolist()
    ([100.0, 1000.0, 100.0], [1.0, 1.0, 0.0])
    """
    if images < 1:
        raise SpecError(f"expected at least 1 simulated image, got {images}", code="E-SPEC-098")
    p = np.repeat(np.asarray(probabilities, dtype=np.float64), images, axis=0)
    done = simulate(p, np.zeros(len(p), dtype=np.int64), procedure, rng)
    samples = done.samples.reshape(-1, images)
    low, median, high = np.quantile(samples, (0.1, 0.5, 0.9), axis=1)
    power = done.certified.reshape(len(samples), images, *done.certified.shape[1:]).mean(axis=1)
    return Expected(samples.mean(axis=1), low, median, high, power)


@dataclass(eq=False)
class _Simulation:
    """One procedure while it is simulated: which images still need votes for each k, and the samples they took."""

    parts: list[_Open]
    samples: IntArray
    wrong: BoolArray

    @classmethod
    def of(cls, procedure: Procedure, wrong: BoolArray) -> _Simulation:
        lost = {k: wrong & (target == "prediction") for k, target in procedure.targets.items()}
        parts = [_Open.of(procedure.rule(k), out) for k, out in lost.items()]
        samples = np.full(len(wrong), procedure.n0 if procedure.selects else 0, dtype=np.int64)
        return cls(parts, samples, wrong & procedure.selects)

    @property
    def open(self) -> BoolArray:
        found: BoolArray = np.any([each.open for each in self.parts], axis=0)
        return found

    def look(self, active: IntArray, votes: tuple[IntArray, IntArray], label: IntArray) -> None:
        if len(active):
            self.samples[active] += (votes[1] - votes[0]).sum(axis=1)
            for each in self.parts:
                each.look(active, votes, label)

    def result(self) -> Simulated:
        return Simulated(self.samples, np.stack([each.certified for each in self.parts], axis=1), self.wrong)


@dataclass(eq=False)
class _Open:
    """Images at one k: which of them still need votes for it (`open`), and what is certified (m, radii) so far."""

    rule: Rule[Any]
    open: BoolArray
    out: BoolArray
    certified: BoolArray
    state: Any = None
    among: IntArray | None = None  # the images of the state

    @classmethod
    def of(cls, rule: Rule[Any], out: BoolArray) -> _Open:
        return cls(rule, ~out, out, np.zeros((len(out), len(rule.radii)), dtype=np.bool_))

    def look(self, active: IntArray, votes: tuple[IntArray, IntArray], label: IntArray) -> None:
        # an image continues while any k needs votes, and all its looks count for every k, as in the ledger
        if self.among is None:
            state = self.rule.start(len(active))
        else:
            state = self.rule.rows(self.state, np.searchsorted(self.among, active))
        self.state, still = self.rule.step(state, *votes, label)
        self.among = active
        self.certified[active] = self.rule.decided(self.state) & ~self.out[active, None]
        self.open[active] &= still


def _checked(probabilities: ArrayLike, labels: ArrayLike, classes: int) -> tuple[FloatArray, IntArray]:
    p, label = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if p.ndim != 2 or p.shape[1] != classes or label.shape != p.shape[:1]:
        raise SpecError(
            f"expected probabilities (m, {classes}) and labels (m,), got {p.shape} and {label.shape}", code="E-SPEC-099"
        )
    total = p.sum(axis=1, keepdims=True)
    if np.any(p < 0) or not np.all(np.abs(total - 1) <= SUM):
        raise SpecError(
            "expected each row of probabilities to be >= 0 and to sum to 1; divide the counts by their sum",
            code="E-SPEC-100",
        )
    if np.any((label < 0) | (label >= classes)):
        raise SpecError(f"expected labels in 0..{classes - 1}, got one outside; check the labels", code="E-SPEC-059")
    return p / total, label
