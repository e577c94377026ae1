"""The runner: load, look, lock the spec, and have it sampled."""

from __future__ import annotations

import secrets
from pathlib import Path

import torch

import smoothcert
from smoothcert.data.inspection import inspect_images
from smoothcert.engine.preflight import preflight
from smoothcert.engine.session import Hooks, Session
from smoothcert.engine.work import Work, data_facts, load_work, model_facts
from smoothcert.errors import SpecError
from smoothcert.evidence import STARTED, RunDirectory, append_event, create_run, environment, refuse_occupied
from smoothcert.evidence.forecast import Forecast
from smoothcert.evidence.planned import PLANNED, difference
from smoothcert.spec import Request, Spec
from smoothcert.stats import schedule


def certify(request: Request, out: Path, hooks: Hooks | None = None, plan: Forecast | None = None) -> RunDirectory:
    """Certify every image of a request, from nothing to a sealed run directory.

    Nothing is written before images, classifiers and preflight have passed.

    Args:
        request: what to certify.
        out: a new or empty folder.
        hooks: progress callbacks.
        plan: the forecast this run was planned with; it is recorded before the first image.

    Raises:
        InputError: the request was refused, or it is not what was planned; nothing was written.
    """
    hooks = hooks or Hooks()
    refuse_occupied(out)
    work = load_work(request, hooks.on_read)
    hooks.on_images(inspect_images(work.images))
    spec = lock(work)
    _check_planned(plan, spec)
    for sigma in work.classifiers:
        hooks.on_preflight(preflight(work, sigma, spec.seed))
    run = create_run(out, spec, environment(torch.get_num_threads()))
    if plan is not None:
        append_event(run.events, PLANNED, forecast=plan.to_record())
    Session(run, spec, work, hooks).sample(STARTED)
    return run


def _check_planned(plan: Forecast | None, spec: Spec) -> None:
    found = None if plan is None else difference(plan, spec)
    if found is not None:
        raise SpecError(
            f"This run is not the one that was planned ({found}). Certify with the settings, classifiers and images of "
            "the plan, plan anew, or leave out --plan."
        )


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
