"""`smoothcert check` and `plan`: the verbs before a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from smoothcert.cli.consent import NOTHING, Typed, consent_of, typed_again
from smoothcert.config import Request
from smoothcert.config.plan import NO_CLASSES, PlanSettings
from smoothcert.errors import InputError

if TYPE_CHECKING:
    from smoothcert.config import Production
    from smoothcert.evidence.run import Planned
    from smoothcert.import_factory import Consent

RequestFlags = Annotated[Request, Parameter(name="*", negative="", consume_multiple=True)]


def check(
    *,
    request: RequestFlags,
    train_data: str | None = None,
    out: Path | None = None,
    config: Path | None = None,
    typed: Typed = NOTHING,
) -> int:
    """Check classifier and images before a run.

    Takes the flags of `certify`. Classifies a few hundred images with and without noise, tries other input conventions,
    precisions and batch sizes, and estimates the time of the run. Each warning names its remedy; the exit status is 1
    if there is any. `certify` runs a short form of these checks itself.

    Args:
        train_data: Training images, to count those also in --data. Named as for --data.
        out: Folder to create for a contact sheet. Images of each class, as stored and with noise.
        config: YAML file with settings; flags override it.
    """
    from smoothcert.cli.prepare_work import check_and_report

    consent = consent_of(request, typed)
    return check_and_report(request, (train_data, "--train-data" in typed), out, consent)


PlanFlags = Annotated[PlanSettings | None, Parameter(name="*", negative="", consume_multiple=True)]


def plan(
    *,
    settings: PlanFlags = None,
    out: Path | None = None,
    sponsor: Path | None = None,
    config: Path | None = None,
    typed: Typed = NOTHING,
) -> int:
    """Forecast a run: attainable radii, images, accuracy, cost.

    With --model and --data, a pilot samples some images on this device and the whole run is forecast from it; without,
    and with --classes, the plan shows what follows from the settings alone. `smoothcert certify --plan` records the
    forecast before the first image and prints it beside the results.

    Args:
        out: Folder to create for the plan. It gets plan.json, plan.md and one CSV per table; with a pilot also
            run.yaml, plan.svg and plan.png. A plan is never overwritten.
        sponsor: YAML file with a section `production`. Its studies per day, votes, devices and prices are used for the
            cost (docs/cost.md).
        config: YAML file with settings; flags override it.
    """
    if settings is None:
        raise InputError(f"--{NO_CLASSES}.", code="E-INPUT-012")
    from smoothcert.cli.terminal import print_text, show
    from smoothcert.evidence.directory import refuse_occupied
    from smoothcert.report.plan.tables import TITLES, tables
    from smoothcert.report.plan.write import reading
    from smoothcert.report.word import read_fields

    consent = consent_of(settings, typed)
    if out is not None:
        refuse_occupied(out)
    production = None if sponsor is None else read_fields(sponsor).production
    planned = _planned(settings, production, consent)
    found = tables(planned, production)
    whole = "in a folder named by --out" if out is None else f"in {out / 'plan.md'}"
    for name in PRINTED[planned.forecast is not None]:
        print(f"\n{TITLES[name]}\n")
        show(found[name], whole)
    print()
    for line in reading(planned):
        print_text(line)
    _print_where(planned, out, production)
    return 0


PRINTED = {
    False: ("reach", "images", "power", "changes"),
    True: ("forecast", "copies", "cost", "images", "changes"),
}
"""Tables that are printed, without and with a pilot; the folder has them all."""


def _planned(settings: PlanSettings, production: Production | None, consent: Consent) -> Planned:
    """Return the plan; torch is loaded only for a pilot."""
    from smoothcert.cli.terminal import Screen
    from smoothcert.planning.plan import plan as make_plan
    from smoothcert.progress import counting

    if not settings.draws:
        return make_plan(settings)
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    total = settings.pilot * settings.pilot_samples * len(settings.sigma)
    with counting(console, "pilot", total) as count:
        return make_plan(settings, production, count, lambda text: console.print(text, markup=False), consent)


def _print_where(planned: Planned, out: Path | None, production: Production | None) -> None:
    """Write the plan if a folder is named, and print what to type next."""
    from smoothcert.cli.terminal import Screen, print_commands, print_text
    from smoothcert.report.plan.write import PLAN, RUN_CONFIG, write_plan

    print()
    if out is None:
        print_text("Next: add --out DIR to save the plan with all tables, and with a figure if there was a pilot")
        return
    files = write_plan(planned, out, production)
    print_text(f"Plan in {out}: {', '.join(path.name for path in files)}")
    if planned.forecast is None:
        print_text("Next: add --model and --data for a forecast from a pilot")
        return
    if not any(path.suffix == ".svg" for path in files):
        print_text(f"No figure was drawn: it needs the extra `report`. Its numbers are in {PLAN}.")
    again = typed_again(planned.settings)
    print_commands(Screen(), {f"smoothcert certify --config {out / RUN_CONFIG}{again} --plan {out} --out RUN": ""})
