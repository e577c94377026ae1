"""Who certifies noise samples, and how many a second: this engine, a bare forward loop, `literal` and `peer`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from workload import ALPHA, CLASSES, IMAGES, N0, SIGMA, Normalised, classifier, images, to_float, whole_images

from smoothcert.config import make_request
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.run import freeze_spec
from smoothcert.engine.workload import Workload
from smoothcert.sampling.recipe import DTYPES, choose_recipe, prepare
from smoothcert.sampling.sampler import keep_freed_memory

Timed = Callable[[], int]
"""The measured work; returns how many samples it did."""


@dataclass(frozen=True)
class Rate:
    """One measurement of samples per second, made in a process of its own.

    Attributes:
        who: engine, bare, literal or art.
        precision: of engine and bare.
        batch_size: of literal and art.
        keep: True keeps freed memory, False leaves the allocator alone, None is what the contestant does itself.
        seconds: how long the measured run should take.
        least: samples of the warm-up, and of the measured run at least.
    """

    who: str
    precision: str = "fp32"
    batch_size: int = 0
    keep: bool | None = None
    seconds: float = 5.0
    least: int = 4096


def rate(task: Rate) -> float:
    """Measure one contestant in this process: a warm-up, a run that sets the number of samples, the measured run."""
    with allocator(task.keep):
        _rate(task, task.least)
        return _rate(task, max(task.least, int(task.seconds * _rate(task, task.least))))


def _rate(task: Rate, samples: int) -> float:
    run = READY[task.who](task, samples)
    began = time.perf_counter()
    done = run()
    return done / (time.perf_counter() - began)


@contextmanager
def allocator(keep: bool | None) -> Iterator[None]:
    """Keep freed memory, or hold the engine back from doing so; None leaves both as they are."""
    if keep:
        keep_freed_memory()
    if keep is not False:
        yield
        return
    with patch("smoothcert.engine.local.keep_freed_memory", return_value=False):
        yield


def engine(task: Rate, samples: int) -> Timed:
    """The package: noise, waves, votes, looks and bounds of many images (fixed sampling, so that the work is known)."""
    n_max = max(1, samples // IMAGES)
    request = make_request(
        model="-",
        data="-",
        sigma=(SIGMA,),
        precision=task.precision,
        n_max=n_max,
        stopping="fixed",
        target="label",
        device="cpu",
    )
    base, data = classifier(), images()
    work = Workload(request, data, {SIGMA: base}, choose_recipe(base, request, data.shape))
    local, sampler = LocalEngine(freeze_spec(work), work), work.sampler(SIGMA, seed=1)

    def run() -> int:
        for _ in local.lines(SIGMA, sampler, range(IMAGES)):
            pass
        return sampler.samples

    return run


def bare(task: Rate, samples: int) -> Timed:
    """The forward pass alone: the engine's prepared classifier on one constant batch of its size."""
    keep_freed_memory()
    base = classifier()
    request = make_request(model="-", data="-", sigma=(SIGMA,), precision=task.precision, device="cpu")
    recipe = choose_recipe(base, request, (3, 28, 28))
    forward = prepare(base, recipe)
    batch = torch.rand(recipe.batch_size, 3, 28, 28).to(DTYPES[task.precision])
    if recipe.memory_format == "channels_last":
        batch = batch.to(memory_format=torch.channels_last)

    def run() -> int:
        done = 0
        with torch.inference_mode():
            while done < samples:
                forward(batch)
                done += len(batch)
        return done

    return run


def literal(task: Rate, samples: int) -> Timed:
    """Algorithm 1 of Cohen et al., fp32, one image at a time."""
    from literal import Smooth

    smooth = Smooth(Normalised(classifier()), SIGMA, CLASSES, task.batch_size)
    count, n = whole_images(samples)
    batch = to_float(images(), count)

    def run() -> int:
        for image in batch:
            smooth.certify(image, N0, n, ALPHA)
        return smooth.samples

    return run


def art(task: Rate, samples: int) -> Timed:
    """The Adversarial Robustness Toolbox, fp32, one image at a time."""
    from peer import estimator

    smooth = estimator(Normalised(classifier()), (3, 28, 28), CLASSES, SIGMA, ALPHA, N0)
    count, n = whole_images(samples)
    batch = to_float(images(), count).numpy()

    def run() -> int:
        smooth.certify(batch, n, task.batch_size)
        return count * (N0 + n)

    return run


READY: dict[str, Callable[[Rate, int], Timed]] = {"engine": engine, "bare": bare, "literal": literal, "art": art}
