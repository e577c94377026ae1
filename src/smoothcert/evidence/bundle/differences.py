"""Whether a bundle is the classifier that a run certified, and each difference as text. Weights go by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Literal

from smoothcert.config import DenoiserFacts, Recipe, Request, Spec, identity
from smoothcert.evidence.bundle.record import Bundle, BundledModel, Certified, Facts
from smoothcert.evidence.run import Run


def certified_of(run: Run, sigma: float) -> Certified:
    """Return what a run certified at one of its noise levels.

    Raises:
        SpecError: the run has no such noise level.
    """
    spec = run.spec
    return Certified(
        **_facts_of(spec, sigma),
        spec_sha256=spec.sha256(),
        ledger_sha256=run.ledger.sha256(),
        sealed=run.sealed,
        data=spec.data.reference,
        data_sha256=spec.data.sha256,
        images=spec.data.images,
        k=spec.request.k,
        radii=spec.request.radius,
        n_max=spec.request.n_max,
        alpha=spec.request.alpha,
        bound=spec.request.bound,
    )


def differences(bundle: Facts, spec: Spec) -> tuple[str, ...]:
    """Describe the differences between a bundle and the classifier that a run certified; empty if there are none.

    Args:
        bundle: the record of a bundle.
        spec: the locked spec of the run.
    """
    levels = [model.sigma for model in spec.models]
    if bundle.sigma not in levels and len(levels) > 1:
        return (f"sigma is {bundle.sigma:g}, certified: {' and '.join(f'{sigma:g}' for sigma in levels)}",)
    certified = Facts(**_facts_of(spec, bundle.sigma if bundle.sigma in levels else levels[0]))
    return (*unlike(bundle, certified), *unlike_recipe(bundle.recipe, certified.recipe))


def unlike(bundle: Facts, certified: Facts) -> Iterator[str]:
    """Describe the differences between two smoothed classifiers, apart from their numeric recipes."""
    if bundle.model.sha256 != certified.model.sha256:
        yield f"weights are {identity(bundle.model.sha256)}, certified: {identity(certified.model.sha256)}"
    for word, name in _PARTS.items():
        mine, theirs = (_part(each, name) for each in (bundle, certified))
        recorded = name != "state_sha256" or None not in (mine, theirs)  # version 0.1.0 recorded none
        if recorded and mine != theirs:
            yield f"{word} is {_shown(mine)}, certified: {_shown(theirs)}"
    yield from _unlike_denoiser(bundle.model.denoiser, certified.model.denoiser)
    yield from _unlike_names(bundle.class_names, certified.class_names)


def _unlike_denoiser(denoiser: DenoiserFacts | None, certified: DenoiserFacts | None) -> Iterator[str]:
    if denoiser is None or certified is None:
        if denoiser is not certified:
            mine, theirs = ("none" if each is None else _identity(each) for each in (denoiser, certified))
            yield f"denoiser is {mine}, certified: {theirs}"
        return
    if denoiser.sha256 != certified.sha256:
        yield f"denoiser weights are {_identity(denoiser)}, certified: {_identity(certified)}"
    for word, name in _OF_THE_DENOISER.items():
        mine, theirs = getattr(denoiser, name), getattr(certified, name)
        recorded = name != "source_sha256" or denoiser.source_sha256 is not None  # none where no run is recorded
        if recorded and mine != theirs:
            yield f"denoiser: {word} is {_shown(mine)}, certified: {_shown(theirs)}"


def _identity(denoiser: DenoiserFacts) -> str:
    return identity(denoiser.sha256, denoiser.source_sha256)


def chosen(bundle: Bundle, request: Request) -> Iterator[str]:
    """Describe where the prediction settings of a bundle differ from those of the run, which is allowed."""
    for word, mine, theirs in (
        ("alpha", bundle.alpha, request.alpha),
        ("n", bundle.n, request.n_max),
        ("n0", bundle.n0, request.n0),
        ("bound", bundle.bound, request.bound),
    ):
        if mine != theirs:
            yield f"{word} {mine} (the run's: {theirs})"


def _unlike_names(names: tuple[str, ...], certified: tuple[str, ...]) -> Iterator[str]:
    if len(names) != len(certified):
        yield f"there are {len(names)} class names, certified: {len(certified)}"
        return
    for number, (mine, theirs) in enumerate(zip(names, certified, strict=True)):
        if mine != theirs:
            yield f"class {number} is {_shown(mine)}, certified: {_shown(theirs)}"
            return


def unlike_recipe(present: Recipe, before: Recipe, when: str = "certified") -> Iterator[str]:
    """Describe where a numeric recipe differs from the one that was certified, or saved."""
    ours, theirs = present.model_dump(), before.model_dump()
    for name, mine in ours.items():
        if mine != theirs[name]:
            yield f"recipe: {name.replace('_', ' ')} is {_shown(mine)}, {when}: {_shown(theirs[name])}"


_PARTS = {
    "sigma": "sigma",
    "kind of network": "own",
    "state": "state_sha256",
    "noise": "noise",
    "architecture": "arch",
    "grid": "levels",
    "image shape": "shape",
    "preprocessing": "preprocessing",
    "normalisation mean": "mean",
    "normalisation std": "std",
}
"""What is compared besides weights, class names and recipe: its name in messages, and its field."""


_OF_THE_MODEL = ("arch", "own", "state_sha256")
_OF_THE_DENOISER = {
    "reference": "reference",
    "architecture": "arch",
    "state": "state_sha256",
    "adaptation": "adapted",
    "lowest trained sigma": "trained_low",
    "highest trained sigma": "trained_sigma",
    "source": "source_sha256",
}
"""What is compared of a denoiser besides its weights: its name in messages, and its field."""


def _part(facts: Facts, name: str) -> Any:
    return getattr(facts.model if name in _OF_THE_MODEL else facts, name)


def _shown(value: Any) -> str:
    """Format a value for a message: short and plain ASCII, since class names may be any text."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _facts_of(spec: Spec, sigma: float) -> dict[str, Any]:
    model = spec.model_at(sigma)
    return {
        "sigma": model.sigma,
        "noise": spec.request.noise,
        "levels": spec.data.levels,
        "shape": spec.data.shape,
        "preprocessing": spec.data.preprocessing,
        "mean": model.mean,
        "std": model.std,
        "class_names": spec.data.class_names,
        "model": BundledModel(
            arch=model.arch,
            own=model.own,
            reference=model.reference,
            weights=model.weights,
            sha256=model.sha256,
            state_sha256=model.state_sha256,
            denoiser=model.denoiser,
        ),
        "recipe": spec.recipe,
    }


Tie = Literal["same file", "same tensors", "not known", "other weights"]
"""How the weights of a bundle are related to the certified ones."""

OTHER_FORMS = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pt2", ".ts")
"""Formats that a bundle converts instead of copying: then only the hash of the state dict can be compared."""

_TORCH = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
_BITS = (("I", "int", (8, 16, 32, 64)), ("U", "uint", (8, 16, 32, 64)))
_TORCH |= {f"{short}{bits}": f"{name}{bits}" for short, name, sizes in _BITS for bits in sizes}


def tie_of(weights: bytes, certified: BundledModel | DenoiserFacts) -> Tie:
    """Return how the weights of a bundle are related to those that a run certified.

    Args:
        weights: the bytes of `weights.safetensors` or `denoiser.safetensors`.
        certified: the classifier or denoiser as the run certified it.
    """
    if f"sha256:{hashlib.sha256(weights).hexdigest()}" == certified.sha256:
        return "same file"
    state = state_sha256_of(weights)
    if state is not None and state in (certified.state_sha256, certified.sha256):
        return "same tensors"
    if certified.state_sha256 is not None:
        return "other weights"
    source = certified.weights or certified.reference
    return "not known" if source.lower().endswith(OTHER_FORMS) or source.startswith("monai:") else "other weights"


def state_sha256_of(data: bytes) -> str | None:
    """Return the hash ("sha256:...") of the tensors of a safetensors file: name, type, shape and bytes of each.

    Equals the hash of the state dict, which identifies a classifier without a weights file. None if the data are not a
    safetensors file.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    digest = hashlib.sha256()
    try:
        tensors = json.loads(data[8:start])
        tensors.pop("__metadata__", None)
        for name, facts in sorted(tensors.items()):
            low, high = facts["data_offsets"]
            digest.update(f"{name} torch.{_TORCH[facts['dtype']]} {tuple(facts['shape'])}\n".encode())
            digest.update(data[start + low : start + high])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return f"sha256:{digest.hexdigest()}"


def metadata_of(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty if there are none, or if it is another file."""
    try:
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {name: text for name, text in metadata.items() if isinstance(text, str)}
