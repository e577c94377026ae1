"""What `certify`, `resume` and `merge` do once their flags are read: sample with live progress, print the results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from smoothcert.cli.consent import flags, typed_again
from smoothcert.cli.progress import Show, live
from smoothcert.cli.terminal import Screen, print_text, terminated_is_interrupted
from smoothcert.cli.terminal import show as show_table
from smoothcert.config import Request, Share
from smoothcert.engine.preflight import Preflight
from smoothcert.engine.resources import Placement, Workers
from smoothcert.engine.run import certify as certify_run
from smoothcert.engine.run import resume as resume_run
from smoothcert.engine.session import Hooks
from smoothcert.errors import EvidenceError, printable
from smoothcert.evidence import Run, RunDirectory, open_run
from smoothcert.evidence.seal import fingerprint_words
from smoothcert.import_factory import Consent
from smoothcert.progress import duration
from smoothcert.report import results_table
from smoothcert.report.plan.tables import inside, plan_table
from smoothcert.report.plan.write import read_plan


def certify_and_report(
    request: Request,
    out: Path,
    plan: Path | None = None,
    placement: Placement | None = None,
    consent: Consent | None = None,
) -> int:
    """Run `certify` with progress; return the exit status."""
    forecast = None if plan is None else read_plan(plan)
    return _with_progress(
        out, lambda hooks: certify_run(request, out, hooks, forecast, placement, consent), typed_again(request)
    )


def print_next(run: Path) -> None:
    """Say what to type after a finished run, or a finished part of one."""
    text = f"Next: smoothcert report {run} writes the documents, smoothcert verify {run} checks them and the evidence"
    if RunDirectory(run).share is not None:
        text = "Next, when all shards are finished: smoothcert merge RUN... --out RUN"
    Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty()).print(text, markup=False)


def resume_and_report(
    run: Path, moved: dict[str, str | None], accept_recipe: bool, workers: Workers, trust_model: bool = False
) -> int:
    """Run `resume` with progress; return the exit status."""
    directory = RunDirectory(run)
    again = " --trust-model" if trust_model else flags(moved)
    return _with_progress(
        run, lambda hooks: resume_run(directory, moved, accept_recipe, hooks, workers, trust_model), again
    )


def _with_progress(out: Path, work: Callable[[Hooks], object], again: str) -> int:
    """Do the work with progress; `again`: flags that going on with it takes."""
    console = Screen(stderr=True, highlight=False)
    try:
        with terminated_is_interrupted(), live(console) as show:
            work(_hooks(console, show))
    except KeyboardInterrupt:
        if RunDirectory(out).spec.exists():
            text = f"Interrupted. Nothing is lost: continue with `smoothcert resume {out}{again}`."
            console.print(text, markup=False, soft_wrap=not console.is_terminal)
        raise
    except OSError as error:
        raise EvidenceError(_disk_trouble(out, error, again)) from None
    share = RunDirectory(out).share
    if share is None:
        print_results(out)
    else:
        print_part(out, share)
    return 0


def _hooks(console: Console, live: Show) -> Hooks:
    return Hooks(
        on_read=live.reading,
        on_images=lambda found: _warn(console, found.warnings),
        on_preflight=lambda seen: _print_preflight(console, seen),
        on_progress=live.sampling,
        on_worker=lambda facts: _print_worker(console, facts),
        on_warning=lambda text: _warn(console, [text]),
    )


def _disk_trouble(out: Path, error: OSError, again: str) -> str:
    told = f"Cannot read or write {error.filename or out}: {error.strerror}."
    if not RunDirectory(out).spec.exists():
        return told
    return f"{told} What was written is kept: once that is mended, continue with `smoothcert resume {out}{again}`."


def print_part(path: Path, share: Share) -> None:
    """Say what a finished shard holds; its images alone are no table of the run."""
    run = open_run(path)
    print_text(
        f"Shard {share} is finished: {run.images:,} of {run.spec.data.images:,} images at "
        f"{len(run.spec.request.sigma)} noise levels, {len(run.ledger.lines):,} lines. It is a part of a run and not "
        "sealed."
    )


def print_results(path: Path) -> None:
    """Print the table of a run, what it means and does not mean, and where the evidence lies."""
    run = open_run(path)
    request = run.spec.request
    show_table(results_table(run.results()))
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    text = (
        f"\nCertified accuracy at r: images for which the smoothed classifier keeps the reference label (k = 1: as its "
        f"prediction; k > 1: among its k most probable classes) under every change with L2 norm below r. For any fixed "
        f"image the procedure returns a wrong certificate with probability at most {request.alpha:g}, over its own "
        f"noise; abstentions count against the classifier. Nothing is said about the base classifier without "
        f"noise. Computer arithmetic: {run.arithmetic}.\n"
        f"Evidence: {path} ({len(run.ledger.lines)} lines, {'sealed' if run.sealed else 'NOT SEALED'}).\n"
        f"Evidence fingerprint: {fingerprint_words(run.directory)}."
    )
    console.print(text, markup=False)
    _print_forecast(run)


def _print_forecast(run: Run) -> None:
    """Print what the plan of a run predicted beside what it showed, where it had a plan."""
    compared = plan_table(run)
    if compared.rows:
        print("\nPredicted by the plan, against realised\n")
        show_table(compared)
        print_text(inside(run))


def _print_preflight(console: Console, seen: Preflight) -> None:
    console.print(
        f"sigma {seen.sigma:g} = {seen.grey_levels:.1f} grey levels: on {seen.clean.images} images "
        f"{seen.clean.accuracy:.0%} right without noise, {seen.noisy_accuracy:.0%} under noise; "
        f"{seen.rate:,.0f} copies/s, {duration(seen.seconds_at_most)} at most",
        soft_wrap=not console.is_terminal,
    )
    _warn(console, seen.warnings)


def _print_worker(console: Console, facts: dict[str, Any]) -> None:
    """Say that a worker was lost; that one has joined shows in the rate."""
    if facts["state"] == "lost":
        again = f"the {facts['images_again']:,} images it had are done again"
        _warn(console, [f"{facts['worker']} was lost ({facts['reason']}); {again}"])
    elif facts["state"] == "left out":
        _warn(console, [f"left out: {facts['reason']}"])


def _warn(console: Console, warnings: Iterable[str]) -> None:
    for warning in map(printable, warnings):
        console.print(f"  warning: {warning}", style="yellow", markup=False, soft_wrap=not console.is_terminal)
