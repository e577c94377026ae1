"""`smoothcert radius`: certified radii from class counts of any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def radius(
    counts: Path,
    /,
    *,
    sigma: float,
    alpha: float = 0.001,
    k: int = 1,
    bound: Literal["rankcp", "simuem", "cohen"] = "rankcp",
    radius: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
) -> int:
    """Print one certified radius a line, rounded down to 6 decimals, from class counts; no torch.

    The class certified is the label of each line; the label must not have been chosen from the same votes. 0.000000
    is an abstention. With --radius, print certified top-k accuracy at those radii instead.

    Args:
        counts: One line an image: c class counts, then the label.
        sigma: Noise the votes were drawn with, in units of the [0, 1] range.
        alpha: The largest probability, over an image's own noise draws, that its certificate is wrong.
        k: The label stays among the k most probable classes.
        bound: Confidence bounds.
        radius: L2 radii at which to report certified accuracy.
    """
    from smoothcert.cli.table import read_radii
    from smoothcert.formats.published import read_counts
    from smoothcert.spec import make_request
    from smoothcert.stats import radii_from_counts
    from smoothcert.stats.certificate import r_max_of_counts
    from smoothcert.stats.rounding import format_down, full, percent_of

    make_request(model="-", data="-", sigma=(sigma,), alpha=alpha, k=(k,))
    asked = read_radii(radius)
    votes, labels = read_counts(counts)
    found = radii_from_counts(votes, labels, k, sigma, alpha, bound)
    if not asked:
        print("\n".join(f"{r:.6f}" for r in found))
        return 0
    limit = r_max_of_counts(votes, k, sigma, alpha, bound)
    for r in asked:
        s, m = int((found >= r).sum()), len(found)
        share = f"{s}/{m} = {percent_of(s, m)} %"
        said = share if r <= limit else f"not attainable (R_max {format_down(limit, 4)})"
        print(f"certified top-{k} accuracy at r = {full(r)}: {said} ({bound})")
    return 0
