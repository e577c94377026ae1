"""`smoothcert table`: the results table of a run, or of published per-image logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from smoothcert.spec.values import Floats

if TYPE_CHECKING:
    from smoothcert.evidence import Run
    from smoothcert.report import Table


Name = Literal[
    "results",
    "accuracy",
    "criteria",
    "classes",
    "subgroups",
    "groups",
    "cost",
    "rates",
    "production",
    "units",
    "changes",
    "plan",
    "guarantees",
]

NOTHING = {
    "criteria": "no acceptance criterion was fixed before this run (docs/criteria.md).",
    "subgroups": "no column was named for which results are counted apart (certify --subgroup).",
    "groups": "the images of this run do not come in groups.",
    "changes": "this run did not measure simple changes of its images.",
    "rates": "this run did not measure its rate in each precision.",
    "production": "no image of this run is decided yet.",
    "plan": "this run was certified without --plan (docs/plan.md).",
}


def table(
    *paths: Path,
    radius: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    show: Name = "results",
    sponsor: Path | None = None,
    format: Literal["md", "csv", "tex", "json"] | None = None,
) -> int:
    """Print certified accuracy from stored votes (RUN), or from published per-image logs (LOG...).

    Args:
        paths: One run directory, or log files with the columns idx, label, predict, radius, correct, time.
        radius: L2 radii to report instead of the run's own.
        show: Which table of a run: results; accuracy without noise beside it; acceptance criteria; classes,
            subgroups and groups (at --radius, or the primary cell's); cost; the rate in each precision; production,
            what so many studies a day cost; the radius in image units; simple changes; plan, predicted against
            realised; guarantees.
        sponsor: YAML file whose section `production` names studies a day, votes, devices and prices, for --show
            production; left out, that of the last report, else the defaults (docs/cost.md).
        format: md, csv, tex or json; left out, what suits the terminal.
    """
    from smoothcert.errors import InputError

    if not paths:
        raise InputError("Name a run directory, or published per-image logs.")
    if sponsor is not None and show != "production":
        raise InputError(f"--sponsor: expected it with --show production, got it with --show {show}.")
    radii = read_radii(radius)
    found, note = _of_run(paths, radii, show, sponsor) if paths[0].is_dir() else _of_logs(paths, radii)
    if format is None:
        from smoothcert.cli.terminal import show as show_table

        show_table(found)
    else:
        print(found.render(format))
    if note and format in (None, "md"):
        from smoothcert.report.markup import visible

        print(f"\n{visible(note)}")
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


def _of_run(paths: tuple[Path, ...], radii: tuple[float, ...], name: Name, sponsor: Path | None) -> tuple[Table, str]:
    from smoothcert.errors import InputError
    from smoothcert.evidence import open_run
    from smoothcert.evidence.seal import seal_remark
    from smoothcert.report import results_table, subgroup_note, table_of
    from smoothcert.stats.rounding import full
    from smoothcert.verify import damage

    if len(paths) > 1:
        raise InputError("Name one run directory at a time.")
    run = open_run(paths[0])
    note = (
        f"Partial run: {run.missing:,} of {run.expected:,} results are missing; their images count as not certified. "
        "NOT SEALED."
    )
    told = ""
    if name == "production":
        found, told = _production(run, sponsor)
    elif name == "results":
        found = results_table(run.results(radii))
    else:
        found = table_of(run, name, r=radii[0] if radii else None)
        where = f"At k = {run.spec.request.first_k}, r = {full(radii[0] if radii else run.spec.request.first_radius)}."
        told = f"{where} {subgroup_note(run)}" if name == "subgroups" else ""
    if not found.rows:
        raise InputError(f"--show {name}: {NOTHING[name]}")
    fault = next(damage(run), None)
    if fault:
        return found, f"DAMAGED: {fault}. These numbers claim nothing; `smoothcert verify {paths[0]}` names all."
    return found, "\n\n".join(part for part in (told, seal_remark(run.directory), note if run.missing else "") if part)


def _production(run: Run, sponsor: Path | None) -> tuple[Table, str]:
    """Return the cost scenarios, and what they assume."""
    from smoothcert.evidence.cost import basis_of
    from smoothcert.report.cost import assumptions, devices_table, production_table, read_stated
    from smoothcert.report.memo import read_sponsor
    from smoothcert.spec import Production

    named = read_stated(run.directory.results) if sponsor is None else read_sponsor(sponsor).production
    asked = named or Production()
    basis = basis_of(run, asked)
    return production_table(run, asked), f"{devices_table(basis, asked).render('md')}\n\n{assumptions(basis, asked)}"


def _of_logs(paths: tuple[Path, ...], radii: tuple[float, ...]) -> tuple[Table, str]:
    from smoothcert.formats.published import read_log
    from smoothcert.report import log_table

    note = "A radius that no image of a log reaches may be out of reach of its samples: no finding about the model."
    return log_table([read_log(path) for path in paths], radii or (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)), note
