"""`smoothcert certify`: from classifier and images to a sealed run directory and the results table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.cli.consent import NOTHING, Typed, check_cluster, consent_of
from smoothcert.engine.resources import Placement
from smoothcert.spec import Request

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
    """Certify labelled images: sample votes, store them, print the table of certified accuracy.

    Lists may be repeated flags, spaces or commas: --sigma 0.25,0.5,1.0. Three sigmas usually mean three classifiers,
    each trained with its noise: --model "weights/r20_{sigma}.safetensors". An interrupted run is continued by
    `smoothcert resume`. The answer depends neither on the engine nor on the number of workers or shards.

    Args:
        out: Run directory to create. A run is never overwritten.
        plan: Folder written by `smoothcert plan --out` for these settings, classifiers and images: its forecast is
            recorded before the first image and printed beside what is realised.
        config: YAML file with any of these settings; flags override it. A file never decides that code is run: give
            --trust-model, or --model and --data that are code, on the command line.
        print_config: Print the settings as YAML for --config, and stop; --trust-model is not among them.
    """
    from smoothcert.errors import InputError

    consent = consent_of(request, typed)
    if print_config:
        from smoothcert.report.plan.write import settings_yaml

        print(settings_yaml(request).rstrip())
        return 0
    check_cluster(placement, typed)
    if out is None:
        raise InputError("--out: name the run directory to create.")
    from smoothcert.cli.sampling import certify_and_report, say_next

    code = certify_and_report(request, out, plan, placement, consent)
    say_next(out)
    return code
