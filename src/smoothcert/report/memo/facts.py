"""Tables of facts with captions and notes: the item tested, parameters, hashes, criteria."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from smoothcert.config import Spec
from smoothcert.evidence.events import HUBS
from smoothcert.evidence.seal import in_groups
from smoothcert.report.memo import text
from smoothcert.report.memo.blocks import (
    Field,
    Fields,
    class_label,
    clean,
    cut,
    exact,
    fill,
    nearest,
    substitute,
    words,
)
from smoothcert.report.memo.claim_box import utc
from smoothcert.report.memo.context import MemoContext, short
from smoothcert.report.memo.sponsor import field_text, quoted
from smoothcert.report.networks import (
    CLASSIFIER,
    DENOISER,
    NO_STEPS,
    Network,
    bare,
    denoiser_code,
    has_weights,
    networks,
)
from smoothcert.report.results_table import Table, interval_words
from smoothcert.report.tables import criteria_note, ordinary
from smoothcert.report.units import units
from smoothcert.stats.rounding import format_down, full

_MODELS, _COUNTED, _CLASSES, _RANKS, _LEVELS = 3, 12, 330, 3, 4
_ORDER = {DENOISER: "1 denoiser", CLASSIFIER: "2 classifier"}


def brief(sha: str) -> str:
    """Return the first digits of a hash; section 17 prints it in full."""
    return f"{bare(sha)[:16]}…"


def items(found: MemoContext) -> Table:
    """Return section 4: one row per classifier, denoisers first; noise levels that share weights share a row."""
    spec = found.run.spec
    tested = networks(spec)
    rows = [
        row for part in (DENOISER, CLASSIFIER) for row in _items(spec, [each for each in tested if each.part == part])
    ]
    named = ("pipeline", "sigma", "file or name") if spec.denoised else ("sigma", "classifier")
    headings = (*named, "architecture", "weights SHA-256 (begins)", "trained with noise")
    rows = rows if spec.denoised else [row[1:] for row in rows]
    records = (model.model_dump(mode="json", exclude={"probe"}) for model in spec.models)
    kept = tuple(
        {name: value for name, value in each.items() if (name, value) != ("denoiser", None)} for each in records
    )
    return Table(headings, tuple(rows), kept)


def _items(spec: Spec, tested: list[Network]) -> list[tuple[str, ...]]:
    """Return the rows of the networks of one part of the pipeline; networks that differ in any fact have two rows."""
    groups: dict[str, list[Network]] = {}
    for each in tested:
        facts = each.facts.model_dump_json(exclude={"sigma", "written", "weights", "eta", "probe", "denoiser"})
        groups.setdefault(facts, []).append(each)
    rows = [_item(spec, same) for same in list(groups.values())[:_MODELS]]
    if len(groups) > _MODELS:
        rows.append(("", "…", f"{len(groups) - _MODELS} more in spec.json", "", "", ""))
    return rows


def _item(spec: Spec, same: list[Network]) -> tuple[str, ...]:
    first = same[0]
    sigmas = ", ".join(full(each.sigma) for each in same[:6]) + ("…" if len(same) > 6 else "")
    trained = "not recorded" if first.trained is None else f"sigma {first.trained}"
    arch = cut(substitute(first.facts.arch or "custom"), 24)
    weights = brief(first.facts.sha256)
    if not has_weights(spec, first.facts):
        source = first.facts.source_sha256
        weights = "none" if source is None else f"none; code {brief(source)}"
    return (_ORDER[first.part], sigmas, short(first.facts.reference), arch, weights, trained)


def item_facts(found: MemoContext) -> Table:
    """Return section 4: images, classes, preprocessing, and the role of the images."""
    data = found.run.spec.data
    channels, height, width = data.shape
    images = (
        f"{data.images:,} images of {height} x {width} pixels, {channels} channels, values 0 to {data.levels:,} "
        f"scaled to [0, 1]; {short(data.reference)}, SHA-256 {brief(data.sha256)}"
    )
    rows = (
        ("Images", images),
        ("Classes", class_counts(found)),
        ("Preprocessing", _preprocessing(found)),
        ("Before storage (sponsor)", field_text(found.sponsor, "preprocessing")),
        ("Role of the images", field_text(found.sponsor, "data_role")),
    )
    return Table(("fact", "value"), rows, ({"data": data.model_dump(mode="json", exclude={"indices"})},))


def class_counts(found: MemoContext) -> str:
    """Return the number of images of each class; for many classes only the range."""
    data = found.run.spec.data
    pairs = list(enumerate(zip(data.class_names, data.class_counts, strict=True)))
    if len(pairs) > _COUNTED:
        return (
            f"{len(pairs):,} classes of {min(data.class_counts):,} to {max(data.class_counts):,} images (report.html)"
        )
    counts = ", ".join(f"{class_label(i, name)}: {count:,}" for i, (name, count) in pairs)
    return counts if len(counts) <= _CLASSES else ", ".join(f"class {i}: {count:,}" for i, (_, count) in pairs)


def _preprocessing(found: MemoContext) -> str:
    spec = found.run.spec
    steps = [*spec.data.preprocessing]
    normalised = [[list(model.mean), list(model.std)] for model in spec.models]
    text = json.dumps([steps, spec.data.levels, list(spec.data.shape), normalised])
    listed = cut(substitute("; ".join(steps)), 120) or NO_STEPS
    both = "preprocessing and normalisation" if spec.denoised else "both"
    return f"{listed}; after the {_before(found)} {_normalisation(found)}; SHA-256 of {both} {brief(_sha256(text))}"


def _before(found: MemoContext) -> str:
    """Return what precedes the normalisation."""
    if not found.run.spec.denoised:
        return "noise"
    steps = dict.fromkeys(step for each in found.run.spec.models if each.denoiser for step in each.denoiser.adapted)
    around = f" ({cut(substitute(', '.join(steps)), 60)})" if steps else ""
    return f"noise the denoiser{around}, after it"


def _normalisation(found: MemoContext) -> str:
    declared = {(model.mean, model.std) for model in found.run.spec.models}
    if len(declared) > 1:
        return "different normalisations (spec.json)"
    mean, std = (" ".join(full(value) for value in values) for values in declared.pop())
    return f"mean {mean}, std {std}" if mean else "no declared normalisation"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def parameters(found: MemoContext) -> Table:
    """Return section 9: the parameters of the run."""
    spec, request = found.run.spec, found.run.spec.request
    looks = f"{len(spec.looks)} looks, {spec.looks[0]:,} to {spec.looks[-1]:,}" if len(spec.looks) > 1 else "one look"
    grid = f"integer steps of 1/{spec.data.levels}, a rounded Gaussian"
    rows = [
        ("alpha", f"{full(request.alpha)} for each image and k, over the noise"),
        ("bound; stopping", f"{request.bound}; {request.stopping} ({looks})"),
        ("samples per image", f"n0 = {request.n0:,} for selection, n up to {request.n_max:,}"),
        ("class certified", "; ".join(f"k = {k}: {request.target_of(k)}" for k in request.k[:_LEVELS])),
        ("noise", grid if request.noise == "grid" else "floating point: arithmetic not covered"),
        ("seed", "operating system's entropy" if spec.seed_source == "operating system" else "chosen by the user"),
        ("joint bounds", f"5 % / {spec.cells} entries of the run"),
        *(_limits(found, k) for k in request.k[:_RANKS]),
    ]
    return Table(("parameter", "value"), tuple(rows), ({"looks": list(spec.looks), "seed": str(spec.seed)},))


def _limits(found: MemoContext, k: int) -> tuple[str, str]:
    reach = {entry.sigma: entry.r_max for entry in found.entries if entry.k == k}
    limits = [f"{format_down(limit, 4)} (sigma {full(sigma)})" for sigma, limit in list(reach.items())[:_LEVELS]]
    return f"R_max, k = {k}", ", ".join(limits) + (", …" if len(reach) > _LEVELS else "")


def hashes(found: MemoContext) -> Table:
    """Return section 17: the hashes that identify the evidence."""
    spec = found.run.spec
    shown = []
    for part in (DENOISER, CLASSIFIER):
        weights: dict[str, list[str]] = {}
        for each in networks(spec):
            if each.part == part and has_weights(spec, each.facts):
                weights.setdefault(each.facts.sha256, []).append(full(each.sigma))
        name = part if spec.denoised else "weights"
        shown += [(f"{name}, sigma {cut(', '.join(sigmas), 24)}", sha) for sha, sigmas in weights.items()][:_MODELS]
    rows = [
        ("spec.json", spec.sha256()),
        ("ledger, canonical", found.run.ledger.sha256()),
        ("images", bare(spec.data.sha256)),
        ("labels", bare(spec.data.labels_sha256)),
        *((name, bare(sha)) for name, sha in shown),
        *((cut(name, 48), bare(sha)) for name, sha in denoiser_code(spec)[:_MODELS]),
        ("code that sampled", str(environment(found).get("code_sha256") or "not recorded")),
    ]
    return Table(("what", "SHA-256"), tuple((name, cut(substitute(sha), 72)) for name, sha in rows), ())


def environment(found: MemoContext) -> dict[str, Any]:
    """Return the recorded environment of the run, or an empty record."""
    return found.run.directory.read_environment()


def notes(found: MemoContext, tables: dict[str, Table]) -> Fields:
    """Return captions and notes; each states which rows are left out."""
    spec, entry = found.run.spec, found.shown
    k, r = f"k = {entry.k}", f"r = {full(entry.radius)}"
    n_max = f"up to {spec.request.n_max:,} noise samples per image"
    levels = f"{len(tables['headline'].rows)} x {len(tables['headline'].headings) - 2}"
    return {
        "headline_note": _joined(
            f"At {k}, {n_max}, in percent of {spec.data.images:,} images (95 % Clopper-Pearson interval); certified "
            f"images. Intervals: {interval_words(found.run)}.",
            f"{levels} of {spec.cells} entries are shown; all: section 11 and results.csv."
            if len(tables["headline"].records) < spec.cells
            else "",
        ),
        "figure_k": exact(_figure_k(found), "spec.json"),
        "figure": words(fill(text.FIGURE, {"figure_k": exact(_figure_k(found), "")}), "spec.json"),
        "criteria_note": _joined(
            _cut(tables["criteria"], len(found.verdicts), text.CRITERIA_CUT),
            criteria_note(found.verdicts),
            *dict.fromkeys(f"Undecided: {each.no_finding}." for each in found.verdicts if each.open),
        ),
        "cost_note": words(_served(found, tables["cost"]), "sponsor.yaml or default"),
        "results_note": _joined(
            _cut(tables["results"], len(found.entries), file="results.csv"),
            text.RESULTS_NOTE,
            _not_stated(found),
            _arithmetic(found),
        ),
        "accuracy_caption": _joined(
            f"Clean accuracy{'' if spec.denoised else ' of the base classifier'}, and certified accuracy at "
            f"any positive radius (at least, as sampling stops once the radii of the run are decided), {n_max}.",
            substitute(ordinary(found.run)),
            _cut(tables["accuracy"], len(spec.request.sigma) * len(spec.request.k)),
        ),
        "class_caption": words(
            f"Certified accuracy in percent by class at {k}, {r}, {n_max} (95 % interval; {interval_words(found.run)})",
            "constant and sponsor",
        ),
        "class_note": _joined(
            _classes(found, tables["classes"]),
            text.CLASS_NOTE,
            text.SOME_GROUPS if spec.data.grouped else "" if spec.data.subgroups else text.NO_GROUPS,
        ),
        "changes_note": words(_measured(found), "log of events: perturbed images"),
    }


def _joined(*parts: str) -> Field:
    return words(" ".join(part for part in parts if part), "spec.json and constant text")


def _figure_k(found: MemoContext) -> int:
    ks = found.run.spec.request.k
    return 1 if 1 in ks else ks[0]


def _cut(table: Table, whole: int, note: str = text.ROWS_CUT, file: str = "results.md") -> str:
    if len(table.rows) in (0, whole):
        return ""
    return fill(note, {"rows_shown": exact(len(table.rows), ""), "rows": exact(whole, ""), "file": words(file, "")})


def _served(found: MemoContext, table: Table) -> str:
    """Return the caption of the cost table: device and currency."""
    device, priced = found.serving, ""
    name = quoted(device.name, "production.devices.name") if device else "the run's own device"
    if device and device.hour and table.rows:
        currency = words(quoted(device.hour.currency, "production.devices.hour.currency"), "")
        priced = fill(text.PRICED, {"currency": currency})
    return fill(text.PRODUCTION, {"serving": words(name, ""), "priced": words(priced, "")})


def _not_stated(found: MemoContext) -> str:
    reason = found.run.stated.no_population(found.run.spec.data.grouped)
    return f"No statement about a population is made here: {reason}." if reason else ""


def _arithmetic(found: MemoContext) -> str:
    covered = found.run.arithmetic_covered
    return "" if covered else f"Computer arithmetic: {found.run.arithmetic}."


def _classes(found: MemoContext, table: Table) -> str:
    names = found.run.spec.data.class_names
    notes = []
    if len(table.rows) < len(names):
        base = {"classes_shown": exact(len(table.rows), ""), "classes": exact(len(names), "")}
        notes.append(fill(text.CLASSES_CUT, base | {"class_sigma": exact(found.shown.sigma, "")}))
    if any(class_label(i, name) != clean(name) for i, name in enumerate(names)):
        notes.append(text.NUMBERED)
    return " ".join(notes)


def _measured(found: MemoContext) -> str:
    if not found.run.changes:
        return ""
    return f"Median over {found.run.changes[0].images:,} images; of these, images that stay within r when perturbed."


def unit_notes(found: MemoContext, table: Table) -> Fields:
    """Return section 12: the L2 norm of one grey level, compared with the radii."""
    spec = found.run.spec
    channels, height, width = spec.data.shape
    one = units(spec.request.radius[0], spec.data.shape).one_level
    inside = [full(r) for r in spec.request.radius if one < r]
    outside = [full(r) for r in spec.request.radius if one >= r]
    parts = [f"inside r = {_listed(inside)}"] if inside else []
    parts += [f"outside r = {_listed(outside)}"] if outside else []
    base = {
        "shape": words(f"{height} x {width} x {channels}", "spec.json"),
        "one_level": nearest(one, 2, "sqrt(values of an image) / 255"),
        "one_level_words": words(", ".join(parts), "spec.json"),
    }
    cut_short = _cut(table, len(spec.request.radius))
    return base | {"units_note": _joined(cut_short, fill(text.UNITS_NOTE, base))}


def _listed(numbers: list[str], most: int = 6) -> str:
    return ", ".join(numbers[:most]) + (", …" if len(numbers) > most else "")


def records(found: MemoContext) -> Fields:
    """Return section 6: the evidence and the result of verify."""
    checked, run = found.checked, found.run
    total = run.expected
    outcome = (
        f"passed: {checked.bounds:,} {checked.tested} on votes and {checked.decisions:,} decisions were recomputed "
        f"by two implementations"
        if checked.passed
        else f"FAILED, {len(checked.faults)} {'fault' if len(checked.faults) == 1 else 'faults'}"
    )
    seal = f"sealed {utc(found.dated)}" if run.sealed else "NOT SEALED"
    stated = [
        f"Ledger: {len(run.ledger.lines):,} of {total:,} results (images x noise levels), {seal}.",
        f"Check of the evidence (smoothcert verify) {outcome}.",
        f"Not shown by it: {found_not_shown()}.",
    ]
    if run.directory.shards:
        stated.insert(1, f"Merged from {len(run.directory.shards):,} shards, each with its own log of events.")
    if run.ledger.differing:
        stated.insert(
            1,
            f"Two workers differed on {len(run.ledger.differing):,} results; one was chosen blind to votes.",
        )
    return {"records": words(" ".join(stated), "ledger, log of events, verify", {"lines": checked.lines})}


def found_not_shown() -> str:
    """Return what no check of the evidence shows."""
    from smoothcert.verify import NOT_SHOWN

    return NOT_SHOWN


def closing(found: MemoContext) -> Fields:
    """Return page 4: the limitations of this run, and the versions that sampled it."""
    base = {
        "generator": words(str(environment(found).get("generator") or "Philox4x64-10"), "environment.json"),
        "not_shown": words(found_not_shown(), "constant"),
        "run_limits": words(" ".join(_limitations(found)), "ledger and log of events"),
    }
    packages = environment(found).get("packages")
    listed = packages if isinstance(packages, dict) else {}
    versions = ", ".join(
        f"{name} {listed[name]}"
        for name in ("smoothcert", "torch", "numpy", "scipy", *HUBS.values())
        if listed.get(name)
    )
    anchor = found.checked.fingerprint
    fingerprint = f"Evidence fingerprint: {in_groups(anchor)}. " if anchor else ""
    denoised = found.run.spec.denoised
    sampled = f"Sampled with {cut(substitute(versions), 150) or 'versions that were not recorded'}."
    return {
        "limitations": words(
            " ".join(fill(text.PIPELINE_LIMITATIONS if denoised else text.LIMITATIONS, base).split()),
            "constant, filled in",
        ),
        "versions": words(f"{fingerprint}{sampled}", "first finish event of the log, environment.json"),
    }


def _limitations(found: MemoContext) -> list[str]:
    run, stated = found.run, []
    if found.run.spec.data.grouped:
        stated.append("Intervals treat images of one group as independent.")
    if run.missing:
        stated.append("The run is partial: images that are decided quickly finish first.")
    return stated
