"""The runner: load, look, lock the spec, and have it sampled."""

from __future__ import annotations

import secrets
from pathlib import Path

import torch

import smoothcert
from smoothcert.data.inspection import inspect_images
from smoothcert.engine.engines import open_engine
from smoothcert.engine.hooks import Hooks
from smoothcert.engine.local import local_engine
from smoothcert.engine.placement import Placement
from smoothcert.engine.preflight import preflight
from smoothcert.engine.room import check_workers
from smoothcert.engine.session import Session
from smoothcert.engine.work import Work, consent_of, data_facts, load_work, model_facts
from smoothcert.errors import SpecError
from smoothcert.evidence import STARTED, RunDirectory, append_event, create_run, environment, refuse_occupied
from smoothcert.evidence.forecast import Forecast
from smoothcert.evidence.planned import PLANNED, difference, first_unnamed
from smoothcert.evidence.signatures import expect_key
from smoothcert.formats.spec import MINOR
from smoothcert.spec import Request, Share, Spec, parse_share
from smoothcert.stats import schedule
from smoothcert.usercode import Consent


def certify(
    request: Request,
    out: Path,
    hooks: Hooks | None = None,
    plan: Forecast | None = None,
    placement: Placement | None = None,
    consent: Consent | None = None,
) -> RunDirectory:
    """Certify every image of a request, or one part of them, from nothing to a sealed run directory.

    Nothing is written before images, classifiers and preflight have passed.

    Args:
        request: what to certify.
        out: a new or empty folder.
        hooks: progress callbacks.
        plan: the forecast this run was planned with; it is recorded before the first image.
        placement: which engine samples, which part of the images, and which key signs the locked spec; a part is
            finished but not sealed.
        consent: what may be run; None: whatever the request names, as its maker named it here and now. Give one for
            a request that was read from a file.

    Raises:
        InputError: the request was refused, or it is not what was planned; nothing was written.
    """
    hooks, placement = hooks or Hooks(), placement or Placement()
    share = _share(request, placement)
    check_workers(placement)
    if placement.sign_lock is not None:
        expect_key(placement.sign_lock)
    refuse_occupied(out)
    work = load_work(request, hooks.on_read, consent=consent or consent_of(request))
    hooks.on_images(inspect_images(work.images))
    spec = lock(work)
    _check_planned(plan, spec)
    for sigma in work.classifiers:
        hooks.on_preflight(preflight(work, sigma, spec.seed))
    local = local_engine(spec, work)
    with open_engine(placement, spec, local) as engine:
        run = create_run(out, spec, environment(torch.get_num_threads()), share, placement.sign_lock)
        if plan is not None:
            append_event(run.events, PLANNED, forecast=plan.to_record())
        Session(run, local, engine, hooks).sample(STARTED)
    return run


def _share(request: Request, placement: Placement) -> Share | None:
    """Return the part of the images that is asked for; every part must lock the same spec, hence the same seed."""
    if placement.shard is None:
        return None
    share = parse_share(placement.shard)
    if request.seed is None:
        raise SpecError(
            "--shard needs --seed, the same for all shards of a run: draw one, keep it to yourself until the run is "
            'done, and give it to each: python3 -c "import secrets; print(secrets.randbits(64))".'
        )
    return share


def _check_planned(plan: Forecast | None, spec: Spec) -> None:
    if plan is None:
        return
    if (found := difference(plan, spec)) is not None:
        raise SpecError(
            f"This run is not the one that was planned ({found}). Certify with the settings, classifiers and images of "
            "the plan, plan anew, or leave out --plan."
        )
    if (place := first_unnamed(plan, spec)) is not None:
        raise SpecError(
            f"primary, criteria: {place.words} was not named in the plan, whose pilot looked at images of this run, so "
            "that a bound for this cell alone would not hold. Leave it out, and quote the bound for all cells "
            "together; or name it in the settings of the plan."
        )


def lock(work: Work) -> Spec:
    """Return the spec of a run: the request and every fact found before the first image."""
    request = work.request
    given = request.seed is not None
    return Spec(
        minor=MINOR,
        smoothcert=smoothcert.__version__,
        request=request,
        looks=schedule(request.n_max, request.stopping),
        seed=request.seed if request.seed is not None else secrets.randbits(64),
        seed_source="user" if given else "operating system",
        models=model_facts(work),
        data=data_facts(work.images),
        recipe=work.recipe,
    )
