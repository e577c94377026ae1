"""Saving a smoothed classifier as a bundle directory."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

import smoothcert
from smoothcert.errors import EvidenceError, ModelError, SpecError
from smoothcert.evidence import Run, open_run, refuse_occupied
from smoothcert.evidence.bundle.differences import certified_of, unlike, unlike_recipe
from smoothcert.evidence.bundle.files import write_bundle
from smoothcert.evidence.bundle.record import OF_THE_MACHINE, Bundle, BundledModel, Certified, Facts
from smoothcert.evidence.bundle.weights import tie_of
from smoothcert.models import Classifier
from smoothcert.models.checkpoints import sha256_of
from smoothcert.models.state import state_sha256
from smoothcert.sampling.bundle.certified import check_holdable, check_whole, level_of, weights_bytes
from smoothcert.sampling.bundle.probe import probe
from smoothcert.spec.request import explain
from smoothcert.stats import prediction_looks

if TYPE_CHECKING:
    from smoothcert.sampling.smoothed import SmoothedClassifier

_T = TypeVar("_T", bound=Facts)


@dataclass(frozen=True)
class Wanted:
    """What a bundle is told beside the classifier.

    Attributes:
        n: noisy copies a prediction takes at most.
        alpha: probability that one prediction is wrong.
        class_names: one a class; () takes those of the run or the classifier, or else numbers.
        shape: (C, H, W) of an image; None takes what the run or the classifier declares.
    """

    n: int = 1000
    alpha: float = 0.001
    class_names: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None


def save_bundle(
    g: SmoothedClassifier, path: Path, wanted: Wanted, run: Run | str | PathLike[str] | None = None
) -> Bundle:
    """Write a smoothed classifier as a bundle directory, all of it or nothing.

    Args:
        g: the classifier; a seed among its options is not saved.
        path: a new or empty folder.
        wanted: copies, alpha, class names and shape.
        run: the sealed run that certified this very classifier, or None.

    Raises:
        EvidenceError: the run is not sealed or damaged, or certified another object; or the place is taken.
        ModelError: the classifier is more than a bundle can hold.
        SpecError: the image shape is not known, class names do not fit, or n copies can never decide.
    """
    refuse_occupied(path)
    if g.bundle is not None:
        raise SpecError("This classifier was loaded from a bundle: copy that directory, or make it anew from its run.")
    check_holdable(g.classifier, g.classifier.adapted)
    certified = None
    if run is not None:
        opened = run if isinstance(run, Run) else open_run(Path(run))
        check_whole(opened)
        certified = certified_of(opened, level_of(opened, g.sigma))
    names = () if certified is None else (certified.model.weights, certified.model.reference)
    weights = weights_bytes(g.classifier, *names)
    facts = _facts(g, wanted, certified, sha256_of(weights))
    if certified is not None:
        _refuse_unlike(facts, certified, weights)
    more = {"n0": g.settings.n0, "bound": g.settings.bound, "certified": certified}
    return write(path, facts, (g.classifier, weights), wanted, more)


def _facts(g: SmoothedClassifier, wanted: Wanted, certified: Certified | None, file_sha256: str) -> Facts:
    """Return what makes this classifier the one it is."""
    classifier = g.classifier
    known = classifier.sha256 and (certified is not None or classifier.sha256 == file_sha256)
    shape = wanted.shape or (certified.shape if certified else classifier.input_shape)
    if shape is None:
        raise SpecError("This classifier declares no image shape: add shape=(C, H, W).")
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
        class_names=_names(classifier, wanted, certified),
        model=BundledModel(
            arch=classifier.arch,
            own=classifier.own,
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
            f"{classifier.reference}: its state dict must hold plain tensors only, so that it can be saved."
        )
    return found


def _names(classifier: Classifier, wanted: Wanted, certified: Certified | None) -> tuple[str, ...]:
    classes = classifier.num_classes or 0
    known = certified.class_names if certified else classifier.class_names
    names = tuple(wanted.class_names) or known or tuple(map(str, range(classes)))
    if len(names) != classes:
        raise SpecError(f"class_names: expected {classes}, one a class, got {len(names)}.")
    return names


def _refuse_unlike(facts: Facts, certified: Certified, weights: bytes) -> None:
    found = [*unlike(facts, certified), *unlike_recipe(facts.recipe, certified.recipe)]
    if not found and tie_of(weights, certified.model) == "other weights":
        found = ["its weights file is not at hand under the name the run knows"]
    if found:
        raise EvidenceError(
            f"This is not the classifier that the run certified: {'; '.join(found)}. "
            "`smoothcert bundle RUN` makes the bundle from the run's own classifier."
        )


def write(path: Path, facts: Facts, model: tuple[Classifier, bytes], wanted: Wanted, more: dict[str, Any]) -> Bundle:
    """Write the bundle of a classifier whose facts are settled.

    Args:
        path: a new or empty folder.
        facts: what makes it the one it is.
        model: the classifier, and its weights as a safetensors file.
        wanted: copies and alpha of a prediction.
        more: `n0`, `bound` and `certified` of the record.

    Raises:
        SpecError: n copies can never decide, or a value is out of range.
    """
    prediction_looks(wanted.n, wanted.alpha)  # refuses an n that can never decide
    classifier, weights = model
    bundle = _valid(
        Bundle,
        **{name: getattr(facts, name) for name in Facts.model_fields},
        **more,
        smoothcert=smoothcert.__version__,
        file_sha256=sha256_of(weights),
        n=wanted.n,
        alpha=wanted.alpha,
        probe=probe(classifier, facts.shape, facts.levels) if classifier.arch is None else (),
    )
    write_bundle(path, bundle, weights)
    return bundle


def _valid(kind: type[_T], **fields: Any) -> _T:
    try:
        return kind(**fields)
    except ValidationError as error:
        raise SpecError(explain(error)) from None
