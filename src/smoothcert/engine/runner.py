"""The runner: lock a spec, find what is missing, have it sampled, append ledger lines, seal the run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import smoothcert
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.preflight import Preflight, preflight
from smoothcert.engine.work import Work, data_facts, load_work, model_facts
from smoothcert.errors import EvidenceError, RecipeError
from smoothcert.evidence import (
    FINISHED,
    LEVEL,
    RESUMED,
    STARTED,
    LedgerWriter,
    RunDirectory,
    append_event,
    create_run,
    environment,
    refuse_occupied,
    results_record,
    write_json,
)
from smoothcert.sampling.recipe import differences
from smoothcert.sampling.selftest import noise_test, self_test
from smoothcert.spec import Request, Sigma, Spec
from smoothcert.stats import schedule


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        sigma: noise level being sampled.
        decided: (sigma, image) pairs with a ledger line.
        total: all pairs of the run.
        copies: noisy copies drawn by this process.
        fixed_copies: copies fixed sampling would have drawn for the images this process decided.
        decided_copies: copies those images took.
        seconds: time this process has been sampling.
    """

    sigma: float
    decided: int
    total: int
    copies: int
    fixed_copies: int
    decided_copies: int
    seconds: float


@dataclass(frozen=True)
class Hooks:
    """What a caller may hear of a run, and how it may change the order of work."""

    on_preflight: Callable[[Preflight], None] = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    order: Callable[[list[int]], Sequence[int]] = lambda indices: indices


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
    sample(run, spec, work, STARTED, hooks)
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
    sample(run, spec, work, RESUMED, hooks or Hooks())
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


def sample(run: RunDirectory, spec: Spec, work: Work, began_as: str, hooks: Hooks) -> None:
    """Sample what is missing, appending lines as images are decided, and seal the run when it is complete."""
    with run.locked():
        done = run.read_ledger().keys()
        other = None if work.recipe == spec.recipe else work.recipe
        engine = LocalEngine(spec, work, recipe_name=None if other is None else other.name)
        facts = {"lines": len(done), "worker": engine.worker, "recipe": other and other.model_dump()}
        append_event(run.events, began_as, **facts)
        state = _Tally(total=len(spec.models) * spec.data.images, decided=len(done))
        with LedgerWriter(run.ledger / f"{engine.worker}.jsonl") as writer:
            for sigma in work.classifiers:
                missing = [index for index in spec.indices if (sigma, index) not in done]
                if missing:
                    _sample_level(run, engine, (sigma, hooks.order(missing)), writer, (hooks, state))
        _seal(run, spec)


@dataclass
class _Tally:
    total: int
    decided: int
    copies: int = 0
    fixed: int = 0
    decided_copies: int = 0
    began: float = 0.0


def _sample_level(
    run: RunDirectory,
    engine: LocalEngine,
    job: tuple[float, Sequence[int]],
    writer: LedgerWriter,
    report: tuple[Hooks, _Tally],
) -> None:
    (sigma, indices), (hooks, state), spec = job, report, engine.spec
    sampler = engine.work.sampler(sigma, spec.seed)
    tests = {
        "self_test": asdict(self_test(sampler, indices[0])),
        "noise_test": noise_test(engine.work.noise(sigma, spec.seed), list(spec.indices[:256]), spec.data.shape),
    }
    append_event(run.events, LEVEL, sigma=sigma, **tests)
    state.began = state.began or time.monotonic()
    for lines in engine.lines(sigma, sampler, indices):
        writer.append(lines)
        state.decided += len(lines)
        state.decided_copies += sum(line.samples for line in lines)
        state.fixed += len(lines) * (spec.request.n0 + spec.request.n_max)
        hooks.on_progress(_progress(sigma, sampler.copies, state))


def _progress(sigma: float, copies: int, state: _Tally) -> Progress:
    seconds = time.monotonic() - state.began
    return Progress(sigma, state.decided, state.total, copies, state.fixed, state.decided_copies, seconds)


def _seal(run: RunDirectory, spec: Spec) -> None:
    ledger = run.read_ledger()
    write_json(run.results / "results.json", results_record(spec, ledger))
    append_event(run.events, FINISHED, lines=len(ledger.lines), ledger_sha256=ledger.sha256())
