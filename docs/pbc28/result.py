"""The result in README.md: the table of the reference run, one row per (sigma, k), and how to read it."""

from __future__ import annotations

from layout import table, text
from wording import EVIDENCE, RESULT

from smoothcert.config import Sigma
from smoothcert.evidence import Run
from smoothcert.evidence.cost import costs
from smoothcert.formats.results import Entry
from smoothcert.stats.rounding import format_down, percent_down, percent_of, percent_up

BEGIN, END = "<!-- result: python docs/pbc28/make.py -->", "<!-- /result -->"


def with_result(readme: str, run: Run) -> str:
    """Return a README text with the result of the reference run made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text(_short(run))}\n{END}{after}"


def _short(run: Run) -> tuple[str, ...]:
    """The result in the README: certified accuracy, one row per (sigma, k), and how to read it."""
    request = run.spec.request
    at = {(entry.sigma, entry.k, entry.radius): entry for entry in run.results()}
    rows = tuple(
        (sigma.text, str(k), *(_share(at[float(sigma), k, r]) for r in request.radius), _copies(at, sigma, k))
        for sigma in request.sigma
        for k in request.k
    )
    headings = ("sigma", "k", *(f"r = {r:g}" for r in request.radius), "samples per image, mean / median")
    facts = row_facts(run)
    return RESULT.format(**facts), table(headings, rows), EVIDENCE.format(**facts)


def row_facts(run: Run) -> dict[str, str]:
    """What the explanations of single rows say, by name."""
    request, total = run.spec.request, costs(run)[-1]
    at = {(entry.sigma, entry.k, entry.radius): entry for entry in run.results()}
    return {
        "images": f"{run.spec.data.images:,}",
        "n_max": f"{request.n_max:,}",
        "passes": f"{total.passes:,}",
        "fixed": f"{total.fixed_passes:,}",
        "certified": f"{at[0.5, 1, 0.5].certified:,}",
        "main": _share(at[0.5, 1, 0.5]),
        "far": _share(at[0.5, 1, 1.0]),
        "three": _share(at[0.5, 3, 0.5]),
        "limit": format_down(at[0.25, 1, 1.0].r_max, 4),
    }


def _share(entry: Entry) -> str:
    if not entry.attainable:
        return "not attainable"
    ends = f"{percent_down(entry.low)} to {percent_up(entry.high)}"
    return f"{percent_of(entry.certified, entry.images)} % ({ends})"


def _copies(at: dict[tuple[float, int, float], Entry], sigma: Sigma, k: int) -> str:
    """Samples per image; they serve every k and are shown in the first row of their sigma."""
    first = min(at)[1] == k
    entry = next(entry for entry in at.values() if entry.sigma == float(sigma))
    return f"{entry.samples_mean:,.0f} / {entry.samples_median:,.0f}" if first else ""
