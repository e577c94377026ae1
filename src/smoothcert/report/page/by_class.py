"""Certified accuracy by class at every k and radius of the spec, for a table that the reader sorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smoothcert.evidence.outcomes import Outcomes
from smoothcert.report.classes import class_rows_of, in_words
from smoothcert.spec import Spec


def class_records(spec: Spec, found: Mapping[tuple[float, int], Outcomes]) -> list[dict[str, Any]]:
    """Return, for each k and radius, certified images and printed shares of each class, a column a sigma.

    Args:
        spec: the locked spec.
        found: certificates by sigma and k.

    Returns:
        k, r (position of the radius in the spec), counts and texts (each sigma: a value a class).
    """
    return [_record(spec, found, k, place) for k in spec.request.k for place in range(len(spec.request.radius))]


def _record(spec: Spec, found: Mapping[tuple[float, int], Outcomes], k: int, place: int) -> dict[str, Any]:
    columns = [class_rows_of(spec, found[float(s), k], spec.request.radius[place]) for s in spec.request.sigma]
    return {
        "k": k,
        "r": place,
        "counts": [[row.certified if row.attainable else None for row in rows] for rows in columns],
        "texts": [[in_words(row) for row in rows] for rows in columns],
    }
