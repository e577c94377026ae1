"""The classifier that a finished run certified at one noise level, loaded again by its hash; its weights as bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from smoothcert.errors import EvidenceError, ModelError, SpecError
from smoothcert.evidence import Run
from smoothcert.formats.card import Card
from smoothcert.models import Classifier, ModelOptions, at_sigma, load_classifier
from smoothcert.models.checkpoints import STATE_DICTS, read_bytes, sha256_of
from smoothcert.spec import ModelFacts
from smoothcert.usercode import Consent
from smoothcert.verify import damage

FILES = (".safetensors", *STATE_DICTS, ".pt2", ".ts", ".onnx")
"""Endings of files that hold the weights of a classifier, and are hashed before anything in them is looked at."""


def check_whole(run: Run) -> None:
    """Refuse a run that certified nothing yet, or was changed since.

    Raises:
        EvidenceError: the run is not finished and sealed, or is damaged.
    """
    path = run.directory.path
    fault = next(damage(run), None)
    if fault:
        raise EvidenceError(f"{path} is damaged: {fault}. `smoothcert verify {path}` names all of it.")
    if run.missing or not run.sealed:
        raise EvidenceError(
            f"{path} is not sealed: {run.missing:,} of {run.expected:,} results are missing, so nothing is certified. "
            f"Finish it with `smoothcert resume {path}`."
        )


def level_of(run: Run, sigma: float | None) -> float:
    """Return the noise level that is meant: the one asked for, or the only one.

    Raises:
        SpecError: the run has several and none was named, or it has no such level.
    """
    levels = [model.sigma for model in run.spec.models]
    if sigma is None and len(levels) == 1:
        return levels[0]
    if sigma not in levels:
        told = "none" if sigma is None else f"{sigma:g}"
        raise SpecError(
            f"--sigma: {run.directory.path} has classifiers for sigma {', '.join(f'{level:g}' for level in levels)}, "
            f"and a bundle holds one of them; got {told}. Add --sigma {levels[0]:g}, or another."
        )
    return sigma


def certified_classifier(
    run: Run, sigma: float, moved: Mapping[str, str | None], trust_model: bool
) -> tuple[Classifier, bytes]:
    """Load the classifier a run certified at one noise level, and its weights as a safetensors file.

    A file is hashed before anything in it is looked at.

    Args:
        run: a run.
        sigma: one of its noise levels.
        moved: `model` and `weights`, where they are named anew; may contain ``{sigma}``.
        trust_model: run files that are code, and code that only the run names.

    Raises:
        EvidenceError: it is not the classifier of the run.
        ModelError: it cannot be loaded, or a bundle cannot hold it.
    """
    spec, facts = run.spec, run.spec.model_at(sigma)
    name = at_sigma(moved.get("model") or spec.request.model, facts.written)
    beside = moved.get("weights") or spec.request.weights
    beside = None if beside is None else at_sigma(beside, facts.written)
    file = _file(beside or name)
    if file is not None and not file.is_file():
        raise EvidenceError(f"{file}: no such file. If it was moved, say where with --model or --weights.")
    data = None if file is None else read_bytes(file)
    if data is not None:
        _check_hash(sha256_of(data), beside or name, facts)
    consent = Consent(model=bool(moved.get("model")), trust=trust_model)
    options = ModelOptions.of(spec.request, beside, spec.classes, spec.data.shape[0], consent)
    classifier = load_classifier(name, options)
    _check_hash(classifier.sha256, beside or name, facts)
    _check_source(classifier, name, facts)
    check_holdable(classifier, facts.adapted)
    as_it_is = data is not None and file is not None and file.suffix == ".safetensors"
    return classifier, data if as_it_is and data is not None else weights_bytes(classifier)


def check_holdable(classifier: Classifier, adapted: tuple[str, ...]) -> None:
    """Refuse a classifier that is more than weights and normalisation, which is all that a bundle holds.

    Args:
        classifier: as it was loaded.
        adapted: what lies between the noisy image and its network, in words.

    Raises:
        ModelError: another runtime computes it, or something lies in between.
    """
    more = (f"it is run by {classifier.runtime.name}",) if classifier.runtime is not None else adapted
    if more:
        raise ModelError(
            f"{classifier.reference}: a bundle holds a torch network's weights and normalisation, and this classifier "
            f"is more: {'; '.join(more)}. Certify a module:factory that does it itself, and bundle that."
        )


def weights_bytes(classifier: Classifier, *known: str | None) -> bytes:
    """Return a classifier's weights as a safetensors file: the very file they came from where it is at hand, or anew.

    Args:
        classifier: its reference is looked at first.
        known: other names of files that may be it.
    """
    from safetensors.torch import save

    for name in (classifier.reference, *known):
        source = _file(name or "")
        if source is not None and source.suffix == ".safetensors" and source.is_file():
            data = source.read_bytes()
            if sha256_of(data) == classifier.sha256:
                return data
    state = classifier.module.state_dict()
    card = Card(classifier.arch, classifier.num_classes, None, classifier.input_shape, classifier.mean, classifier.std)
    copied = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    fresh: bytes = save(copied, metadata={"smoothcert": card.as_json()})
    return fresh


def _file(name: str) -> Path | None:
    """The weights file that a name stands for, or None for code without one."""
    if name == "demo":
        return Path(str(files("smoothcert.models") / "shipped" / "demo.safetensors"))
    path = Path(name)
    return path if path.suffix in FILES and not re.match("(timm|monai):", name) else None


def _check_source(classifier: Classifier, name: str, facts: ModelFacts) -> None:
    if facts.source_sha256 not in (None, classifier.source_sha256):
        raise EvidenceError(
            f"{name}: the source file of this code is not the one this run certified ({facts.source_sha256[:19]}...). "
            "Restore that file, or name it with --model where it lies unchanged."
        )


def _check_hash(found: str, name: str, facts: ModelFacts) -> None:
    if found != facts.sha256:
        raise EvidenceError(
            f"{name} is not the classifier that this run certified at sigma {facts.sigma:g} "
            f"({facts.sha256[:19]}...). Point --model or --weights at the unchanged file."
        )
