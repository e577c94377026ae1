"""`smoothcert certify`: from classifier and images to a sealed run directory and the results table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.engine.placement import Placement
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
) -> int:
    """Certify labelled images: sample votes, store them, print the table of certified accuracy.

    Lists may be repeated flags, spaces or commas: --sigma 0.25,0.5,1.0. Three sigmas usually mean three classifiers,
    each trained with its noise: --model "weights/r20_{sigma}.safetensors". An interrupted run is continued by
    `smoothcert resume`. The answer depends neither on the engine nor on the number of workers or shards.

    Args:
        out: Run directory to create. A run is never overwritten.
        plan: Folder written by `smoothcert plan --out` for these settings, classifiers and images: its forecast is
            recorded before the first image and printed beside what is realised.
        config: YAML file with any of these settings; flags override it.
        print_config: Print the settings as YAML for --config, and stop.
    """
    from smoothcert.errors import InputError

    if print_config:
        import yaml

        print(yaml.safe_dump(request.plain(), sort_keys=False).rstrip())
        return 0
    if out is None:
        raise InputError("--out: name the run directory to create.")
    from smoothcert.cli.sampling import certify_and_report, say_next

    code = certify_and_report(request, out, plan, placement)
    say_next(out)
    return code
