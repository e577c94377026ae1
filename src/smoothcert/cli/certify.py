"""`smoothcert certify`, `resume`, `demo` and `merge`: the verbs that write a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from smoothcert.cli.consent import NOTHING, Typed, check_cluster, consent_of
from smoothcert.config import Request
from smoothcert.engine.resources import Placement, Workers

if TYPE_CHECKING:
    from smoothcert.evidence import Run


Flags = Annotated[Request, Parameter(name="*", negative="", consume_multiple=True)]
HERE = Placement()


def certify(
    *,
    request: Flags,
    out: Annotated[Path | None, Parameter(name="--out")] = None,
    plan: Path | None = None,
    placement: Annotated[Placement, Parameter(name="*")] = HERE,
    config: Path | None = None,
    print_config: Annotated[bool, Parameter(negative="")] = False,
    typed: Typed = NOTHING,
) -> int:
    """Certify labelled images and print certified accuracy.

    Votes are stored as they are sampled; `smoothcert resume` continues an interrupted run. Lists take commas, spaces or
    repeated flags. With several noise levels, {sigma} in --model names one classifier for each. The results depend
    neither on the engine nor on the number of workers or shards.

    Args:
        out: Run directory to create. A run is never overwritten.
        plan: Plan of this run, from `smoothcert plan --out`. It must be for these settings, classifiers and images; its
            forecast is recorded before the first image and printed beside the results.
        config: YAML file with settings; flags override it. A file never decides that code is run: give --trust-model,
            or --model and --data that are code, on the command line.
        print_config: Print the settings as YAML for --config, and stop. Without --trust-model.
    """
    from smoothcert.errors import InputError

    consent = consent_of(request, typed)
    if print_config:
        from smoothcert.report.plan.write import settings_yaml

        print(settings_yaml(request).rstrip())
        return 0
    check_cluster(placement, typed)
    if out is None:
        raise InputError("--out: name the run directory to create.", code="E-INPUT-004")
    from smoothcert.cli.certify_work import certify_and_report, print_next

    code = certify_and_report(request, out, plan, placement, consent)
    print_next(out)
    return code


ANYWHERE = Workers()


def resume(
    run: Path,
    /,
    *,
    model: str | None = None,
    weights: str | None = None,
    denoiser: str | None = None,
    denoiser_weights: str | None = None,
    data: str | None = None,
    accept_recipe: Annotated[bool, Parameter(negative="")] = False,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    workers: Annotated[Workers, Parameter(name="*")] = ANYWHERE,
) -> int:
    """Continue an interrupted run.

    Only images without a ledger line are sampled; a shard continues with its own images. The engine may differ from
    that of earlier sessions.

    Args:
        run: Run directory.
        model: Classifier, if it was moved or is code. A run is data and never names code by itself. The content of the
            classifier must be unchanged.
        weights: Weights file, if it was moved.
        denoiser: Denoiser, if it was moved or is code. As for --model.
        denoiser_weights: Weights file of the denoiser, if it was moved.
        data: Images, if they were moved or made by code.
        trust_model: Run the code that the run names. Only if you trust the author of classifier, images and run.
        accept_recipe: Continue with another numeric recipe. This machine may then compute differently; each new line
            names its recipe.
    """
    from smoothcert.cli.certify_work import print_next, resume_and_report

    moved = {"model": model, "weights": weights, "data": data}
    moved |= {"denoiser": denoiser, "denoiser_weights": denoiser_weights}
    code = resume_and_report(run, moved, accept_recipe, workers, trust_model)
    print_next(run)
    return code


NEXT = r"""
These were synthetic images and the bundled ResNet-8. With your own images:

  smoothcert train   --data images.npz#train --sigma 0.25 \
                     --out r20_0.25.safetensors
  smoothcert certify --model r20_0.25.safetensors --data images.npz#val \
                     --sigma 0.25 --out RUN
  smoothcert report  RUN
"""


def demo(*, out: Path = Path("smoothcert-demo"), images: int = 300, n_max: int = 5000) -> int:
    """Certify synthetic images with the bundled ResNet-8.

    Needs no data and no classifier, and takes about two minutes. The bundled ResNet-8 is for the demo only.

    Args:
        out: Run directory to create. A run is never overwritten.
        images: Number of synthetic images.
        n_max: Maximum samples per image.
    """
    from smoothcert.config import make_request

    request = make_request(model="demo", data=f"synthetic:{images}", n_max=n_max)  # refused before torch is loaded

    from smoothcert.cli.certify_work import certify_and_report

    code = certify_and_report(request, out)
    if code == 0:
        _documents(out)
        print(NEXT.rstrip())
    return code


def _documents(out: Path) -> None:
    from smoothcert.cli.results import write_with_progress
    from smoothcert.cli.terminal import print_text
    from smoothcert.errors import MissingExtraError

    try:
        write_with_progress(out)
    except MissingExtraError as error:
        print_text(f"No documents were written: {error}")


def merge(*runs: Path, out: Path) -> int:
    """Merge the shards of a run into one run directory.

    The shards come from `smoothcert certify --shard i/n`, on any machines. They must have the same spec and no image in
    common; they are copied, not changed. If no image is missing, the merged run is sealed; otherwise `smoothcert
    resume` continues it.

    Args:
        runs: Run directories of the shards. Finished or interrupted.
        out: Run directory to create. A run is never overwritten.
    """
    from smoothcert.cli.certify_work import print_next, print_results
    from smoothcert.cli.terminal import Screen, print_commands
    from smoothcert.evidence import merge as merge_runs
    from smoothcert.evidence import open_run

    merge_runs(runs, out)
    merged = open_run(out)
    _print_shards(merged)
    print_results(out)
    if not merged.missing:
        print_next(out)
    else:
        print_commands(
            Screen(stderr=True), {f"smoothcert resume {out}": f"sample the {merged.missing:,} missing results"}
        )
    return 0


def _print_shards(run: Run) -> None:
    """Print the results of each shard, and their sum."""
    from smoothcert.cli.terminal import print_text

    for shard in run.directory.shards:
        finished = run.directory.of_shard(shard.name).vouched() is not None
        share = "of no shard" if shard.shard is None else f"of shard {shard.shard}"
        print_text(f"{shard.name}: {shard.lines:,} results {share}, {'finished' if finished else 'not finished'}")
    print_text(f"total: {len(run.ledger.lines):,} of {run.expected:,} results, {run.missing:,} missing")
    print()
