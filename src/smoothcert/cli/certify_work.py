"""The work of `certify`, `resume` and `merge`: sample with live progress, print the results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from smoothcert.cli.consent import flags, typed_again
from smoothcert.cli.terminal import Screen, Show, live, print_commands, print_text, terminated_is_interrupted
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
from smoothcert.report import claims, results_table
from smoothcert.report.plan.tables import inside, plan_table
from smoothcert.report.plan.write import read_plan
from smoothcert.stats.rounding import full


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
    """Print the commands to type after a finished run or shard."""
    console = Screen(stderr=True)
    if RunDirectory(run).share is not None:
        print_commands(console, {"smoothcert merge RUN... --out RUN": ""}, "Next, when all shards are finished:")
        return
    commands = {
        f"smoothcert report {run}": "write tables, figures, notebook and memo",
        f"smoothcert verify {run}": "recompute everything from the votes",
    }
    print_commands(console, commands)


def resume_and_report(
    run: Path, moved: dict[str, str | None], accept_recipe: bool, workers: Workers, trust_model: bool = False
) -> int:
    """Run `resume` with progress; return the exit status."""
    directory = RunDirectory(run)
    again = " --trust-model" if trust_model else flags(moved)

    def work(hooks: Hooks) -> None:
        if not resume_run(directory, moved, accept_recipe, hooks, workers, trust_model):
            print_text(f"{run} is finished and sealed; there was nothing to sample.")

    return _with_progress(run, work, again)


def _with_progress(out: Path, work: Callable[[Hooks], object], again: str) -> int:
    """Do the work with progress; `again` are the flags that `resume` needs to continue it."""
    console = Screen(stderr=True, highlight=False)
    try:
        with terminated_is_interrupted(), live(console) as show:
            work(_hooks(console, show))
    except KeyboardInterrupt:
        if RunDirectory(out).spec.exists():
            text = f"Interrupted; nothing is lost. Continue with `smoothcert resume {out}{again}`."
            console.print(text, markup=False, soft_wrap=not console.is_terminal)
        raise
    except OSError as error:
        raise EvidenceError(_disk_error(out, error, again), code="E-RUN-002") from None
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


def _disk_error(out: Path, error: OSError, again: str) -> str:
    text = f"Cannot read or write {error.filename or out}: {error.strerror}."
    if not RunDirectory(out).spec.exists():
        return text
    return f"{text} Written lines are kept. Fix the cause, then continue with `smoothcert resume {out}{again}`."


def print_part(path: Path, share: Share) -> None:
    """Print what a finished shard holds; only the merged run has a table."""
    run = open_run(path)
    print_text(
        f"Shard {share} is finished: {run.images:,} of {run.spec.data.images:,} images at "
        f"{len(run.spec.request.sigma)} noise levels, {len(run.ledger.lines):,} lines. A shard is not sealed; the "
        "merged run is."
    )


def print_results(path: Path) -> None:
    """Print the table of a run, what it says and does not say, and where the evidence is."""
    run = open_run(path)
    request = run.spec.request
    show_table(results_table(run.results()))
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    keeps = "returns the reference label" if max(request.k) == 1 else "keeps the reference label in its top k"
    text = (
        f"\nCertified accuracy at r: share of the images for which the smoothed classifier {keeps} under every "
        f"perturbation with L2 norm below r. For each image, a certificate is wrong with probability at most "
        f"{full(request.alpha)}, over its own noise. Abstentions count as not certified. {_object(run)}\n"
        f"Computer arithmetic: {run.arithmetic}.\n"
        f"Evidence: {path} ({len(run.ledger.lines):,} lines, {'sealed' if run.sealed else 'NOT SEALED'}).\n"
        f"Evidence fingerprint: {fingerprint_words(run.directory)}."
    )
    console.print(text, markup=False)
    _print_forecast(run)


def _object(run: Run) -> str:
    """Return what the certificates are not about."""
    if not run.spec.denoised:
        return "Nothing is certified about the base classifier."
    return claims.PIPELINE


def _print_forecast(run: Run) -> None:
    """Print the forecast of the run's plan beside its results, if it had a plan."""
    compared = plan_table(run)
    if compared.rows:
        print("\nForecast and results\n")
        show_table(compared)
        print_text(inside(run))


def _print_preflight(console: Console, seen: Preflight) -> None:
    clean = f"{seen.clean.accuracy:.0%} clean"
    if seen.denoising is not None:
        alone = seen.denoising.alone
        clean = f"{alone:.0%} clean without the denoiser, {seen.clean.accuracy:.0%} clean behind it"
    console.print(
        f"sigma {full(seen.sigma)} ({seen.grey_levels:.1f} grey levels): accuracy {clean}, "
        f"{seen.noisy_accuracy:.0%} with noise ({seen.clean.images} images); {seen.rate:,.0f} samples/s, at most "
        f"{duration(seen.seconds_at_most)}",
        soft_wrap=not console.is_terminal,
    )
    if seen.denoising is not None:
        console.print(
            f"  denoiser: PSNR {seen.denoising.before:.1f} dB before, {seen.denoising.after:.1f} dB after",
            soft_wrap=not console.is_terminal,
        )
    _warn(console, seen.warnings)


def _print_worker(console: Console, facts: dict[str, Any]) -> None:
    """Warn about a worker that was lost or left out."""
    if facts["state"] == "lost":
        again = f"its {facts['images_again']:,} images are sampled again"
        _warn(console, [f"{facts['worker']} was lost ({facts['reason']}); {again}"])
    elif facts["state"] == "left out":
        _warn(console, [f"left out: {facts['reason']}"])


def _warn(console: Console, warnings: Iterable[str]) -> None:
    for warning in map(printable, warnings):
        console.print(f"  warning: {warning}", style="yellow", markup=False, soft_wrap=not console.is_terminal)
