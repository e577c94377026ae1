"""What `plan` does once its settings are read: the pilot with progress, the tables, and where they lie."""

from __future__ import annotations

import sys
from pathlib import Path

from smoothcert.cli.consent import typed_again
from smoothcert.cli.terminal import Screen, show, tell
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.evidence.forecast import Planned
from smoothcert.import_factory import Consent
from smoothcert.planning.plan import plan
from smoothcert.progress import counting
from smoothcert.report.memo import read_sponsor
from smoothcert.report.plan.tables import TITLES, tables
from smoothcert.report.plan.write import PLAN, RUN_CONFIG, reading, write_plan
from smoothcert.spec import Production
from smoothcert.spec.planning import PlanSettings

PRINTED = {
    False: ("reach", "images", "power", "changes"),
    True: ("forecast", "copies", "cost", "images", "changes"),
}
"""Tables on the terminal, without and with a pilot; the others are in the folder."""


def plan_and_report(settings: PlanSettings, out: Path | None, sponsor: Path | None, consent: Consent) -> int:
    """Plan, print and write; return the exit status."""
    if out is not None:
        refuse_occupied(out)
    production = None if sponsor is None else read_sponsor(sponsor).production
    planned = _plan(settings, production, consent)
    found = tables(planned, production)
    whole = "in a folder named by --out" if out is None else f"in {out / 'plan.md'}"
    for name in PRINTED[planned.forecast is not None]:
        print(f"\n{TITLES[name]}\n")
        show(found[name], whole)
    print()
    for line in reading(planned):
        tell(line)
    _say_where(planned, out, production)
    return 0


def _plan(settings: PlanSettings, production: Production | None, consent: Consent) -> Planned:
    if not settings.draws:
        return plan(settings)
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    total = settings.pilot * settings.pilot_copies * len(settings.sigma)
    with counting(console, "pilot", total) as count:
        return plan(settings, production, count, lambda text: console.print(text, markup=False), consent)


def _say_where(planned: Planned, out: Path | None, production: Production | None) -> None:
    """Write the plan where a folder is named, and say what to type next."""
    print()
    if out is None:
        tell("Next: the same with --out DIR keeps the plan, with every table and, from a pilot, a figure")
        return
    files = write_plan(planned, out, production)
    tell(f"Plan in {out}: {', '.join(path.name for path in files)}")
    if planned.forecast is None:
        tell("Next: name --model and --data, and a pilot forecasts the run")
    else:
        again = typed_again(planned.settings)
        tell(f"Next: smoothcert certify --config {out / RUN_CONFIG}{again} --plan {out} --out RUN")
    if planned.forecast is not None and not any(path.suffix == ".svg" for path in files):
        tell(f"No figure was drawn: it needs the extra `report`. {PLAN} holds its numbers.")
