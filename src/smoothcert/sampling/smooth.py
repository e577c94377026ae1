"""The smoothed classifier as a Python object: predict and certify, on images in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothcert.errors import DataError, ModelError, SpecError
from smoothcert.models import Classifier
from smoothcert.models.resnet import ResNet
from smoothcert.noise import make_noise
from smoothcert.sampling import prediction
from smoothcert.sampling.protocol import ImageVotes, Protocol, begin, settle
from smoothcert.sampling.recipe import Forward, choose_recipe, prepare
from smoothcert.sampling.sampler import Sampler, Source
from smoothcert.sampling.waves import waves
from smoothcert.spec import Recipe, Request, Target, make_request
from smoothcert.stats import Certificate, Plan, Prediction, certify_counts, prediction_looks, schedule

if TYPE_CHECKING:
    from smoothcert.evidence import Run
    from smoothcert.evidence.bundle.record import Bundle

Grid = NDArray[np.integer[Any]]
OPTIONS = {"precision", "batch_size", "device", "compile", "noise", "bound", "n0", "seed"}


class SmoothedClassifier:
    """The classifier g(x): the class the base classifier returns most often under Gaussian noise around x.

    The certificate of Cohen, Rosenfeld and Kolter (ICML 2019), and of Jia, Cao, Wang and Gong (ICLR 2020) for k > 1,
    is about this object, not about the base classifier.

    Attributes:
        bundle: the record of the bundle it was loaded from, or None.
        warnings: where this machine computes otherwise than the bundle says, in words.
        on_decided: set it to hear, while images are predicted or certified, how many more are decided.

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
                Noise follows from the seed and an image's place in its call: with a seed, give all images in one
                call, as those of separate calls share their noise, and counts over them would not be independent.

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
        self.bundle: Bundle | None = None
        self.warnings: tuple[str, ...] = ()
        self.on_decided: Callable[[int], object] | None = None
        self._forward: Forward | None = None

    @property
    def sigma(self) -> float:
        """The noise level, in units of the [0, 1] range."""
        return float(self._request.sigma[0])

    @property
    def classifier(self) -> Classifier:
        """The base classifier under the noise."""
        return self._classifier

    @property
    def levels(self) -> int:
        """The largest grey value: images are integers 0..levels."""
        return self._levels

    @property
    def settings(self) -> Request:
        """The settings of a run that apply here."""
        return self._request

    def recipe(self, shape: tuple[int, int, int]) -> Recipe:
        """Return the numeric recipe on this machine for images (C, H, W); what a bundle fixes, it fixes."""
        recipe = choose_recipe(self._classifier, self._request, shape)
        return recipe if self.bundle is None else self.bundle.recipe_on(recipe)

    def save(
        self,
        path: str | PathLike[str],
        *,
        n: int = 1000,
        alpha: float = 0.001,
        class_names: Sequence[str] = (),
        shape: tuple[int, int, int] | None = None,
        run: Run | str | PathLike[str] | None = None,
    ) -> None:
        """Save as a bundle directory that `load` and `smoothcert predict` read; all of it or nothing, never a seed.

        Args:
            path: a new or empty folder.
            n: noisy copies a prediction takes at most.
            alpha: probability, at most, that one prediction is not the smoothed classifier's.
            class_names: one a class; left out, those of the run or the classifier, or numbers.
            shape: (C, H, W) of an image, where neither run nor classifier declares it.
            run: the sealed run that certified this very classifier, or its directory.

        Raises:
            EvidenceError: the place is taken, the run is not sealed or damaged, or it certified another object.
            SpecError: n copies can never decide, shape or names do not fit.
        """
        from smoothcert.sampling.bundle.saving import Wanted, save_bundle

        save_bundle(self, Path(path), Wanted(n, alpha, tuple(class_names), shape), run)

    @classmethod
    def load(cls, path: str | PathLike[str], model: nn.Module | None = None) -> SmoothedClassifier:
        """Load a bundle directory, every file of which is checked (see `load_bundle`).

        Args:
            path: the bundle directory.
            model: for a network that is not one of ours: a module of its architecture, whose weights are replaced.

        Returns:
            The classifier; its `bundle` is the record, its `warnings` say where this machine computes otherwise.

        Raises:
            EvidenceError: a file was changed, or the bundle is not the object its run certified.
            ModelError: the network's code is needed and was not given, or is other code.
        """
        from smoothcert.sampling.bundle.loading import load_bundle

        return load_bundle(Path(path), model)

    def predict(
        self, images: Tensor | Grid, k: int = 1, n: int | None = None, alpha: float | None = None
    ) -> list[int | frozenset[int] | None]:
        """Predict with the smoothed classifier: the answers of `predictions`.

        Args:
            images: float (m, C, H, W) in [0, 1] on the grid, or integers (m, C, H, W) in 0..levels.
            k: size of the returned set of classes; for k = 1 the class itself is returned.
            n: noisy copies an image at most; left out: the bundle's, or 1000.
            alpha: probability, at most, of another answer than the smoothed classifier's; left out: the bundle's, or
                0.001.

        Returns:
            For each image a class, a frozenset of k classes, or None: an abstention.

        Raises:
            DataError: images are off the grid or not of shape (m, C, H, W).
            SpecError: k, n or alpha is out of range, or n copies can never decide.
        """
        return [found.answer for found in self.predictions(images, k, n, alpha)]

    def predictions(
        self,
        images: Tensor | Grid,
        k: int = 1,
        n: int | None = None,
        alpha: float | None = None,
        *,
        stopping: Literal["looks", "fixed"] = "looks",
    ) -> list[Prediction]:
        """Predict, and say on how many votes (PREDICT of Cohen et al. 2019; Hung and Fithian 2019).

        An image's votes are tested at looks, each at its share of alpha, and its sampling stops at the first that
        decides; an answer is another than the smoothed classifier's with probability at most alpha all the same (see
        `stats.prediction`). The noise is fresh and secret at each call, unless a seed was given: who knows it can
        foresee the answer. The classifier smoothed is the one under the noise delivered, which is within eta a copy
        of Gaussian noise in total variation.

        Args:
            images: float (m, C, H, W) in [0, 1] on the grid, or integers (m, C, H, W) in 0..levels.
            k: size of the returned set of classes; for k = 1 the class itself is returned.
            n: noisy copies an image at most; left out: the bundle's, or 1000.
            alpha: probability, at most, of another answer than the smoothed classifier's, for each image; left out:
                the bundle's, or 0.001.
            stopping: `looks`, or `fixed` to draw all n copies of each image and test once.

        Returns:
            One Prediction an image: answer, leader, its votes, copies drawn.

        Raises:
            DataError: images are off the grid or not of shape (m, C, H, W).
            SpecError: k, n or alpha is out of range, or n copies can never decide.
        """
        classes = self._classifier.num_classes or 0
        if not 1 <= k < classes:
            raise SpecError(f"k: expected 1 to {classes - 1} (below the number of classes), got {k}.")
        n = (self.bundle.n if self.bundle else 1000) if n is None else n
        alpha = (self.bundle.alpha if self.bundle else 0.001) if alpha is None else alpha
        prediction_looks(n, alpha, stopping=stopping)  # refused before anything is prepared
        grid = self._on_grid(images)
        sampler = self._sampler(grid)
        fill = max(1, sampler.batch_size // min(len(grid), sampler.window))
        rule = prediction.PredictionRule(prediction_looks(n, alpha, fill, stopping), alpha, k)
        fresh = [prediction.begin(rule, index) for index in range(len(grid))]
        for decided in waves(fresh, sampler, partial(prediction.settle, rule)):
            self._tell(len(decided))
        return [image.found for image in fresh if image.found is not None]

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
            alpha: probability, at most, over an image's own noise, that its certificate is wrong.

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
        for decided in waves(fresh, self._sampler(grid), partial(settle, protocol)):
            self._tell(len(decided))
        return [_certificate(protocol, image, k, radii) for image in fresh]

    def _tell(self, decided: int) -> None:
        if self.on_decided is not None:
            self.on_decided(decided)

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
        if self.bundle is not None and array.shape[1:] != self.bundle.shape:
            raise DataError(
                f"Expected images of shape (C, H, W) = {self.bundle.shape}, got {tuple(array.shape[1:])}. Prepare them "
                "as the certified ones were."
            )
        if np.issubdtype(array.dtype, np.floating):
            scaled = array.astype(np.float64) * self._levels
            array = np.rint(scaled)
            rounded = max(1e-3, self._levels * 2.0**-24)  # twice what float32 rounds a value by, in steps
            if not np.isfinite(scaled).all() or np.abs(scaled - array).max() > rounded:
                raise DataError(
                    f"Expected images on the grid of steps 1/{self._levels} in [0, 1]; some values lie between its "
                    f"steps. Round them first: images = (images * {self._levels}).round() / {self._levels}."
                )
        if array.min() < 0 or array.max() > self._levels:
            raise DataError(f"Expected images in [0, 1], or integers in 0..{self._levels}, got values outside.")
        return array.astype(np.int32)

    def _sampler(self, grid: Grid) -> Sampler:
        channels, height, width = grid.shape[1:]
        recipe = self.recipe((channels, height, width))
        seed = self._request.seed if self._request.seed is not None else secrets.randbits(64)
        noise = make_noise(self._request.noise, self.sigma, self._levels, seed)
        source = Source((channels, height, width), lambda index: grid[index])
        forward = self._forward or prepare(self._classifier, recipe)
        if self.bundle is not None:  # a module of the user's own may change from call to call
            self._forward = forward
        return Sampler(self._classifier, forward, noise, recipe, source)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_forward": None}


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
