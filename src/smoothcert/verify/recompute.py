"""Recomputation of schedule, bounds, radii and decisions from the votes by two implementations.

`smoothcert.stats` (SciPy) computes them, `smoothcert.verify.plain` (plain Python) checks them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.events import REPEATED
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import Columns, columns_of, in_blocks
from smoothcert.evidence.outcomes import Outcomes, Seen, derived, joined, outcomes_by_k, seen
from smoothcert.evidence.results import Certificates, results_record
from smoothcert.formats.line import Line, Votes
from smoothcert.formats.results import FORMAT, form_of
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.stats import Bounds, Plan, Tally, bounds, r_max, taken_at
from smoothcert.stats.rounding import full
from smoothcert.verify import plain
from smoothcert.verify.betting import BettingCheck, check_grid
from smoothcert.verify.keys import compare, some
from smoothcert.verify.structure import images_of, line_faults

Walked = tuple[float, list[float]]
"""Running bounds q and u of one image, in plain Python."""


@dataclass(frozen=True)
class Block:
    """Recomputed certificates of a block of lines of one sigma.

    Attributes:
        outcomes: certificates by k.
        bounds: number of bounds, or of radii that were bet on, checked.
        faults: the faults, as text.
    """

    outcomes: dict[int, Outcomes]
    bounds: int
    faults: tuple[str, ...]


def check_block(spec: Spec, lines: Sequence[Line], columns: Columns, sigma: float) -> Block:
    """Recompute bounds, radii and decisions of some lines of one sigma at every k by both implementations.

    SciPy computes the bounds; plain Python evaluates the binomial tail at each of them, takes the running minima,
    evaluates the margins just below and just above each certified radius R, and decides every radius again.

    Args:
        spec: the locked spec.
        lines: the lines.
        columns: their columns.
        sigma: their noise level.
    """
    ks = spec.request.k
    votes = seen(lines, columns, len(spec.looks), max(ks))
    found = derived(spec, votes, sigma, ks)
    checked, faults = 0, []
    for k in ks:
        check = _check_of(spec, found[k], votes)
        for i, line in enumerate(lines):
            count, wrong = check.line(i, line)
            checked += count
            faults += [f"sigma {full(sigma)}, image {line.index}, k {k}: {reason}" for reason in wrong]
    return Block(found, checked, tuple(faults))


def _check_of(spec: Spec, found: Outcomes, votes: Seen) -> BoundsCheck | BettingCheck:
    """Return the checks of a rule: of the bounds behind the radii, or of the bets."""
    if spec.request.bound == "betting":
        return BettingCheck(spec, found)
    levels = plain.levels(spec.looks, spec.request.alpha)
    return BoundsCheck(
        spec, found, levels, r_max(found.plan, found.k), _claimed(votes.votes.tally, found.plan, found.k)
    )


def _claimed(votes: Tally, plan: Plan, k: int) -> Bounds:
    """Return the bounds at each look, q (m, looks) and u (m, looks, k); 1 where the look was not taken."""
    claimed = Bounds(np.ones(votes.n.shape), np.ones((*votes.n.shape, k)))
    for look, level in enumerate(plan.spent_alpha):
        at, taken = taken_at(votes, look)
        if len(at):
            here = bounds(taken, level, k, plan.bound, plan.classes)
            claimed.q[at, look], claimed.u[at, look] = here.q, here.u
    return claimed


@dataclass(frozen=True)
class BoundsCheck:
    """Checks of the lines of one sigma and k in plain Python.

    `levels` is the spent alpha, `limit` is R_max, `claimed` are the bounds at each look.
    """

    spec: Spec
    found: Outcomes
    levels: tuple[float, ...]
    limit: float
    claimed: Bounds

    @cached_property
    def _decided(self) -> dict[float, list[bool]]:
        return {r: self.found.certified_correct(r).tolist() for r in self.spec.request.radius}

    def line(self, i: int, line: Line) -> tuple[int, list[str]]:
        """Check line number i; return the number of bounds that were checked, and the faults."""
        walked, count, faults = self.walk(line, Bounds(self.claimed.q[i], self.claimed.u[i]))
        theirs = {r: bool(each[i]) for r, each in self._decided.items()}
        decisions = self.decisions(line, walked, theirs, bool(self.found.wrong[i]))
        return count, [*faults, *self.against(i, walked), *decisions]

    def walk(self, line: Line, claimed: Bounds) -> tuple[Walked, int, list[str]]:
        """Check each claimed bound along the looks of one line; return the running bounds, their number and faults."""
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
        """Yield (claimed bound, successes, level) of every confidence bound of one look."""
        (q, rivals), (n, counts, label), plan = claimed, votes, self.found.plan
        mine, each = plain.shares(plan.bound, plan.classes, len(rivals), level)
        yield q, n - counts.get(label, 0), mine
        if each is None:
            return
        ranked = sorted((count for c, count in counts.items() if c != label), reverse=True)
        for j, u in enumerate(rivals):
            yield u, ranked[j] if j < len(ranked) else 0, each

    def against(self, i: int, walked: Walked) -> list[str]:
        """Return the faults of the running bounds and the radius of image i."""
        faults, (q, rivals), plan, r = [], walked, self.found.plan, float(self.found.radius[i])
        held = self.found.bounds
        if held is None or q != held.q[i] or rivals != held.u[i].tolist():
            faults.append("the running bounds of the two implementations differ")
        if not plain.is_radius(r / plan.sigma, q, rivals, plan.eta):
            faults.append(f"{r:.9g} is not the largest radius that the bounds certify")
        if r > self.limit + 1e-9:
            faults.append("the radius is above R_max")
        return faults

    def decisions(self, line: Line, walked: Walked, decided: dict[float, bool], theirs_wrong: bool) -> list[str]:
        """Return the radii on which the two implementations disagree."""
        plan, by_prediction = self.found.plan, self.spec.request.target_of(self.found.k) == "prediction"
        wrong = by_prediction and plain.winner(line.selection) != line.label
        faults = [] if wrong == theirs_wrong else ["the two implementations disagree on the selection winner"]
        for r, theirs in decided.items():
            margin = plain.margin(*walked, r / plan.sigma, plan.eta)
            if abs(margin) >= 1e-9 and theirs != (margin > 0 and not wrong):
                faults.append(f"the two implementations disagree on r = {full(r)}")
        return faults


LARGEST = 100_000_000
"""Largest number of bytes of results.json."""
NAMED_AT_MOST = 20
"""Maximum number of faults that are reported."""


@dataclass(frozen=True)
class Recomputed:
    """Recomputed certificates of one sigma.

    Attributes:
        bounds: number of bounds, or of radii that were bet on, checked.
        radii: number of certified radii checked.
        decisions: number of decisions made by both implementations.
        faults: the first faults, as text.
        outcomes: certificates by k; empty if there are faults.
    """

    bounds: int
    radii: int
    decisions: int
    faults: tuple[str, ...]
    outcomes: dict[int, Outcomes]


def check_plan(spec: Spec) -> Iterator[str]:
    """Yield faults of the looks, of the grid, and of the total-variation terms of integer noise, given the request."""
    request = spec.request
    if spec.looks != plain.schedule(request.n_max, request.stopping, request.bound):
        yield f"spec.json: looks {spec.looks} are not those of n_max = {request.n_max}, {request.stopping}"
    yield from check_grid(spec)
    for model in spec.models:
        values = spec.data.shape[0] * spec.data.shape[1] * spec.data.shape[2]
        grid = request.noise == "grid"
        eta = plain.total_variation(values, model.sigma, spec.data.levels) if grid else 0.0
        if not abs(model.eta - eta) <= 1e-3 * eta:
            yield f"spec.json: eta (total variation) at sigma {model.sigma:g} is {model.eta:.3g}, not {eta:.3g}"


def check_level(spec: Spec, lines: Sequence[Line], sigma: float, sound: bool = True) -> Recomputed:
    """Check the lines of one sigma block by block: each line alone, then bounds, radii and decisions at every k.

    Args:
        spec: the locked spec.
        lines: all lines of that sigma.
        sigma: one of the spec's noise levels.
        sound: whether to recompute numbers too, as long as no line has a fault.
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
    """Compare `results/results.json`, if it exists, with the results of the votes, by the rule of its own form."""
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
        yield "results/results.json: expected a record of results, got another JSON value"
        return
    if form == 1 and any(event.event == REPEATED for event in run.read_events()):
        yield f"results/results.json: expected format {FORMAT}, as the log of this run shows, got format 1"
        return
    computed = json.loads(json.dumps(results_record(spec, ledger, certificates, form)))
    found = compare({**printed, "format": computed.get("format")} if form > 1 else printed, computed)
    wrong = found.wrong
    if printed.get("format", 1) == form:  # of a form that is known whole, nothing may be missing or reworded
        wrong = [*wrong, *found.absent, *found.worded, *(found.unknown if form == 1 else ())]
    if wrong:
        yield f"results/results.json does not follow from the votes: {some(wrong)}"
