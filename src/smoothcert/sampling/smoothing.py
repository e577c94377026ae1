"""A base classifier with its noise and settings, and the sampling of images in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from torch import nn

from smoothcert.config import CertifyConfig, Recipe, RuntimeConfig, Target
from smoothcert.config.values import make
from smoothcert.errors import DataError, ModelError, SpecError
from smoothcert.evidence.outcomes import planned
from smoothcert.models import Classifier
from smoothcert.models.denoisers.check import FEW, check_denoiser
from smoothcert.noise import make_noise
from smoothcert.sampling.base_model import check_parameters, device_of_module, evaluating
from smoothcert.sampling.batches import Images, Pixels, pixels_of
from smoothcert.sampling.protocol import ImageVotes, PredictionRule, PredictionVotes, Protocol
from smoothcert.sampling.recipe import Forward, choose_recipe, prepare
from smoothcert.sampling.sampler import Sampler, Source
from smoothcert.sampling.scheduler import Scheduler
from smoothcert.stats import Certificate, Prediction, certify_counts, prediction_looks

if TYPE_CHECKING:
    from smoothcert.evidence.bundle.record import Bundle

LEVELS = (255, 4095, 65535)


class Smoothing(nn.Module):
    """What a smoothed classifier is made of, and how it samples; `SmoothedClassifier` adds tensors in and out.

    Attributes:
        model: the base classifier f.
        bundle: the record of the bundle it was loaded from, or None.
        on_decided: called with the number of images decided since the last call, or None.
    """

    bundle: Bundle | None

    def __init__(
        self,
        classifier: Classifier,
        num_classes: int,
        settings: CertifyConfig,
        runtime: RuntimeConfig,
        grid: tuple[int, bool],
    ) -> None:
        """Hold a base classifier and its settings.

        Args:
            classifier: the base classifier.
            num_classes: number of classes, 2 or more.
            settings: noise level, kind of noise, bound, samples for selection, seed.
            runtime: precision, batch size and compilation.
            grid: (levels, whether float images are rounded to that grid).

        Raises:
            SpecError: the number of classes or of levels is out of range.
            ModelError: the classifier declares another number of classes.
        """
        super().__init__()
        levels, quantize = grid
        if num_classes < 2:
            raise SpecError(f"num_classes: expected 2 or more, got {num_classes}.", code="E-SPEC-034")
        if levels not in LEVELS:
            raise SpecError(f"levels: expected 255, 4095 or 65535, got {levels!r}.", code="E-SPEC-035")
        if classifier.num_classes not in (None, num_classes):
            raise ModelError(
                f"Expected {num_classes} classes, but the classifier declares {classifier.num_classes}.",
                code="E-MODEL-103",
            )
        self._settings, self._runtime = settings, runtime
        self.model = classifier.module
        self._classifier = replace(classifier, num_classes=num_classes)
        self._levels, self._quantize = levels, quantize
        self.bundle = None
        self.on_decided: Callable[[int], object] | None = None
        self._forward: Forward | None = None
        self._checked: set[tuple[int, ...]] = set()
        self._seen = 0
        self.training = False

    @property
    def sigma(self) -> float:
        """The noise level, in units of the [0, 1] range."""
        return float(self._settings.sigma[0])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._classifier.num_classes or 0

    @property
    def device(self) -> torch.device:
        """Where the base classifier runs."""
        return device_of_module(self.model)

    @property
    def classifier(self) -> Classifier:
        """The base classifier with what is declared about it."""
        return self._classifier

    @property
    def levels(self) -> int:
        """The largest grey value of a grid image: images are integers 0..levels."""
        return self._levels

    @property
    def settings(self) -> CertifyConfig:
        """What is certified: noise level, kind of noise, bound, samples for selection, seed."""
        return self._settings

    def recipe(self, shape: tuple[int, int, int]) -> Recipe:
        """Return the numeric recipe on this machine for images (C, H, W), with the settings of the bundle, if any."""
        device = "cuda" if self.device.type == "cuda" else "cpu"
        recipe = choose_recipe(self._classifier, self._runtime.model_copy(update={"device": device}), shape)
        return recipe if self.bundle is None else self.bundle.recipe_on(recipe)

    def predictions(
        self,
        images: Images,
        k: int = 1,
        n: int | None = None,
        alpha: float | None = None,
        *,
        stopping: Literal["looks", "fixed"] = "looks",
    ) -> list[Prediction]:
        """Predict images in memory: like `predict`, but one object per image.

        Votes are tested at looks, each with its share of alpha, and sampling stops at the first look that decides (see
        `stats.prediction`). The noise is fresh and secret at each call, unless a seed was given. It is within eta of
        Gaussian noise in total variation. Arguments and errors are those of `predict`; `stopping="fixed"` draws all n
        samples and tests once.
        """
        return [image.answer for image in self._predicted(images, k, (n, alpha), stopping)]

    def _predicted(
        self, images: Images, k: int, budget: tuple[int | None, float | None], stopping: Literal["looks", "fixed"]
    ) -> list[PredictionVotes]:
        if not 1 <= k < self.num_classes:
            raise SpecError(
                f"k: expected 1 to {self.num_classes - 1} (below the number of classes), got {k}.", code="E-SPEC-036"
            )
        n, alpha = budget
        n = (self.bundle.n if self.bundle else 1000) if n is None else n
        alpha = (self.bundle.alpha if self.bundle else 0.001) if alpha is None else alpha
        prediction_looks(n, alpha, stopping=stopping)  # refused before anything is prepared
        pixels = self._pixels(images)
        with self._sampler(pixels) as (sampler, first):
            fill = max(1, sampler.batch_size // min(len(pixels), sampler.window))
            rule = PredictionRule(prediction_looks(n, alpha, fill, stopping), alpha, k)
            states = [rule.init_state(first + place) for place in range(len(pixels))]
            for decided in Scheduler(sampler, rule).run(states):
                self._report(len(decided))
        return states

    def certificates(
        self,
        images: Images,
        k: int = 1,
        radii: Sequence[float] = (0.25, 0.5, 1.0),
        *,
        labels: Sequence[int] | None = None,
        n_max: int = 100_000,
        alpha: float = 0.001,
    ) -> list[Certificate]:
        """Certify images in memory: like `certify`, but one object per image; same arguments and errors."""
        pixels = self._pixels(images)
        protocol = self._protocol(pixels, k, radii, labels is not None, (n_max, alpha))
        known = self._labels(labels, len(pixels))
        with self._sampler(pixels) as (sampler, first):
            states = [protocol.init_state(first + place, label) for place, label in enumerate(known)]
            for decided in Scheduler(sampler, protocol).run(states):
                self._report(len(decided))
        return [_certificate(protocol, state, k, radii) for state in states]

    def _report(self, decided: int) -> None:
        if self.on_decided is not None:
            self.on_decided(decided)

    def _protocol(
        self, pixels: Pixels, k: int, radii: Sequence[float], labelled: bool, budget: tuple[int, float]
    ) -> Protocol:
        n_max, alpha = budget
        given = {"k": (k,), "radius": tuple(radii), "n_max": n_max, "alpha": alpha}
        settings = make(CertifyConfig, **{**self._settings.model_dump(), **given})
        eta = make_noise(settings.noise, self.sigma, self._levels, 0).eta(pixels[0].size)
        plan = planned(settings, self.num_classes, self.sigma, eta)
        target: Target = settings.target_of(k) if labelled else "prediction"
        return Protocol(plan, {k: target}, settings.radius, settings.n0)

    def _labels(self, labels: Sequence[int] | None, m: int) -> list[int | None]:
        if labels is None:
            return [None] * m
        known = [int(label) for label in labels]
        if len(known) != m or any(not 0 <= label < self.num_classes for label in known):
            raise DataError(
                f"Expected {m} labels from 0 to {self.num_classes - 1}, got {known[:10]}.", code="E-DATA-163"
            )
        return list(known)

    def _pixels(self, images: Images) -> Pixels:
        if self.bundle is not None and tuple(images.shape[-3:]) != self.bundle.shape:
            raise DataError(
                f"Expected images of shape (C, H, W) = {self.bundle.shape}, got {tuple(images.shape[-3:])}. Use "
                "the preprocessing of the certified images.",
                code="E-DATA-164",
            )
        return pixels_of(images, self._levels, self._quantize, self._settings.noise == "float")

    @contextmanager
    def _sampler(self, pixels: Pixels) -> Iterator[tuple[Sampler, int]]:
        """Yield a sampler of these images, and the index at which their addresses begin."""
        check_parameters(self._classifier)
        channels, height, width = pixels.shape[1:]
        recipe = self.recipe((channels, height, width))
        known = self._settings.seed is not None
        seed = self._settings.seed if self._settings.seed is not None else secrets.randbits(64)
        first = self._seen if known else 0
        levels = self._levels if np.issubdtype(pixels.dtype, np.integer) else 1
        noise = make_noise(self._settings.noise, self.sigma, levels, seed)
        source = Source((channels, height, width), lambda index: pixels[index - first], pixels.dtype)
        with evaluating(self.model):
            self._check_denoiser(pixels, levels)
            forward = self._forward or prepare(self._classifier, recipe)
            if self.bundle is not None:  # the user may change a module of their own between calls
                self._forward = forward
            yield Sampler(self._classifier, forward, noise, recipe, source), first
        self._seen += len(pixels) if known else 0

    def _check_denoiser(self, pixels: Pixels, levels: int) -> None:
        """Apply the denoiser, if any, to the first images of each shape.

        Raises:
            ModelError: it cannot be used.
        """
        denoiser, shape = self._classifier.denoiser, pixels.shape[1:]
        if denoiser is None or shape in self._checked:
            return
        few = torch.from_numpy(pixels[:FEW] / np.float32(levels))
        check_denoiser(denoiser, few, self.sigma)
        self._checked.add(shape)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self._forward = None  # the prepared forward pass is on the previous device
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_forward": None, "on_decided": None}


def _certificate(protocol: Protocol, image: ImageVotes, k: int, radii: Sequence[float]) -> Certificate:
    wrong = image.label is not None and image.winner not in (None, image.label)
    if wrong or not image.looks:
        return Certificate(None, k, 0.0, (), image.samples)
    counts = np.stack([votes for _, votes in image.looks])
    found = certify_counts(counts, image.subject, protocol.plan, k, tuple(radii))
    return replace(found, samples=image.samples)
