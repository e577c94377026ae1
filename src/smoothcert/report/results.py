"""The results files: the results table in three formats, and all other tables on one Markdown page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from smoothcert.config import Production
from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.cost import basis_of
from smoothcert.evidence.directory import write_derived, write_json
from smoothcert.evidence.seal import fingerprint_words
from smoothcert.report import claims
from smoothcert.report.claims import guarantees
from smoothcert.report.cost import COST, assumptions, cost_record, devices_table, production_table, rates_table
from smoothcert.report.groups import subgroup_note, subgroup_table
from smoothcert.report.markup import markdown
from smoothcert.report.networks import network_table
from smoothcert.report.plan.tables import plan_table
from smoothcert.report.results_table import Table, interval_words, results_table
from smoothcert.report.returned import confusion_table
from smoothcert.report.tables import (
    accuracy_table,
    changes_table,
    class_table,
    cost_table,
    criteria_table,
    group_table,
    units_table,
)
from smoothcert.stats.rounding import full
from smoothcert.verify.conduct import deviations_stated

TABLES = (
    *(
        "results",
        "accuracy",
        "confusion",
        "criteria",
        "classes",
        "subgroups",
        "groups",
        "cost",
        "rates",
        "production",
        "units",
    ),
    *("changes", "plan", "guarantees"),
)


def table_of(
    run: Run, name: str, k: int | None = None, r: float | None = None, production: Production | None = None
) -> Table:
    """Return one table of a run by its name (`TABLES`).

    Args:
        run: the run.
        name: which table.
        k: rank of the certificates for classes, subgroups and groups. Default: of the primary entry, else the smallest.
        r: L2 radius for classes, subgroups and groups. Default: of the primary entry, else the smallest.
        production: studies per day, votes, devices and prices, for production. Default: the built-in values.
    """
    k = k or run.spec.request.first_k
    r = r if r is not None else run.spec.request.first_radius
    makers = {
        "results": lambda: results_of(run),
        "accuracy": lambda: accuracy_table(run),
        "confusion": lambda: confusion_table(run),
        "criteria": lambda: criteria_table(run),
        "classes": lambda: class_table(run, k, r),
        "subgroups": lambda: subgroup_table(run, k, r),
        "groups": lambda: group_table(run, k, r),
        "cost": lambda: cost_table(run),
        "rates": lambda: rates_table(run),
        "production": lambda: production_table(run, production),
        "units": lambda: units_table(run),
        "changes": lambda: changes_table(run),
        "plan": lambda: plan_table(run),
        "guarantees": lambda: guarantees(run.arithmetic_covered, run.spec.denoised),
    }
    return makers[name]()


def results_of(run: Run) -> Table:
    """Return the results table of a run; with a denoiser, its note says what is certified."""
    table = results_table(run.results(), run)
    return replace(table, note=f"{claims.pipeline(run.spec)} {table.note}".strip())


def write_results(
    run: Run, folder: Path, production: Production | None = None, sponsor_sha256: str | None = None
) -> list[Path]:
    """Write `results.csv`, `results.tex`, `results.md`, all other tables as `tables/NAME.csv`, and `cost.json`.

    Args:
        run: the run, with at least one decided image.
        folder: an existing folder.
        production: section `production` of the sponsor's file. Default: the built-in values.
        sponsor_sha256: hash of that file.
    """
    texts = results_texts(run, production)
    (folder / "tables").mkdir(exist_ok=True)
    for name, text in texts.items():
        write_derived(folder / name, text)
    write_json(folder / COST, cost_record(run, production, sponsor_sha256))
    return [folder / name for name in (*texts, COST)]


def results_texts(run: Run, production: Production | None = None) -> dict[str, str]:
    """Return the text files of `write_results` by name relative to the folder: all except `cost.json`."""
    table, asked = results_of(run), production or Production()
    texts = {f"results.{form}": table.render(form) for form in ("csv", "tex")}
    texts |= {"results.md": "\n".join(_page(run, table, asked))}
    texts |= {f"tables/{name}.csv": found.render("csv") for name, found in _further(run, asked) if found.records}
    return {name: text.rstrip("\n") + "\n" for name, text in texts.items()}


def _further(run: Run, production: Production) -> Iterator[tuple[str, Table]]:
    """Yield all other tables by name; classes, subgroups and groups once per k and r."""
    for name in ("accuracy", "confusion", "criteria", "cost", "rates", "production", "units", "changes", "plan"):
        yield name, table_of(run, name, production=production)
    for k in run.spec.request.k:
        for r in run.spec.request.radius:
            for name in ("classes", "subgroups", "groups"):
                yield f"{name}_k{k}_r{full(r)}", table_of(run, name, k, r)


def _page(run: Run, table: Table, production: Production) -> Iterator[str]:
    request, data = run.spec.request, run.spec.data
    state = f"PARTIAL: {run.missing:,} images are missing. NOT SEALED." if run.missing else ""
    yield f"# Certified accuracy: {data.images:,} images of {markdown(printable(data.reference))}\n"
    if state or not run.sealed:
        yield f"{state or 'NOT SEALED.'}\n"
    selection = f" after {request.n0} for selection" if request.selects or request.bound != "betting" else ""
    stop = "" if request.stop is None and request.bound != "betting" else f", stop {request.stops_by}"
    yield (
        f"alpha {full(request.alpha)}, bound {request.bound}, up to {request.n_max:,} noise samples per image"
        f"{selection}, stopping {request.stopping}{stop}. Computer arithmetic: {run.arithmetic}.\n"
    )
    yield f"Evidence fingerprint: {markdown(fingerprint_words(run.directory))}.\n"
    yield f"Deviations and earlier use of these images: {markdown(printable(' '.join(deviations_stated(run))))}\n"
    yield table.render("md")
    titles = {
        "accuracy": "Clean accuracy and certified accuracy",
        "confusion": "Selected class by reference label",
        "criteria": "Acceptance criteria, fixed before the first image",
        "cost": "Cost",
        "rates": "Rate in each precision",
        "production": "Cost of re-certification and of production",
        "units": "The radius in image units",
        "changes": "L2 norms of simple perturbations of these images",
        "plan": "Forecast of the plan and realised values",
    }
    for name, title in titles.items():
        found = table_of(run, name, production=production)
        if found.rows:
            yield f"\n## {title}\n\n{found.render('md')}"
        if name == "production":
            basis = basis_of(run, production)
            yield f"\n{devices_table(basis, production).render('md')}\n\n{assumptions(basis, production)}"
    intervals = f"Intervals: {interval_words(run)}.\n\n"
    for k in request.k:
        for r in request.radius:
            yield f"\n## Classes at k = {k}, r = {full(r)}\n\n{intervals}{table_of(run, 'classes', k, r).render('md')}"
            if data.subgroups:
                yield f"\n## Subgroups at k = {k}, r = {full(r)}\n\n{table_of(run, 'subgroups', k, r).render('md')}"
                yield f"\n{subgroup_note(run)}"
            if data.grouped:
                yield f"\n## Groups at k = {k}, r = {full(r)}\n\n{table_of(run, 'groups', k, r).render('md')}"
    if run.spec.denoised:
        yield f"\n## Networks, in the order in which they are applied\n\n{network_table(run.spec).render('md')}"
    yield f"\n## Guarantees\n\n{table_of(run, 'guarantees').render('md')}"
