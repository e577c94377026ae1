"""The evidence of a run in words: what was fixed, what happened, what is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.events import CHANGED, CLEAN, ENERGY, MERGED, RATES, REPORTED, WORKER, Event
from smoothcert.evidence.seal import seal_remark
from smoothcert.formats.line import Line, Votes
from smoothcert.report.table import Table
from smoothcert.spec import Spec
from smoothcert.stats.rounding import full

FEW_CLASSES, FEW_VOTES = 12, 6


def rows(headings: Sequence[str], found: Iterable[Sequence[object]]) -> Table:
    """Return a table of printed values."""
    return Table(tuple(headings), tuple(tuple(str(value) for value in row) for row in found), ())


def file_name(reference: str) -> str:
    """Return a file's name without its folders: a notebook is passed on.

    >>> file_name("/home/someone/images.npz#val"), file_name("synthetic:300")
    ('images.npz#val', 'synthetic:300')
    """
    return printable(re.split(r"[/\\]", reference)[-1])


def class_name(spec: Spec, number: int | None) -> str:
    """Return the number and name of a class."""
    return "-" if number is None else f"{number} ({printable(spec.data.class_names[number])})"


def warnings(run: Run) -> Iterator[str]:
    """Yield what a reader must know before reading any number."""
    if run.spec.data.synthetic:
        yield "Synthetic images: drawn, not photographed; of no patient."
    if not run.sealed:
        yield "NOT SEALED: no finish event vouches for the ledger."
    if remark := seal_remark(run.directory):
        yield f"{remark}."
    if run.missing:
        yield (
            f"PARTIAL RUN: {run.missing:,} results are missing. Images without a result count as not certified, so "
            "every share of certified images is a lower limit; no statement about a population is made."
        )


def spec_table(spec: Spec) -> Table:
    """What was fixed before the first image."""
    return rows(("fixed before the first image", "value"), [*_images(spec), *_models(spec), *_settings(spec)])


def _images(spec: Spec) -> Iterator[tuple[str, str]]:
    data = spec.data
    channels, height, width = data.shape
    more = "; ..." if spec.classes > FEW_CLASSES else ""
    yield "images", f"{file_name(data.reference)}: {data.images:,} of {height} x {width} x {channels}\n{data.sha256}"
    yield "their grid", f"whole steps of 1/{data.levels:,}; preprocessing: {'; '.join(data.preprocessing) or 'none'}"
    yield "classes", f"{spec.classes:,}: {'; '.join(map(printable, data.class_names[:FEW_CLASSES]))}{more}"
    if data.subgroups:
        yield "subgroups", f"counted apart by {', '.join(map(printable, data.subgroups))}"


def _models(spec: Spec) -> Iterator[tuple[str, str]]:
    for model in spec.models:
        named = f"{file_name(model.reference)}, {model.arch or 'an architecture of its own'}"
        yield f"classifier at sigma {full(model.sigma)}", f"{named}\n{model.sha256}"


def _settings(spec: Spec) -> Iterator[tuple[str, str]]:
    request, recipe = spec.request, spec.recipe
    source = "from the operating system" if spec.seed_source == "operating system" else "chosen by the user"
    yield "L2 radii", ", ".join(full(r) for r in request.radius)
    yield "class certified", ", ".join(f"k = {k}: the {_target(spec, k)}" for k in request.k)
    yield "alpha, bound", f"{full(request.alpha)}, {request.bound}"
    yield "copies that select the class", f"{request.n0:,}" if request.selects else "none"
    yield "looks: copies after selection", ", ".join(f"{n:,}" for n in spec.looks)
    yield "stopping", "once every radius is decided" if request.stopping == "looks" else "always at the last look"
    yield "noise", "whole steps of the grid" if request.noise == "grid" else "floating point: arithmetic not covered"
    yield "seed of the noise", f"{spec.seed}, {source}"
    yield (
        "numeric recipe",
        f"{recipe.precision}, {recipe.device}, {recipe.batch_size} copies a batch, torch {recipe.torch}",
    )
    yield "smoothcert", spec.smoothcert


def _target(spec: Spec, k: int) -> str:
    return "prediction" if spec.request.target_of(k) == "prediction" else "reference label"


def event_table(run: Run) -> Table:
    """The event log; reports, which change no evidence, are left out."""
    events = [event for event in run.events if event.event != REPORTED]
    return rows(
        ("UTC", "event", "what it states"), [(each.at, each.event, "; ".join(_stated(each))) for each in events]
    )


def _stated(event: Event) -> Iterator[str]:
    facts = event.facts
    test, delivered = facts.get("self_test"), facts.get("noise_test")
    if "sigma" in facts:
        yield f"sigma {full(facts['sigma'])}"
    if event.event == MERGED:
        yield f"{len(facts['shards']):,} shards, {sum(shard['lines'] for shard in facts['shards']):,} ledger lines"
    if isinstance(facts.get("shard"), str):
        yield f"shard {facts['shard']}"
    if event.event == WORKER:
        yield f"{facts['worker']} {facts['state']}"
    if "lines" in facts:
        yield f"{facts['lines']:,} ledger lines"
    for name in ("spec_sha256", "ledger_sha256", "code_sha256"):
        if name in facts:
            yield f"hash of the {name.partition('_')[0]} {facts[name][:16]}..."
    if event.event == CLEAN:
        counts = ", ".join(f"{sum(each):,} (k = {k})" for k, each in facts["correct"].items())
        yield f"correct without noise: {counts} of {facts['images']:,}"
    if event.event == CHANGED:
        yield f"L2 norms of {len(facts['changes'])} simple changes, on {facts['images']:,} images"
    if event.event == RATES:
        rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in facts["rates"].items())
        yield f"noisy copies a second: {rates}"
    if event.event == ENERGY:
        used = "energy unknown" if facts["joules"] is None else f"{facts['joules']:,.0f} J by {facts['source']}"
        yield f"{facts['copies']:,} copies drawn, {used}"
    if isinstance(test, dict):
        yield f"self-test: logits {'do not ' if test.get('bit_equal') else ''}depend on neighbours in the batch"
    if isinstance(delivered, dict):
        yield f"noise delivered: its tests {'passed' if delivered.get('passed') else 'FAILED'}"


def line_table(spec: Spec, line: Line) -> Table:
    """One ledger line, field by field."""
    looks = "\n".join(f"{n:,}: {votes_in_words(spec, votes)}" for n, votes in line.looks)
    selection = "-" if line.selection is None else votes_in_words(spec, line.selection)
    subgroups = "\n".join(f"{printable(name)}: {printable(value)}" for name, value in line.subgroups.items())
    found = (
        ("sigma, index", f"{full(line.sigma)}, {line.index}", "which noise level, which image"),
        ("image", line.image, "hash of its pixels"),
        ("label", class_name(spec, line.label), "reference label"),
        ("group", printable(line.group or "-"), "patient or other group, where the data name one"),
        *([("subgroups", subgroups, "value in each column for which results are counted apart")] if subgroups else []),
        ("selection", selection, "votes that select the class; no bound uses them"),
        ("looks", looks or "-", "copies so far after selection, and all their votes"),
    )
    return rows(("field", "content", "meaning"), found)


def votes_in_words(spec: Spec, votes: Votes) -> str:
    """Return votes by class, the most first."""
    ranked = sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = f", and {len(ranked) - FEW_VOTES} more classes" if len(ranked) > FEW_VOTES else ""
    return ", ".join(f"{n:,} {printable(spec.data.class_names[c])}" for c, n in ranked[:FEW_VOTES]) + rest
