"""Preflight: a minute's look at classifier and images before any long run. It warns; it does not certify."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.engine import doubts
from smoothcert.engine.conventions import better_convention
from smoothcert.engine.measure import copies_a_second
from smoothcert.engine.quality import Quality, quality
from smoothcert.engine.steady import check_steady
from smoothcert.engine.work import Work, clean_forward, clean_logits
from smoothcert.errors import ModelError
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.memory import keep_freed_memory
from smoothcert.sampling.sampler import Sampler

IMAGES, FEW = 64, 16
"""Images looked at, and those whose scores are compared with themselves."""
COPIES = 4
POOR = 0.8
"""Accuracy without noise below which other ways to feed the classifier are tried."""
TIMED_SECONDS, TIMED_BATCHES = 0.2, 10


@dataclass(frozen=True)
class Preflight:
    """What a first look at one noise level shows.

    Attributes:
        sigma: noise level, in units of the [0, 1] range.
        grey_levels: the same in grey levels of the images.
        clean: how well the classifier does without noise, on images spread evenly over the set.
        noisy_accuracy: fraction of noisy copies of up to 64 of them classified as labelled.
        rate: noisy copies a second, measured for a fifth of a second or more.
        seconds_at_most: time for every image to take all its copies; stopping early needs a part of it.
        warnings: specific doubts, each with its remedy.
    """

    sigma: float
    grey_levels: float
    clean: Quality
    noisy_accuracy: float
    rate: float
    seconds_at_most: float
    warnings: tuple[str, ...]


def preflight(work: Work, sigma: float, seed: int, images: int = IMAGES) -> Preflight:
    """Look at some images of a run with and without noise.

    The noisy copies come from the pilot stage; they are never votes.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels.
        seed: of the noise.
        images: how many to look at, at most.

    Raises:
        ModelError: the classifier's output is not (n, classes), not finite, or not determined by each image alone.
    """
    keep_freed_memory()
    places = spread(len(work.images), images)
    forward = clean_forward(work, sigma)
    logits = clean_logits(work, sigma, places, forward)
    if not np.isfinite(logits).all():
        raise ModelError(
            f"{work.classifiers[sigma].reference} returns NaN or infinite logits on clean images. "
            "Check its weights and normalisation, or use --precision fp32."
        )
    check_steady(work, sigma, places[:FEW], forward)
    clean = quality(logits, work.images.labels[places])
    noisy, rate = _under_noise(work, work.sampler(sigma, seed), places[spread(len(places), IMAGES)])
    copies = len(work.images) * work.request.most_copies
    return Preflight(
        sigma=float(sigma),
        grey_levels=float(sigma) * work.images.levels,
        clean=clean,
        noisy_accuracy=noisy,
        rate=rate,
        seconds_at_most=copies / rate,
        warnings=tuple(_warnings(work, sigma, places, logits, noisy)),
    )


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Positions spread evenly over a set, which may be sorted by class.

    >>> spread(10, 4).tolist(), spread(3, 8).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _under_noise(work: Work, sampler: Sampler, places: NDArray[np.int64]) -> tuple[float, float]:
    right = 0
    for start in range(0, len(places), sampler.window):
        here = places[start : start + sampler.window]
        chosen = work.images.indices[here]
        for slot, index in enumerate(chosen):
            sampler.load(slot, int(index))
        slots = np.repeat(np.arange(len(chosen)), COPIES)
        rows = Rows.of(slots, chosen[slots], np.tile(np.arange(COPIES), len(chosen)), Stage.PILOT)
        sampler.draw(rows)
        votes = sampler.take(np.arange(len(chosen)))
        right += int(votes[np.arange(len(chosen)), work.images.labels[here]].sum())
    return right / (len(places) * COPIES), copies_a_second(
        sampler, int(work.images.indices[places[0]]), TIMED_SECONDS, TIMED_BATCHES
    )


def _warnings(
    work: Work, sigma: float, places: NDArray[np.int64], logits: NDArray[np.float32], noisy: float
) -> list[str]:
    """Doubts in the order in which they explain one another: one that explains the answers stands for the rest."""
    labels, answers = work.images.labels[places], logits.argmax(axis=1)
    right = answers == labels
    blind = doubts.of_scores(logits)
    remedies = [] if blind or right.mean() >= POOR else _remedies(work, sigma, places, answers)
    best = [max(remedies, key=lambda each: each.accuracy).words] if remedies else []
    clean = blind or best or doubts.of_answers(answers, labels, work.images.class_names)
    training = doubts.of_training(sigma, work.classifiers[sigma].sigma)
    return [*training, *(clean or doubts.of_noise(float(right.mean()), noisy, sigma))]


def _remedies(work: Work, sigma: float, places: NDArray[np.int64], answers: NDArray[np.int64]) -> list[doubts.Remedy]:
    labels = work.images.labels[places]
    fed = better_convention(work, sigma, places, answers == labels)
    order = doubts.of_order(answers, labels, work.images.class_names)
    return [each for each in (order, fed) if each is not None]
