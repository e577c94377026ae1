"""The deployment check: whether a bundle is the classifier that a run certified. Hashes and records only, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from smoothcert.config import ModelFacts, identity
from smoothcert.config.spec import NOTHING
from smoothcert.errors import InputError
from smoothcert.evidence import Run
from smoothcert.evidence.bundle.differences import Tie, certified_of, chosen, differences, metadata_of, tie_of
from smoothcert.evidence.bundle.files import DENOISER, README, RECORD, WEIGHTS, bundle_faults, read_record, readme
from smoothcert.evidence.bundle.record import Bundle, Certified
from smoothcert.formats.card import CLASSIFIER, ONE_STEP, adaptation, card_from_json, denoiser_card_from_json
from smoothcert.formats.card import DENOISER as DENOISER_CARD
from smoothcert.stats import prediction_looks

TIES: dict[Tie, str] = {
    "same file": "the weights file the run certified, byte for byte",
    "same tensors": "the tensors the run certified",
    "not known": (
        "they were converted from another file format, and this run, by an earlier version, recorded no hash of their "
        "state dict. Make a bundle from the run's own file and compare the two weights.safetensors, or certify again"
    ),
}
SAME = ("same file", "same tensors")
"""Ties by which weights are the certified ones."""
NOT_SHOWN_OF_BUNDLE = (
    "that a device runs this bundle, that its images are preprocessed like the certified ones, or that its arithmetic "
    "follows the certified recipe (`smoothcert predict` warns if it does not)"
)


@dataclass(frozen=True)
class BundleReport:
    """The result of the deployment check.

    Attributes:
        sigma: noise level of the bundle; None if its record cannot be trusted.
        faults: differences from the certified classifier, as text; empty if there are none.
        weights: how its weights, and those of a denoiser, are related to the certified ones, as text.
        tied: whether its weights have a certified hash; otherwise they could not be checked.
        named: whether the bundle names this run as its origin.
        chosen: prediction settings (alpha, n, n0, bound) that differ from those of the run, as text.
        notes: what else was not checked, and why.
        page: whether README.md is the text that follows from the record.
    """

    sigma: float | None
    faults: tuple[str, ...]
    weights: str = ""
    tied: bool = False
    named: bool = False
    chosen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    page: bool = True

    @property
    def passed(self) -> bool:
        """Whether the bundle is the certified classifier, weights included."""
        return not self.faults and self.tied


def verify_bundle(run: Run, path: Path) -> BundleReport:
    """Compare a bundle with a run whose evidence has been verified.

    Args:
        run: the run.
        path: the bundle directory.

    Raises:
        EvidenceError: the path is not a bundle.
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
    weights, denoiser = (path / WEIGHTS).read_bytes(), None
    tie = tie_of(weights, certified.model)
    if tie == "other weights":
        faults += (f"{WEIGHTS} does not contain the certified weights, {identity(certified.model.sha256)}",)
    words = [TIES.get(tie, "")]
    if bundle.model.denoiser is not None and certified.model.denoiser is not None:
        denoiser = (path / DENOISER).read_bytes()
        before = tie_of(denoiser, certified.model.denoiser)
        none = certified.model.denoiser.sha256 == NOTHING
        words.append("denoiser: code without weights" if none else f"denoiser: {TIES.get(before, '')}")
        if before not in SAME:
            expected = identity(certified.model.denoiser.sha256)
            faults += (f"{DENOISER} does not contain the weights of the certified denoiser, {expected}",)
    probed, unprobed = _of_probe(bundle, run.spec.model_at(bundle.sigma))
    faults += (*_of_origin(bundle, certified), *_of_prediction(bundle), *_of_calls(bundle))
    faults += tuple(_of_cards(bundle, weights, denoiser))
    faults = (*faults, *probed)
    same_text = (path / README).read_bytes() == readme(bundle).encode()
    other_version = bundle.smoothcert != version("smoothcert")
    if not same_text and not other_version:
        faults += (f"{README} is not the text that follows from {RECORD}",)
    text = f"{README}: its text is that of smoothcert {bundle.smoothcert}"
    notes = (*([text] if other_version and not same_text else []), *unprobed)
    return BundleReport(
        sigma=bundle.sigma,
        faults=faults,
        weights="; ".join(words),
        tied=tie in SAME,
        named=bundle.certified is not None,
        chosen=tuple(chosen(bundle, run.spec.request)),
        notes=notes,
        page=same_text,
    )


def _of_prediction(bundle: Bundle) -> Iterator[str]:
    """Yield a fault if the predictions of a bundle can never decide."""
    try:
        prediction_looks(bundle.n, bundle.alpha)
    except InputError as error:
        yield f"{RECORD}: {error}"


def _of_calls(bundle: Bundle) -> Iterator[str]:
    """Yield a fault if the denoiser would be called in another way than its description says."""
    denoiser, file = bundle.model.denoiser, bundle.denoiser_file
    if denoiser is None or file is None:
        return
    inside = (ONE_STEP,) if denoiser.reference.startswith("diffusers:") else ()
    if (*inside, *adaptation(file.value_range, file.takes_sigma)) != denoiser.adapted:
        yield f"{RECORD}: value range and sigma of the denoiser are not those of its description {denoiser.adapted}"


def _of_cards(bundle: Bundle, weights: bytes, denoiser: bytes | None) -> Iterator[str]:
    """Yield a fault for each file of a built-in network that declares other facts than the record: it cannot load."""
    before, declared = bundle.model.denoiser, metadata_of(weights)
    try:
        if bundle.model.arch is not None and CLASSIFIER in declared:
            card = card_from_json(declared[CLASSIFIER], WEIGHTS)
            plain = card.value_range == (0.0, 1.0) and card.channels != "BGR"
            other = plain and card.mean and (card.mean, card.std) != (bundle.mean, bundle.std)
            if other or card.arch not in (None, bundle.model.arch):
                yield f"{WEIGHTS} declares another architecture or normalisation than {RECORD}"
        if before is not None and before.arch is not None and denoiser is not None:
            facts = denoiser_card_from_json(metadata_of(denoiser).get(DENOISER_CARD, "{}"), DENOISER)
            if (facts.arch, facts.sigma_low, facts.sigma) != (before.arch, before.trained_low, before.trained_sigma):
                yield f"{DENOISER} declares another architecture or other noise levels than {RECORD}"
    except InputError as error:
        yield str(error)


def _of_probe(bundle: Bundle, certified: ModelFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return faults and notes about the logits of fixed images, which detect other code."""
    if not bundle.model.code:
        return (), ()
    kept = bundle.probe
    if certified.probe and (not kept or kept != certified.probe[: len(kept)]):
        return (f"{RECORD}: the logits of fixed images are not those of the run, so it is other code",), ()
    if certified.probe:
        return (), ()
    code = " and ".join(bundle.model.code)
    return (), (f"the run recorded no logits of fixed images, so what the code of {code} computes was not compared",)


def _of_origin(bundle: Bundle, certified: Certified) -> Iterator[str]:
    """Yield a fault if a bundle names another run as its origin, or has other facts of this run."""
    origin = bundle.certified
    if origin is None or origin == certified:
        return
    if (origin.spec_sha256, origin.ledger_sha256) != (certified.spec_sha256, certified.ledger_sha256):
        yield f"the bundle names another run as its origin (ledger {origin.ledger_sha256[:12]}...)"
    else:
        yield f"{RECORD}: `certified` does not match this run"
