"""Whether networks are those of a run: their hashes, the names of their functions, and the probe.

The probe is the logits of a few fixed images, which tell whether code computes what it computed before.
Weights are identified by their hash, code of users by the hash of a source file at most: another function of the same
file, another library or another setting can compute something else. A run therefore records a probe when its spec is
locked, and a bundle has it, too. It is a test, not a proof: other code may return the same for these images.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from smoothcert.config import DenoiserFacts, ModelFacts, Recipe, identity
from smoothcert.errors import EvidenceError, ModelError
from smoothcert.evidence.bundle.record import OF_THE_MACHINE
from smoothcert.models import Classifier
from smoothcert.noise import Rows, Stage, make_noise
from smoothcert.sampling.base_model import device_of_module, evaluating
from smoothcert.sampling.bundled_parts import check_factory

IMAGES, LOGITS = 4, 64
"""Fixed images, which are classified without and with noise, and the number of logits that are kept of each."""
SAME_MACHINE, OTHER_MACHINE = 1e-4, 0.01
"""Largest difference, as a share of the range of the logits.

Measured for ResNet-8, -20 and -18 (random weights) alone and behind two denoisers, in float32, as the probe is always
computed: other kernels and float64 change at most 1.5e-6, other thread and batch counts nothing; operands rounded to
TF32, the coarsest arithmetic of float32 on an accelerator, 1.7e-3.
"""

Logits = tuple[tuple[float, ...], ...]


def probe(classifier: Classifier, shape: tuple[int, int, int], levels: int, sigma: float) -> Logits:
    """Return the logits of the fixed images (at most 64 classes), in float32, without noise and then with it.

    Args:
        classifier: with a denoiser, the pipeline of both.
        shape: (C, H, W) of an image.
        levels: largest grey value.
        sigma: noise level, in units of the [0, 1] range.

    Returns:
        2 * `IMAGES` rows.

    Raises:
        ModelError: the classifier fails on them.
    """
    images = torch.from_numpy(_images(classifier, shape, levels, sigma)).to(device_of_module(classifier.module))
    try:
        with torch.inference_mode(), evaluating(classifier.module):
            logits = torch.cat([classifier.module(batch) for batch in (images[:IMAGES], images[IMAGES:])])
        array = logits.float().cpu().numpy()[:, :LOGITS]
    except Exception as error:  # the user's own code may fail in any way
        raise ModelError(
            f"{classifier.reference} fails on images of shape (n, C, H, W) = {(IMAGES, *shape)} "
            f"({type(error).__name__}); give the shape it takes.",
            code="E-MODEL-093",
        ) from None
    if array.ndim != 2 or len(array) != len(images) or not np.isfinite(array).all():
        raise ModelError(
            f"{classifier.reference}: finite logits (n, classes) are expected, got {array.shape}.", code="E-MODEL-094"
        )
    return tuple(tuple(float(f"{value:.9g}") for value in row) for row in array)  # 9 digits are exact for float32


def apart(kept: Logits, found: Logits, tolerance: float) -> bool:
    """Return whether the logits of a probe are not those that were kept; only rows that were kept are compared.

    >>> kept = ((0.0, 10.0), (5.0, 5.0))
    >>> apart(kept, ((0.0, 10.0), (5.0, 5.0), (1.0, 2.0)), 0.01), apart(kept, ((0.0, 10.0), (5.0, 5.2)), 0.01)
    (False, True)
    """
    expected, logits = np.array(kept), np.array(found[: len(kept)])
    return expected.shape != logits.shape or bool(np.abs(expected - logits).max() > tolerance * np.ptp(expected) + 1e-6)


def tolerance(recorded: Recipe, present: Recipe) -> float:
    """Return the tolerance of a comparison; an accelerator may choose another kernel in each session."""
    same = all(getattr(recorded, name) == getattr(present, name) for name in OF_THE_MACHINE)
    return SAME_MACHINE if same and present.device == "cpu" else OTHER_MACHINE


def check_certified(
    facts: ModelFacts, classifier: Classifier, place: tuple[tuple[int, int, int], int], within: float
) -> None:
    """Check that a classifier, with its denoiser, computes what a run certified at one noise level.

    Args:
        facts: what the run recorded; a run without a probe is not compared.
        classifier: the classifier; with a denoiser, the pipeline of both.
        place: shape (C, H, W) of an image, and largest grey value.
        within: see `tolerance`.

    Raises:
        EvidenceError: it does not.
        ModelError: it fails on the fixed images.
    """
    if facts.probe and apart(facts.probe, probe(classifier, *place, facts.sigma), within):
        what, before = "network", ""
        if classifier.denoiser is not None:
            what, before = "pipeline", f"{classifier.denoiser.reference} before "
        raise EvidenceError(
            f"{before}{classifier.reference} is not the {what} of this run at sigma {facts.sigma:g}: with the same "
            "weights it returns other logits for a few fixed images. Pass the code with which the run was begun, with "
            "its settings, and with the versions of the libraries that environment.json lists.",
            code="E-RUN-170",
        )


def is_code(facts: ModelFacts) -> bool:
    """Return whether code besides this package computes the logits."""
    return facts.arch is None or (facts.denoiser is not None and facts.denoiser.arch is None)


def check_classifier(ours: ModelFacts, theirs: ModelFacts, in_memory: bool) -> None:
    """Refuse a classifier that is not that of the run."""
    if in_memory and (ours.sha256, ours.source_sha256) != (theirs.sha256, theirs.source_sha256):
        raise _other_object("model", theirs.reference, ours.sigma)
    other_state = ours.state_sha256 is not None and ours.state_sha256 != theirs.state_sha256
    if ours.sha256 != theirs.sha256 or other_state:
        raise EvidenceError(
            f"{theirs.weights or theirs.reference} is not the classifier of this run at sigma {ours.sigma:g} "
            f"({identity(ours.sha256, ours.source_sha256)}). Point --model or --weights at the unchanged file.",
            code="E-RUN-013",
        )
    check_source("--model", ours.reference, ours.source_sha256, theirs.source_sha256)
    check_factory("--model", ours.reference, theirs.reference)


def check_denoiser_of_run(ours: ModelFacts, theirs: ModelFacts, in_memory: bool) -> None:
    """Refuse a denoiser that is not that of the run."""
    mine, other = ours.denoiser, theirs.denoiser
    hashes = [None if each is None else (each.sha256, each.state_sha256, each.adapted) for each in (mine, other)]
    if hashes[0] != hashes[1]:
        found = "none" if other is None else f"{other.weights or other.reference} ({_identity(other)})"
        point = "Pass" if in_memory else "Point --denoiser or --denoiser-weights at"
        remedy = "Leave the denoiser out" if mine is None else f"{point} the unchanged one"
        expected = "no denoiser" if mine is None else f"the denoiser {mine.reference} ({_identity(mine)})"
        raise EvidenceError(
            f"This run was begun with {expected} at sigma {ours.sigma:g}, got {found}. {remedy}.",
            code="E-RUN-090",
        )
    if mine is None or other is None:
        return
    if in_memory and mine.source_sha256 != other.source_sha256:
        raise _other_object("denoiser", other.reference, ours.sigma)
    check_source("--denoiser", mine.reference, mine.source_sha256, other.source_sha256)
    check_factory("--denoiser", mine.reference, other.reference)


def _identity(denoiser: DenoiserFacts) -> str:
    return identity(denoiser.sha256, denoiser.source_sha256)


def _other_object(what: str, reference: str, sigma: float) -> EvidenceError:
    return EvidenceError(
        f"{reference} is not the {what} with which this run was begun at sigma {sigma:g}: its tensors, structure, "
        f"attributes or source differ. Pass the unchanged {what}, with the same version of Python.",
        code="E-RUN-088",
    )


def check_source(flag: str, reference: str, ours: str | None, theirs: str | None) -> None:
    """Refuse code whose source file is not that of the run; a run that recorded no hash is not compared.

    Raises:
        EvidenceError: the hashes differ.
    """
    if ours is not None and ours != theirs:
        raise EvidenceError(
            f"{reference}: the source file or configuration of this code is not that of this run ({ours[:19]}...). "
            f"Restore it, or give {flag} with an unchanged copy.",
            code="E-RUN-014",
        )


def _images(classifier: Classifier, shape: tuple[int, int, int], levels: int, sigma: float) -> NDArray[np.float32]:
    """Return normalised images of many grey values, each a different ramp through the whole range; then noisy ones."""
    count = int(np.prod(shape))
    steps = np.array([1, 7, 31, 101])[:, None]
    clean = (np.arange(count) * steps * levels // max(count - 1, 1) % (levels + 1)).reshape(IMAGES, *shape)
    numbers = np.arange(IMAGES, dtype=np.uint64)
    rows = Rows.of(numbers.astype(np.int64), numbers, np.zeros_like(numbers), Stage.TEST)
    noise = make_noise("grid", sigma, levels, 0).steps(rows, shape)
    pixels = np.concatenate([clean, clean + noise]) / levels
    mean, std = (np.reshape(column, (1, -1, 1, 1)) for column in (classifier.mean or (0.0,), classifier.std or (1.0,)))
    normalised: NDArray[np.float32] = ((pixels - mean) / std).astype(np.float32)
    return normalised
