"""`smoothcert status`, `table`, `radius` and `report`: the verbs that read a run, or counts. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from smoothcert.config.values import Floats

if TYPE_CHECKING:
    from smoothcert.evidence import Run
    from smoothcert.evidence.line_store import Columns
    from smoothcert.report import Table
    from smoothcert.report.write import ReportOptions


DAMAGED = 1


def status(run: Path, /) -> int:
    """Show the state of a run: progress, samples and time left.

    A run is running, interrupted, finished or damaged. The exit status is 1 if it is damaged.

    Args:
        run: Run directory.
    """
    from smoothcert.cli.terminal import print_text
    from smoothcert.errors import EvidenceError, SpecError
    from smoothcert.evidence import RunDirectory, open_run
    from smoothcert.verify import damage

    try:
        opened = open_run(run)
        fault = next(damage(opened), None)
    except (EvidenceError, SpecError) as error:
        if not RunDirectory(run).spec.is_file():
            raise
        opened, fault = None, str(error)
    print_text(f"{run}: {'damaged' if fault or opened is None else _state(opened)}")
    for line in () if opened is None else (*_levels(opened), *_settings(opened), *_irregular(opened)):
        print_text(line, indent=2)
    if fault:
        print_text(f"damage: {fault}", indent=2)
    print_text(f"Next: {_next(run, opened, fault)}")
    return DAMAGED if fault else 0


def _state(run: Run) -> str:
    if run.directory.busy:
        return "running"
    share = run.directory.share
    if share is not None:
        done = "finished" if run.done else f"interrupted, {run.unsampled:,} results missing"
        return f"shard {share}, a part of a run, {done}; not sealed"
    if run.missing:
        return f"interrupted, {run.missing:,} of {run.expected:,} results missing, NOT SEALED"
    return "finished and sealed" if run.sealed else "interrupted, all images decided, NOT SEALED"


def _levels(run: Run) -> Iterator[str]:
    from smoothcert.evidence.line_store import columns_of

    total = run.images
    levels = [(f"{sigma:g}", columns_of(run.ledger.at(sigma))) for sigma in run.spec.request.sigma]
    width = max(len(written) for written, _ in levels)
    for written, decided in levels:
        samples = int(decided.samples.sum())
        mean = f"{samples / len(decided):,.0f} samples per image" if len(decided) else "not started"
        bar = "#" * (len(decided) * 10 // max(total, 1))
        yield (
            f"sigma {written:<{width}}  {bar:.<10}  {len(decided):,}/{total:,} images decided, {mean}"
            f"{_left(decided, total)}"
        )


def _left(decided: Columns, total: int) -> str:
    """Return the time left at the rate of the images decided so far."""
    from smoothcert.progress import duration

    missing = total - len(decided)
    if not (missing and len(decided)):
        return ""
    return f", about {duration(decided.total_seconds() / len(decided) * missing)} of sampling left"


def _settings(run: Run) -> Iterator[str]:
    from smoothcert.evidence.seal import fingerprint_words
    from smoothcert.stats.rounding import full

    request = run.spec.request
    yield (
        f"alpha {full(request.alpha)}, bound {request.bound}, k {', '.join(map(str, request.k))}, "
        f"n_max {request.n_max:,}, stopping {request.stopping}, noise {request.noise}"
    )
    if run.spec.denoised:
        yield "certified: the pipeline (denoiser, then classifier), not the classifier alone"
    yield f"computer arithmetic: {run.arithmetic}"
    if run.sealed:
        yield f"evidence fingerprint: {fingerprint_words(run.directory)}"


def _irregular(run: Run) -> Iterator[str]:
    if run.ledger.torn:
        yield f"{run.ledger.torn} incomplete ledger line after a crash; its image is sampled again"
    for level, index in run.ledger.differing:
        yield f"workers differ at sigma {level:g}, image {index}: the line of the worker that sorts first counts"


def _next(path: Path, run: Run | None, fault: str | None) -> str:
    if fault or run is None:
        return f"smoothcert verify {path} names each fault; restore the damaged file from a copy"
    if run.directory.busy:
        return f"wait, or interrupt it (nothing is lost); smoothcert table {path} prints the results so far"
    if run.directory.share is not None and run.done:
        return "when all shards are finished, smoothcert merge RUN... --out RUN"
    if run.missing or not run.sealed:
        return f"smoothcert resume {path}"
    return f"smoothcert table {path}, smoothcert report {path}, smoothcert verify {path}"


Name = Literal[  # noqa: RUF041
    Literal["results", "accuracy", "confusion", "criteria", "classes", "subgroups", "groups"],
    Literal["cost", "rates", "production", "units", "changes", "plan", "guarantees"],
]

NOTHING = {
    "confusion": "this run selects no class: it certifies reference labels.",
    "criteria": "this run has no acceptance criteria (docs/criteria.md).",
    "subgroups": "this run has no subgroups (certify --subgroup).",
    "groups": "the images of this run have no groups.",
    "changes": "this run did not measure perturbations of its images.",
    "rates": "this run did not measure the rate in each precision.",
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
    """Print a table of a run, or of published per-image logs.

    Args:
        paths: One run directory, or log files. The columns of a log: idx, label, predict, radius, correct, time.
        radius: L2 radii to report instead of the run's own.
        show: Table to print. results: certified accuracy. accuracy: clean accuracy beside it. confusion:
            selected class by reference label. criteria: acceptance
            criteria. classes, subgroups, groups: certified accuracy of each, at --radius or that of the primary entry.
            cost: of the run. rates: samples per second in each precision. production: cost of so many studies per day.
            units: the radius in image units. changes: norms of simple perturbations. plan: forecast and results.
            guarantees: what holds with which probability.
        sponsor: YAML file with a section `production`. Studies per day, votes, devices and prices for --show
            production; left out, those of the last report, else the defaults (docs/cost.md).
        format: Output format. Left out, a table for the terminal.
    """
    from smoothcert.errors import InputError

    if not paths:
        raise InputError("Name a run directory, or published per-image logs.", code="E-INPUT-013")
    if sponsor is not None and show != "production":
        raise InputError(
            f"--sponsor: expected it with --show production, got it with --show {show}.", code="E-INPUT-014"
        )
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
        raise InputError(
            f"--radius: expected numbers such as 0.25,0.5, got {' '.join(texts)}.", code="E-INPUT-015"
        ) from None
    if any(not 0 <= r <= 100 for r in radii):
        raise InputError(f"--radius: expected radii from 0 to 100, got {' '.join(texts)}.", code="E-INPUT-016")
    return radii


def _of_run(paths: tuple[Path, ...], radii: tuple[float, ...], name: Name, sponsor: Path | None) -> tuple[Table, str]:
    from smoothcert.errors import InputError
    from smoothcert.evidence import open_run
    from smoothcert.evidence.seal import seal_remark
    from smoothcert.report import claims, results_table, subgroup_note, table_of
    from smoothcert.report.memo.sponsor import as_stated
    from smoothcert.stats.rounding import full
    from smoothcert.verify import damage

    if len(paths) > 1:
        raise InputError("Name one run directory at a time.", code="E-INPUT-017")
    run = as_stated(open_run(paths[0]))
    note = (
        f"Partial run: {run.missing:,} of {run.expected:,} results are missing; their images count as not certified. "
        "NOT SEALED."
    )
    if name == "production":
        found, remark = _production(run, sponsor)
    elif name == "results":
        found, remark = results_table(run.results(radii), run), ""
    else:
        found = table_of(run, name, r=radii[0] if radii else None)
        where = f"At k = {run.spec.request.first_k}, r = {full(radii[0] if radii else run.spec.request.first_radius)}."
        remark = f"{where} {subgroup_note(run)}" if name == "subgroups" else ""
    if not found.rows:
        raise InputError(f"--show {name}: {NOTHING[name]}", code="E-INPUT-018")
    remark = "\n\n".join(part for part in (claims.pipeline(run.spec), remark) if part)
    fault = next(damage(run), None)
    if fault:
        return found, f"DAMAGED: {fault}. These numbers claim nothing; `smoothcert verify {paths[0]}` names each fault."
    return found, "\n\n".join(
        part for part in (remark, seal_remark(run.directory), note if run.missing else "") if part
    )


def _production(run: Run, sponsor: Path | None) -> tuple[Table, str]:
    """Return the cost scenarios, and what they assume."""
    from smoothcert.config import Production
    from smoothcert.evidence.cost import basis_of
    from smoothcert.report.cost import assumptions, devices_table, production_table, read_stated
    from smoothcert.report.word import read_fields

    stated = read_stated(run.directory.results) if sponsor is None else read_fields(sponsor).production
    production = stated or Production()
    basis = basis_of(run, production)
    remark = f"{devices_table(basis, production).render('md')}\n\n{assumptions(basis, production)}"
    return production_table(run, production), remark


def _of_logs(paths: tuple[Path, ...], radii: tuple[float, ...]) -> tuple[Table, str]:
    from smoothcert.formats.published import read_log
    from smoothcert.report import log_table

    note = "A radius that no image of a log reaches may not be attainable with its samples: no finding about the model."
    return log_table([read_log(path) for path in paths], radii or (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)), note


def radius(
    counts: Path,
    /,
    *,
    sigma: float,
    alpha: float = 0.001,
    k: int = 1,
    bound: Literal["rankcp", "simuem", "cohen"] = "rankcp",
    radius: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
) -> int:
    """Print certified radii computed from class counts.

    Prints one radius per line, rounded down to 6 decimals; 0.000000 is an abstention. The label of each line is
    certified; it must not have been chosen from the same votes. With --radius, prints certified top-k accuracy at those
    radii instead.

    Args:
        counts: Text file: class counts and label per line. One line per image: c counts, then the label.
        sigma: Noise level of the votes. In units of the [0, 1] range.
        alpha: Error probability per certificate. Over the image's own noise.
        k: Rank of the certificate. The label stays among the k most probable classes.
        bound: Confidence bounds.
        radius: L2 radii at which to report accuracy.
    """
    from smoothcert.config import make_request
    from smoothcert.formats.published import read_counts
    from smoothcert.stats import radii_from_counts
    from smoothcert.stats.certificate import r_max_of_counts
    from smoothcert.stats.rounding import format_down, full, percent_of

    make_request(model="-", data="-", sigma=(sigma,), alpha=alpha, k=(k,))
    wanted = read_radii(radius)
    votes, labels = read_counts(counts)
    found = radii_from_counts(votes, labels, k, sigma, alpha, bound)
    if not wanted:
        print("\n".join(f"{r:.6f}" for r in found))
        return 0
    limit = r_max_of_counts(votes, k, sigma, alpha, bound)
    for r in wanted:
        s, m = int((found >= r).sum()), len(found)
        share = f"{s}/{m} = {percent_of(s, m)} %"
        value = share if r <= limit else f"not attainable (R_max {format_down(limit, 4)})"
        print(f"certified top-{k} accuracy at r = {full(r)}: {value} ({bound})")
    return 0


def report(
    run: Path,
    /,
    *,
    sponsor: Path | None = None,
    form: Path | None = None,
    final: bool = False,
    live: bool = True,
    mlflow: str | None = None,
) -> int:
    """Write tables, figures, notebook, HTML report and memo of a run.

    Needs neither torch nor a GPU. The documents of a partial run say so, and claim nothing about a population.

    Args:
        run: Run directory.
        sponsor: Sponsor's fields, YAML or a form (.docx). Fields that are left out stay open and are counted.
        form: Write only a form for these fields (.docx). It holds the fields of --sponsor.
        final: Print the memo without "draft". Refused unless the evidence verifies, every sponsor's field is filled and
            each role of the sign-off has a name. The tool still signs nothing.
        live: Certify 5 images in the notebook. Where classifier, images and torch are available.
        mlflow: MLflow tracking URI. Settings, counts, lower bounds and all documents are logged there.
    """
    from smoothcert.cli.terminal import print_text
    from smoothcert.evidence import RunDirectory
    from smoothcert.report.write import ReportOptions

    if form is not None:
        return _form(run, form, sponsor)
    write_with_progress(run, ReportOptions(sponsor, live, mlflow, final))
    if final:
        print_text("The memo is no draft any more, but unsigned: this tool signs nothing.")
    share = RunDirectory(run).share
    if share is not None:
        print_text(
            f"This is shard {share}, a part of a run: the documents say partial. `smoothcert merge` joins the shards."
        )
    return 0


def _form(run: Path, form: Path, sponsor: Path | None) -> int:
    from smoothcert.cli.terminal import Screen, print_commands
    from smoothcert.evidence import RunDirectory
    from smoothcert.report.word import read_fields, write_form

    RunDirectory(run).read_spec()
    write_form(form, read_fields(sponsor))
    print_commands(Screen(), {f"smoothcert report {run} --sponsor {form}": "write the documents, once it is filled in"})
    return 0


def write_with_progress(run: Path, options: ReportOptions | None = None) -> None:
    """Write all documents of a run with progress, and print where they are."""
    from smoothcert.cli.terminal import Screen, print_commands, print_text, terminated_is_interrupted
    from smoothcert.report.write import DOCUMENTS, write_report

    console = Screen(stderr=True, highlight=False)
    try:
        with terminated_is_interrupted():
            if console.is_terminal and not console.is_dumb_terminal:
                with console.status("Writing the documents") as shown:
                    write_report(run, options, lambda step: shown.update(f"Writing the documents: {step}"))
            else:
                write_report(run, options)
    except KeyboardInterrupt:
        text = f"Interrupted; the evidence is unchanged. `smoothcert report {run}` writes the documents again."
        console.print(text, markup=False, soft_wrap=not console.is_terminal)
        raise
    print_text(f"Documents in {run / 'results'}:")
    width = max(map(len, DOCUMENTS))
    for name, what in DOCUMENTS.items():
        print_text(f"{name:<{width}}  {what}", indent=2)
    print_commands(Screen(), {f"smoothcert verify {run}": "recompute evidence and documents from the votes"})
