"""`smoothcert resume`: continue an interrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.engine.resources import Workers

HERE = Workers()


def resume(
    run: Path,
    /,
    *,
    model: str | None = None,
    weights: str | None = None,
    data: str | None = None,
    accept_recipe: Annotated[bool, Parameter(negative="")] = False,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    workers: Annotated[Workers, Parameter(name="*")] = HERE,
) -> int:
    """Continue an interrupted run: only images without a ledger line are sampled. A shard goes on with its own part.

    Any engine may go on with what any other began.

    Args:
        run: Run directory.
        model: Place of the classifier, if it was moved, or its code: a run is data and names no code by itself. Its
            content must be unchanged.
        weights: New place of the weights file, if it was moved.
        data: Place of the images, if they were moved, or the code that makes them.
        trust_model: Run what is code as the run names it, because you trust whoever made classifier, images and run.
        accept_recipe: Go on although this machine computes differently; each new line then names its recipe.
    """
    from smoothcert.cli.sampling import resume_and_report, say_next

    moved = {"model": model, "weights": weights, "data": data}
    code = resume_and_report(run, moved, accept_recipe, workers, trust_model)
    say_next(run)
    return code
