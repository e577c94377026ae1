"""Saving a bundle: a smoothed classifier in memory, or the one that a finished run certified, checked by its hash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from smoothcert.config import DenoiserFacts, RuntimeConfig, Spec
from smoothcert.config.request import IN_MEMORY
from smoothcert.config.values import explain
from smoothcert.errors import EvidenceError, ModelError, SpecError
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.bundle.differences import certified_of, tie_of, unlike, unlike_recipe
from smoothcert.evidence.bundle.files import write_bundle
from smoothcert.evidence.bundle.record import (
    OF_THE_MACHINE,
    Bundle,
    BundledModel,
    Certified,
    DenoiserFile,
    Facts,
)
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.checkpoints import sha256_of
from smoothcert.models.denoisers.adapt import hash_of, value_range_of
from smoothcert.models.state import as_it_is, state_sha256
from smoothcert.sampling.base_model import code_sha256
from smoothcert.sampling.bundled_parts import Parts, certified_parts, check_holdable, parts_of
from smoothcert.sampling.identity import IMAGES, Logits, check_certified, probe, tolerance
from smoothcert.sampling.recipe import choose_recipe
from smoothcert.stats import prediction_looks
from smoothcert.verify import damage
from smoothcert.version import __version__

if TYPE_CHECKING:
    from smoothcert.sampling.smoothed import SmoothedClassifier


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
    classifier = _as_it_is(g.classifier)
    check_holdable(classifier, classifier.adapted)
    certified: Certified | None = None
    kept: Logits = ()
    if run is not None:
        opened = run if isinstance(run, Run) else open_run(Path(run))
        check_whole(opened)
        certified = certified_of(opened, level_of(opened, g.sigma))
    parts = parts_of(classifier, None if certified is None else certified.model)
    facts = _facts(g, settings, certified, parts)
    if certified is not None:
        _refuse_unlike(facts, certified, parts, _other_code(classifier, opened.spec, g.sigma))
        recorded, recipe = opened.spec.model_at(g.sigma), g.recipe(facts.shape)
        check_certified(recorded, classifier, (facts.shape, facts.levels), tolerance(certified.recipe, recipe))
        kept = recorded.probe
    more = {"n0": g.settings.n0, "bound": g.settings.bound, "certified": certified}
    return write(path, facts, parts, settings, more, kept)


def _as_it_is(classifier: Classifier) -> Classifier:
    """Return a classifier, with its denoiser, that has no hash of a file if its tensors were changed."""
    if classifier.behind is None or classifier.denoiser is None:
        return as_it_is(classifier)
    return replace(classifier, behind=as_it_is(classifier.behind), denoiser=as_it_is(classifier.denoiser))


def _facts(g: SmoothedClassifier, settings: BundleRequest, certified: Certified | None, parts: Parts) -> Facts:
    """Return the facts that identify this classifier."""
    classifier = parts.classifier.behind or parts.classifier
    known = classifier.sha256 and (certified is not None or classifier.sha256 == sha256_of(parts.weights))
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
        class_names=_names(g.classifier, settings, certified),
        model=BundledModel(
            arch=classifier.arch,
            own=classifier.built_in,
            reference=certified.model.reference if certified else classifier.reference,
            weights=None,
            sha256=classifier.sha256 if known else _state(classifier),
            state_sha256=certified.model.state_sha256 if certified else None,
            denoiser=_denoiser_facts(parts.classifier.denoiser, certified, parts),
        ),
        recipe=recipe,
    )


def _denoiser_facts(denoiser: Denoiser | None, certified: Certified | None, parts: Parts) -> DenoiserFacts | None:
    if denoiser is None or parts.denoiser is None:
        return None
    state = hash_of(denoiser)
    known = denoiser.sha256 and (certified is not None or denoiser.sha256 == sha256_of(parts.denoiser))
    recorded = None if certified is None else certified.model.denoiser
    return DenoiserFacts(
        reference=denoiser.reference if recorded is None else recorded.reference,
        weights=None,
        sha256=denoiser.sha256 if known else state,
        arch=denoiser.arch,
        trained_low=denoiser.sigma_low,
        trained_sigma=denoiser.sigma,
        adapted=denoiser.adapted,
        source_sha256=denoiser.source_sha256,
        state_sha256=state,
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


def _other_code(classifier: Classifier, spec: Spec, sigma: float) -> Iterator[str]:
    """Yield which parts have other code than those of a run, or code that cannot be compared."""
    recorded = spec.model_at(sigma)
    parts = (classifier.behind or classifier, classifier.denoiser)
    for name, part, facts in zip(("network", "denoiser"), parts, (recorded, recorded.denoiser), strict=True):
        if part is None or facts is None or facts.arch is not None:
            continue
        if facts.reference.startswith(IN_MEMORY) and facts.source_sha256 is not None:
            found = part.source_sha256 or code_sha256(part.module, spec.minor)
            if found != facts.source_sha256:
                yield f"structure, attributes or source of the {name} are not those of the run"
        elif not recorded.probe and (facts.source_sha256 or part.sha256) not in (part.source_sha256, facts.sha256):
            yield f"the run was made from files and recorded nothing that identifies the code of its {name} in memory"


def _refuse_unlike(facts: Facts, certified: Certified, parts: Parts, more: Iterator[str]) -> None:
    found = [*unlike(facts, certified), *unlike_recipe(facts.recipe, certified.recipe), *more]
    if not found and tie_of(parts.weights, certified.model) == "other weights":
        found = ["its weights file was not found under the name in the run"]
    denoiser = certified.model.denoiser
    if not found and denoiser and parts.denoiser and tie_of(parts.denoiser, denoiser) == "other weights":
        found = ["the weights file of its denoiser was not found under the name in the run"]
    if found:
        raise EvidenceError(
            f"This is not the classifier that the run certified: {'; '.join(found)}. "
            "`smoothcert bundle RUN` makes the bundle from the run's own classifier.",
            code="E-RUN-087",
        )


def write(
    path: Path, facts: Facts, parts: Parts, settings: BundleRequest, more: dict[str, Any], kept: Logits = ()
) -> Bundle:
    """Write the bundle of a classifier.

    Args:
        path: a new or empty folder.
        facts: the facts that identify it.
        parts: the classifier, and its weights.
        settings: samples and alpha of a prediction.
        more: `n0`, `bound` and `certified` of the record.
        kept: the probe of the run that certified it, or ().

    Raises:
        SpecError: n samples can never decide, or a value is out of range.
    """
    prediction_looks(settings.n, settings.alpha)  # refuses an n that can never decide
    bundle = _valid(
        Bundle,
        **{name: getattr(facts, name) for name in Facts.model_fields},
        **more,
        smoothcert=__version__,
        file_sha256=sha256_of(parts.weights),
        n=settings.n,
        alpha=settings.alpha,
        probe=_probe(facts, parts.classifier, kept) if facts.model.code else (),
        denoiser_file=_denoiser_file(parts),
    )
    write_bundle(path, bundle, parts.weights, parts.denoiser)
    return bundle


def _probe(facts: Facts, classifier: Classifier, kept: Logits) -> Logits:
    """Return the logits that a bundle keeps; without a denoiser, those without noise, as version 0.1.0 reads them."""
    logits = kept or probe(classifier, facts.shape, facts.levels, facts.sigma)
    return logits if classifier.denoiser is not None else logits[:IMAGES]


def _denoiser_file(parts: Parts) -> DenoiserFile | None:
    denoiser = parts.classifier.denoiser
    if denoiser is None or parts.denoiser is None:
        return None
    value_range, takes_sigma = value_range_of(denoiser)
    return DenoiserFile(sha256=sha256_of(parts.denoiser), value_range=value_range, takes_sigma=takes_sigma)


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
    """Write the bundle of one noise level of a finished run, from the run's own classifier and denoiser.

    Args:
        run: a sealed run.
        path: a new or empty folder.
        sigma: one of its noise levels; None if it has only one.
        settings: samples and alpha of a prediction.
        moved: new `model`, `weights`, `denoiser` and `denoiser_weights`; their content must be unchanged. Code must be
            named here: a run is data and never names code.
        trust_model: run files that are code, and code that only the run names.

    Raises:
        EvidenceError: the run is not sealed or damaged, classifier or denoiser are not the run's, or the folder is not
            empty.
        ModelError: classifier or denoiser cannot be loaded.
        SpecError: the run has several noise levels and none is given, or n samples can never decide.
    """
    refuse_occupied(path)
    check_whole(run)
    certified = certified_of(run, level_of(run, sigma))
    parts = certified_parts(run, certified.sigma, moved or {}, trust_model)
    recorded, place = run.spec.model_at(certified.sigma), (certified.shape, certified.levels)
    recipe = choose_recipe(parts.classifier, RuntimeConfig(device="cpu"), certified.shape)
    check_certified(recorded, parts.classifier, place, tolerance(certified.recipe, recipe))
    more = {"n0": run.spec.request.n0, "bound": certified.bound, "certified": certified}
    return write(path, certified, parts, settings, more, recorded.probe)
