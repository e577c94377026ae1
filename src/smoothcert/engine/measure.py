"""What is measured beside the votes, once a run: the classifiers without noise, and simple changes of the images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from smoothcert.data import CHANGES, change_norms
from smoothcert.engine.work import Work, clean_forward, clean_logits

IMAGES_CHANGED = 200
BATCH = 256


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
