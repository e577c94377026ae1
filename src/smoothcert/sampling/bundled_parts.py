"""The parts of a bundle: a classifier and its denoiser, each with its weights as a safetensors file.

Those of a run are loaded from the files that it names; each file is hashed before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from torch import nn

from smoothcert.config import DenoiserFacts, ModelFacts, Request, factory_of, identity
from smoothcert.config.request import IN_MEMORY
from smoothcert.errors import EvidenceError, ModelError
from smoothcert.evidence import Run
from smoothcert.evidence.bundle.record import BundledModel
from smoothcert.formats.card import CLASSIFIER, DENOISER, Card, DenoiserCard
from smoothcert.import_factory import Consent
from smoothcert.models import Classifier, Denoiser, ModelOptions, at_sigma, load_classifier
from smoothcert.models.checkpoints import STATE_DICTS, read_bytes, sha256_of
from smoothcert.models.denoisers.adapt import hash_of, value_range_of
from smoothcert.models.denoisers.load import DenoiserOptions, load_denoiser
from smoothcert.models.denoisers.pipeline import denoised

FILES = (".safetensors", *STATE_DICTS, ".pt2", ".ts", ".onnx")
"""Suffixes of weights files, which are hashed before they are read."""


@dataclass(frozen=True)
class Parts:
    """What a bundle holds besides its record.

    Attributes:
        classifier: the base classifier; with a denoiser, the pipeline of both.
        weights: the weights of the classifier as a safetensors file.
        denoiser: the weights of the denoiser as a safetensors file, or None.
    """

    classifier: Classifier
    weights: bytes
    denoiser: bytes | None = None


def certified_parts(run: Run, sigma: float, moved: Mapping[str, str | None], trust_model: bool) -> Parts:
    """Load the classifier and denoiser that a run certified at one noise level.

    Args:
        run: a run.
        sigma: one of its noise levels.
        moved: new `model`, `weights`, `denoiser` and `denoiser_weights`; may contain ``{sigma}``.
        trust_model: run files that are code, and code that only the run names.

    Raises:
        EvidenceError: they are not those of the run.
        ModelError: one cannot be loaded, or a bundle cannot hold it.
    """
    spec, facts = run.spec, run.spec.model_at(sigma)
    if IN_MEMORY in (spec.request.model, spec.request.denoiser):
        raise ModelError(
            f"{run.directory.path} was made from Python objects, which no file holds. Save it from Python: "
            "smoothcert.SmoothedClassifier(model, sigma, num_classes, denoiser=...).save(path, run=run).",
            code="E-MODEL-112",
        )
    refuse_needless_denoiser(run.directory.path, spec.request, moved)
    source = _Source.of("model", "weights", run, moved, facts)
    data = source.read()
    consent = Consent(model=bool(moved.get("model")), trust=trust_model)
    classifier = load_classifier(
        source.name, ModelOptions.of(spec.request, source.beside, spec.classes, spec.data.shape[0], consent)
    )
    source.check(classifier, facts)
    check_holdable(classifier, facts.adapted)
    weights = data or weights_bytes(classifier)
    if facts.denoiser is None:
        return Parts(classifier, weights)
    denoiser, file = _certified_denoiser(run, facts, moved, trust_model)
    return Parts(denoised(classifier, denoiser, facts.sigma), weights, file)


def _certified_denoiser(
    run: Run, facts: ModelFacts, moved: Mapping[str, str | None], trust_model: bool
) -> tuple[Denoiser, bytes]:
    spec, recorded = run.spec, facts.denoiser
    source = _Source.of("denoiser", "denoiser_weights", run, moved, facts)
    data = source.read()
    consent = Consent(denoiser=bool(moved.get("denoiser")), trust=trust_model)
    options = DenoiserOptions.of(spec.request, source.beside, spec.data.shape[0], consent)
    denoiser = load_denoiser(source.name, options)
    source.check(denoiser, recorded)
    return denoiser, data or denoiser_bytes(denoiser)


def check_factory(flag: str, recorded: str, given: str) -> None:
    """Refuse another function of the user's code than that of a run; its module may be a copy with another name.

    Args:
        flag: the flag that names it, for messages.
        recorded: the reference of the run.
        given: the reference that was loaded.

    Raises:
        EvidenceError: both are a ``module:factory``, and their functions have different names.
    """
    expected, found = factory_of(recorded), factory_of(given)
    if None not in (expected, found) and expected != found:
        raise EvidenceError(
            f"{flag}: expected the function {expected}, with which this run was begun ({recorded}), got {given}. Name "
            f"the function {expected}; its module may be an unchanged copy.",
            code="E-RUN-171",
        )


def refuse_needless_denoiser(run: Path, request: Request, moved: Mapping[str, str | None]) -> None:
    """Refuse a denoiser for a run that has none.

    Args:
        run: the run directory.
        request: its settings.
        moved: `denoiser` and `denoiser_weights` that were given for it.

    Raises:
        EvidenceError: one is given, and the run has no denoiser.
    """
    for name in ("denoiser", "denoiser_weights"):
        if moved.get(name) and request.denoiser is None:
            flag = f"--{name.replace('_', '-')}"
            raise EvidenceError(
                f"{flag}: expected none, because {run} was certified without a denoiser, got {moved[name]}. Leave out "
                f"{flag}.",
                code="E-RUN-091",
            )


@dataclass(frozen=True)
class _Source:
    """Where the classifier or denoiser of a run is.

    Attributes:
        what: "classifier" or "denoiser".
        flags: the flags that name it and its weights file, for messages.
        name: reference, with ``{sigma}`` replaced.
        beside: weights file beside it, or None.
        sha256: hash that the run recorded.
        shown: what identifies it by the run, for messages.
        sigma: noise level.
    """

    what: str
    flags: tuple[str, str]
    name: str
    beside: str | None
    sha256: str
    shown: str
    sigma: float

    @classmethod
    def of(cls, name: str, weights: str, run: Run, moved: Mapping[str, str | None], facts: ModelFacts) -> _Source:
        """Return the source of a part, by the names of its settings."""
        request = run.spec.request
        reference, beside = (moved.get(each) or getattr(request, each) for each in (name, weights))
        recorded = facts if name == "model" else facts.denoiser
        return cls(
            what="classifier" if name == "model" else "denoiser",
            flags=(f"--{name}", f"--{weights.replace('_', '-')}"),
            name=at_sigma(reference or "", facts.written),
            beside=None if beside is None else at_sigma(beside, facts.written),
            sha256="" if recorded is None else recorded.sha256,
            shown="none" if recorded is None else identity(recorded.sha256, recorded.source_sha256),
            sigma=facts.sigma,
        )

    def read(self) -> bytes | None:
        """Return the weights file if it is safetensors, after comparing its hash; None for another kind, and for code.

        Raises:
            EvidenceError: there is no such file, or it is another.
        """
        file = _file(self.beside or self.name)
        if file is None:
            return None
        if not file.is_file():
            raise EvidenceError(
                f"{file}: no such file. If it was moved, give its path with {' or '.join(self.flags)}.",
                code="E-RUN-084",
            )
        data = read_bytes(file)
        self._check_hash(sha256_of(data))
        return data if file.suffix == ".safetensors" else None

    def check(self, found: Classifier | Denoiser, recorded: ModelFacts | DenoiserFacts | None) -> None:
        """Compare hashes and function of what was loaded with those that the run recorded.

        Raises:
            EvidenceError: they differ.
        """
        self._check_hash(found.sha256)
        if recorded is None:
            return
        expected = recorded.source_sha256
        if expected is not None and expected != found.source_sha256:
            raise EvidenceError(
                f"{self.name}: its source file or configuration is not that of the certified {self.what} "
                f"({expected[:19]}...). Restore it, or give {self.flags[0]} with an unchanged copy.",
                code="E-RUN-085",
            )
        check_factory(self.flags[0], recorded.reference, found.reference)

    def _check_hash(self, found: str) -> None:
        if found != self.sha256:
            raise EvidenceError(
                f"{self.beside or self.name} is not the {self.what} that this run certified at sigma {self.sigma:g} "
                f"({self.shown}). Point {' or '.join(self.flags)} at the unchanged file.",
                code="E-RUN-086",
            )


def check_holdable(classifier: Classifier, adapted: tuple[str, ...]) -> None:
    """Check that a classifier is only weights and normalisation, and its denoiser only weights: all a bundle can hold.

    Args:
        classifier: as it was loaded.
        adapted: the steps between the noisy image, or the denoiser, and its network, as text.

    Raises:
        ModelError: another runtime runs it, there are such steps, or the denoiser's state dict is not plain tensors.
    """
    more = (f"it is run by {classifier.runtime.name}",) if classifier.runtime is not None else adapted
    if more:
        raise ModelError(
            f"{classifier.reference}: a bundle holds a torch network's weights and normalisation, and this classifier "
            f"has more: {'; '.join(more)}. Certify and bundle a module:factory that includes it.",
            code="E-MODEL-101",
        )
    if classifier.denoiser is not None:
        hash_of(classifier.denoiser)


def parts_of(classifier: Classifier, certified: BundledModel | None) -> Parts:
    """Return the parts of a classifier in memory: the original files if they are found, else new ones.

    Args:
        classifier: with its denoiser, if any.
        certified: the classifier of a run, whose files are looked for, too; or None.
    """
    inner = replace(classifier.behind or classifier, num_classes=classifier.num_classes)
    weights, denoiser = weights_bytes(inner, certified), classifier.denoiser
    recorded = None if certified is None else certified.denoiser
    return Parts(classifier, weights, None if denoiser is None else denoiser_bytes(denoiser, recorded))


def weights_bytes(classifier: Classifier, recorded: BundledModel | None = None) -> bytes:
    """Return the weights of a classifier as a safetensors file: the original one if it is found, else a new one.

    Args:
        classifier: its reference is tried first.
        recorded: what a run recorded about it, whose paths are tried, too.
    """
    card = Card(classifier.arch, classifier.num_classes, None, classifier.input_shape, classifier.mean, classifier.std)
    return _original(classifier, recorded) or _written(classifier.module, {CLASSIFIER: card.as_json()})


def denoiser_bytes(denoiser: Denoiser, recorded: DenoiserFacts | None = None) -> bytes:
    """Return the weights of a denoiser as a safetensors file, likewise."""
    span, takes_sigma = value_range_of(denoiser)
    card = DenoiserCard(denoiser.arch, None, denoiser.sigma_low, denoiser.sigma, span, takes_sigma)
    return _original(denoiser, recorded) or _written(denoiser.module, {DENOISER: card.as_json()})


def _original(part: Classifier | Denoiser, recorded: BundledModel | DenoiserFacts | None) -> bytes | None:
    """Return the bytes of the safetensors file with the hash of a classifier or denoiser, or None."""
    for name in (part.reference, *(() if recorded is None else (recorded.weights, recorded.reference))):
        source = _file(name or "")
        if source is not None and source.suffix == ".safetensors" and source.is_file():
            data = source.read_bytes()
            if sha256_of(data) == part.sha256:
                return data
    return None


def _written(module: nn.Module, metadata: dict[str, str]) -> bytes:
    from safetensors.torch import save

    state = module.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    fresh: bytes = save(tensors, metadata=metadata)
    return fresh


def _file(name: str) -> Path | None:
    """Return the weights file of a reference, or None for code without one."""
    if name == "demo":
        return Path(str(files("smoothcert.models") / "shipped" / "demo.safetensors"))
    path = Path(name)
    return path if path.suffix in FILES and not re.match("(timm|monai|diffusers):", name) else None
