"""Going on with an interrupted run: the same spec, images, classifiers and recipe, or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smoothcert.engine.engines import open_engine
from smoothcert.engine.hooks import Hooks
from smoothcert.engine.local import local_engine
from smoothcert.engine.placement import Workers
from smoothcert.engine.room import check_workers
from smoothcert.engine.session import Session
from smoothcert.engine.work import Work, data_facts, load_work, model_facts
from smoothcert.errors import EvidenceError, RecipeError
from smoothcert.evidence import LOCKED, RESUMED, SIGNED, STARTED, Run, RunDirectory, open_run
from smoothcert.evidence.planned import PLANNED
from smoothcert.evidence.soundness import own_faults
from smoothcert.sampling.recipe import differences
from smoothcert.spec import Request, Sigma, Spec
from smoothcert.usercode import Consent


def resume(
    run: RunDirectory,
    moved: dict[str, Any],
    accept_recipe: bool = False,
    hooks: Hooks | None = None,
    workers: Workers | None = None,
    trust_model: bool = False,
) -> bool:
    """Sample what a run still misses and seal it; a shard goes on with its own part of the images.

    Args:
        run: an interrupted run.
        moved: `model`, `weights`, `data`, named anew; their content must be unchanged. Whatever of them is code must
            be named, for a run is data and names none.
        accept_recipe: go on with another numeric recipe; each new line then names it.
        hooks: progress callbacks.
        workers: which engine samples; any may go on with what any other began.
        trust_model: run files that are code, and code that only the run names.

    Returns:
        False where nothing was missing and the run was already sealed.

    Raises:
        EvidenceError: the spec was changed after it was locked, or model or data are not those of the run; or the run
            is finished and was changed since.
        RecipeError: this machine's recipe differs and was not accepted.
    """
    workers, hooks = workers or Workers(), hooks or Hooks()
    check_workers(workers)
    opened = open_run(run.path)
    spec = opened.spec
    _check_lock(run, spec)
    _check_seal(opened)
    if opened.done:
        return False
    consent = Consent(bool(moved.get("model")), bool(moved.get("data")), trust_model)
    work = load_work(_as_locked(spec, moved, accept_recipe), consent=consent)
    _check_same(spec, work)
    for warning in _unrecorded(spec, work):
        hooks.on_warning(warning)
    differing = differences(spec.recipe, work.recipe)
    if differing and not accept_recipe:
        raise RecipeError(
            f"This machine's numeric recipe is not the run's: {'; '.join(differing)}. Resume on a machine like the "
            "first, or accept it with --accept-recipe; every new line then names its recipe."
        )
    local = local_engine(spec, work)
    with open_engine(workers, spec, local) as engine:
        Session(run, local, engine, hooks).sample(RESUMED if _begun(run) else STARTED)
    return True


def _begun(run: RunDirectory) -> bool:
    return any(event.event not in (LOCKED, SIGNED, PLANNED) for event in run.own_events())


def _as_locked(spec: Spec, moved: dict[str, Any], accept_recipe: bool) -> Request:
    """Return the request as it was resolved: same batch shape and device kind, noise levels as they were written."""
    device = "auto" if accept_recipe else spec.recipe.device.split()[0]
    fixed = {"batch_size": spec.recipe.batch_size, "device": device}
    written = {"sigma": tuple(Sigma(model.written) for model in spec.models)}
    known = {name: value for name, value in moved.items() if value is not None}
    return spec.request.model_copy(update={**fixed, **written, **known})


def _check_lock(run: RunDirectory, spec: Spec) -> None:
    events = run.read_events()
    if not events or events[0].facts.get("spec_sha256") != spec.sha256():
        raise EvidenceError(
            f"{run.spec} is not the spec that was locked before the first image. Restore it, or start a new run."
        )


def _check_seal(run: Run) -> None:
    """Refuse a run that nothing more can make whole: one that was sealed and changed, or whose log was."""
    fault = next(own_faults(run.directory, run.spec, run.ledger), None)
    if fault is None:
        return
    if run.directory.vouched() is not None:
        raise EvidenceError(
            f"{run.directory.path} was sealed, and changed since: {fault}. A sealed run cannot be resumed; restore it "
            "from a copy, or certify anew into another --out."
        )
    raise EvidenceError(f"{run.directory.path} cannot be resumed. {fault}. Restore it from a copy.")


def _check_same(spec: Spec, work: Work) -> None:
    data = data_facts(work.images)
    if (data.sha256, data.images, data.class_names) != (spec.data.sha256, spec.data.images, spec.data.class_names):
        raise EvidenceError(
            f"{data.reference} does not hold the images of this run ({spec.data.sha256[:19]}..., "
            f"{spec.data.images} images). Point --data at the unchanged images."
        )
    _check_source("--data", spec.data.reference, spec.data.source_sha256, data.source_sha256)
    check_models(spec, work)


def check_models(spec: Spec, work: Work) -> None:
    """Refuse classifiers that are not those of the spec.

    Raises:
        EvidenceError: a file was changed; the message names it.
    """
    for ours, theirs in zip(spec.models, model_facts(work), strict=True):
        other_state = ours.state_sha256 is not None and ours.state_sha256 != theirs.state_sha256
        if ours.sha256 != theirs.sha256 or other_state:
            raise EvidenceError(
                f"{theirs.weights or theirs.reference} is not the classifier of this run at sigma {ours.sigma:g} "
                f"({ours.sha256[:19]}...). Point --model or --weights at the unchanged file."
            )
        _check_source("--model", ours.reference, ours.source_sha256, theirs.source_sha256)


def _check_source(flag: str, reference: str, ours: str | None, theirs: str | None) -> None:
    if ours is not None and ours != theirs:
        raise EvidenceError(
            f"{reference}: the source file of this code is not the one of this run ({ours[:19]}...). Restore that "
            f"file, or name it with {flag} where it lies unchanged."
        )


def _unrecorded(spec: Spec, work: Work) -> Iterator[str]:
    """Yield for which code a run has no hash: those that an earlier version wrote."""
    found = {each.reference: each.source_sha256 for each in work.classifiers.values()}
    found[work.images.reference] = work.images.source_sha256
    recorded = {each.reference: each.source_sha256 for each in spec.models}
    recorded[spec.data.reference] = spec.data.source_sha256
    for reference, source in found.items():
        if source is not None and recorded.get(reference) is None:
            yield f"{reference}: this run recorded no hash of the source file, so it was not compared"
