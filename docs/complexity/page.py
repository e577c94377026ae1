"""The sample-complexity page: a function from its numbers to Markdown; every figure in its text is one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from measured import AGAIN, Level, Measured, Numbers
from scipy.special import ndtr
from theory import (
    ALPHA,
    ALPHAS,
    AROUND,
    CLASSES,
    KS,
    MARGINS,
    N_MAX,
    RADII,
    SHARES,
    SHOWN,
    SIGMAS,
    TENS,
    WANTED,
    Around,
    Theory,
    Votes,
)
from wording import (
    A_RUN,
    AROUND_R,
    FUNCTIONS,
    MORE,
    NEAR,
    OTHERS,
    PAYS,
    PRICE,
    REACH,
    ROOT,
    SIMULATED,
    TERMS,
    TOP,
    TRAINED,
    WRITTEN,
)

from smoothcert.stats.rounding import format_down, format_up

PICTURES = {
    "sample_complexity": "Four panels: votes against margin, alpha, number of classes, and probability of the label",
    "sample_complexity_looks": "Votes against the margin: looks take about what one look would need if it were known",
    "sample_complexity_run": "Samples per image of a real run, on the theoretical curves for its procedure",
}


def page(numbers: Numbers) -> str:
    """Return the page."""
    theory, run = numbers.theory, numbers.measured
    parts = [
        "# How many votes does a certificate need?",
        WRITTEN,
        TERMS.format(wanted=_share(WANTED), alpha=ALPHA, classes=CLASSES),
        "## In short",
        "\n".join(f"* {each}" for each in (*of_theory(theory), *of_run(theory, run))),
        "## One look",
        _picture("sample_complexity"),
        *_one_look(theory),
        "## Fixed against sequential sampling",
        _picture("sample_complexity_looks"),
        *_looks(theory),
        "## A real run",
        _picture("sample_complexity_run"),
        *_run(run),
        "## What ten times the votes buy",
        *_tens(theory),
        *_edges(run),
        "## The functions",
        FUNCTIONS,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def of_theory(theory: Theory) -> Iterable[str]:
    """Yield the conclusions that hold for every run."""
    one = next(row.votes for row in theory.needed if row.ratio == 1.0)
    half = _at(one, 0.05) / _at(one, 0.1)
    yield (
        f"Half the margin takes {half:.1f} times the votes: at r / sigma = 1, {_at(one, 0.1):,.0f} for a margin of 0.1 "
        f"and {_at(one, 0.05):,.0f} for 0.05."
    )
    alphas = _at(theory.alphas[-1], 0.1) / _at(theory.alphas[0], 0.1)
    yield f"A small alpha is cheap: {ALPHAS[-1]:g} takes {alphas:.1f} times the votes of {ALPHAS[0]:g}."
    cohen, rank, few, many = (_at(row, 0.1) for row in theory.bounds.values())
    yield (
        f"So are many classes with `rankcp`: {rank / cohen:.2f} times the votes of `cohen`, for any number of classes. "
        f"`simuem` takes {few / cohen:.2f} times with 8 classes and {many / cohen:.2f} times with 1,000."
    )
    same = ", ".join(f"{_votes(theory.top[k][SHARES.index(0.8)])} for k = {k}" for k in KS)
    yield f"A larger k gives the same image a larger margin. Votes needed at p = 0.8 and r / sigma = 1: {same}."
    middle = dict(zip(AROUND, theory.around[SHOWN.index(1.0)], strict=True))
    yield (
        f"Looks find the margin themselves: at 0.2 they take {middle[0.2].mean:,.0f} votes on average, where one look "
        f"would need {_at(one, 0.2):,.0f} if the margin were known and fixed sampling takes {N_MAX:,}. At -0.2, where "
        f"nothing can be certified, they give up after {middle[-0.2].mean:,.0f} on average."
    )


def of_run(theory: Theory, run: Measured) -> Iterable[str]:
    """Yield the conclusions that a real run shows."""
    level = next(level for level in run.levels if level.sigma == 0.5)
    edge = next(edge for edge in level.edges if edge.radius == 0.5)
    yield (
        f"Measured at sigma = {level.sigma:g}: {level.run.mean:,.0f} samples per image on average and "
        f"{level.run.median:,.0f} at the median, instead of {run.n0 + run.n_max:,} each."
    )
    margins = {row.n: row.margins[SHOWN.index(1.0)] for row in theory.tens}
    gain = _over(margins[run.n_max], margins[10 * run.n_max])
    yield (
        f"Ten times the votes divide the smallest margin by {gain:.1f}. In that run, at r = {edge.radius:g}, about "
        f"{edge.ten} images would join the {edge.certified} certified of {run.images:,}."
    )


def _one_look(theory: Theory) -> Iterable[str]:
    head = ("r / sigma", "(sigma, r)", "p must exceed", "unanimous", *_margins())
    rows = []
    for row in theory.needed:
        entries = ", ".join(f"({s:g}, {r:g})" for s in SIGMAS for r in RADII if r / s == row.ratio)
        rows.append(
            (f"{row.ratio:g}", entries, format_up(row.least_p, 5), _votes(row.unanimous), *map(_votes, row.votes))
        )
    yield f"Votes needed, if all votes agree and by margin:\n\n{table(head, rows)}"
    last = theory.needed[-1]
    yield NEAR.format(
        p=ndtr(1.1), least=format_up(float(ndtr(1.0)), 5), far=format_up(last.least_p, 5), votes=_votes(last.unanimous)
    )
    first = ("r / sigma = 1", *_margins())
    alphas = [(f"alpha = {alpha:g}", *map(_votes, row)) for alpha, row in zip(ALPHAS, theory.alphas, strict=True)]
    bounds = [(name, *map(_votes, row)) for name, row in theory.bounds.items()]
    yield f"{OTHERS.strip()}\n\n{table(first, alphas)}\n\n{table((*first, 'k = 5: margin 0.2'), bounds)}"
    shares = ("r / sigma = 1", *(f"p = {share:g}" for share in SHARES))
    yield f"{TOP.strip()}\n\n{table(shares, [(f'k = {k}', *map(_votes, theory.top[k])) for k in KS])}"


def _looks(theory: Theory) -> Iterable[str]:
    head = ("margin", *(f"r / sigma = {ratio:g}: {what}" for ratio in SHOWN for what in ("votes", "certified")))
    rows = [
        (f"{margin:g}", *(entry for found in theory.around for entry in _around(found[i])))
        for i, margin in enumerate(AROUND)
    ]
    yield f"{AROUND_R.format(n_max=N_MAX, images=theory.images).strip()}\n\n{table(head, rows)}"
    least = [
        (f"{ratio:g}", format_up(fixed, 4), format_up(looks, 4))
        for ratio, (fixed, looks) in zip(SHOWN, theory.least, strict=True)
    ]
    price = table(("r / sigma", f"fixed, {N_MAX:,} votes", "looks"), least)
    yield f"{PRICE.format(wanted=_share(WANTED))}\n\n{price}"
    yield PAYS


def _around(row: Around) -> tuple[str, str]:
    return f"{row.mean:,.0f}", f"{format_down(100 * row.power, 1)} %"


def _run(run: Measured) -> Iterable[str]:
    facts = {"ks": " and ".join(map(str, run.ks)), "radii": ", ".join(f"{r:g}" for r in run.radii)}
    about = A_RUN.format(**{**vars(run), **facts}, trained=TRAINED, fixed=run.n0 + run.n_max)
    rows = [row for level in run.levels for row in _level(level)]
    yield f"{about.strip()}\n\n{table(('sigma', 'samples', 'mean', 'median', '90 % at most'), rows)}"
    largest = max(abs(1 - level.simulated.mean / level.run.mean) for level in run.levels)
    votes, spec = (digest.removeprefix("sha256:")[:16] for digest in (run.ledger_sha256, run.spec_sha256))
    yield SIMULATED.format(again=AGAIN, largest=format_up(100 * largest, 1), votes=votes, spec=spec)


def _level(level: Level) -> Iterable[tuple[str, ...]]:
    for name, found in (("measured", level.run), ("simulated", level.simulated)):
        yield f"{level.sigma:g}", name, *(f"{each:,.0f}" for each in (found.mean, found.median, found.high))


def _tens(theory: Theory) -> Iterable[str]:
    head = ("n", "R_max / sigma", *(f"smallest margin, r / sigma = {ratio:g}" for ratio in SHOWN))
    rows = [(f"{row.n:,}", format_down(row.reach, 4), *map(_margin, row.margins)) for row in theory.tens]
    yield f"{REACH.format(wanted=_share(WANTED)).strip()}\n\n{table(head, rows)}"
    late = [row for row in theory.tens if row.n >= 1000]
    pairs = list(itertools.pairwise(late))
    ratios = [_over(a, b) for one, ten in pairs for a, b in zip(one.margins, ten.margins, strict=True)]
    gains = [ten.reach - one.reach for one, ten in pairs]
    yield ROOT.format(
        first=late[0].n,
        last=TENS[-1],
        low=format_down(min(ratios), 1),
        high=format_up(max(ratios), 1),
        more=format_down(min(gains), 2),
        most=format_up(max(gains), 2),
    )


def _edges(run: Measured) -> Iterable[str]:
    head = (
        "sigma",
        "r",
        "certified",
        "not, though the observed margin is above 0",
        "of these, within ten times the votes",
    )
    rows = []
    for level in run.levels:
        for edge in level.edges:
            counts = (edge.certified, edge.open, edge.ten) if edge.attainable else ("not attainable", "-", "-")
            rows.append((f"{level.sigma:g}", f"{edge.radius:g}", *map(str, counts)))
    yield f"In the run above, of {run.images:,} images at k = 1:\n\n{table(head, rows)}"
    yield MORE.format(more=10 * run.n_max, n_max=run.n_max, wanted=_share(WANTED))


def _at(votes: Votes, margin: float) -> float:
    found = votes[MARGINS.index(margin)]
    assert found is not None
    return found


def _over(a: float | None, b: float | None) -> float:
    assert a is not None
    assert b is not None
    return a / b


def _margins() -> list[str]:
    return [f"margin {margin:g}" for margin in MARGINS]


def _votes(votes: float | None) -> str:
    return "-" if votes is None else f"{votes:,.0f}"


def _margin(margin: float | None) -> str:
    return "-" if margin is None else format_up(margin, 4)


def _share(share: float) -> str:
    return f"{100 * share:g} %"


def _picture(name: str) -> str:
    return f'<img src="pictures/{name}.svg" alt="{PICTURES[name]}" width="640">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; numbers stand on the right."""
    found = list(rows)
    sides = ["---:" if all(_is_number(row[i]) for row in found) else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, sides, *found])


def _is_number(text: str) -> bool:
    digits = text.removesuffix(" %").replace(",", "").replace(".", "").lstrip("-")
    return text in ("-", "not attainable") or digits.isdigit()
