"""The `Workload` of a run: images and classifiers, loaded from a request and checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import DataFacts, DenoiserFacts, ModelFacts, Recipe, Request, Sigma, Spec
from smoothcert.config.request import IN_MEMORY
from smoothcert.data import DataOptions, ImageSet, load_images
from smoothcert.errors import DataError, ModelError, SpecError
from smoothcert.import_factory import NO_CONSENT, Consent
from smoothcert.models import Classifier, Denoiser, ModelOptions, at_sigma, load_classifier
from smoothcert.noise import Noise, make_noise
from smoothcert.sampling.identity import (
    Logits,
    check_certified,
    check_classifier,
    check_denoiser_of_run,
    is_code,
    probe,
    tolerance,
)
from smoothcert.sampling.recipe import choose_recipe, prepare
from smoothcert.sampling.sampler import Sampler, Source

IntArray = NDArray[np.int64]
Reading = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Workload:
    """Images, one classifier per noise level, their numeric recipe, and the consent to run code."""

    request: Request
    images: ImageSet
    classifiers: dict[float, Classifier]
    recipe: Recipe
    consent: Consent = NO_CONSENT

    @property
    def source(self) -> Source:
        """Images by their index in the source."""
        place = {int(index): i for i, index in enumerate(self.images.indices)}

        def pixels(index: int) -> NDArray[np.integer[Any]]:
            return self.images.pixels(place[index])

        return Source(self.images.shape, pixels)

    def noise(self, sigma: float, seed: int) -> Noise:
        """Return the noise of one level."""
        return make_noise(self.request.noise, float(sigma), self.images.levels, seed)

    def sampler(self, sigma: float, seed: int, recipe: Recipe | None = None) -> Sampler:
        """Return a sampler of one noise level, with the recipe of the run or another one."""
        classifier, recipe = self.classifiers[sigma], recipe or self.recipe
        return Sampler(classifier, prepare(classifier, recipe), self.noise(sigma, seed), recipe, self.source)

    @property
    def behind(self) -> Workload:
        """The same work with the classifiers behind the denoisers, without them."""
        return replace(self, classifiers={sigma: each.behind or each for sigma, each in self.classifiers.items()})

    @property
    def resolved(self) -> Request:
        """The request with its batch size and device filled in, so that another process prepares the same recipe."""
        device = "cuda" if self.recipe.device.startswith("cuda") else "cpu"
        return self.request.model_copy(update={"batch_size": self.recipe.batch_size, "device": device})

    def recipe_as(self, sigma: float, **changes: str | int) -> Recipe:
        """Return the recipe for other settings, never compiled; the batch size stays unless changed.

        Raises:
            RecipeError: it cannot be run here.
        """
        settings = {"compile": "off", "batch_size": self.recipe.batch_size, **changes}
        return choose_recipe(self.classifiers[sigma], self.request.model_copy(update=settings), self.images.shape)


def consent_of(request: Request) -> Consent:
    """Return the consent that a request made in Python gives; a request read from a file gives none."""
    return Consent(model=True, data=True, trust=request.trust_model, denoiser=True)


def load_workload(
    request: Request,
    progress: Reading | None = None,
    images: ImageSet | None = None,
    consent: Consent = NO_CONSENT,
) -> Workload:
    """Load what a request names and check that images and classifiers fit together.

    Args:
        request: the settings.
        progress: called with the number of images read, and of all.
        images: the images of that request, if they are loaded already.
        consent: which code may be run; none by default.

    Raises:
        DataError: images or labels cannot be used, or are code without consent.
        ModelError: a classifier is code without consent, cannot be loaded, or does not fit the images.
        SpecError: k is not below the number of classes.
        RecipeError: the numeric recipe cannot be run here.
    """
    if IN_MEMORY in (request.model, request.data, request.denoiser):
        raise ModelError(
            "This run was made from Python objects, which no file holds. Resume it from Python with the same objects: "
            "smoothcert.resume(run, model, dataset).",
            code="E-MODEL-008",
        )
    images = images or _images(request, progress, consent)
    classifiers = {float(sigma): _classifier(request, sigma, images, consent) for sigma in request.sigma}
    before = request.sigma if request.denoiser else ()
    denoisers = {float(sigma): _denoiser(request, sigma, images, consent) for sigma in before}
    return workload_of(request, images, classifiers, denoisers, consent)


def workload_of(
    request: Request,
    images: ImageSet,
    classifiers: dict[float, Classifier],
    denoisers: Mapping[float, Denoiser] | None = None,
    consent: Consent = NO_CONSENT,
) -> Workload:
    """Return the workload of loaded images, classifiers and denoisers, checked against each other.

    Raises:
        DataError, ModelError, SpecError, RecipeError: as for `load_workload`.
    """
    for classifier in classifiers.values():
        _check_fit(classifier, images)
    classifiers, images = _with_classes(request, images, classifiers)
    if denoisers:
        classifiers = _with_denoisers(classifiers, denoisers, images)
    recipes = {choose_recipe(each, request, images.shape) for each in classifiers.values()}
    if len(recipes) != 1:
        raise ModelError(
            "Expected classifiers of one kind at all noise levels, got built-in and custom ones mixed.",
            code="E-MODEL-009",
        )
    return Workload(request, images, classifiers, recipes.pop(), consent)


def _images(request: Request, progress: Reading | None, consent: Consent) -> ImageSet:
    options = DataOptions.of(request, request.subgroup, consent.data or consent.trust)
    images = load_images(request.data, options, progress)
    return images.first(request.limit) if request.limit else images


def _classifier(request: Request, sigma: float, images: ImageSet, consent: Consent) -> Classifier:
    text = sigma.text if isinstance(sigma, Sigma) else repr(sigma)
    weights = None if request.weights is None else at_sigma(request.weights, text)
    options = ModelOptions.of(request, weights, images.num_classes, images.shape[0], consent)
    return load_classifier(at_sigma(request.model, text), options)


def _denoiser(request: Request, sigma: float, images: ImageSet, consent: Consent) -> Denoiser:
    from smoothcert.models.denoisers.load import DenoiserOptions, load_denoiser

    text = sigma.text if isinstance(sigma, Sigma) else repr(sigma)
    weights = None if request.denoiser_weights is None else at_sigma(request.denoiser_weights, text)
    options = DenoiserOptions.of(request, weights, images.shape[0], consent)
    return load_denoiser(at_sigma(request.denoiser or "", text), options)


def _with_denoisers(
    classifiers: dict[float, Classifier], denoisers: Mapping[float, Denoiser], images: ImageSet
) -> dict[float, Classifier]:
    """Return the classifiers behind their denoisers, which were applied to a few images."""
    import torch

    from smoothcert.models.denoisers.check import FEW, check_denoiser
    from smoothcert.models.denoisers.pipeline import denoised

    few = torch.from_numpy(np.stack([images.pixels(i) for i in range(min(FEW, len(images)))]) / images.levels)
    for sigma, denoiser in denoisers.items():
        check_denoiser(denoiser, few, sigma)
    return {sigma: denoised(each, denoisers[sigma], sigma) for sigma, each in classifiers.items()}


def _check_fit(classifier: Classifier, images: ImageSet) -> None:
    declared = classifier.input_shape
    if declared is not None and declared != images.shape:
        raise ModelError(
            f"{classifier.reference} declares images of shape (C, H, W) = {declared}, but {images.reference} has "
            f"{images.shape}. Use the images the classifier was made for.",
            code="E-MODEL-010",
        )
    channels = len(classifier.mean)
    if channels > 1 and channels != images.shape[0]:
        raise ModelError(
            f"{classifier.reference} is normalised with mean and std of {channels} channels, but {images.reference} "
            f"has images of {images.shape[0]}. Use the images the classifier was made for.",
            code="E-MODEL-011",
        )


def _with_classes(
    request: Request, images: ImageSet, classifiers: dict[float, Classifier]
) -> tuple[dict[float, Classifier], ImageSet]:
    """Find the output and the number of classes of the classifiers by classifying the first images."""
    resolved = {id(each): _with_head(each, images) for each in classifiers.values()}
    classifiers = {sigma: resolved[id(each)] for sigma, each in classifiers.items()}
    found = {sigma: each.num_classes or 0 for sigma, each in classifiers.items()}
    counts = set(found.values())
    if len(counts) != 1:
        raise ModelError(
            f"Expected classifiers with one number of classes at all noise levels, got {found}.", code="E-MODEL-012"
        )
    classes = counts.pop()
    _check_labels(images, classes)
    if max(request.k) >= classes:
        raise SpecError(
            f"k: expected k below the number of classes ({classes}), got {max(request.k)}; "
            "a top-k certificate over all classes is empty.",
            code="E-SPEC-009",
        )
    names = images.class_names + tuple(str(c) for c in range(images.num_classes, classes))
    return classifiers, replace(images, class_names=names)


def _with_head(classifier: Classifier, images: ImageSet) -> Classifier:
    import torch

    from smoothcert.models.heads import LOOK, resolve_head

    pixels = np.stack([images.pixels(i) for i in range(min(LOOK, len(images)))])
    return resolve_head(classifier, torch.from_numpy(pixels / images.levels))


def _check_labels(images: ImageSet, classes: int) -> None:
    labels = images.labels
    if images.num_classes <= classes:
        return
    if labels.max() >= classes:
        first = int(np.argmax(labels >= classes))
        raise DataError(
            f"{images.reference}: expected labels from 0 to {classes - 1}, the classifier's classes, got "
            f"{labels[first]} at image {first}. Check that images and classifier belong together.",
            code="E-DATA-147",
        )
    raise DataError(
        f"{images.reference} names {images.num_classes} classes, but the classifier returns {classes}. "
        "Check that images and classifier belong together.",
        code="E-DATA-148",
    )


def data_facts(images: ImageSet) -> DataFacts:
    """Return what `spec.json` records about the images."""
    counts = np.bincount(images.labels, minlength=images.num_classes)
    plain = np.array_equal(images.indices, np.arange(len(images)))
    return DataFacts(
        reference=images.reference,
        sha256=images.sha256(),
        labels_sha256=images.labels_sha256(),
        images=len(images),
        shape=images.shape,
        levels=images.levels,
        class_names=images.class_names,
        class_counts=tuple(counts.tolist()),
        preprocessing=images.preprocessing,
        grouped=images.groups is not None,
        subgroups=tuple(images.subgroups),
        source_sha256=images.source_sha256,
        indices=None if plain else tuple(images.indices.tolist()),
    )


def model_facts(work: Workload) -> tuple[ModelFacts, ...]:
    """Return what `spec.json` records about the classifiers, one per noise level."""
    from smoothcert.models.state import state_sha256

    classifiers = [each.behind or each for each in work.classifiers.values()]
    modules = [each.module for each in classifiers if each.runtime is None]
    modules += [each.denoiser.module for each in work.classifiers.values() if each.denoiser is not None]
    states = {key: state_sha256(module) for key, module in {id(each): each for each in modules}.items()}
    return tuple(_facts(work, sigma, states) for sigma in work.classifiers)


def _facts(work: Workload, sigma: float, states: Mapping[int, str | None]) -> ModelFacts:
    """Return the facts of one noise level; `states`: hash of each state dict by the id of its module."""
    text = next(s.text for s in work.request.sigma if s == sigma)
    pipeline = work.classifiers[sigma]
    classifier = pipeline.behind or pipeline
    return ModelFacts(
        sigma=sigma,
        written=text,
        reference=classifier.reference,
        weights=None if work.request.weights is None else at_sigma(work.request.weights, text),
        sha256=classifier.sha256,
        arch=classifier.arch,
        input_shape=classifier.input_shape,
        mean=classifier.mean,
        std=classifier.std,
        trained_sigma=classifier.sigma,
        own=classifier.built_in,
        adapted=classifier.adapted,
        eta=work.noise(sigma, 0).eta(int(np.prod(work.images.shape))),
        source_sha256=classifier.source_sha256,
        state_sha256=states.get(id(classifier.module)),
        denoiser=None if pipeline.denoiser is None else _denoiser_facts(work, pipeline.denoiser, text, states),
    )


def _denoiser_facts(work: Workload, denoiser: Denoiser, text: str, states: Mapping[int, str | None]) -> DenoiserFacts:
    weights = work.request.denoiser_weights
    return DenoiserFacts(
        reference=denoiser.reference,
        weights=None if weights is None else at_sigma(weights, text),
        sha256=denoiser.sha256,
        arch=denoiser.arch,
        trained_low=denoiser.sigma_low,
        trained_sigma=denoiser.sigma,
        adapted=denoiser.adapted,
        source_sha256=denoiser.source_sha256,
        state_sha256=states.get(id(denoiser.module)),
    )


def with_probes(work: Workload, facts: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
    """Return the facts with the probe of each noise level whose network or denoiser is not built in."""
    return tuple(each.model_copy(update={"probe": _probe(work, each)}) for each in facts)


def _probe(work: Workload, facts: ModelFacts) -> Logits:
    if not is_code(facts):
        return ()
    try:
        return probe(work.classifiers[facts.sigma], work.images.shape, work.images.levels, facts.sigma)
    except ModelError:  # the preflight, or the first noise samples, say what is wrong
        return ()


def check_models(spec: Spec, work: Workload) -> None:
    """Refuse classifiers and denoisers that are not those of the spec.

    Raises:
        EvidenceError: a file or the code was changed; the message names it.
        ModelError: a classifier fails on the images of its probe.
    """
    in_memory = spec.request.model == IN_MEMORY, spec.request.denoiser == IN_MEMORY
    for ours, theirs in zip(spec.models, model_facts(work), strict=True):
        check_classifier(ours, theirs, in_memory[0])
        check_denoiser_of_run(ours, theirs, in_memory[1])
    within = tolerance(spec.recipe, work.recipe)
    for ours in spec.models:
        check_certified(ours, work.classifiers[ours.sigma], (work.images.shape, work.images.levels), within)


def unrecorded(spec: Spec, work: Workload) -> Iterator[str]:
    """Yield what could not be compared because the run, which an earlier version began, did not record it."""
    found = {work.images.reference: work.images.source_sha256}
    recorded = {spec.data.reference: spec.data.source_sha256}
    for each in work.classifiers.values():
        parts = (each.behind or each, each.denoiser)
        found |= {part.reference: part.source_sha256 for part in parts if part is not None}
    for model in spec.models:
        recorded |= {each.reference: each.source_sha256 for each in (model, model.denoiser) if each is not None}
    for reference, source in found.items():
        if source is not None and recorded.get(reference) is None:
            yield f"{reference}: this run recorded no hash of the source file, so it was not compared"
    levels = [f"{model.sigma:g}" for model in spec.models if is_code(model) and not model.probe]
    if levels:
        yield (
            "this run recorded no logits of fixed images, so what the code of its networks computes was not compared "
            f"(sigma {', '.join(levels)})"
        )
