"""Whether the results table follows from the decisions: counts again, claims by binomial tails in plain Python."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import le
from typing import Any

import numpy as np

from smoothcert.config import Spec
from smoothcert.evidence.events import CHANGED, CLEAN, REPEATED, Event
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import BLOCK, Columns, columns_of
from smoothcert.evidence.outcomes import Mask, Outcomes
from smoothcert.evidence.results import Certificates
from smoothcert.formats.results import Entry
from smoothcert.stats.population import bad_runs
from smoothcert.stats.rounding import full
from smoothcert.verify import plain
from smoothcert.verify import plain as shares
from smoothcert.verify.betting import is_r_max

DELTA = 0.05
"""Error probability of every claim of the table, at 95 % confidence; deliberately not imported."""


def claims_of(table: Sequence[Entry]) -> int:
    """Return the number of claims that `check_table` checks: interval ends, sample, population and joint bounds."""
    return sum(2 + sum(bound is not None for bound in (entry.high, entry.population, entry.joint)) for entry in table)


def check_table(spec: Spec, ledger: Ledger, table: Sequence[Entry], certificates: Certificates) -> Iterator[str]:
    """Yield differences between the results table and the decisions, which have been checked image by image.

    Counts are counted again. Interval, sample, population and joint bound are not computed a second time: the binomial
    tail is summed at each of them and a little beyond, so that an error to either side is found.

    Args:
        spec: the locked spec.
        ledger: the evidence, complete or partial.
        table: entries of the results table.
        certificates: returns the certificates of a (sigma, k), whose radii and decisions have been checked.
    """
    request, m = spec.request, spec.data.images
    asked = [(float(sigma), k, r) for sigma in request.sigma for k in request.k for r in request.radius]
    if [(entry.sigma, entry.k, entry.radius) for entry in table] != asked:
        yield "results table: its rows are not the entries (sigma, k, r) of the spec"
        return
    bad = bad_runs(m, request.alpha)
    if not shares.is_bad_runs(bad, m, request.alpha, DELTA):
        yield f"results table: {bad} is not the 95 % upper bound on the wrong certificates among {m}"
    whole = sum(len(ledger.at(sigma)) for sigma in request.sigma) == len(request.sigma) * m
    draws = {float(sigma): _draw(spec, ledger, sigma) for sigma in request.sigma}
    for entry in table:
        found = certificates(entry.sigma, entry.k)
        sole = whole and not copied(spec, columns_of(ledger.at(entry.sigma)))
        check = _Check(spec, entry, found, found.certified_correct(entry.radius), draws[entry.sigma], sole)
        place = f"results table: sigma {full(entry.sigma)}, k {entry.k}, r {full(entry.radius)}:"
        yield from (f"{place} {reason}" for reason in (*check.counts(), *check.attainable(), *check.claims()))


def check_repeats(events: Sequence[Event], spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Yield a fault if the recorded number of repeated images is not that of the ledger; older runs recorded none."""
    recorded = [event.facts.get("repeats") for event in events if event.event == REPEATED]
    for sigma in spec.request.sigma if recorded else ():
        columns = columns_of(ledger.at(sigma))
        found = copied(spec, columns)
        if len(columns) == spec.data.images and any(each != found for each in recorded):
            yield f"events.jsonl: {recorded[0]!r:.40} repeated images recorded, {found} found at sigma {full(sigma)}"


def check_measures(events: Sequence[Event], spec: Spec) -> Iterator[str]:
    """Yield counts measured beside the votes that cannot be true of the run's images: clean accuracy, perturbations."""
    for event in events:
        facts = event.facts
        if event.event == CLEAN:
            counts = [facts.get("correct"), *([facts.get("alone")] if spec.denoised else [])]
            plausible = facts.get("images") == spec.data.images and all(_of_classes(each, spec) for each in counts)
            if not plausible or (not spec.denoised and facts.get("alone") is not None):
                yield f"events.jsonl: the clean accuracy of {event.at} is no count of its {spec.data.images} images"
        elif event.event == CHANGED:
            measured = facts.get("images", 0)
            within = [count for each in facts.get("changes", {}).values() for count in each["within"]]
            if measured > spec.data.images or any(count > measured for count in within):
                yield f"events.jsonl: the perturbations of {event.at} are counted on more images than there are"


def _of_classes(counts: object, spec: Spec) -> bool:
    """Return whether counts by k and class are at most the images of each class, for every k of the run."""
    if not isinstance(counts, dict) or {int(k) for k in counts} != set(spec.request.k):
        return False
    most = spec.data.class_counts
    return all(len(each) == len(most) and all(map(le, each, most)) for each in counts.values())


def copied(spec: Spec, columns: Columns) -> int:
    """Return how many images repeat another one; if images come in groups, one of another group.

    A second implementation of `evidence.results.repeats`: images are sorted and neighbours compared.
    """
    owner = columns.group.codes if spec.data.grouped else columns.index
    order = np.lexsort((owner, columns.image))
    image, mine = columns.image[order], owner[order]
    return int(np.count_nonzero((image[1:] == image[:-1]) & (mine[1:] != mine[:-1])))


def _draw(spec: Spec, ledger: Ledger, sigma: float) -> list[int] | None:
    return shares.one_each(columns_of(ledger.at(sigma)).group, spec.seed) if spec.data.grouped else None


@dataclass(frozen=True)
class _Check:
    """Checks of one entry.

    Attributes:
        spec: the locked spec.
        entry: the entry of the results table.
        found: certificates of its sigma and k.
        kept: bool (m,): images certified at its radius with the correct label.
        draw: position of one image per group; None if images do not come in groups.
        sole: whether no image is missing at any sigma, and none repeats another.
    """

    spec: Spec
    entry: Entry
    found: Outcomes
    kept: Mask
    draw: list[int] | None
    sole: bool

    def counts(self) -> Iterator[str]:
        """Yield the counts and shares that differ."""
        entry, found, mean_median_max = self.entry, self.found, shares.spread(_counted(self.found))
        right = ~found.wrong
        expected: dict[str, Any] = {
            "images": self.spec.data.images,
            "lines": len(found.index),
            "certified": np.count_nonzero(self.kept),
            "observed": np.count_nonzero(self.kept) / self.spec.data.images,
            "abstained": np.count_nonzero(right) - np.count_nonzero(right & (found.radius > 0)),
            "wrong": len(found.index) - np.count_nonzero(right),
            "groups": None if self.draw is None else len(self.draw),
            "at_least": self._early and entry.radius not in self.spec.request.radius,
            **dict(zip(("samples_mean", "samples_median", "samples_max"), mean_median_max, strict=True)),
        }
        for name, value in expected.items():
            claimed = getattr(entry, name)
            same = claimed is value if None in (claimed, value) else math.isclose(claimed, value, rel_tol=1e-12)
            if not same:
                yield f"{name} is {claimed}, not {value}"

    @property
    def _early(self) -> bool:
        """Whether images may stop before the last look."""
        request = self.spec.request
        fixed = request.stopping == "fixed" and request.bound == "betting"
        return len(self.spec.looks) > 1 and not (fixed or request.stop == "never")

    def attainable(self) -> Iterator[str]:
        """Yield a fault if R_max is not the radius of unanimous votes, or `attainable` does not follow from it."""
        entry = self.entry
        if not self._is_r_max():
            yield f"R_max is {entry.r_max:.9g}, which is not the radius of unanimous votes"
        if entry.attainable != (entry.radius <= entry.r_max):
            yield f"attainable is {entry.attainable}, which contradicts R_max"

    def _is_r_max(self) -> bool:
        entry, plan = self.entry, self.found.plan
        if self.spec.request.bound == "betting":
            return is_r_max(entry.r_max, self.spec, plan.sigma, entry.k)
        levels = plain.levels(self.spec.looks, self.spec.request.alpha)
        split = [plain.shares(plan.bound, plan.classes, entry.k, level) for level in levels]
        looks = list(zip(self.spec.looks, split, strict=True))
        q = min(plain.unanimous(n, mine) for n, (mine, _) in looks)
        u = min(plain.unanimous(n, mine if each is None else each) for n, (mine, each) in looks)
        return plain.is_radius(entry.r_max / plan.sigma, q, [u] * entry.k, plan.eta, plain.R_MAX_SLACK)

    def claims(self) -> Iterator[str]:
        """Yield the intervals and bounds over the data set that do not follow from the counts."""
        entry, m, alpha = self.entry, self.spec.data.images, self.spec.request.alpha
        s = int(np.count_nonzero(self.kept))
        if not shares.is_lower_limit(entry.low, s, m, DELTA / 2):
            yield f"{entry.low:.9g} is not the lower end of the exact 95 % interval of {s} in {m}"
        if entry.high is None or not shares.is_upper_limit(entry.high, s, m, DELTA / 2):
            yield f"{entry.high} is not the upper end of the exact 95 % interval of {s} in {m}"
        if not self._is_sample(s):
            yield f"{entry.sample} is not the lower bound on the robust images of this sample, {s} certified of {m}"
        if self.draw is not None:
            s, m = sum(map(bool, self.kept[self.draw])), len(self.draw)
        entries = len(self.spec.request.sigma) * len(self.spec.request.k) * len(self.spec.request.radius)
        for name, bound, level in (("population", entry.population, DELTA), ("joint", entry.joint, DELTA / entries)):
            if (bound is not None) != self.sole:
                state = (
                    "no image is missing, and none repeats" if self.sole else "an image is missing, or repeats another"
                )
                yield f"the {name} bound is {bound}, but {state}"
            elif bound is not None and not shares.is_population_bound(bound, s, m, alpha, level):
                yield f"{bound:.9g} is not the {name} bound of {s} certified of {m}"

    def _is_sample(self, s: int) -> bool:
        """Whether `sample` is the lower bound on the robust images of this sample: s minus the wrong certificates."""
        sample, m, alpha = self.entry.sample, self.spec.data.images, self.spec.request.alpha
        if sample == 0:  # then at least s certificates may be wrong
            return s == 0 or shares.at_least(s, m, alpha) >= DELTA * (1 - shares.CLAIM_SLACK)
        return shares.is_bad_runs(s - sample, m, alpha, DELTA)


def _counted(found: Outcomes) -> Counter[int]:
    """Return the number of images by number of samples, counted block by block."""
    counts: Counter[int] = Counter()
    for start in range(0, len(found.samples), BLOCK):
        counts.update(found.samples[start : start + BLOCK].tolist())
    return counts
