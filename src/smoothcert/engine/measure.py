"""What is measured beside the votes, once a run: classifiers without noise, changed images, rate in each precision."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from smoothcert.data import CHANGES, change_norms
from smoothcert.engine.work import Work, clean_forward, clean_logits
from smoothcert.errors import ModelError
from smoothcert.evidence.columns import image_key, repeated
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.memory import keep_freed_memory
from smoothcert.sampling.recipe import DTYPES
from smoothcert.sampling.sampler import Sampler

IMAGES_CHANGED = 200
BATCH = 256
RATE_BATCHES, RATE_SECONDS = 24, 1.0
"""Batches and time that a rate is measured over, whichever is reached first."""


def measure_clean(work: Work, sigma: float) -> dict[str, Any]:
    """Classify every image of a run without noise, by the classifier of one noise level.

    Returns:
        `images` and, for each k of the run, `correct`: the number of images of each class whose label is among the k
        highest logits (the lower class first on equal logits).

    Raises:
        ModelError: the classifier fails on an image.
    """
    forward = clean_forward(work, sigma)
    labels, classes, ks = work.images.labels, work.images.num_classes, work.request.k
    correct = {k: np.zeros(classes, dtype=np.int64) for k in ks}
    for start in range(0, len(labels), min(BATCH, work.recipe.batch_size)):
        batch = np.arange(start, min(start + min(BATCH, work.recipe.batch_size), len(labels)))
        ranked = np.argsort(-clean_logits(work, sigma, batch, forward), axis=1, kind="stable")
        for k in ks:
            hit = (ranked[:, :k] == labels[batch, None]).any(axis=1)
            correct[k] += np.bincount(labels[batch][hit], minlength=classes)
    return {"sigma": sigma, "images": len(labels), "correct": {str(k): each.tolist() for k, each in correct.items()}}


def measure_repeats(work: Work) -> dict[str, Any]:
    """Count images that are equal to the bit, which independent draws are not.

    Returns:
        `images` of the run, and how many `repeats` another one: where images come in groups, one of another group.
    """
    images = work.images
    keys = np.array([image_key(images.image_sha256(i)) for i in range(len(images))], dtype=np.uint64)
    names = [str(i) for i in range(len(images))] if images.groups is None else [str(name) for name in images.groups]
    return {"images": len(images), "repeats": repeated(keys, np.unique(names, return_inverse=True)[1])}


def measure_changes(work: Work) -> dict[str, Any]:
    """Measure how far simple changes move the first images of a run.

    Returns:
        `images` measured, the run's `radius`, and for each change its `median` L2 norm, and how many images it leaves
        `within` each radius.
    """
    images = work.images
    count = min(IMAGES_CHANGED, len(images))
    norms = [change_norms(images.pixels(i), images.levels) for i in range(count)]
    changes = {name: _spread([each[name] for each in norms], work.request.radius) for name in CHANGES}
    return {"images": count, "radius": list(work.request.radius), "changes": changes}


def _spread(norms: list[float], radii: Iterable[float]) -> dict[str, Any]:
    values = np.asarray(norms)
    return {"median": float(np.median(values)), "within": [int((values < r).sum()) for r in radii]}


def measure_rates(work: Work, sigma: float, seed: int) -> dict[str, Any]:
    """Measure noisy copies a second in every precision this device can run, never compiled.

    The copies are of the test stage, whose votes count nowhere.

    Returns:
        `device`, `batch_size`, `rates` by precision, and `left_out`: precisions that do not run here, with the reason.
    """
    keep_freed_memory()
    rates, left_out = {}, {}
    for precision in DTYPES:
        try:
            rates[precision] = round(_rate(work, sigma, seed, precision), 1)
        except (ModelError, RuntimeError) as error:
            left_out[precision] = str(error).splitlines()[0]
    facts = {"device": work.recipe.device, "batch_size": work.recipe.batch_size}
    return {"sigma": sigma, **facts, "rates": rates, "left_out": left_out}


def _rate(work: Work, sigma: float, seed: int, precision: str) -> float:
    sampler = work.sampler(sigma, seed, work.recipe_as(sigma, precision=precision))
    return copies_a_second(sampler, int(work.images.indices[0]), RATE_SECONDS, RATE_BATCHES)


def copies_a_second(sampler: Sampler, index: int, seconds: float, most: int) -> float:
    """Return noisy copies a second, over whole batches of the test stage, whose votes count nowhere.

    Args:
        sampler: what draws them.
        index: the image they are copies of.
        seconds: time to measure over; one batch at least.
        most: batches at most.
    """
    sampler.load(0, index)
    _draw(sampler, index, 0)  # the first batch also sets up caches and kernels
    began, batches = time.monotonic(), 0
    while batches < 1 or (batches < most and time.monotonic() - began < seconds):
        batches += 1
        _draw(sampler, index, batches)
    return batches * sampler.batch_size / (time.monotonic() - began)


def _draw(sampler: Sampler, index: int, batch: int) -> None:
    """Draw one batch and wait for its votes."""
    samples = np.arange(batch * sampler.batch_size, (batch + 1) * sampler.batch_size)
    sampler.draw(Rows.of(slot=0, image=index, sample=samples, stage=Stage.TEST))
    sampler.take(np.array([0]))
