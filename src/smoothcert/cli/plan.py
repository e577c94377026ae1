"""`smoothcert plan`: before a long run, what can be certified, and from a pilot what the run will show and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.cli.consent import NOTHING, Typed, consent_of
from smoothcert.errors import InputError
from smoothcert.spec.planning import NO_CLASSES, PlanSettings

Flags = Annotated[PlanSettings | None, Parameter(name="*", negative="", consume_multiple=True)]


def plan(
    *,
    settings: Flags = None,
    out: Path | None = None,
    sponsor: Path | None = None,
    config: Path | None = None,
    typed: Typed = NOTHING,
) -> int:
    """Plan a run: radii within reach, votes and images needed, and from a pilot the run's accuracy, time and cost.

    With --model and --data it draws a few hundred votes of some images, on this device, and forecasts the run; without
    them, and with --classes, it says what follows from the settings alone. `smoothcert certify --plan` records the
    forecast before the first image and prints it beside what was realised.

    Args:
        out: Folder to create: plan.json, plan.md, a CSV a table; with a pilot also run.yaml, plan.svg and plan.png. A
            plan is never overwritten.
        sponsor: YAML file whose section `production` names studies a day, votes, devices and prices (docs/cost.md).
        config: YAML file with any of these settings; flags override it.
    """
    if settings is None:
        raise InputError(f"--{NO_CLASSES}.")
    from smoothcert.cli.planning import plan_and_report

    return plan_and_report(settings, out, sponsor, consent_of(settings, typed))
