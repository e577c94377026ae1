"""The same certificates from everyone: synthetic images, the shipped demo classifier, one alpha, k = 1, fp32."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from figures import Certified
from literal import Smooth
from numpy.typing import NDArray
from workload import ALPHA, N0, SIGMA, Normalised, to_float

from smoothcert.config import make_request
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.run import freeze_spec
from smoothcert.engine.workload import Workload, load_workload
from smoothcert.evidence.outcomes import outcomes

RADII = (0.25, 0.5, 1.0)

Found = tuple[int, tuple[int, ...]]
"""Copies drawn, and images certified for their label at each radius."""


@dataclass(frozen=True)
class Guarantee:
    """One measurement of the time to certify images, made in a process of its own.

    Attributes:
        who: looks, fixed (the engine's two ways to stop), literal or art.
        images: the first so many synthetic images.
        n_max: noisy samples per image at most, after selection.
        seed: of everyone's noise.
        batch_size: of literal and art.
    """

    who: str
    images: int
    n_max: int
    seed: int
    batch_size: int = 0


def certify(task: Guarantee) -> Certified:
    """Certify the images in this process, after a warm-up on one of them with fewer samples."""
    READY[task.who](replace(task, images=1, n_max=min(1000, task.n_max)))()
    run = READY[task.who](task)
    began = time.perf_counter()
    samples, certified = run()
    return Certified(task.images, samples, time.perf_counter() - began, certified)


def _work(task: Guarantee) -> Workload:
    stopping = task.who if task.who in ("looks", "fixed") else "fixed"
    request = make_request(
        model="demo",
        data="synthetic",
        limit=task.images,
        sigma=(SIGMA,),
        radius=RADII,
        alpha=ALPHA,
        n0=N0,
        n_max=task.n_max,
        stopping=stopping,
        device="cpu",
    )
    return load_workload(request)


def _engine(task: Guarantee) -> Callable[[], Found]:
    work = _work(task)
    spec, sampler = freeze_spec(work), work.sampler(SIGMA, task.seed)
    local = LocalEngine(spec, work)

    def run() -> Found:
        lines = [line for wave in local.lines(SIGMA, sampler, spec.indices) for line in wave]
        found = outcomes(spec, lines, SIGMA, 1)
        return sampler.samples, tuple(int(found.certified_correct(r).sum()) for r in RADII)

    return run


def _literal(task: Guarantee) -> Callable[[], Found]:
    work = _work(task)
    smooth = Smooth(Normalised(work.classifiers[SIGMA]), SIGMA, work.images.num_classes, task.batch_size)
    images = to_float(work.images, task.images)
    torch.manual_seed(task.seed)

    def run() -> Found:
        found = [smooth.certify(image, N0, task.n_max, ALPHA) for image in images]
        return smooth.samples, _certified([c for c, _ in found], [r for _, r in found], work.images.labels)

    return run


def _art(task: Guarantee) -> Callable[[], Found]:
    from peer import estimator

    work = _work(task)
    data, base = work.images, Normalised(work.classifiers[SIGMA])
    smooth = estimator(base, data.shape, data.num_classes, SIGMA, ALPHA, N0)
    images = to_float(data, task.images).numpy()
    np.random.seed(task.seed)  # noqa: NPY002  (ART draws from NumPy's global generator)

    def run() -> Found:
        classes, radii = smooth.certify(images, task.n_max, task.batch_size)
        return task.images * (N0 + task.n_max), _certified(classes, radii, data.labels)

    return run


def _certified(classes: Sequence[int | None], radii: Sequence[float], labels: NDArray[np.int64]) -> tuple[int, ...]:
    right = np.array([c == label for c, label in zip(classes, labels, strict=True)])
    return tuple(int((right & (np.asarray(radii) >= r)).sum()) for r in RADII)


READY: dict[str, Callable[[Guarantee], Callable[[], Found]]] = {
    "looks": _engine,
    "fixed": _engine,
    "literal": _literal,
    "art": _art,
}
