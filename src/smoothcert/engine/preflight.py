"""Preflight: a minute's look at classifier and images before any long run. It warns; it does not certify."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from smoothcert.engine.work import Work, clean_forward, clean_logits
from smoothcert.errors import ModelError
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.memory import keep_freed_memory
from smoothcert.sampling.sampler import Sampler

IMAGES = 64
COPIES = 4
TIMED_SECONDS = 0.2


@dataclass(frozen=True)
class Preflight:
    """What a first look at one noise level shows.

    Attributes:
        sigma: noise level, in units of the [0, 1] range.
        grey_levels: the same in grey levels of the images.
        images: images looked at.
        clean_accuracy: fraction of them classified as labelled without noise.
        noisy_accuracy: fraction of their noisy copies classified as labelled.
        rate: noisy copies a second, measured for a fifth of a second or more.
        seconds_at_most: time for every image to take all its copies; stopping early needs a part of it.
        warnings: specific doubts, each with its remedy.
    """

    sigma: float
    grey_levels: float
    images: int
    clean_accuracy: float
    noisy_accuracy: float
    rate: float
    seconds_at_most: float
    warnings: tuple[str, ...]


def preflight(work: Work, sigma: float, seed: int) -> Preflight:
    """Look at 64 images of a run with and without noise.

    The noisy copies come from the pilot stage; they are never votes.

    Raises:
        ModelError: the classifier's output is not (n, classes), or not finite.
    """
    keep_freed_memory()
    count = min(IMAGES, len(work.images))
    labels = work.images.labels[:count]
    logits = clean_logits(work, sigma, range(count), clean_forward(work, sigma))
    if not np.isfinite(logits).all():
        raise ModelError(
            f"{work.classifiers[sigma].reference} returns NaN or infinite logits on clean images. "
            "Check its weights and normalisation, or use --precision fp32."
        )
    clean = float((logits.argmax(axis=1) == labels).mean())
    noisy, rate = _under_noise(work, work.sampler(sigma, seed), count)
    copies = len(work.images) * work.request.most_copies
    return Preflight(
        sigma=float(sigma),
        grey_levels=float(sigma) * work.images.levels,
        images=count,
        clean_accuracy=clean,
        noisy_accuracy=noisy,
        rate=rate,
        seconds_at_most=copies / rate,
        warnings=tuple(_warnings(work, sigma, clean, noisy)),
    )


def _under_noise(work: Work, sampler: Sampler, count: int) -> tuple[float, float]:
    right = 0
    indices = work.images.indices[:count]
    for start in range(0, count, sampler.window):
        chosen = indices[start : start + sampler.window]
        for slot, index in enumerate(chosen):
            sampler.load(slot, int(index))
        slots = np.repeat(np.arange(len(chosen)), COPIES)
        rows = Rows.of(slots, chosen[slots], np.tile(np.arange(COPIES), len(chosen)), Stage.PILOT)
        sampler.draw(rows)
        votes = sampler.take(np.arange(len(chosen)))
        right += int(votes[np.arange(len(chosen)), work.images.labels[start : start + len(chosen)]].sum())
    return right / (count * COPIES), _rate(sampler, int(indices[0]))


def _rate(sampler: Sampler, index: int) -> float:
    """Return noisy copies a second, over whole batches that take a fifth of a second or more."""
    rows = Rows.of(np.zeros(sampler.batch_size, dtype=np.int64), index, np.arange(sampler.batch_size), Stage.PILOT)
    began, drawn = time.monotonic(), sampler.copies
    while time.monotonic() - began < TIMED_SECONDS:
        sampler.draw(rows)
        sampler.take(np.zeros(1, dtype=np.int64))
    return (sampler.copies - drawn) / (time.monotonic() - began)


def _warnings(work: Work, sigma: float, clean: float, noisy: float) -> list[str]:
    chance = float(np.bincount(work.images.labels).max() / len(work.images))
    trained = work.classifiers[sigma].sigma
    found = []
    if trained is not None and abs(trained - sigma) > 1e-9:
        found.append(f"this classifier was trained with sigma {trained:g}, not {sigma:g}.")
    if clean < chance:
        found.append(
            f"{clean:.0%} right without noise, less than always naming the commonest class ({chance:.0%}): "
            "check the order of the labels, the normalisation and the value range."
        )
    elif noisy < min(0.5, clean / 1.5):
        found.append(
            f"{noisy:.0%} right under noise at sigma {sigma:g} ({clean:.0%} without): this classifier was probably not "
            "trained with this noise. Train or fine-tune it with Gaussian noise, or lower sigma."
        )
    return found
