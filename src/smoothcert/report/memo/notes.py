"""Captions and notes beside the tables: what was left out, what a column may be quoted for."""

from __future__ import annotations

from smoothcert.evidence.seal import in_groups
from smoothcert.report.memo import text
from smoothcert.report.memo.claimed import utc
from smoothcert.report.memo.facts import environment
from smoothcert.report.memo.field import Field, Fields, exact, fill, nearest, words
from smoothcert.report.memo.letters import class_label, clean, cut, substitute
from smoothcert.report.memo.material import Material
from smoothcert.report.memo.sponsored import spoken
from smoothcert.report.table import Table
from smoothcert.report.units import units
from smoothcert.stats.rounding import full


def notes(found: Material, tables: dict[str, Table]) -> Fields:
    """Return the notes; each names what it cuts."""
    spec, cell = found.run.spec, found.shown
    k, r = f"k = {cell.k}", f"r = {full(cell.radius)}"
    n_max = f"up to {spec.request.n_max:,} noisy copies an image"
    levels = f"{len(tables['headline'].rows)} x {len(tables['headline'].headings) - 2}"
    return {
        "headline_note": _joined(
            f"At {k}, {n_max}, in percent of {spec.data.images:,} images (95 % Clopper-Pearson interval); certified "
            "images.",
            f"{levels} of {spec.cells} cells are shown; all: section 11 and results.csv."
            if len(tables["headline"].records) < spec.cells
            else "",
        ),
        "figure_k": exact(_figure_k(found), "spec.json"),
        "figure": words(fill(text.FIGURE, {"figure_k": exact(_figure_k(found), "")}), "spec.json"),
        "criteria_note": words(_cut(tables["criteria"], len(found.verdicts), text.CRITERIA_CUT), "spec.json"),
        "cost_note": words(_served(found, tables["cost"]), "sponsor.yaml or default"),
        "results_note": _joined(
            _cut(tables["results"], len(found.cells), file="results.csv"), text.RESULTS_NOTE, _arithmetic(found)
        ),
        "accuracy_caption": _joined(
            f"The price of smoothing: accuracy without noise, and certified at any radius (at least: sampling stops "
            f"once the radii of the run are decided), {n_max}.",
            _cut(tables["accuracy"], len(spec.request.sigma) * len(spec.request.k)),
        ),
        "class_caption": words(
            f"Certified accuracy in percent by class at {k}, {r}, {n_max} (95 % interval)", "constant"
        ),
        "class_note": _joined(
            _classes(found, tables["classes"]),
            text.CLASS_NOTE,
            text.SOME_GROUPS if spec.data.grouped else "" if spec.data.subgroups else text.NO_GROUPS,
        ),
        "changes_note": words(_measured(found), "log of events: changed images"),
    }


def _joined(*parts: str) -> Field:
    return words(" ".join(part for part in parts if part), "spec.json and constant text")


def _figure_k(found: Material) -> int:
    ks = found.run.spec.request.k
    return 1 if 1 in ks else ks[0]


def _cut(table: Table, whole: int, told: str = text.ROWS_CUT, file: str = "results.md") -> str:
    if len(table.rows) in (0, whole):
        return ""
    return fill(told, {"rows_shown": exact(len(table.rows), ""), "rows": exact(whole, ""), "file": words(file, "")})


def _served(found: Material, table: Table) -> str:
    """Return the caption of the cost table: which device, and what its prices are of."""
    device, priced = found.serving, ""
    name = spoken(device.name, "production.devices.name") if device else "the run's own device"
    if device and device.hour and table.rows:
        currency = words(spoken(device.hour.currency, "production.devices.hour.currency"), "")
        priced = fill(text.PRICED, {"currency": currency})
    return fill(text.PRODUCTION, {"serving": words(name, ""), "priced": words(priced, "")})


def _arithmetic(found: Material) -> str:
    covered = found.run.arithmetic_covered
    return "" if covered else f"Computer arithmetic: {found.run.arithmetic}."


def _classes(found: Material, table: Table) -> str:
    names = found.run.spec.data.class_names
    told = []
    if len(table.rows) < len(names):
        base = {"classes_shown": exact(len(table.rows), ""), "classes": exact(len(names), "")}
        told.append(fill(text.CLASSES_CUT, base | {"class_sigma": exact(found.shown.sigma, "")}))
    if any(class_label(i, name) != clean(name) for i, name in enumerate(names)):
        told.append(text.NUMBERED)
    return " ".join(told)


def _measured(found: Material) -> str:
    if not found.run.changes:
        return ""
    return f"Median over {found.run.changes[0].images:,} images; of these, images whose changed copy stays within r."


def unit_notes(found: Material, table: Table) -> Fields:
    """Section 12: one grey level against the radii, in words."""
    spec = found.run.spec
    channels, height, width = spec.data.shape
    one = units(spec.request.radius[0], spec.data.shape).one_level
    inside = [full(r) for r in spec.request.radius if one < r]
    outside = [full(r) for r in spec.request.radius if one >= r]
    told = [f"inside r = {_listed(inside)}"] if inside else []
    told += [f"outside r = {_listed(outside)}"] if outside else []
    base = {
        "shape": words(f"{height} x {width} x {channels}", "spec.json"),
        "one_level": nearest(one, 2, "sqrt(values of an image) / 255"),
        "one_level_words": words(", ".join(told), "spec.json"),
    }
    cut_short = _cut(table, len(spec.request.radius))
    return base | {"units_note": _joined(cut_short, fill(text.UNITS_NOTE, base))}


def _listed(numbers: list[str], most: int = 6) -> str:
    return ", ".join(numbers[:most]) + (", …" if len(numbers) > most else "")


def records(found: Material) -> Fields:
    """Section 6: the evidence and what verify says about it."""
    checked, run = found.checked, found.run
    total = run.expected
    outcome = (
        f"passed: {checked.bounds:,} confidence bounds on votes and {checked.decisions:,} decisions were recomputed "
        f"by two implementations"
        if checked.passed
        else f"FAILED, {len(checked.faults)} {'fault' if len(checked.faults) == 1 else 'faults'} named"
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
        stated.insert(1, f"Two workers differed on {len(run.ledger.differing):,} results; a rule blind to votes chose.")
    return {"records": words(" ".join(stated), "ledger, log of events, verify", {"lines": checked.lines})}


def found_not_shown() -> str:
    """Return what no check of the evidence can show."""
    from smoothcert.verify import NOT_SHOWN

    return NOT_SHOWN


def closing(found: Material) -> Fields:
    """Page 4: limitations that belong to this run, and the versions that made it."""
    base = {
        "generator": words(str(environment(found).get("generator") or "Philox4x64-10"), "environment.json"),
        "not_shown": words(found_not_shown(), "constant"),
        "run_limits": words(" ".join(_limits(found)), "ledger and log of events"),
    }
    packages = environment(found).get("packages")
    listed = packages if isinstance(packages, dict) else {}
    told = ", ".join(f"{name} {listed[name]}" for name in ("smoothcert", "torch", "numpy", "scipy") if listed.get(name))
    anchor = found.checked.fingerprint
    fingerprint = f"Evidence fingerprint: {in_groups(anchor)}. " if anchor else ""
    sampled = f"Sampled with {cut(substitute(told), 150) or 'versions that were not recorded'}."
    return {
        "limitations": words(" ".join(fill(text.LIMITATIONS, base).split()), "constant, filled in"),
        "versions": words(f"{fingerprint}{sampled}", "first finish event of the log, environment.json"),
    }


def _limits(found: Material) -> list[str]:
    run = found.run
    recipes = run.ledger.columns.recipe.counts()
    other = sum(count for recipe, count in recipes.items() if recipe is not None)
    stated = []
    if found.run.spec.data.grouped:
        stated.append("Intervals treat images of one group as independent.")
    if other:
        stated.append(f"{other:,} results were sampled with another numeric recipe than the spec's.")
    if run.missing:
        stated.append("The run is partial: images that are decided quickly finish first.")
    return stated
