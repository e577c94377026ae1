"""The runner: lock a spec and have it sampled, or check that an interrupted run may go on."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import torch

import smoothcert
from smoothcert.engine.preflight import preflight
from smoothcert.engine.session import Hooks, Session
from smoothcert.engine.work import Work, data_facts, load_work, model_facts
from smoothcert.errors import EvidenceError, RecipeError
from smoothcert.evidence import RESUMED, STARTED, RunDirectory, create_run, environment, refuse_occupied
from smoothcert.sampling.recipe import differences
from smoothcert.spec import Request, Sigma, Spec
from smoothcert.stats import schedule


def certify(request: Request, out: Path, hooks: Hooks | None = None) -> RunDirectory:
    """Certify every image of a request, from nothing to a sealed run directory.

    Nothing is written before images, classifiers and preflight have passed.

    Args:
        request: what to certify.
        out: a new or empty folder.
        hooks: progress callbacks.

    Raises:
        InputError: the request was refused; nothing was written.
    """
    hooks = hooks or Hooks()
    refuse_occupied(out)
    work = load_work(request)
    spec = lock(work)
    for sigma in work.classifiers:
        hooks.on_preflight(preflight(work, sigma, spec.seed))
    run = create_run(out, spec, environment(torch.get_num_threads()))
    Session(run, spec, work, hooks).sample(STARTED)
    return run


def lock(work: Work) -> Spec:
    """Return the spec of a run: the request and every fact found before the first image."""
    request = work.request
    given = request.seed is not None
    return Spec(
        smoothcert=smoothcert.__version__,
        request=request,
        looks=schedule(request.n_max, request.stopping),
        seed=request.seed if request.seed is not None else secrets.randbits(64),
        seed_source="user" if given else "operating system",
        models=model_facts(work),
        data=data_facts(work.images),
        recipe=work.recipe,
    )


def resume(run: RunDirectory, moved: dict[str, Any], accept_recipe: bool = False, hooks: Hooks | None = None) -> bool:
    """Sample what a run still misses and seal it.

    Args:
        run: an interrupted run.
        moved: new places of moved files (`model`, `weights`, `data`); their content must be unchanged.
        accept_recipe: go on with another numeric recipe; each new line then names it.
        hooks: progress callbacks.

    Returns:
        False where nothing was missing and the run was already sealed.

    Raises:
        EvidenceError: the spec was changed after it was locked, or model or data are not those of the run.
        RecipeError: this machine's recipe differs and was not accepted.
    """
    spec = run.read_spec()
    _check_lock(run, spec)
    ledger = run.read_ledger()
    if len(ledger.lines) == len(spec.request.sigma) * spec.data.images and run.seal() is not None:
        return False
    work = load_work(_as_locked(spec, moved))
    _check_same(spec, work)
    differing = differences(spec.recipe, work.recipe)
    if differing and not accept_recipe:
        raise RecipeError(
            f"This machine's numeric recipe is not the run's: {'; '.join(differing)}. Resume on a machine like the "
            "first, or accept it with --accept-recipe; every new line then names its recipe."
        )
    Session(run, spec, work, hooks or Hooks()).sample(RESUMED)
    return True


def _as_locked(spec: Spec, moved: dict[str, Any]) -> Request:
    """Return the request as it was resolved: same batch shape and device kind, noise levels as they were written."""
    fixed = {"batch_size": spec.recipe.batch_size, "device": spec.recipe.device.split()[0]}
    written = {"sigma": tuple(Sigma(model.written) for model in spec.models)}
    known = {name: value for name, value in moved.items() if value is not None}
    return spec.request.model_copy(update={**fixed, **written, **known})


def _check_lock(run: RunDirectory, spec: Spec) -> None:
    events = run.read_events()
    if not events or events[0].facts.get("spec_sha256") != spec.sha256():
        raise EvidenceError(
            f"{run.spec} is not the spec that was locked before the first image. Restore it, or start a new run."
        )


def _check_same(spec: Spec, work: Work) -> None:
    data = data_facts(work.images)
    if (data.sha256, data.images, data.class_names) != (spec.data.sha256, spec.data.images, spec.data.class_names):
        raise EvidenceError(
            f"{data.reference} does not hold the images of this run ({spec.data.sha256[:19]}..., "
            f"{spec.data.images} images). Point --data at the unchanged images."
        )
    for ours, theirs in zip(spec.models, model_facts(work), strict=True):
        if ours.sha256 != theirs.sha256:
            raise EvidenceError(
                f"{theirs.weights or theirs.reference} is not the classifier of this run at sigma {ours.sigma:g} "
                f"({ours.sha256[:19]}...). Point --model or --weights at the unchanged file."
            )
