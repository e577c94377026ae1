"""Write docs/pbc28.md, and the results in README.md and docs/frozen.md, from the evidence in examples/.

Every figure comes from votes:

python docs/pbc28/make.py
"""

from __future__ import annotations

from pathlib import Path

from denoised import compared, with_table
from layout import table, text
from learned import agreement, alone, answers, apart, budget, samples_per_image
from result import row_facts, with_result
from wording import (
    AGREE,
    ALONE,
    BEYOND,
    BLIND,
    BUDGET,
    CLASSES,
    COST,
    DIFFER,
    HEAD,
    MEMO,
    READING,
    SECOND,
    WITHOUT,
)

from smoothcert.evidence import Run, open_run
from smoothcert.evidence.cost import costs
from smoothcert.evidence.events import RESUMED
from smoothcert.report import Table, results_table, table_of
from smoothcert.report.groups import class_rows
from smoothcert.stats.rounding import format_down, format_up, percent_down

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES, PAGE, README = ROOT / "examples", ROOT / "docs" / "pbc28.md", ROOT / "README.md"
FROZEN = ROOT / "docs" / "frozen.md"
FIXED, CLEAN, DENOISED = "pbc28-fixed", "pbc28-clean", "pbc28-frozen"
CELL = ("sigma", "k", "r", "certified accuracy %")


def page(run: Run, fixed: Run, clean: Run) -> str:
    """The page: the reference run, the run with a fixed number of samples, the classifier trained without noise."""
    reading = READING.format(**row_facts(run))
    parts = (_results(run), reading, _cost(run), _classes(run), _budget(run), _agreement(run, fixed), _clean(clean))
    return text([HEAD, *parts, MEMO])


def _results(run: Run) -> str:
    total = costs(run)[-1]
    facts = {
        "images": f"{run.spec.data.images:,}",
        "passes": f"{total.passes:,}",
        "fixed": f"{total.fixed_passes:,}",
        "fewer": total.times_fewer,
        "hours": format_up(total.seconds / 3600, 2),
        "rate": f"{total.rate:,.0f}",
        "resumes": sum(event.event == RESUMED for event in run.directory.read_events()),
    }
    bounds = (f"{name} if independent" for name in ("95 % interval", "population >= %", "joint >= %"))
    return _kept(results_table(run.results()), CELL, *bounds) + BEYOND.format(**facts)


def _kept(whole: Table, columns: tuple[str, ...], *more: str) -> str:
    """Some columns of a table, as Markdown."""
    at = [whole.headings.index(name) for name in (*columns, *more)]
    return table(tuple(whole.headings[i] for i in at), [tuple(row[i] for i in at) for row in whole.rows])


def _cost(run: Run) -> str:
    return COST + table_of(run, "accuracy").render("md")


def _classes(run: Run) -> str:
    primary = run.spec.request.primary
    assert primary is not None
    rows = class_rows(run, float(primary.sigma), primary.k, primary.radius)
    shares = sorted((row.certified / row.images, row.name) for row in rows)
    worst, best = shares[:3], shares[-2:][::-1]
    facts = {
        "place": primary.words,
        "worst": ", ".join(f"{name} {_percent(share)}" for share, name in worst),
        "best": ", ".join(f"{name} {_percent(share)}" for share, name in best),
    }
    return CLASSES.format(**facts) + "\n" + table_of(run, "classes").render("md")


def _budget(run: Run) -> str:
    found = [budget(run, sigma) for sigma in run.spec.request.sigma]
    rows = tuple(
        (
            each.sigma.text,
            f"{each.samples / each.images:,.0f}",
            _percent(each.early / each.images),
            f"{each.at_most:,} of {each.images:,}",
            _percent(each.share),
        )
        for each in found
    )
    headings = (
        "sigma",
        "mean samples per image",
        "images decided within 1,000",
        "images that took all",
        "their share of samples",
    )
    return BUDGET + table(headings, rows) + ALONE + _alone(run)


def _alone(run: Run) -> str:
    """Samples that each entry alone would have taken, one row per sigma and k."""
    request, limit = run.spec.request, {(entry.sigma, entry.k): entry.r_max for entry in run.results()}
    rows = []
    for sigma in request.sigma:
        taken = alone(run, sigma)
        for k in request.k:
            means = (f"{taken[k, r].mean():,.0f}" if r < limit[float(sigma), k] else "-" for r in request.radius)
            rows.append((sigma.text, str(k), *means))
    return table(("sigma", "k", *(f"r = {r:g}" for r in request.radius)), rows)


def _agreement(run: Run, fixed: Run) -> str:
    sigma = fixed.spec.request.sigma[0]
    limit = {entry.k: entry.r_max for each in (run, fixed) for entry in each.results() if entry.sigma == float(sigma)}
    found = [each for each in agreement(run, fixed, float(sigma)) if each.radius < limit[each.k]]
    rows = tuple(
        (str(each.k), f"{each.radius:g}", *(f"{n}" for n in (each.both, each.neither, each.first, each.second)))
        for each in found
    )
    headings = ("k", "r", "both certify", "neither", "early stopping only", "fixed only")
    early, late = samples_per_image(run, fixed, float(sigma))
    decisions = sum(each.images for each in found)
    differ = sum(each.first + each.second for each in found)
    facts = {
        "sigma": sigma.text,
        "images": found[0].images,
        "early": f"{early:,.0f}",
        "late": f"{late:,.0f}",
        "fewer": format_down(late / early, 1),
        "decisions": f"{decisions:,}",
        "alike": f"{decisions - differ:,}",
    }
    return AGREE.format(**facts) + "\n" + table(headings, rows) + SECOND + _apart(run, fixed, float(sigma))


def _apart(run: Run, fixed: Run, sigma: float) -> str:
    """The images on which the two runs decide differently, if any, with the radii that both found."""
    rows = [
        (
            str(each.index),
            str(each.k),
            f"{each.radius:g}",
            *(format_down(radius, 4) for radius in each.found),
            *(f"{taken:,}" for taken in each.taken),
        )
        for each in apart(run, fixed, sigma)
    ]
    headings = ("image", "k", "r", "radius, early", "radius, fixed", "samples, early", "samples, fixed")
    return DIFFER + table(headings, rows) if rows else ""


def _clean(run: Run) -> str:
    cleans = [run.clean(float(sigma)) for sigma in run.spec.request.sigma]
    share = max(sum(each.correct[1]) / each.images for each in cleans if each is not None)
    facts = {"images": run.spec.data.images, "clean": _percent(share)}
    rows = tuple(
        (sigma.text, ", ".join(f"{name} {n}" for name, n in answers(run, float(sigma)).items()))
        for sigma in run.spec.request.sigma
    )
    certified = _kept(results_table(run.results()), CELL)
    return WITHOUT.format(**facts) + table(("sigma", "answers"), rows) + BLIND + certified


def _percent(share: float) -> str:
    return f"{percent_down(share)} %"


def main() -> None:
    """Write the page, and the results in the README and on the page about frozen classifiers."""
    run, fixed, clean = (open_run(EXAMPLES / name) for name in ("pbc28", FIXED, CLEAN))
    PAGE.write_text(page(run, fixed, clean), encoding="utf-8")
    README.write_text(with_result(README.read_text(encoding="utf-8"), run), encoding="utf-8")
    FROZEN.write_text(with_table(FROZEN.read_text(encoding="utf-8"), compared(EXAMPLES / DENOISED)), encoding="utf-8")


if __name__ == "__main__":
    main()
