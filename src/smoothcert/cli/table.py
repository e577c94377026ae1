"""`smoothcert table`: the results table of a run, or of published per-image logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from smoothcert.spec.values import Floats

if TYPE_CHECKING:
    from smoothcert.report import Table

Name = Literal["results", "accuracy", "criteria", "classes", "groups", "cost", "units", "changes", "guarantees"]

NOTHING = {
    "criteria": "no acceptance criterion was fixed before this run (docs/criteria.md).",
    "groups": "the images of this run do not come in groups.",
    "changes": "this run did not measure simple changes of its images.",
}


def table(
    *paths: Path,
    radius: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    show: Name = "results",
    format: Literal["md", "csv", "tex", "json"] | None = None,
) -> int:
    """Print certified accuracy from stored votes (RUN), or from published per-image logs (LOG...).

    Args:
        paths: One run directory, or log files with the columns idx, label, predict, radius, correct, time.
        radius: L2 radii to report instead of the run's own.
        show: Which table of a run: results; accuracy without noise beside it; acceptance criteria; classes and groups
            (at --radius, or the primary cell's); cost; the radius in image units; simple changes; guarantees.
        format: md, csv, tex or json; left out, what suits the terminal.
    """
    from smoothcert.errors import InputError

    if not paths:
        raise InputError("Name a run directory, or published per-image logs.")
    radii = read_radii(radius)
    found, note = _of_run(paths, radii, show) if paths[0].is_dir() else _of_logs(paths, radii)
    if format is None:
        from smoothcert.cli.terminal import show as show_table

        show_table(found)
    else:
        print(found.render(format))
    if note and format in (None, "md"):
        print(f"\n{note}")
    return 0


def read_radii(texts: tuple[str, ...]) -> tuple[float, ...]:
    """Read the values of --radius: repeated, with spaces or with commas.

    Raises:
        InputError: a value is not a number from 0 to 100.
    """
    from pydantic import TypeAdapter, ValidationError

    from smoothcert.errors import InputError

    try:
        radii = TypeAdapter(Floats).validate_python(texts)
    except ValidationError:
        raise InputError(f"--radius: expected numbers such as 0.25,0.5, got {' '.join(texts)}.") from None
    if any(not 0 <= r <= 100 for r in radii):
        raise InputError(f"--radius: expected radii from 0 to 100, got {' '.join(texts)}.")
    return radii


def _of_run(paths: tuple[Path, ...], radii: tuple[float, ...], name: Name) -> tuple[Table, str]:
    from smoothcert.errors import InputError
    from smoothcert.evidence import open_run
    from smoothcert.report import results_table, table_of
    from smoothcert.verify import damage

    if len(paths) > 1:
        raise InputError("Name one run directory at a time.")
    run = open_run(paths[0])
    note = (
        f"Partial run: {run.missing:,} of {run.expected:,} results are missing; their images count as not certified. "
        "NOT SEALED."
    )
    found = (
        results_table(run.results(radii)) if name == "results" else table_of(run, name, r=radii[0] if radii else None)
    )
    if not found.rows:
        raise InputError(f"--show {name}: {NOTHING[name]}")
    fault = next(damage(run), None)
    if fault:
        return found, f"DAMAGED: {fault}. These numbers claim nothing; `smoothcert verify {paths[0]}` names all."
    return found, note if run.missing else ""


def _of_logs(paths: tuple[Path, ...], radii: tuple[float, ...]) -> tuple[Table, str]:
    from smoothcert.evidence import read_log
    from smoothcert.report import log_table

    note = "A radius that no image of a log reaches may be out of reach of its samples: no finding about the model."
    return log_table([read_log(path) for path in paths], radii or (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)), note
