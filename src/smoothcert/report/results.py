"""The results files: one table in three forms, and every further table on one Markdown page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smoothcert.evidence import Run, write_derived
from smoothcert.report.guarantees import guarantees
from smoothcert.report.table import Table, results_table
from smoothcert.report.tables import (
    accuracy_table,
    changes_table,
    class_table,
    cost_table,
    criteria_table,
    group_table,
    units_table,
)

TABLES = ("results", "accuracy", "criteria", "classes", "groups", "cost", "units", "changes", "guarantees")


def table_of(run: Run, name: str, k: int | None = None, r: float | None = None) -> Table:
    """Return one table of a run by its name (`TABLES`).

    Args:
        run: the run.
        name: which table.
        k: rank of the certificates, for classes and groups; left out, the primary cell's or the smallest.
        r: L2 radius, for classes and groups; left out, the primary cell's or the smallest.
    """
    k = k or run.spec.request.first_k
    r = r if r is not None else run.spec.request.first_radius
    makers = {
        "results": lambda: results_table(run.results()),
        "accuracy": lambda: accuracy_table(run),
        "criteria": lambda: criteria_table(run),
        "classes": lambda: class_table(run, k, r),
        "groups": lambda: group_table(run, k, r),
        "cost": lambda: cost_table(run),
        "units": lambda: units_table(run),
        "changes": lambda: changes_table(run),
        "guarantees": lambda: guarantees(run.arithmetic_covered),
    }
    return makers[name]()


def write_results(run: Run, folder: Path) -> list[Path]:
    """Write `results.csv`, `results.tex`, `results.md`, and every further table as `tables/NAME.csv`."""
    table = results_table(run.results())
    texts = {f"results.{form}": table.render(form) for form in ("csv", "tex")}
    texts |= {"results.md": "\n".join(_page(run, table))}
    texts |= {f"tables/{name}.csv": found.render("csv") for name, found in _further(run) if found.records}
    (folder / "tables").mkdir(exist_ok=True)
    for name, text in texts.items():
        write_derived(folder / name, text.rstrip("\n") + "\n")
    return [folder / name for name in texts]


def _further(run: Run) -> Iterator[tuple[str, Table]]:
    """Yield every further table with its name; classes and groups once for each k and r."""
    for name in ("accuracy", "criteria", "cost", "units", "changes"):
        yield name, table_of(run, name)
    for k in run.spec.request.k:
        for r in run.spec.request.radius:
            for name in ("classes", "groups"):
                yield f"{name}_k{k}_r{r:g}", table_of(run, name, k, r)


def _page(run: Run, table: Table) -> Iterator[str]:
    request, data = run.spec.request, run.spec.data
    state = f"PARTIAL: {run.missing:,} images are missing. NOT SEALED." if run.missing else ""
    yield f"# Certified accuracy: {data.images:,} images of {data.reference}\n"
    if state or not run.sealed:
        yield f"{state or 'NOT SEALED.'}\n"
    yield (
        f"alpha {request.alpha:g}, bound {request.bound}, up to {request.n_max:,} noisy copies an image after "
        f"{request.n0} for selection, stopping {request.stopping}. Computer arithmetic: {run.arithmetic}.\n"
    )
    yield table.render("md")
    titles = {
        "accuracy": "The price of smoothing",
        "criteria": "Acceptance criteria, fixed before the first image",
        "cost": "Cost",
        "units": "The radius in image units",
        "changes": "Simple changes of these images, measured in L2",
    }
    for name, title in titles.items():
        found = table_of(run, name)
        if found.rows:
            yield f"\n## {title}\n\n{found.render('md')}"
    for k in request.k:
        for r in request.radius:
            yield f"\n## Classes at k = {k}, r = {r:g}\n\n{table_of(run, 'classes', k, r).render('md')}"
            if data.grouped:
                yield f"\n## Groups at k = {k}, r = {r:g}\n\n{table_of(run, 'groups', k, r).render('md')}"
    yield f"\n## Guarantees\n\n{table_of(run, 'guarantees').render('md')}"
