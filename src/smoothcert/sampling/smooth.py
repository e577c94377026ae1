"""The smoothed classifier as a Python object: predict and certify, on images in memory."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothcert.errors import DataError, ModelError, SpecError
from smoothcert.models import Classifier
from smoothcert.models.resnet import ResNet
from smoothcert.noise import Rows, Stage, make_noise
from smoothcert.sampling.protocol import ImageVotes, Protocol, begin
from smoothcert.sampling.recipe import choose_recipe, prepare
from smoothcert.sampling.sampler import Sampler, Source
from smoothcert.sampling.waves import waves
from smoothcert.spec import Target, make_request
from smoothcert.stats import Certificate, Plan, certify_counts, predict_sets, schedule

Grid = NDArray[np.integer[Any]]
COPIES_AT_ONCE = 1_000_000
OPTIONS = {"precision", "batch_size", "device", "compile", "noise", "bound", "n0", "seed"}


class SmoothedClassifier:
    """The classifier g(x): the class the base classifier returns most often under Gaussian noise around x.

    The certificate of Cohen, Rosenfeld and Kolter (ICML 2019), and of Jia, Cao, Wang and Gong (ICLR 2020) for k > 1,
    is about this object, not about the base classifier.

    Example:
        >>> import torch
        >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
        >>> _ = torch.nn.init.zeros_(head[1].weight), torch.nn.init.constant_(head[1].bias[:2], -1.0)
        >>> g = SmoothedClassifier(head, sigma=0.25, num_classes=3)
        >>> g.predict(torch.zeros(1, 3, 4, 4), n=100)
        [2]
        >>> g.certify(torch.zeros(1, 3, 4, 4), radii=(0.25, 0.5), n_max=1000)[0].certified_at
        (0.25, 0.5)
    """

    def __init__(
        self,
        model: nn.Module | Classifier,
        sigma: float,
        num_classes: int,
        *,
        levels: Literal[255, 4095, 65535] = 255,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Smooth a base classifier.

        Args:
            model: maps float (n, C, H, W) in [0, 1] to logits (n, num_classes); put into evaluation mode.
            sigma: noise standard deviation, in units of the [0, 1] range.
            num_classes: number of classes, 2 or more.
            levels: images are integers 0..levels divided by levels (8, 12 or 16 bits).
            options: settings of a run that apply here: precision, batch_size, device, compile, noise, bound, n0, seed.

        Raises:
            SpecError: a setting is out of range.
            ModelError: the classifier declares another number of classes.
        """
        if num_classes < 2:
            raise SpecError(f"num_classes: expected 2 or more, got {num_classes}.")
        classifier = _wrap(model)
        if classifier.num_classes not in (None, num_classes):
            raise ModelError(f"Expected {num_classes} classes, but the classifier declares {classifier.num_classes}.")
        unknown = set(options or {}) - OPTIONS
        if unknown:
            raise SpecError(
                f"options: expected some of {', '.join(sorted(OPTIONS))}, got {', '.join(sorted(unknown))}."
            )
        self._request = make_request(model="in memory", data="in memory", sigma=(sigma,), **(options or {}))
        self._classifier = replace(classifier, num_classes=num_classes)
        self._levels = levels

    @property
    def sigma(self) -> float:
        """The noise level, in units of the [0, 1] range."""
        return float(self._request.sigma[0])

    def predict(
        self, images: Tensor | Grid, k: int = 1, n: int = 1000, alpha: float = 0.001
    ) -> list[int | frozenset[int] | None]:
        """Predict with the smoothed classifier (PREDICT of Cohen et al. 2019; Hung and Fithian 2019).

        Args:
            images: float (m, C, H, W) in [0, 1] on the grid, or integers (m, C, H, W) in 0..levels.
            k: size of the returned set of classes; for k = 1 the class itself is returned.
            n: noisy copies an image; the noise is fresh and secret at each call, unless a seed was given.
            alpha: probability of returning a wrong answer.

        Returns:
            For each image a class, a frozenset of k classes, or None: an abstention.

        Raises:
            DataError: images are off the grid or not of shape (m, C, H, W).
            SpecError: k, n or alpha is out of range.
        """
        classes = self._classifier.num_classes or 0
        if not (1 <= k < classes and n >= 1 and 0.0 < alpha < 1.0):
            raise SpecError(f"Expected 1 <= k < {classes}, n >= 1 and 0 < alpha < 1, got {k}, {n} and {alpha}.")
        grid = self._on_grid(images)
        sampler = self._sampler(grid)
        share = max(1, min(sampler.window, COPIES_AT_ONCE // n))
        parts = [range(start, min(start + share, len(grid))) for start in range(0, len(grid), share)]
        votes = [_count(sampler, part, n) for part in parts]
        sets = predict_sets(np.concatenate(votes), k, alpha)
        return [next(iter(found)) if found is not None and k == 1 else found for found in sets]

    def certify(
        self,
        images: Tensor | Grid,
        k: int = 1,
        radii: Sequence[float] = (0.25, 0.5, 1.0),
        *,
        labels: Sequence[int] | None = None,
        n_max: int = 100_000,
        alpha: float = 0.001,
    ) -> list[Certificate]:
        """Certify images with sequential looks: sampling stops as soon as every radius is decided.

        Args:
            images: as for `predict`.
            k: the certified class stays among the k most probable ones.
            radii: L2 radii to decide, in units of the [0, 1] range.
            labels: reference labels; with k = 1 a selection winner that differs is an abstention here, with k > 1 the
                label itself is certified. Without labels the selection winner is certified.
            n_max: noisy copies an image at most, 100 or more.
            alpha: probability that one image's certificate is wrong.

        Returns:
            One certificate an image; label None is an abstention.

        Raises:
            DataError: images are off the grid, or labels do not fit.
            SpecError: k, radii, n_max or alpha is out of range.
        """
        grid = self._on_grid(images)
        protocol = self._protocol(grid, k, radii, labels is not None, (n_max, alpha))
        known = self._labels(labels, len(grid))
        fresh = [begin(protocol, index, label) for index, label in enumerate(known)]
        for _ in waves(fresh, self._sampler(grid), protocol):
            pass
        return [_certificate(protocol, image, k, radii) for image in fresh]

    def _protocol(
        self, grid: Grid, k: int, radii: Sequence[float], labelled: bool, budget: tuple[int, float]
    ) -> Protocol:
        n_max, alpha = budget
        asked = {"k": (k,), "radius": tuple(radii), "n_max": n_max, "alpha": alpha}
        request = make_request(**{**self._request.model_dump(), **asked})
        eta = make_noise(request.noise, self.sigma, self._levels, 0).eta(grid[0].size)
        classes = self._classifier.num_classes or 0
        plan = Plan(schedule(n_max), request.alpha, request.bound, classes, self.sigma, eta)
        target: Target = "label" if labelled and k > 1 else "prediction"
        return Protocol(plan, {k: target}, request.radius, request.n0)

    def _labels(self, labels: Sequence[int] | None, m: int) -> list[int | None]:
        if labels is None:
            return [None] * m
        known = [int(label) for label in labels]
        classes = self._classifier.num_classes or 0
        if len(known) != m or any(not 0 <= label < classes for label in known):
            raise DataError(f"Expected {m} labels from 0 to {classes - 1}, got {known[:10]}.")
        return list(known)

    def _on_grid(self, images: Tensor | Grid) -> Grid:
        array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
        if array.ndim != 4 or not len(array):
            raise DataError(f"Expected images of shape (m, C, H, W), m of 1 or more, got {tuple(array.shape)}.")
        if np.issubdtype(array.dtype, np.floating):
            scaled = array.astype(np.float64) * self._levels
            array = np.rint(scaled)
            if not np.isfinite(scaled).all() or np.abs(scaled - array).max() > 1e-3:
                raise DataError(
                    f"Expected images on the grid of steps 1/{self._levels} in [0, 1]; some values lie between its "
                    "steps. Round them first (images = (images * 255).round() / 255), or use levels=65535."
                )
        if array.min() < 0 or array.max() > self._levels:
            raise DataError(f"Expected images in [0, 1], or integers in 0..{self._levels}, got values outside.")
        return array.astype(np.int32)

    def _sampler(self, grid: Grid) -> Sampler:
        channels, height, width = grid.shape[1:]
        recipe = choose_recipe(self._classifier, self._request, (channels, height, width))
        seed = self._request.seed if self._request.seed is not None else secrets.randbits(64)
        noise = make_noise(self._request.noise, self.sigma, self._levels, seed)
        source = Source((channels, height, width), lambda index: grid[index])
        return Sampler(self._classifier, prepare(self._classifier, recipe), noise, recipe, source)


def _count(sampler: Sampler, indices: range, n: int) -> NDArray[np.int64]:
    """Return the votes of n copies of some images, int (images, classes); their batches are shared."""
    for place, index in enumerate(indices):
        sampler.load(place, index)
    slot = np.repeat(np.arange(len(indices)), n)
    sample = np.tile(np.arange(n), len(indices))
    sampler.draw(Rows.of(slot=slot, image=slot + indices.start, sample=sample, stage=Stage.PREDICTION))
    return sampler.take(np.arange(len(indices)))


def _wrap(model: nn.Module | Classifier) -> Classifier:
    if isinstance(model, Classifier):
        return model
    own = isinstance(model, ResNet)
    return Classifier(model.eval(), None, None, (), (), "", type(model).__name__, own, arch=None, sigma=None)


def _certificate(protocol: Protocol, image: ImageVotes, k: int, radii: Sequence[float]) -> Certificate:
    wrong = image.label is not None and image.winner not in (None, image.label)
    if wrong or not image.looks:
        return Certificate(None, k, 0.0, (), image.samples)
    counts = np.stack([votes for _, votes in image.looks])
    found = certify_counts(counts, image.subject, protocol.plan, k, tuple(radii))
    return replace(found, samples=image.samples)
