"""`results/results.json`: the results table, one entry per (sigma, k, r), with every claim over the data set.

* `format`: 2; form 1 had no such key.
* `spec_sha256`, `ledger_sha256`: str. `lines`: int, decided (sigma, image) pairs. `confidence`: 0.95.
* `cells`: list of objects, the entries of the table: the attributes of `Entry`, and `population_assumes`: str or null.

Form 1 gave numbers for entries that are not attainable, and population bounds where images repeat; form 2 gives
neither. A record is compared by the rule of its own form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

CONFIDENCE = 0.95
FORMAT = 2
PARTIAL, CHOSEN_LATER, REPEATS = "partial run", "the radius is not one of the spec", "images repeat"
"""Why an entry has no population bound; words on disk, like what follows."""
ASSUMES = "images are independent draws from the population: assumed, not checked"
ASSUMES_GROUPS = "groups are independent draws from the population, one random image of each: assumed, not checked"
_CLAIMED = ("certified", "observed", "low", "high", "sample", "population", "joint")
_FIRST = (
    *("sigma", "k", "radius", "attainable", "r_max", "images", "lines", *_CLAIMED, "abstained", "wrong"),
    *("samples_mean", "samples_median", "samples_max", "groups"),
)
"""Keys of an entry in form 1."""


@dataclass(frozen=True)
class Entry:
    """One entry (row) of the results table.

    Attributes:
        sigma: noise level, in units of the [0, 1] range.
        k: rank of the certificate.
        radius: L2 radius r, in units of the [0, 1] range.
        attainable: whether the sampling budget can certify r; if not, the counts below carry no information.
        r_max: largest attainable radius.
        images: m, all images of the spec; images without a line count as not certified.
        lines: images decided so far.
        certified: images certified at r with the correct label.
        observed: certified accuracy, certified / images.
        low: lower end of the exact 95 % interval of `observed`.
        high: its upper end; None if the count is only "at least".
        sample: lower bound on how many of these images are truly robust.
        population: lower bound on the robust fraction of the population; None if `withheld` says why: an image is
            missing at any sigma, the radius is not one of the spec, or images repeat.
        joint: the same at the level that makes the bounds of all entries of the spec hold jointly.
        abstained: images that are not `wrong` and have no positive certified radius; if the certified class is the
            reference label, whatever the prediction.
        wrong: images whose selection winner is another class.
        samples_mean: mean number of noise samples per decided image.
        samples_median: median number of noise samples per decided image.
        samples_max: maximum number of noise samples per image.
        groups: number of images behind the population bound if they come in groups (one per group), else None.
        at_least: whether certified, observed, low and sample are only "at least", and abstained "at most"
            (`only_at_least`).
        withheld: why there is no population bound; None if there is one.
    """

    sigma: float
    k: int
    radius: float
    attainable: bool
    r_max: float
    images: int
    lines: int
    certified: int
    observed: float
    low: float
    high: float | None
    sample: int
    population: float | None
    joint: float | None
    abstained: int
    wrong: int
    samples_mean: float
    samples_median: float
    samples_max: int
    groups: int | None
    at_least: bool
    withheld: str | None

    @property
    def population_assumes(self) -> str | None:
        """The assumption behind the population bound; None if there is no bound."""
        if self.population is None:
            return None
        return ASSUMES if self.groups is None else ASSUMES_GROUPS

    def record(self) -> dict[str, Any]:
        """Return plain values: no numbers if not attainable, no abstentions if they are only "at most"."""
        record = {**asdict(self), "population_assumes": self.population_assumes}
        if not self.attainable:
            record |= dict.fromkeys((*_CLAIMED, "at_least", "withheld", "population_assumes"))
        elif self.at_least:
            record["abstained"] = None
        return record


def form_of(record: Any) -> int | None:
    """Return the form by whose rule a written `results.json` is compared; None where it is no such record.

    Form 1 has no key `format`; a form of a newer version is compared by the keys that both have.
    """
    if not isinstance(record, dict) or "cells" not in record:
        return None
    return 1 if "format" not in record else FORMAT


def record_of(
    table: Sequence[Entry], spec_sha256: str, ledger_sha256: str, lines: int, form: int = FORMAT
) -> dict[str, Any]:
    """Return `results.json` as a plain record.

    Args:
        table: the results table.
        spec_sha256: hash of the canonical spec.
        ledger_sha256: hash of the canonical ledger.
        lines: number of decided (sigma, image) pairs.
        form: 1 or 2.
    """
    head = {"spec_sha256": spec_sha256, "ledger_sha256": ledger_sha256, "lines": lines, "confidence": CONFIDENCE}
    if form == 1:
        return {**head, "cells": [{name: getattr(entry, name) for name in _FIRST} for entry in table]}
    return {"format": FORMAT, **head, "cells": [entry.record() for entry in table]}
