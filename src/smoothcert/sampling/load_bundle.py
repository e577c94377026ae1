"""Loading a bundle: the certified smoothed classifier, or an error; another numeric recipe is a warning.

A bundle holds the weights of a custom network or denoiser, but not its code. It therefore keeps a probe: the logits of
a few fixed images, which are compared when it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from smoothcert.config import DenoiserFacts, Recipe
from smoothcert.errors import EvidenceError, ModelError
from smoothcert.evidence.bundle.differences import tie_of, unlike, unlike_recipe
from smoothcert.evidence.bundle.files import DENOISER, WEIGHTS, read_bundle
from smoothcert.evidence.bundle.record import Bundle, DenoiserFile
from smoothcert.formats.card import card_from_values
from smoothcert.models import Classifier, Denoiser, ModelOptions
from smoothcert.models.adapters import classifier_of, frozen
from smoothcert.models.checkpoints import read_weights
from smoothcert.models.denoisers.adapt import Adapted
from smoothcert.models.denoisers.load import DenoiserOptions, load_denoiser
from smoothcert.models.denoisers.pipeline import denoised
from smoothcert.models.resnet import load_built_in
from smoothcert.models.state import load_state
from smoothcert.sampling.base_model import DenoiserModel, check_is_denoiser
from smoothcert.sampling.identity import OTHER_MACHINE, apart, probe


def check_probe(path: Path, bundle: Bundle, classifier: Classifier) -> None:
    """Check that a network, or a pipeline, returns the logits of the saved one for the fixed images.

    Args:

    Args:
        path: the bundle directory.
        bundle: its record.
        classifier: its base classifier; with a denoiser, the pipeline of both.

    Raises:
        ModelError: it does not.
    """
    if apart(bundle.probe, probe(classifier, bundle.shape, bundle.levels, bundle.sigma), OTHER_MACHINE):
        name = f"{classifier.reference} is not the network"
        if classifier.denoiser is not None:
            name = f"{classifier.denoiser.reference}, then {classifier.reference}, is not the pipeline"
        raise ModelError(
            f"{path}: {name} of this bundle: with the bundle's weights it returns other logits for a few fixed images. "
            "Pass the code that was certified.",
            code="E-MODEL-095",
        )


@dataclass(frozen=True)
class Loaded:
    """A bundle that was read and checked.

    Attributes:
        bundle: its record.
        classifier: the base classifier.
        options: settings of the smoothed classifier: noise, precision, batch size, compilation, bound and n0.
    """

    bundle: Bundle
    classifier: Classifier
    options: dict[str, Any]

    def warnings(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the differences of a recipe from that of the certification run, or of the saved bundle, in words."""
        certified = self.bundle.certified
        before, when = (certified.recipe, "certified") if certified else (self.bundle.recipe, "saved")
        return tuple(unlike_recipe(recipe, before, when))


def load_bundle(path: Path, model: nn.Module | None = None, denoiser: DenoiserModel | None = None) -> Loaded:
    """Load a bundle after checking every file of it.

    Args:
        path: the bundle directory.
        model: for a custom network: a module of the same architecture, whose state dict is replaced.
        denoiser: for a custom denoiser: likewise.

    Raises:
        EvidenceError: a file was changed, or the bundle is not what its run certified.
        ModelError: the code of network or denoiser is needed and was not given, or is other code.
    """
    bundle = read_bundle(path)
    _refuse_uncertified(path, bundle)
    classifier = _built_in(path, bundle) if model is None else _custom(path, bundle, model)
    before = _denoiser(path, bundle, denoiser)
    if before is not None:
        classifier = denoised(classifier, before, bundle.sigma)
    if bundle.model.code:
        check_probe(path, bundle, classifier)
    return Loaded(bundle, classifier, _options(bundle))


def _refuse_uncertified(path: Path, bundle: Bundle) -> None:
    """Check that the parts of a bundle are those that its record says were certified."""
    certified, model = bundle.certified, (bundle.certified or bundle).model
    found = [] if certified is None else list(unlike(bundle, certified))
    if tie_of((path / WEIGHTS).read_bytes(), model) == "other weights":
        found.append(f"{WEIGHTS} does not hold the weights {bundle.model.sha256[:19]}...")
    before = model.denoiser if bundle.denoiser_file is not None else None
    if before is not None and tie_of((path / DENOISER).read_bytes(), before) == "other weights":
        found.append(f"{DENOISER} does not hold the weights {before.sha256[:19]}...")
    if found:
        raise EvidenceError(
            f"{path} is not what its run certified: {'; '.join(found)}. Make the bundle again from its run with "
            "`smoothcert bundle`.",
            code="E-RUN-079",
        )


def _options(bundle: Bundle) -> dict[str, Any]:
    recipe = bundle.recipe
    return {
        "precision": recipe.precision,
        "batch_size": recipe.batch_size,
        "compile": recipe.compiled,
        "noise": "gaussian" if bundle.noise == "float" else "grid",
        "bound": bundle.bound,
        "n0": bundle.n0,
    }


def _built_in(path: Path, bundle: Bundle) -> Classifier:
    """Rebuild a built-in network."""
    arch = bundle.model.arch
    if arch is None:
        raise ModelError(
            f"{path}: its network is not built in, so its code must be given: --model package.module:factory, or "
            "load(DIR, model=...) in Python. A bundle never runs code that it names itself.",
            code="E-MODEL-096",
        )
    options = ModelOptions(arch=arch, num_classes=len(bundle.class_names), in_channels=bundle.shape[0])
    return _checked(path, bundle, load_built_in(str(path / WEIGHTS), options))


def _custom(path: Path, bundle: Bundle, model: nn.Module) -> Classifier:
    """Load the weights of the bundle into a module of the user."""
    if bundle.model.arch is not None:
        raise ModelError(
            f"{path}: its network is the built-in {bundle.model.arch}; remove the model.", code="E-MODEL-097"
        )
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{path}: expected a torch.nn.Module as model, got {type(model).__name__}.", code="E-MODEL-098"
        )
    weights = read_weights(path / WEIGHTS)
    load_state(model, weights.state, str(path / WEIGHTS))
    declared = getattr(model, "smoothcert", None)
    card = weights.card if declared is None else card_from_values(declared, type(model).__name__)
    classifier = replace(classifier_of(model, card, weights.sha256, type(model).__name__), built_in=bundle.model.own)
    return _checked(path, bundle, classifier)


def _checked(path: Path, bundle: Bundle, classifier: Classifier) -> Classifier:
    """Compare the loaded classifier with the record, and take over its reference and hash."""
    _check_unchanged(path / WEIGHTS, classifier.sha256, bundle.file_sha256)
    if not classifier.mean:  # it was stated when the run was certified, not declared
        classifier = replace(classifier, mean=bundle.mean, std=bundle.std)
    for word, mine, theirs in (
        ("normalisation mean", classifier.mean, bundle.mean),
        ("normalisation std", classifier.std, bundle.std),
    ):
        if mine != theirs:
            raise EvidenceError(
                f"{path}: the network declares the {word} {mine}, but the bundle was made with {theirs}. Pass the "
                "network that was certified.",
                code="E-RUN-081",
            )
    return replace(classifier, reference=bundle.model.reference, sha256=bundle.model.sha256)


def _check_unchanged(file: Path, found: str, expected: str) -> None:
    if found != expected:
        raise EvidenceError(f"{file} was changed while it was read. Load the bundle again.", code="E-RUN-080")


def _denoiser(path: Path, bundle: Bundle, given: DenoiserModel | None) -> Denoiser | None:
    """Rebuild the denoiser, compare it with the record, and take over its reference and hash; None if there is none."""
    facts, file = bundle.model.denoiser, bundle.denoiser_file
    if facts is None or file is None:
        if given is not None:
            raise ModelError(f"{path}: the bundle has no denoiser; remove the denoiser.", code="E-MODEL-140")
        return None
    found = _built_in_denoiser(path, bundle) if given is None else _custom_denoiser(path, facts, file, given)
    _check_unchanged(path / DENOISER, found.sha256, file.sha256)
    mine = (found.arch, found.adapted, found.sigma_low, found.sigma)
    theirs = (facts.arch, facts.adapted, facts.trained_low, facts.trained_sigma)
    if mine != theirs:
        remedy = "Pass the denoiser that was certified" if given is not None else "Make the bundle again from its run"
        raise EvidenceError(
            f"{path}: expected the denoiser of the bundle (architecture, adaptation, lowest and highest trained sigma: "
            f"{theirs}), got another ({mine}). {remedy}.",
            code="E-RUN-092",
        )
    return replace(found, reference=facts.reference, sha256=facts.sha256, source_sha256=facts.source_sha256)


def _built_in_denoiser(path: Path, bundle: Bundle) -> Denoiser:
    flag = bundle.model.code.get("denoiser")
    if flag is not None:
        raise ModelError(
            f"{path}: its denoiser is not built in, so it must be given: {flag}, or load(DIR, denoiser=...) in Python. "
            "A bundle never runs code that it names itself.",
            code="E-MODEL-142",
        )
    return load_denoiser(str(path / DENOISER), DenoiserOptions(in_channels=bundle.shape[0]))


def _custom_denoiser(path: Path, facts: DenoiserFacts, file: DenoiserFile, given: DenoiserModel) -> Denoiser:
    """Load the weights of the bundle into a denoiser of the user."""
    if facts.arch is not None:
        raise ModelError(f"{path}: its denoiser is the built-in {facts.arch}; remove the denoiser.", code="E-MODEL-141")
    check_is_denoiser(given)
    weights = read_weights(path / DENOISER)
    if not isinstance(given, Denoiser):
        adapted = Adapted(given, file.value_range, file.takes_sigma)
        given = Denoiser(adapted, "", type(given).__name__, adapted=adapted.words)
    load_state(frozen(given.module), weights.state, str(path / DENOISER))
    return replace(given, sha256=weights.sha256, sigma_low=facts.trained_low, sigma=facts.trained_sigma)
