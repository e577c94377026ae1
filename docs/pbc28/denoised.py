"""The table in docs/frozen.md: a frozen classifier on real images, alone, behind denoisers, and trained with noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from layout import table
from learned import alone

from smoothcert.config import Sigma
from smoothcert.evidence import Run, open_run
from smoothcert.stats.rounding import percent_of

BEGIN, END = "<!-- measured: python docs/pbc28/make.py -->", "<!-- /measured -->"
IMAGES = 400
"""The first images of the test split, which all runs have."""
RUNS = {
    "nothing": "compared/alone",
    "total variation (deepinv), not trained": "compared/tv",
    "train-denoiser, squared error, one for all levels": "compared/mse",
    "train-denoiser, one per level": "",
    "two pipelines, mean logits": "compared/ensemble",
    "nothing, but a larger classifier trained with noise": "compared/noise-trained",
}
"""What comes before the classifier, and the folder of the run in examples/pbc28-frozen."""


@dataclass(frozen=True)
class Row:
    """What one run says at one noise level, k = 1, on the first images.

    Attributes:
        images: images decided.
        certified: for each radius of the run, images certified with the correct label; None: not attainable.
        samples: mean noise samples per image that k = 1 takes.
    """

    images: int
    certified: tuple[int | None, ...]
    samples: float


def compared(folder: Path) -> dict[str, Run]:
    """Return the runs of the table by what they are called in it."""
    return {name: open_run(folder / at) for name, at in RUNS.items()}


def row_of(run: Run, sigma: Sigma) -> Row:
    """Return the row of a run at one of its noise levels."""
    found = run.certificates(float(sigma), 1)
    first = found.index < IMAGES
    attainable = {entry.radius: entry.attainable for entry in run.results() if (entry.sigma, entry.k) == (sigma, 1)}
    taken = np.max([each for (k, _), each in alone(run, sigma).items() if k == 1], axis=0)
    among = np.array([line.index < IMAGES for line in run.ledger.at(float(sigma))])
    counts = (int(found.certified_correct(r)[first].sum()) if attainable[r] else None for r in run.spec.request.radius)
    return Row(int(first.sum()), tuple(counts), float(taken[among].mean()))


def frozen_table(runs: Mapping[str, Run]) -> str:
    """Return the table as Markdown: one row per noise level and way, certified accuracy at the radii of the runs."""
    levels = sorted({sigma for run in runs.values() for sigma in run.spec.request.sigma}, key=float)
    radii = next(iter(runs.values())).spec.request.radius
    rows = []
    for sigma in levels:
        for name, run in runs.items():
            if sigma in run.spec.request.sigma:
                row = row_of(run, sigma)
                shares = ("not attainable" if n is None else f"{percent_of(n, row.images)} %" for n in row.certified)
                rows.append((sigma.text, name, *shares, f"{row.samples:,.0f}"))
    headings = ("sigma", "before the classifier", *(f"r = {r:g}" for r in radii), "samples per image")
    return table(headings, rows)


def with_table(page: str, runs: Mapping[str, Run]) -> str:
    """Return the text of docs/frozen.md with the table made again."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{frozen_table(runs)}\n{END}{after}"
