"""Whether the numbers follow from the votes: schedule, bounds, radii and decisions, by two implementations.

SciPy claims, plain Python checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.events import REPEATED
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import Columns, columns_of, in_blocks
from smoothcert.evidence.outcomes import Outcomes, derived, joined, outcomes_by_k, seen, taken_at
from smoothcert.evidence.results import Certificates, results_record
from smoothcert.formats.line import Line, Votes
from smoothcert.formats.results import FORMAT, form_of
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.stats import Bounds, Plan, Tally, bounds, r_max
from smoothcert.stats.rounding import full
from smoothcert.verify import plain
from smoothcert.verify.keys import compare, some
from smoothcert.verify.structure import images_of, line_faults

Walked = tuple[float, list[float]]
"""Running bounds q and u of one image, as plain Python has them."""


@dataclass(frozen=True)
class Block:
    """What was recomputed of a block of lines of one sigma.

    Attributes:
        outcomes: the certificates by k.
        bounds: bounds checked.
        faults: what does not hold.
    """

    outcomes: dict[int, Outcomes]
    bounds: int
    faults: tuple[str, ...]


def check_block(spec: Spec, lines: Sequence[Line], columns: Columns, sigma: float) -> Block:
    """Recompute bounds, radii and decisions of some lines of one sigma, whose columns these are, at every k, both ways.

    SciPy claims the bounds; plain Python evaluates the binomial tail at each of them, takes the running minima,
    compares the probabilities just below and just above each certified radius R, and decides every radius anew.
    """
    ks = spec.request.k
    votes = seen(lines, columns, len(spec.looks), max(ks))
    found = derived(spec, votes, sigma, ks)
    checked, faults = 0, []
    for k in ks:
        claimed = _claimed(votes.votes, found[k].plan, k)
        check = _Check(spec, found[k], plain.levels(spec.looks, spec.request.alpha), r_max(found[k].plan, k))
        decided = {r: found[k].certified_correct(r).tolist() for r in spec.request.radius}
        for i, line in enumerate(lines):
            walked, count, wrong = check.walk(line, Bounds(claimed.q[i], claimed.u[i]))
            wrong += check.against(i, walked)
            theirs = {r: bool(each[i]) for r, each in decided.items()}
            wrong += check.decisions(line, walked, theirs, bool(found[k].wrong[i]))
            checked += count
            faults += [f"sigma {full(sigma)}, image {line.index}, k {k}: {reason}" for reason in wrong]
    return Block(found, checked, tuple(faults))


def _claimed(votes: Tally, plan: Plan, k: int) -> Bounds:
    """Return the bounds of each look, q (m, looks) and u (m, looks, k); 1 where it was not taken."""
    claimed = Bounds(np.ones(votes.n.shape), np.ones((*votes.n.shape, k)))
    for look, level in enumerate(plan.spent_alpha):
        at, taken = taken_at(votes, look)
        if len(at):
            here = bounds(taken, level, k, plan.bound, plan.classes)
            claimed.q[at, look], claimed.u[at, look] = here.q, here.u
    return claimed


@dataclass(frozen=True)
class _Check:
    """What the lines of one sigma and k are checked with: the levels and R_max, the levels in plain Python."""

    spec: Spec
    found: Outcomes
    levels: tuple[float, ...]
    limit: float

    def walk(self, line: Line, claimed: Bounds) -> tuple[Walked, int, list[str]]:
        """Go through the looks of one line, checking each claimed bound; return the running bounds."""
        best, best_rivals, checked, faults = 1.0, [1.0] * self.found.k, 0, []
        for j, (n, votes) in enumerate(line.looks):
            q, rivals = float(claimed.q[j]), claimed.u[j].tolist()
            for u, x, level in self._claims((q, rivals), (n, votes, line.label), self.levels[j]):
                checked += 1
                if not plain.is_upper_bound(u, x, n, level):
                    faults.append(f"look {n}: {u:.9g} is not the upper confidence bound of {x} votes")
            best = min(best, q)
            best_rivals = [min(pair) for pair in zip(best_rivals, rivals, strict=True)]
        return (best, best_rivals), checked, faults

    def _claims(
        self, claimed: Walked, votes: tuple[int, Votes, int], level: float
    ) -> Iterator[tuple[float, int, float]]:
        """Yield (claimed bound, successes, level) of every confidence bound of one look, its level written out anew."""
        (q, rivals), (n, counts, label), plan = claimed, votes, self.found.plan
        mine, each = plain.shares(plan.bound, plan.classes, len(rivals), level)
        yield q, n - counts.get(label, 0), mine
        if each is None:
            return
        ranked = sorted((count for c, count in counts.items() if c != label), reverse=True)
        for j, u in enumerate(rivals):
            yield u, ranked[j] if j < len(ranked) else 0, each

    def against(self, i: int, walked: Walked) -> list[str]:
        """Return where the running bounds, or the radius, of image i are not what the walk gives."""
        faults, (q, rivals), plan, r = [], walked, self.found.plan, float(self.found.radius[i])
        if q != self.found.bounds.q[i] or rivals != self.found.bounds.u[i].tolist():
            faults.append("the running bounds differ")
        if not plain.is_radius(r / plan.sigma, q, rivals, plan.eta):
            faults.append(f"{r:.9g} is not the largest radius that the bounds certify")
        if r > self.limit + 1e-9:
            faults.append("the radius is above R_max")
        return faults

    def decisions(self, line: Line, walked: Walked, decided: dict[float, bool], theirs_wrong: bool) -> list[str]:
        """Return the radii that plain Python decides otherwise."""
        plan, by_prediction = self.found.plan, self.spec.request.target_of(self.found.k) == "prediction"
        wrong = by_prediction and plain.winner(line.selection) != line.label
        faults = [] if wrong == theirs_wrong else ["the two implementations read the selection differently"]
        for r, theirs in decided.items():
            margin = plain.margin(*walked, r / plan.sigma, plan.eta)
            if abs(margin) >= 1e-9 and theirs != (margin > 0 and not wrong):
                faults.append(f"the two implementations decide r = {full(r)} differently")
        return faults


LARGEST = 100_000_000
"""Bytes of results.json."""
NAMED_AT_MOST = 20
"""Faults that are named: of a million lines that do not hold nobody reads more."""


@dataclass(frozen=True)
class Recomputed:
    """What was recomputed at one sigma.

    Attributes:
        bounds: bounds checked.
        radii: certified radii checked.
        decisions: decisions taken by both implementations.
        faults: what does not hold, the first of them.
        outcomes: the certificates by k; empty where faults were found.
    """

    bounds: int
    radii: int
    decisions: int
    faults: tuple[str, ...]
    outcomes: dict[int, Outcomes]


def check_plan(spec: Spec) -> Iterator[str]:
    """Yield where looks, or the total-variation terms of integer noise, are not what the request leads to."""
    request = spec.request
    if spec.looks != plain.schedule(request.n_max, request.stopping):
        yield f"spec.json: looks {spec.looks} are not those of n_max = {request.n_max}, {request.stopping}"
    for model in spec.models:
        values = spec.data.shape[0] * spec.data.shape[1] * spec.data.shape[2]
        grid = request.noise == "grid"
        wanted = plain.total_variation(values, model.sigma, spec.data.levels) if grid else 0.0
        if not abs(model.eta - wanted) <= 1e-3 * wanted:
            yield f"spec.json: the total-variation term at sigma {model.sigma:g} is {model.eta:.3g}, not {wanted:.3g}"


def check_level(spec: Spec, lines: Sequence[Line], sigma: float, sound: bool = True) -> Recomputed:
    """Check the lines of one sigma, a block at a time: each on its own, then bounds, radii and decisions at every k.

    Args:
        spec: the locked spec.
        lines: all lines of that sigma.
        sigma: one of the spec's noise levels.
        sound: whether to go on to the numbers, for as long as the lines hold; votes that cannot be have none.
    """
    images, request, columns = images_of(spec), spec.request, columns_of(lines)
    faults: list[str] = []
    blocks: list[Block] = []
    for rows, block in in_blocks(lines):
        torn = [fault for line in block if line.index in images for fault in line_faults(spec, line, images)]
        sound = sound and not torn
        if sound:
            blocks.append(check_block(spec, block, columns.of(rows), sigma))
            torn += blocks[-1].faults
        faults += torn
        if len(faults) >= NAMED_AT_MOST:
            break
    checked = sum(len(each.outcomes[k].index) for each in blocks for k in request.k)
    found = {}
    if sound and not faults:
        parts = [each.outcomes for each in blocks] or [outcomes_by_k(spec, (), sigma, request.k)]
        found = {k: joined([part[k] for part in parts], columns) for k in request.k}
    bounds = sum(each.bounds for each in blocks)
    return Recomputed(bounds, checked, checked * len(request.radius), tuple(faults[:NAMED_AT_MOST]), found)


def check_results(run: RunDirectory, spec: Spec, ledger: Ledger, certificates: Certificates) -> Iterator[str]:
    """Compare `results/results.json`, where there is one, with what the votes say, by the rule of its own form."""
    path = run.results / "results.json"
    if not path.is_file():
        return
    try:
        printed = parse(read_bytes(path, LARGEST), "results/results.json")
    except EvidenceError as error:
        yield f"results/results.json cannot be read: {error}"
        return
    form = form_of(printed)
    if form is None:
        yield "results/results.json is not what the votes give: expected a record of results, got something else"
        return
    if form == 1 and any(event.event == REPEATED for event in run.read_events()):
        yield f"results/results.json: expected format {FORMAT}, as this run's log has, got format 1"
        return
    computed = json.loads(json.dumps(results_record(spec, ledger, certificates, form)))
    found = compare({**printed, "format": computed.get("format")} if form > 1 else printed, computed)
    wrong = found.wrong
    if printed.get("format", 1) == form:  # of a form that is known whole, nothing may be missing or reworded
        wrong = [*wrong, *found.absent, *found.worded, *(found.unknown if form == 1 else ())]
    if wrong:
        yield f"results/results.json: not what the votes give: {some(wrong)}"
