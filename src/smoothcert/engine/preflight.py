"""Preflight: short checks of classifier and images before every run. They warn, and certify nothing.

With a denoiser there are three accuracies, which are never mixed: of the classifier alone on clean images, of the
pipeline of denoiser and classifier on clean images, and of the pipeline with noise.

The determinism check refuses classifiers whose output for an image depends on other images or on chance (dropout,
batch statistics). The metrics are accuracy, balanced accuracy and area under the ROC curve, without noise.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import mannwhitneyu

from smoothcert.engine import warnings
from smoothcert.engine.measure import clean_forward, clean_logits, samples_per_second
from smoothcert.engine.warnings import Denoising
from smoothcert.engine.workload import Workload
from smoothcert.errors import ModelError
from smoothcert.models.independence import Dependence, dependence, noise_like
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.sampler import Sampler, keep_freed_memory

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Metrics:
    """Metrics of a classifier on labelled images without noise.

    Attributes:
        images: number of images.
        accuracy: fraction classified as labelled.
        balanced: balanced accuracy: mean recall of the classes that occur.
        auc: area under the ROC curve of each class against the rest, mean over the classes that occur; None if only
            one class occurs.
    """

    images: int
    accuracy: float
    balanced: float
    auc: float | None


def metrics(logits: NDArray[Any], labels: NDArray[np.int64]) -> Metrics:
    """Return the metrics of scores.

    Args:
        logits: float (n, classes); probabilities are accepted too.
        labels: int (n,), in 0..classes-1.

    >>> metrics(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1]))
    Metrics(images=3, accuracy=0.6666666666666666, balanced=0.75, auc=1.0)
    """
    right = logits.argmax(axis=1) == labels
    present = np.unique(labels)
    recalls = [right[labels == c].mean() for c in present]
    probabilities = softmax(logits.astype(np.float64), axis=1)
    areas = [_area(probabilities[:, c], labels == c) for c in present] if len(present) > 1 else []
    return Metrics(
        images=len(labels),
        accuracy=float(right.mean()),
        balanced=float(np.mean(recalls)),
        auc=float(np.mean(areas)) if areas else None,
    )


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the share of (positive, negative) pairs in the right order; ties count half (Mann and Whitney 1947)."""
    up, down = scores[positive], scores[~positive]
    return float(mannwhitneyu(up, down, method="asymptotic").statistic / (len(up) * len(down)))


Forward = Callable[["Tensor"], "Tensor"]


def check_determinism(work: Workload, sigma: float, places: NDArray[np.int64], forward: Forward) -> None:
    """Refuse a classifier whose scores of an image change between calls, or with other images of the batch.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels.
        places: positions of a few images in the set.
        forward: the forward pass of the classifier.

    Raises:
        ModelError: the scores of the same images differ by more than a hundredth of their range, or are not finite
            with noise.
    """
    import torch

    classifier = work.classifiers[sigma]
    level = sigma / torch.tensor(classifier.std or (1.0,)).reshape(1, -1, 1, 1)
    found: list[Dependence | None] = []

    def run(batch: Tensor) -> Tensor:
        noise = noise_like(batch, level.to(batch.device, batch.dtype))
        if not bool(torch.isfinite(forward(batch + noise)).all()):
            raise ModelError(
                f"{classifier.reference} returns NaN or infinite logits for images with noise of sigma {sigma:g}. "
                "Check its weights and normalisation, or use --precision fp32.",
                code="E-MODEL-193",
            )
        found.append(dependence(forward, batch, noise))
        return forward(batch)

    clean_logits(work, sigma, places, run)
    if "chance" in found:
        raise ModelError(
            f"{classifier.reference} returns other scores for the same images in a second call: dropout or other "
            "randomness. Put the classifier into evaluation mode, with nothing random in its forward pass.",
            code="E-MODEL-005",
        )
    if "others" in found:
        raise ModelError(
            f"{classifier.reference} returns other scores for an image if other images of the batch or earlier batches "
            "change: batch normalisation in training mode, or another exchange between images. Put the classifier into "
            "evaluation mode.",
            code="E-MODEL-006",
        )


IMAGES, FEW = 64, 8
"""Images that are classified, and images for the determinism check."""
SAMPLES = 4
"""Noise samples per image."""
POOR = 0.8
"""Clean accuracy below which other input conventions are tried."""
TIMED_SECONDS, TIMED_BATCHES = 0.2, 10


@dataclass(frozen=True)
class Preflight:
    """Result of the preflight at one noise level.

    Attributes:
        sigma: noise level, in units of the [0, 1] range.
        grey_levels: the same in grey levels of the images.
        clean: metrics without noise, on images spread evenly over the set; with a denoiser, of the pipeline.
        noisy_accuracy: fraction of noise samples of up to 64 of them classified as labelled.
        rate: noise samples per second, measured for a fifth of a second or more.
        seconds_at_most: time if every image takes the maximum number of samples; early stopping takes less.
        warnings: what looks wrong, each with its remedy.
        denoising: what the denoiser does, or None without one.
    """

    sigma: float
    grey_levels: float
    clean: Metrics
    noisy_accuracy: float
    rate: float
    seconds_at_most: float
    warnings: tuple[str, ...]
    denoising: Denoising | None = None


def preflight(work: Workload, sigma: float, seed: int, images: int = IMAGES) -> Preflight:
    """Classify some images of a run with and without noise.

    The noise samples are of the pilot stage; they are never votes.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels.
        seed: seed of the noise.
        images: maximum number of images.

    Raises:
        ModelError: the output of the classifier is not (n, classes), not finite, or depends on other images.
    """
    keep_freed_memory()
    places = spread(len(work.images), images)
    labels = work.images.labels[places]
    forward = clean_forward(work, sigma)
    logits = _finite_logits(work, sigma, places, forward)
    check_determinism(work, sigma, places[:FEW], forward)
    clean = metrics(logits, labels)
    noisy, rate = _with_noise(work, work.sampler(sigma, seed), places[spread(len(places), IMAGES)])
    denoiser, denoising = work.classifiers[sigma].denoiser, None
    if denoiser is None:
        found = _warnings(work, sigma, places, logits, noisy)
    else:
        alone = _finite_logits(work.behind, sigma, places, clean_forward(work.behind, sigma))
        denoising = _denoising(work, sigma, seed, places[:IMAGES], metrics(alone, labels).accuracy)
        found = [f"the classifier alone: {text}" for text in _warnings(work.behind, sigma, places, alone, None)]
        found += warnings.of_denoising(sigma, noisy, denoiser, denoising)
    found += warnings.of_partners(sigma, work.classifiers[sigma])
    samples = len(work.images) * work.request.max_samples
    return Preflight(
        sigma=float(sigma),
        grey_levels=float(sigma) * work.images.levels,
        clean=clean,
        noisy_accuracy=noisy,
        rate=rate,
        seconds_at_most=samples / rate,
        warnings=tuple(found),
        denoising=denoising,
    )


def _finite_logits(work: Workload, sigma: float, places: NDArray[np.int64], forward: Forward) -> NDArray[np.float32]:
    logits = clean_logits(work, sigma, places, forward)
    if not np.isfinite(logits).all():
        raise ModelError(
            f"{work.classifiers[sigma].reference} returns NaN or infinite logits on clean images. "
            "Check its weights and normalisation, or use --precision fp32.",
            code="E-MODEL-007",
        )
    return logits


def _denoising(work: Workload, sigma: float, seed: int, places: NDArray[np.int64], accuracy: float) -> Denoising:
    """Denoise one noise sample of each image; `accuracy` is that of the classifier alone, without noise."""
    import torch

    from smoothcert.models.denoisers.adapt import in_other_ranges
    from smoothcert.models.denoisers.pipeline import Denoised

    denoiser = work.classifiers[sigma].denoiser
    denoise = cast(Denoised, work.classifiers[sigma].module).denoiser
    clean = np.stack([work.images.pixels(i) for i in places]) / work.images.levels
    step = 1 / work.images.levels if work.request.noise == "grid" else 1.0
    rows = Rows.of(np.arange(len(places)), work.images.indices[places], 0, Stage.PILOT)
    noisy = clean + step * work.noise(sigma, seed).steps(rows, work.images.shape)
    device = "cuda" if work.recipe.device.startswith("cuda") else "cpu"
    batch = torch.from_numpy(noisy).to(device, torch.float32)

    def returned(module: torch.nn.Module) -> NDArray[np.float64]:
        with torch.inference_mode():
            found: NDArray[np.float64] = module.to(device)(batch.clone(), sigma).double().cpu().numpy()
        return found

    found = returned(denoise)
    after, better = psnr(found - clean), None
    for span, module in in_other_ranges(denoiser) if denoiser is not None else ():
        with suppress(Exception):  # the user's code may raise anything for values it was not made for
            ratio = psnr(returned(module) - clean)
            better = (span, ratio) if ratio >= max(after + warnings.BETTER, better[1] if better else 0) else better
    return Denoising(accuracy, psnr(noisy - clean), after, psnr(noisy - found - clean), better)


def psnr(errors: NDArray[np.float64]) -> float:
    """Return the peak signal-to-noise ratio in dB of errors of images in [0, 1], for the mean squared error of all.

    >>> round(psnr(np.full((2, 3, 4, 4), 0.25)), 2)  # noise of standard deviation 0.25
    12.04
    """
    return float(-10 * np.log10(max(float(np.mean(np.square(errors))), 1e-12)))


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Return positions spread evenly over a set, which may be sorted by class.

    >>> spread(10, 4).tolist(), spread(3, 8).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _with_noise(work: Workload, sampler: Sampler, places: NDArray[np.int64]) -> tuple[float, float]:
    right = 0
    for start in range(0, len(places), sampler.window):
        here = places[start : start + sampler.window]
        chosen = work.images.indices[here]
        for slot, index in enumerate(chosen):
            sampler.load(slot, int(index))
        slots = np.repeat(np.arange(len(chosen)), SAMPLES)
        rows = Rows.of(slots, chosen[slots], np.tile(np.arange(SAMPLES), len(chosen)), Stage.PILOT)
        sampler.draw(rows)
        votes = sampler.take(np.arange(len(chosen)))
        right += int(votes[np.arange(len(chosen)), work.images.labels[here]].sum())
    return right / (len(places) * SAMPLES), samples_per_second(
        sampler, int(work.images.indices[places[0]]), TIMED_SECONDS, TIMED_BATCHES
    )


def _warnings(
    work: Workload, sigma: float, places: NDArray[np.int64], logits: NDArray[np.float32], noisy: float | None
) -> list[str]:
    """Return warnings about a classifier; one that explains wrong predictions replaces those that only describe them.

    `noisy` is its accuracy with noise, or None if a denoiser comes first, so that it never sees the noise.
    """
    labels, predicted = work.images.labels[places], logits.argmax(axis=1)
    right = predicted == labels
    constant = warnings.of_scores(logits)
    remedies = [] if constant or right.mean() >= POOR else _remedies(work, sigma, places, predicted)
    best = [max(remedies, key=lambda each: each.accuracy).words] if remedies else []
    clean = constant or best or warnings.of_predictions(predicted, labels, work.images.class_names)
    if noisy is None:
        return clean
    training = warnings.of_training(sigma, work.classifiers[sigma].sigma)
    return [*training, *(clean or warnings.of_noise(float(right.mean()), noisy, sigma))]


def _remedies(
    work: Workload, sigma: float, places: NDArray[np.int64], predicted: NDArray[np.int64]
) -> list[warnings.Remedy]:
    labels = work.images.labels[places]
    convention = warnings.better_convention(work, sigma, places, predicted == labels)
    order = warnings.of_order(predicted, labels, work.images.class_names)
    return [each for each in (order, convention) if each is not None]
