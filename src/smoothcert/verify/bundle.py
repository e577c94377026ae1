"""The deployment check: is a bundle the object that a run certified? Hashes and records only, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from smoothcert.errors import InputError
from smoothcert.evidence import Run
from smoothcert.evidence.bundle.differences import Tie, certified_of, chosen, differences, tie_of
from smoothcert.evidence.bundle.files import README, RECORD, WEIGHTS, bundle_faults, read_record, readme
from smoothcert.evidence.bundle.record import Bundle, Certified
from smoothcert.stats import prediction_looks

TIES: dict[Tie, str] = {
    "same file": "the weights file the run certified, byte for byte",
    "same tensors": "the tensors the run certified",
    "not known": (
        "they were written anew from another form of file, and this run, by an earlier version, recorded no hash of "
        "their state. Make a bundle anew from the run's own file and compare the two weights.safetensors, or certify "
        "anew"
    ),
}
NOT_SHOWN_OF_BUNDLE = (
    "that a device runs this bundle and nothing else, that images come to it prepared as the certified ones were, or "
    "that its arithmetic is the certified recipe's (`smoothcert predict` says where it is not)"
)


@dataclass(frozen=True)
class BundleReport:
    """What the deployment check found.

    Attributes:
        sigma: noise level of the bundle; None where its record cannot be trusted.
        faults: where the bundle is not the certified object, in words; empty where it is.
        weights: how its weights hang together with the certified ones, in words.
        tied: whether a hash ties its weights to the certified ones; otherwise that could not be checked.
        named: whether the bundle itself names this run as its origin.
        chosen: settings of its predictions that are not the run's, in words: alpha, n, n0, bound.
        notes: what else was not checked, and why.
    """

    sigma: float | None
    faults: tuple[str, ...]
    weights: str = ""
    tied: bool = False
    named: bool = False
    chosen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the bundle is the certified object, weights included."""
        return not self.faults and self.tied


def verify_bundle(run: Run, path: Path) -> BundleReport:
    """Compare a bundle with a run, whose evidence has been verified.

    Args:
        run: a run.
        path: the bundle directory.

    Raises:
        EvidenceError: there is no bundle there.
    """
    faults = tuple(bundle_faults(path))
    if faults:
        return BundleReport(None, faults)
    bundle = read_record(path)
    faults = differences(bundle, run.spec)
    if run.missing or not run.sealed:
        faults += ("the run is not sealed, so nothing is certified yet",)
    if bundle.sigma not in [model.sigma for model in run.spec.models]:
        return BundleReport(bundle.sigma, faults)
    certified = certified_of(run, bundle.sigma)
    tie = tie_of((path / WEIGHTS).read_bytes(), certified.model)
    if tie == "other weights":
        faults += (f"{WEIGHTS} does not hold the weights this run certified, {certified.model.sha256[:19]}...",)
    faults += (*_of_origin(bundle, certified), *_of_prediction(bundle))
    same_words = (path / README).read_bytes() == readme(bundle).encode()
    other = bundle.smoothcert != version("smoothcert")
    if not same_words and not other:
        faults += (f"{README} does not say what {RECORD} says",)
    return BundleReport(
        sigma=bundle.sigma,
        faults=faults,
        weights=TIES.get(tie, ""),
        tied=tie in ("same file", "same tensors"),
        named=bundle.certified is not None,
        chosen=tuple(chosen(bundle, run.spec.request)),
        notes=(f"{README}: it has the words of smoothcert {bundle.smoothcert}",) if other and not same_words else (),
    )


def _of_prediction(bundle: Bundle) -> Iterator[str]:
    """Yield where a bundle's predictions can decide nothing."""
    try:
        prediction_looks(bundle.n, bundle.alpha)
    except InputError as error:
        yield f"{RECORD}: {error}"


def _of_origin(bundle: Bundle, certified: Certified) -> Iterator[str]:
    """Yield where a bundle names another run as its origin, or tells this one's facts otherwise."""
    told = bundle.certified
    if told is None or told == certified:
        return
    if (told.spec_sha256, told.ledger_sha256) != (certified.spec_sha256, certified.ledger_sha256):
        yield f"the bundle names another run as its origin (ledger {told.ledger_sha256[:12]}...)"
    else:
        yield "the bundle tells the facts of this run otherwise than the run does"
