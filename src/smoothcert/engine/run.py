"""`certify` and `resume`: load the workload, run preflight, lock the spec, sample with an engine, seal."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from smoothcert.config import Request, Share, Sigma, Spec, parse_share
from smoothcert.config.request import IN_MEMORY
from smoothcert.data.inspection import inspect_images
from smoothcert.engine.local import Engine, LocalEngine, local_engine
from smoothcert.engine.preflight import preflight
from smoothcert.engine.resources import Placement, Workers, check_workers
from smoothcert.engine.session import Hooks, Session
from smoothcert.engine.workload import (
    Workload,
    check_models,
    consent_of,
    data_facts,
    load_workload,
    model_facts,
    unrecorded,
    with_probes,
)
from smoothcert.errors import EvidenceError, RecipeError, SpecError
from smoothcert.evidence import Run, RunDirectory, open_run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.evidence.events import LOCKED, RESUMED, SIGNED, STARTED, append_event, environment
from smoothcert.evidence.outcomes import grid_of
from smoothcert.evidence.run import PLANNED, difference, first_unnamed
from smoothcert.evidence.seal import expect_key
from smoothcert.evidence.soundness import own_faults
from smoothcert.formats.plan import Forecast
from smoothcert.formats.spec import MINOR
from smoothcert.import_factory import Consent
from smoothcert.models import at_sigma
from smoothcert.sampling.bundled_parts import FILES, refuse_needless_denoiser
from smoothcert.sampling.identity import check_source
from smoothcert.sampling.recipe import differences
from smoothcert.stats import schedule
from smoothcert.stats.sequential import BETTING
from smoothcert.version import __version__


@contextmanager
def open_engine(workers: Workers, spec: Spec, local: LocalEngine) -> Iterator[Engine]:
    """Yield an engine; it is closed at the end of the block.

    Args:
        workers: which engine, with how many workers.
        spec: the locked spec.
        local: this process as an engine, with images and classifiers of that spec.

    Raises:
        InputError: there is no cluster at the address.
    """
    if workers.engine == "local":
        yield local
        return
    from smoothcert.engine.messages import Job
    from smoothcert.engine.ray import RayPool, connected
    from smoothcert.engine.worker_pool import WORKER_SECONDS, WorkerPool

    work = local.work
    with connected(workers, work.recipe.device, work.images.images.nbytes) as cluster:
        seconds = workers.worker_timeout or WORKER_SECONDS
        job = Job(spec.to_json(), work.resolved, work.recipe, os.getcwd(), cluster.resources.threads, work.consent)
        with closing(RayPool(cluster, job, work.images)) as pool:
            yield WorkerPool(pool, spec, work.images, cluster.resources.workers, local.recipe_name, seconds)


def certify(
    request: Request,
    out: Path,
    hooks: Hooks | None = None,
    plan: Forecast | None = None,
    placement: Placement | None = None,
    consent: Consent | None = None,
) -> RunDirectory:
    """Certify the images of a request, or one shard of them, and write a sealed run directory.

    Nothing is written before images, classifiers and preflight have passed.

    Args:
        request: what to certify.
        out: a new or empty folder.
        hooks: progress callbacks.
        plan: the forecast this run was planned with; it is recorded before the first image.
        placement: engine, shard, and key that signs the locked spec; a shard is finished but not sealed.
        consent: which code may be run; None: the code that the request names. Give one for a request that was read from
            a file.

    Raises:
        InputError: the request is not valid or not that of the plan; nothing was written.
    """
    hooks, placement = hooks or Hooks(), placement or Placement()
    check_placement(request, out, placement)
    work = load_workload(request, hooks.on_read, consent=consent or consent_of(request))
    return certify_workload(work, out, hooks, plan, placement)


def check_placement(request: Request, out: Path, placement: Placement) -> None:
    """Refuse what can be refused before images and classifiers are loaded.

    Raises:
        InputError: a shard without a seed, workers that cannot be had, or a key that cannot sign.
        EvidenceError: `out` is not a new or empty folder.
    """
    _share(request, placement)
    check_workers(placement)
    if placement.sign_lock is not None:
        expect_key(placement.sign_lock)
    refuse_occupied(out)


def certify_workload(
    work: Workload, out: Path, hooks: Hooks, plan: Forecast | None = None, placement: Placement | None = None
) -> RunDirectory:
    """Certify a loaded workload: preflight, the locked spec, sampling, the seal.

    Args, Raises: as for `certify`.
    """
    placement = placement or Placement()
    share = _share(work.request, placement)
    hooks.on_images(inspect_images(work.images))
    spec = freeze_spec(work)
    _check_planned(plan, spec)
    for sigma in work.classifiers:
        hooks.on_preflight(preflight(work, sigma, spec.seed))
    local = local_engine(spec, work)
    with open_engine(placement, spec, local) as engine:
        named = [name for name in (work.request.denoiser, work.request.model) if name is not None]
        run = create_run(out, spec, environment(torch.get_num_threads(), named), share, placement.sign_lock)
        if plan is not None:
            append_event(run.events, PLANNED, forecast=plan.to_record())
        Session(run, local, engine, hooks).sample(STARTED)
    return run


def _share(request: Request, placement: Placement) -> Share | None:
    """Return the shard that is asked for. All shards must lock the same spec, and so need the same seed."""
    if placement.shard is None:
        return None
    share = parse_share(placement.shard)
    if request.seed is None:
        raise SpecError(
            "--shard needs --seed, the same for all shards of a run: draw one, keep it to yourself until the run is "
            'done, and give it to each: python3 -c "import secrets; print(secrets.randbits(64))".',
            code="E-SPEC-006",
        )
    return share


def _check_planned(plan: Forecast | None, spec: Spec) -> None:
    if plan is None:
        return
    if (found := difference(plan, spec)) is not None:
        raise SpecError(
            f"This run is not the planned one ({found}). Use the settings, classifiers and images of the plan, make a "
            "new plan, or remove --plan.",
            code="E-SPEC-007",
        )
    if (place := first_unnamed(plan, spec)) is not None:
        raise SpecError(
            f"primary, criteria: {place.words} is not in the plan, whose pilot used images of this run: a bound for "
            "this entry alone would not hold. Remove it, and quote the joint bound of all entries; or name it in "
            "the settings of the plan.",
            code="E-SPEC-008",
        )


def freeze_spec(work: Workload) -> Spec:
    """Return the spec of a run: the request and all facts that are known before the first image."""
    request, models = work.request, model_facts(work)
    given, looks = request.seed is not None, schedule(request.n_max, request.stopping, request.bound)
    grids = [grid_of(request, looks, model.sigma, model.eta) for model in models]
    return Spec(
        minor=MINOR,
        smoothcert=__version__,
        request=request,
        looks=looks,
        grid=tuple(grids) if request.bound == BETTING else (),
        seed=request.seed if request.seed is not None else secrets.randbits(64),
        seed_source="user" if given else "operating system",
        models=with_probes(work, models),
        data=data_facts(work.images),
        recipe=work.recipe,
    )


def resume(
    run: RunDirectory,
    moved: dict[str, Any],
    accept_recipe: bool = False,
    hooks: Hooks | None = None,
    workers: Workers | None = None,
    trust_model: bool = False,
) -> bool:
    """Sample the missing images of a run and seal it; a shard continues with its own images.

    Args:
        run: an interrupted run.
        moved: new `model`, `weights`, `denoiser`, `denoiser_weights` or `data`; their content must be unchanged. Code
            must be named here: a run is data and never names code.
        accept_recipe: continue with another numeric recipe; each new line names it.
        hooks: progress callbacks.
        workers: which engine samples; it may differ from that of earlier sessions.
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
    spec = resumable(run)
    if spec is None:
        return False
    refuse_needless_denoiser(run.path, spec.request, moved)
    named = {name: bool(moved.get(name)) for name in ("model", "data", "denoiser")}
    consent = Consent(**named, trust=trust_model)
    known = {name: value for name, value in moved.items() if value is not None}
    request = as_locked(spec, accept_recipe).model_copy(update=known)
    _refuse_missing(request)
    resume_workload(run, spec, load_workload(request, consent=consent), hooks, workers, accept_recipe)
    return True


def _refuse_missing(request: Request) -> None:
    """Refuse files of classifiers and denoisers that are not where the run was made.

    Raises:
        EvidenceError: there is no such file; the message names the flags for its new place.
    """
    for name, weights in (("model", "weights"), ("denoiser", "denoiser_weights")):
        reference = getattr(request, weights) or getattr(request, name) or ""
        for sigma in request.sigma:
            path = Path(at_sigma(reference, sigma.text if isinstance(sigma, Sigma) else repr(sigma)))
            if path.suffix in FILES and not re.match("(timm|monai|diffusers):", reference) and not path.exists():
                raise EvidenceError(
                    f"{path}: no such file. If it was moved, give its path with --{name} or "
                    f"--{weights.replace('_', '-')}.",
                    code="E-RUN-190",
                )


def resumable(run: RunDirectory) -> Spec | None:
    """Return the spec of an interrupted run; None where nothing is missing and the run is sealed.

    Raises:
        EvidenceError: the spec was changed after it was locked; or the run is sealed and was changed since.
    """
    opened = open_run(run.path)
    _check_lock(run, opened.spec)
    _check_seal(opened)
    return None if opened.done else opened.spec


def resume_workload(
    run: RunDirectory, spec: Spec, work: Workload, hooks: Hooks, workers: Workers, accept_recipe: bool
) -> None:
    """Sample what a run still misses with its loaded workload, and seal it.

    Raises:
        EvidenceError: images or classifiers are not those of the run.
        RecipeError: this machine's recipe differs and was not accepted.
    """
    _check_same(spec, work)
    for warning in unrecorded(spec, work):
        hooks.on_warning(warning)
    differing = differences(spec.recipe, work.recipe)
    if differing and not accept_recipe:
        raise RecipeError(
            f"This machine's numeric recipe is not the run's: {'; '.join(differing)}. Resume on a machine like the "
            "first, or accept it with --accept-recipe; every new line then names its recipe.",
            code="E-RECIPE-001",
        )
    local = local_engine(spec, work)
    with open_engine(workers, spec, local) as engine:
        Session(run, local, engine, hooks).sample(RESUMED if _begun(run) else STARTED)


def _begun(run: RunDirectory) -> bool:
    return any(event.event not in (LOCKED, SIGNED, PLANNED) for event in run.own_events())


def as_locked(spec: Spec, accept_recipe: bool = False) -> Request:
    """Return the request as it was resolved: same batch shape and device kind, noise levels as they were written."""
    device = "auto" if accept_recipe else spec.recipe.device.split()[0]
    fixed = {"batch_size": spec.recipe.batch_size, "device": device}
    written = {"sigma": tuple(Sigma(model.written) for model in spec.models)}
    return spec.request.model_copy(update={**fixed, **written})


def _check_lock(run: RunDirectory, spec: Spec) -> None:
    events = run.read_events()
    if not events or events[0].facts.get("spec_sha256") != spec.sha256():
        raise EvidenceError(
            f"{run.spec} is not the spec that was locked before the first image. Restore it, or start a new run.",
            code="E-RUN-005",
        )


def _check_seal(run: Run) -> None:
    """Refuse a run that nothing more can make whole: one that was sealed and changed, or whose log was."""
    fault = next(own_faults(run.directory, run.spec, run.ledger), None)
    if fault is None:
        return
    if run.directory.vouched() is not None:
        raise EvidenceError(
            f"{run.directory.path} was sealed, and changed since: {fault}. A sealed run cannot be resumed; restore it "
            "from a copy, or certify again into another --out.",
            code="E-RUN-006",
        )
    raise EvidenceError(f"{run.directory.path} cannot be resumed. {fault}. Restore it from a copy.", code="E-RUN-007")


def _check_same(spec: Spec, work: Workload) -> None:
    data = data_facts(work.images)
    remedy = "Pass" if spec.request.data == IN_MEMORY else "Point --data at"
    if (data.sha256, data.images, data.class_names) != (spec.data.sha256, spec.data.images, spec.data.class_names):
        raise EvidenceError(
            f"{data.reference} does not hold the images of this run ({spec.data.sha256[:19]}..., "
            f"{spec.data.images} images). {remedy} the unchanged images.",
            code="E-RUN-008",
        )
    check_source("--data", spec.data.reference, spec.data.source_sha256, data.source_sha256)
    check_models(spec, work)
