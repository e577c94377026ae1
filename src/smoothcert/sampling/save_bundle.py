"""Saving a bundle: a smoothed classifier in memory, or the one that a finished run certified, checked by its hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from smoothcert.config import ModelFacts
from smoothcert.config.request import IN_MEMORY
from smoothcert.config.values import explain
from smoothcert.errors import EvidenceError, ModelError, SpecError
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.bundle.differences import certified_of, tie_of, unlike, unlike_recipe
from smoothcert.evidence.bundle.files import write_bundle
from smoothcert.evidence.bundle.record import OF_THE_MACHINE, Bundle, BundledModel, Certified, Facts
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.formats.card import Card
from smoothcert.import_factory import Consent
from smoothcert.models import Classifier, ModelOptions, at_sigma, load_classifier
from smoothcert.models.checkpoints import STATE_DICTS, read_bytes, sha256_of
from smoothcert.models.state import state_sha256
from smoothcert.sampling.load_bundle import probe
from smoothcert.stats import prediction_looks
from smoothcert.verify import damage
from smoothcert.version import __version__

if TYPE_CHECKING:
    from smoothcert.sampling.smoothed import SmoothedClassifier


FILES = (".safetensors", *STATE_DICTS, ".pt2", ".ts", ".onnx")
"""Suffixes of weights files, which are hashed before they are read."""


def check_whole(run: Run) -> None:
    """Check that a run is finished, sealed and undamaged.

    Raises:
        EvidenceError: it is not.
    """
    path = run.directory.path
    fault = next(damage(run), None)
    if fault:
        raise EvidenceError(
            f"{path} is damaged: {fault}. `smoothcert verify {path}` names each fault.", code="E-RUN-082"
        )
    if run.missing or not run.sealed:
        raise EvidenceError(
            f"{path} is not sealed: {run.missing:,} of {run.expected:,} results are missing, so nothing is certified. "
            f"Finish it with `smoothcert resume {path}`.",
            code="E-RUN-083",
        )


def level_of(run: Run, sigma: float | None) -> float:
    """Return the noise level: the given one, or the only one of the run.

    Raises:
        SpecError: the run has several levels and none is given, or it has no such level.
    """
    levels = [model.sigma for model in run.spec.models]
    if sigma is None and len(levels) == 1:
        return levels[0]
    if sigma not in levels:
        given = "none" if sigma is None else f"{sigma:g}"
        raise SpecError(
            f"--sigma: {run.directory.path} has classifiers for sigma {', '.join(f'{level:g}' for level in levels)}, "
            f"and a bundle holds one of them; got {given}. Add --sigma {levels[0]:g}, or another.",
            code="E-SPEC-028",
        )
    return sigma


def certified_classifier(
    run: Run, sigma: float, moved: Mapping[str, str | None], trust_model: bool
) -> tuple[Classifier, bytes]:
    """Load the classifier that a run certified at one noise level, and its weights as a safetensors file.

    A file is hashed before it is read.

    Args:
        run: a run.
        sigma: one of its noise levels.
        moved: new `model` and `weights`; may contain ``{sigma}``.
        trust_model: run files that are code, and code that only the run names.

    Raises:
        EvidenceError: it is not the classifier of the run.
        ModelError: it cannot be loaded, or a bundle cannot hold it.
    """
    spec, facts = run.spec, run.spec.model_at(sigma)
    if spec.request.model == IN_MEMORY:
        raise ModelError(
            f"{run.directory.path} was made from Python objects, which no file holds. Save it from Python: "
            "smoothcert.SmoothedClassifier(model, sigma, num_classes).save(path, run=run).",
            code="E-MODEL-112",
        )
    name = at_sigma(moved.get("model") or spec.request.model, facts.written)
    beside = moved.get("weights") or spec.request.weights
    beside = None if beside is None else at_sigma(beside, facts.written)
    file = _file(beside or name)
    if file is not None and not file.is_file():
        raise EvidenceError(
            f"{file}: no such file. If it was moved, give its path with --model or --weights.", code="E-RUN-084"
        )
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
    """Check that a classifier is only weights and normalisation, which is all that a bundle holds.

    Args:
        classifier: as it was loaded.
        adapted: the steps between the noisy image and its network, in words.

    Raises:
        ModelError: another runtime runs it, or there are such steps.
    """
    more = (f"it is run by {classifier.runtime.name}",) if classifier.runtime is not None else adapted
    if more:
        raise ModelError(
            f"{classifier.reference}: a bundle holds a torch network's weights and normalisation, and this classifier "
            f"has more: {'; '.join(more)}. Certify and bundle a module:factory that includes it.",
            code="E-MODEL-101",
        )


def weights_bytes(classifier: Classifier, *known: str | None) -> bytes:
    """Return the weights of a classifier as a safetensors file: the original one if it is found, else a new one.

    Args:
        classifier: its reference is tried first.
        known: other paths to try.
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
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    fresh: bytes = save(tensors, metadata={"smoothcert": card.as_json()})
    return fresh


def _file(name: str) -> Path | None:
    """Return the weights file of a model reference, or None for code without one."""
    if name == "demo":
        return Path(str(files("smoothcert.models") / "shipped" / "demo.safetensors"))
    path = Path(name)
    return path if path.suffix in FILES and not re.match("(timm|monai):", name) else None


def _check_source(classifier: Classifier, name: str, facts: ModelFacts) -> None:
    if facts.source_sha256 not in (None, classifier.source_sha256):
        raise EvidenceError(
            f"{name}: the source file of this code is not that of this run ({facts.source_sha256[:19]}...). Restore "
            "the file, or give --model with an unchanged copy.",
            code="E-RUN-085",
        )


def _check_hash(found: str, name: str, facts: ModelFacts) -> None:
    if found != facts.sha256:
        raise EvidenceError(
            f"{name} is not the classifier that this run certified at sigma {facts.sigma:g} "
            f"({facts.sha256[:19]}...). Point --model or --weights at the unchanged file.",
            code="E-RUN-086",
        )


_T = TypeVar("_T", bound=Facts)


@dataclass(frozen=True)
class BundleRequest:
    """The settings of a bundle beside the classifier.

    Attributes:
        n: maximum samples per prediction.
        alpha: error probability of a prediction.
        class_names: one per class; (): those of the run or the classifier, or else numbers.
        shape: (C, H, W) of an image; None: that of the run or the classifier.
    """

    n: int = 1000
    alpha: float = 0.001
    class_names: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None


def save_bundle(
    g: SmoothedClassifier, path: Path, settings: BundleRequest, run: Run | str | PathLike[str] | None = None
) -> Bundle:
    """Write a smoothed classifier as a bundle directory, all of it or nothing.

    Args:
        g: the classifier; its seed is not saved.
        path: a new or empty folder.
        settings: samples, alpha, class names and shape.
        run: the sealed run that certified this very classifier, or None.

    Raises:
        EvidenceError: the run is not sealed or damaged, or certified another classifier; or the folder is not empty.
        ModelError: the classifier is more than a bundle can hold.
        SpecError: the image shape is not known, class names do not fit, or n samples can never decide.
    """
    refuse_occupied(path)
    if g.bundle is not None:
        raise SpecError(
            "This classifier was loaded from a bundle: copy that directory, or make the bundle again from its run.",
            code="E-SPEC-029",
        )
    check_holdable(g.classifier, g.classifier.adapted)
    certified = None
    if run is not None:
        opened = run if isinstance(run, Run) else open_run(Path(run))
        check_whole(opened)
        certified = certified_of(opened, level_of(opened, g.sigma))
    names = () if certified is None else (certified.model.weights, certified.model.reference)
    weights = weights_bytes(g.classifier, *names)
    facts = _facts(g, settings, certified, sha256_of(weights))
    if certified is not None:
        _refuse_unlike(facts, certified, weights)
    more = {"n0": g.settings.n0, "bound": g.settings.bound, "certified": certified}
    return write(path, facts, (g.classifier, weights), settings, more)


def _facts(g: SmoothedClassifier, settings: BundleRequest, certified: Certified | None, file_sha256: str) -> Facts:
    """Return the facts that identify this classifier."""
    classifier = g.classifier
    known = classifier.sha256 and (certified is not None or classifier.sha256 == file_sha256)
    shape = settings.shape or (certified.shape if certified else classifier.input_shape)
    if shape is None:
        raise SpecError("This classifier declares no image shape: add shape=(C, H, W).", code="E-SPEC-030")
    recipe = g.recipe(shape)
    if certified is not None:
        recipe = recipe.model_copy(update={name: getattr(certified.recipe, name) for name in OF_THE_MACHINE})
    return _valid(
        Facts,
        sigma=g.sigma,
        noise=g.settings.noise,
        levels=g.levels,
        shape=shape,
        preprocessing=certified.preprocessing if certified else (),
        mean=classifier.mean,
        std=classifier.std,
        class_names=_names(classifier, settings, certified),
        model=BundledModel(
            arch=classifier.arch,
            own=classifier.built_in,
            reference=classifier.reference,
            weights=None,
            sha256=classifier.sha256 if known else _state(classifier),
            state_sha256=certified.model.state_sha256 if certified else None,
        ),
        recipe=recipe,
    )


def _state(classifier: Classifier) -> str:
    found = state_sha256(classifier.module)
    if found is None:
        raise ModelError(
            f"{classifier.reference}: expected a state dict of plain tensors that can be saved, got other values.",
            code="E-MODEL-102",
        )
    return found


def _names(classifier: Classifier, settings: BundleRequest, certified: Certified | None) -> tuple[str, ...]:
    classes = classifier.num_classes or 0
    known = certified.class_names if certified else classifier.class_names
    names = tuple(settings.class_names) or known or tuple(map(str, range(classes)))
    if len(names) != classes:
        raise SpecError(f"class_names: expected {classes}, one per class, got {len(names)}.", code="E-SPEC-031")
    return names


def _refuse_unlike(facts: Facts, certified: Certified, weights: bytes) -> None:
    found = [*unlike(facts, certified), *unlike_recipe(facts.recipe, certified.recipe)]
    if not found and tie_of(weights, certified.model) == "other weights":
        found = ["its weights file was not found under the name in the run"]
    if found:
        raise EvidenceError(
            f"This is not the classifier that the run certified: {'; '.join(found)}. "
            "`smoothcert bundle RUN` makes the bundle from the run's own classifier.",
            code="E-RUN-087",
        )


def write(
    path: Path, facts: Facts, model: tuple[Classifier, bytes], settings: BundleRequest, more: dict[str, Any]
) -> Bundle:
    """Write the bundle of a classifier.

    Args:
        path: a new or empty folder.
        facts: the facts that identify it.
        model: the classifier, and its weights as a safetensors file.
        settings: samples and alpha of a prediction.
        more: `n0`, `bound` and `certified` of the record.

    Raises:
        SpecError: n samples can never decide, or a value is out of range.
    """
    prediction_looks(settings.n, settings.alpha)  # refuses an n that can never decide
    classifier, weights = model
    bundle = _valid(
        Bundle,
        **{name: getattr(facts, name) for name in Facts.model_fields},
        **more,
        smoothcert=__version__,
        file_sha256=sha256_of(weights),
        n=settings.n,
        alpha=settings.alpha,
        probe=probe(classifier, facts.shape, facts.levels) if classifier.arch is None else (),
    )
    write_bundle(path, bundle, weights)
    return bundle


def _valid(kind: type[_T], **fields: Any) -> _T:
    try:
        return kind(**fields)
    except ValidationError as error:
        raise SpecError(explain(error), code="E-SPEC-032") from None


def bundle_run(
    run: Run,
    path: Path,
    sigma: float | None,
    settings: BundleRequest,
    moved: dict[str, str | None] | None = None,
    trust_model: bool = False,
) -> Bundle:
    """Write the bundle of one noise level of a finished run, from the run's own classifier.

    Args:
        run: a sealed run.
        path: a new or empty folder.
        sigma: one of its noise levels; None if it has only one.
        settings: samples and alpha of a prediction.
        moved: new `model` and `weights`; their content must be unchanged. Code must be named here: a run is data and
            never names code.
        trust_model: run files that are code, and code that only the run names.

    Raises:
        EvidenceError: the run is not sealed or damaged, the classifier is not the run's, or the folder is not empty.
        ModelError: the classifier cannot be loaded.
        SpecError: the run has several noise levels and none is given, or n samples can never decide.
    """
    refuse_occupied(path)
    check_whole(run)
    certified = certified_of(run, level_of(run, sigma))
    classifier, weights = certified_classifier(run, certified.sigma, moved or {}, trust_model)
    more = {"n0": run.spec.request.n0, "bound": certified.bound, "certified": certified}
    return write(path, certified, (classifier, weights), settings, more)
