"""`smoothcert status`: how far a run is, from its files alone."""

from __future__ import annotations

from pathlib import Path


def status(run: Path, /) -> int:
    """Say how far a run is: images decided, copies drawn, sealed or not.

    Args:
        run: Run directory.
    """
    from smoothcert.evidence import open_run

    opened = open_run(run)
    request, total = opened.spec.request, opened.spec.data.images
    print(f"{run}: {_state(opened.missing, opened.sealed)}")
    for sigma in request.sigma:
        lines = opened.ledger.at(sigma)
        copies = sum(line.samples for line in lines)
        mean = f"{copies / len(lines):,.0f} copies an image" if lines else "not begun"
        print(f"  sigma {sigma:g}: {len(lines)}/{total} images decided, {mean}")
    print(
        f"  alpha {request.alpha:g}, bound {request.bound}, k {', '.join(map(str, request.k))}, "
        f"n_max {request.n_max:,}, stopping {request.stopping}, noise {request.noise}"
    )
    print(f"  computer arithmetic: {opened.arithmetic}")
    if opened.ledger.torn:
        print(f"  {opened.ledger.torn} unfinished ledger line was cut off by a crash; its image is sampled again")
    for level, index in opened.ledger.differing:
        print(f"  workers differ on sigma {level:g}, image {index}: the one whose name sorts first counts")
    if opened.missing or not opened.sealed:
        print(f"Next: smoothcert resume {run}")
    else:
        print(f"Next: smoothcert table {run}, smoothcert verify {run}")
    return 0


def _state(missing: int, sealed: bool) -> str:
    if missing:
        return f"not finished, {missing} images missing, NOT SEALED"
    return "finished and sealed" if sealed else "all images decided, NOT SEALED"
