"""The tables that all documents share, other than the results table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.cost import costs
from smoothcert.evidence.events import Change
from smoothcert.evidence.line_store import columns_of
from smoothcert.evidence.outcomes import only_at_least, plan_of
from smoothcert.evidence.results import Verdict, first_votes, verdicts
from smoothcert.formats.results import PARTIAL, Entry
from smoothcert.report.groups import NOT_ATTAINABLE, ClassRow, class_rows, percent
from smoothcert.report.results_table import LEAST, WITHHELD, Table
from smoothcert.report.units import PATCH, units
from smoothcert.stats import r_max
from smoothcert.stats.rounding import format_down, full, percent_down, percent_of, percents

GROUPS_SHOWN = 30


def accuracy_table(run: Run) -> Table:
    """Return clean accuracy and certified accuracy at any positive radius, one row per (sigma, k)."""
    records = [_accuracy(run, entry) for entry in run.results((0.0,))]
    rows = tuple(
        (
            full(each["sigma"]),
            str(each["k"]),
            *(_clean(each[name], each["images"]) for name in ("alone", "clean") if name in each),
            *([_noisy(each["noisy"])] if "noisy" in each else []),
            f"{LEAST if each['at_least'] else ''}{_share(each['certified'], each['images'])}",
            _interval(each, run),
            f"{'<= ' if each['at_least'] else ''}{each['abstained']}",
            str(each["wrong"]),
        )
        for each in records
    )
    interval = f"95 % interval{', lower end,' if records[0]['at_least'] else ''} if independent"
    three = ("clean accuracy without the denoiser", "clean accuracy of the pipeline", "its accuracy with noise")
    clean = three if run.spec.denoised else ("clean accuracy",)
    headings = ("sigma", "k", *clean, "certified accuracy at r = 0", interval)
    return Table((*headings, "abstained", "wrong class"), rows, tuple(records), ordinary(run))


def ordinary(run: Run) -> str:
    """Return how an ordinary classifier compares, as far as it is known: smoothing is measured against it."""
    reference = run.stated.reference
    if reference is not None:
        counts = (
            f"{reference.correct:,} of {reference.images:,} images, {percent_of(reference.correct, reference.images)} %"
        )
        return (
            f"Ordinary classifier, trained and run without noise, as the sponsor states: {reference.name}: {counts} as "
            f"labelled ({reference.source}). These counts are not recomputed here."
        )
    if run.spec.denoised:
        return "Without the denoiser, the classifier is run as it is, without noise: this is the ordinary classifier."
    return (
        "Both columns are about the same network. An ordinary classifier, trained and run without noise, was not "
        "measured, so what smoothing costs against it is not known."
    )


def _interval(record: dict[str, Any], run: Run) -> str:
    if run.no_interval and not run.missing:
        return WITHHELD
    return PARTIAL if record["low"] is None else percents(record["low"], record.get("high"))


def _accuracy(run: Run, entry: Entry) -> dict[str, Any]:
    clean = run.clean(entry.sigma)
    names = ("sigma", "k", "images", "certified", "abstained", "wrong", "at_least")
    record = {name: getattr(entry, name) for name in names}
    given = entry.lines == entry.images and run.no_interval is None
    low, high = (entry.low, entry.high) if given else (None, None)
    ends = {"low": low} if entry.at_least else {"low": low, "high": high}
    correct = None if clean is None or entry.k not in clean.correct else sum(clean.correct[entry.k])
    found = {**record, **ends, "clean": correct}
    if not run.spec.denoised:
        return found
    alone = None if clean is None or clean.alone is None else clean.alone.get(entry.k)
    noisy = first_votes(run.ledger.at(entry.sigma)) if entry.k == 1 else None
    return {**found, "alone": None if alone is None else sum(alone), "noisy": noisy}


def _clean(correct: int | None, images: int) -> str:
    return "not recorded" if correct is None else _share(correct, images)


def _noisy(votes: tuple[int, int] | None) -> str:
    return "not recorded" if votes is None or not votes[1] else f"{percent_of(*votes)} %"


def _share(count: int, images: int) -> str:
    return f"{percent_of(count, images)} % ({count:,}/{images:,})"


def class_table(run: Run, k: int, r: float) -> Table:
    """Return certified accuracy of each class at one k and r, one column per sigma; few images are raw counts."""
    columns = {sigma: class_rows(run, sigma, k, r) for sigma in run.spec.request.sigma}
    first = next(iter(columns.values()))
    rows = tuple(
        (printable(row.name), f"{row.images:,}", *(_class_entry(found[i]) for found in columns.values()))
        for i, row in enumerate(first)
    )
    records = tuple({"sigma": float(sigma), **row.record()} for sigma, found in columns.items() for row in found)
    return Table(("class", "images", *(f"sigma {full(sigma)}" for sigma in columns)), rows, records)


def _class_entry(row: ClassRow) -> str:
    if not row.attainable:
        return NOT_ATTAINABLE
    return percent(row) or f"{LEAST if row.at_least else ''}{row.certified}/{row.images}"


def group_table(run: Run, k: int, r: float) -> Table:
    """Return certified images of each patient or other group at one k and r as raw counts, largest groups first.

    The table has no rows if the images do not come in groups.
    """
    if not run.spec.data.grouped:
        return Table(("group", "images"), (), ())
    counts = {sigma: _by_group(run, sigma, k, r) for sigma in run.spec.request.sigma}
    sizes = Counter(columns_of(run.ledger.at(run.spec.request.sigma[0])).group.counts())
    largest, least = [name for name, _ in sizes.most_common(GROUPS_SHOWN)], only_at_least(run.spec, r)
    rows = tuple(
        (printable(str(name)), str(sizes[name]), *(_group_entry(f, name, sizes[name], least) for f in counts.values()))
        for name in largest
    )
    records = tuple(
        {
            "group": name,
            "images": sizes[name],
            "sigma": float(sigma),
            "attainable": found is not None,
            "certified": None if found is None else found[name],
            "at_least": None if found is None else least,
        }
        for name in largest
        for sigma, found in counts.items()
    )
    return Table(("group", "images", *(f"sigma {full(sigma)}" for sigma in counts)), rows, records)


def _group_entry(found: Counter[str | None] | None, name: str | None, images: int, least: bool) -> str:
    return NOT_ATTAINABLE if found is None else f"{LEAST if least else ''}{found[name]}/{images}"


def _by_group(run: Run, sigma: float, k: int, r: float) -> Counter[str | None] | None:
    """Return the certified images of each group, or None if r is not attainable."""
    if r > r_max(plan_of(run.spec, sigma), k):
        return None
    kept = run.certificates(sigma, k).certified_correct(r)
    return Counter(columns_of(run.ledger.at(sigma)).group[np.flatnonzero(kept)].counts())


def cost_table(run: Run) -> Table:
    """Return the cost of the run: forward passes, passes under fixed sampling, and device time."""
    found = costs(run)
    rows = tuple(
        (
            "all" if cost.sigma is None else full(cost.sigma),
            f"{cost.images:,}",
            f"{cost.passes:,}",
            f"{cost.fixed_passes:,}",
            cost.times_fewer,
            f"{cost.seconds:,.1f}",
            f"{cost.rate:,.0f}",
        )
        for cost in found
    )
    headings = (
        "sigma",
        "images",
        "forward passes",
        "with fixed sampling",
        "times fewer >=",
        "device seconds",
        "passes/s",
    )
    return Table(headings, rows, tuple(asdict(cost) for cost in found))


def units_table(run: Run) -> Table:
    """Return each radius in grey levels for images of this shape."""
    found = [units(r, run.spec.data.shape) for r in run.spec.request.radius]
    rows = tuple(
        (full(each.radius), format_down(each.rms, 2), "-" if each.patch is None else format_down(each.patch, 1))
        for each in found
    )
    headings = (
        "r",
        "RMS grey levels (of 255) per value = largest uniform shift",
        f"amplitude on a {PATCH}x{PATCH} patch",
    )
    return Table(headings, rows, tuple(asdict(each) for each in found))


def changes_table(run: Run) -> Table:
    """Return the L2 norms of simple perturbations of these images, and how many images stay within each radius."""
    radii = run.spec.request.radius
    rows = tuple(
        (each.name, f"{each.median:.3f}", *(f"{count:,} of {each.images:,}" for _, count in each.within))
        for each in run.changes
    )
    headings = ("perturbation", "median L2 norm", *(f"images within {full(r)}" for r in radii))
    return Table(headings, rows, tuple(_change_record(each) for each in run.changes))


def _change_record(change: Change) -> dict[str, Any]:
    within = {f"within_{full(r)}": count for r, count in change.within}
    return {"change": change.name, "images": change.images, "median": change.median, **within}


def criteria_table(run: Run) -> Table:
    """Return the acceptance criteria and whether they are met; no rows if none was fixed before the run."""
    found = verdicts(run.spec, run.results(), run.stated)
    records = ({"criterion": c.promised, "value": c.value, "joint": c.joint, "met": c.met} for c in found)
    return Table(
        ("criterion", "reached", "joint >= % if independent", "met"),
        tuple((each.promised, each.reached, joint_of(each), MET[each.met]) for each in found),
        tuple(records),
        criteria_note(found),
    )


NOT_MET = "NOT MET"
MET = {True: "met", False: NOT_MET, None: "undecided"}
ALL_MET = (
    "That all criteria are met is one statement: were any bounded share below its threshold, all would be met with "
    "probability at most 5 %. That some are met is not: results select them, and only the joint bounds hold together."
)


def joint_of(verdict: Verdict) -> str:
    """Return the joint bound at the entry of a criterion, in percent."""
    return "-" if verdict.joint is None else percent_down(verdict.joint)


def criteria_note(found: Sequence[Verdict]) -> str:
    """Return how many criteria are met, and what that means; "" without criteria."""
    if not found:
        return ""
    met = [MET[each.met] for each in found]
    counts = ", ".join(f"{met.count(word)} {word}" for word in ("met", NOT_MET, "undecided") if word in met)
    return f"Of {len(found)} criteria: {counts}. {ALL_MET}"
