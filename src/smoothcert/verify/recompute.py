"""Do the numbers follow from the votes: plan, bounds, radii and decisions, by two independent implementations?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smoothcert.errors import EvidenceError
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.events import REPEATED
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import columns_of, in_blocks
from smoothcert.evidence.outcomes import Outcomes, joined, outcomes_by_k
from smoothcert.evidence.results import FORMAT, Certificates, form_of, results_record
from smoothcert.formats.line import Line
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.spec import Spec
from smoothcert.verify import plain
from smoothcert.verify.keys import compare, some
from smoothcert.verify.numbers import Block, check_block
from smoothcert.verify.structure import images_of, line_faults

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
