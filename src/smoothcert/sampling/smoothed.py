"""The smoothed classifier as a `torch.nn.Module`: tensors in, tensors out, on one image or a whole DataLoader."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.config import CertifyConfig, RuntimeConfig
from smoothcert.config.values import make
from smoothcert.errors import DataError, RecipeError, SpecError
from smoothcert.models.ensemble import other_levels
from smoothcert.progress import interactive
from smoothcert.sampling.base_model import DenoiserModel, Model, as_classifier, behind
from smoothcert.sampling.batches import Batches, Images, batches_of, count_of, device_of
from smoothcert.sampling.certificates import Certificates, Predictions
from smoothcert.sampling.protocol import PredictionVotes
from smoothcert.sampling.smoothing import Smoothing
from smoothcert.stats import Certificate

if TYPE_CHECKING:
    from smoothcert.evidence import Run

NOISE = {"grid": "grid", "gaussian": "float"}
"""The noise by the name a caller uses, and by its name on disk."""


class SmoothedClassifier(Smoothing):
    """The classifier g(x): the class that the base classifier returns most often under Gaussian noise around x.

    The certificates of Cohen, Rosenfeld and Kolter (ICML 2019, arXiv:1902.02918), and of Jia, Cao, Wang and Gong
    (ICLR 2020, arXiv:1912.09899) for k > 1, are about this object, not about the base classifier.

    The base classifier is a submodule: `g.to("cuda")` moves it, `g.state_dict()` holds it. It is always evaluated in
    evaluation mode; the training flags its owner set are restored after each call.

    Attributes:
        model: the base classifier f; with a denoiser, the pipeline of both.
        num_samples: noise samples per image that `g(x)` takes.
        bundle: the record of the bundle it was loaded from, or None.
        warnings: where this machine computes otherwise than the bundle says, in words.

    Example:
        >>> import torch
        >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
        >>> _ = torch.nn.init.zeros_(head[1].weight), torch.nn.init.constant_(head[1].bias[:2], -1.0)
        >>> g = SmoothedClassifier(head, sigma=0.25, num_classes=3)
        >>> x = torch.zeros(2, 3, 4, 4)
        >>> g.predict(x).label
        tensor([2, 2])
        >>> c = g.certify(x, radii=(0.25, 0.5), n_max=1000)
        >>> c.certified
        tensor([[True, True],
                [True, True]])
        >>> g
        SmoothedClassifier(Sequential, sigma=0.25, num_classes=3, noise='grid', device='cpu')
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        num_classes: int,
        *,
        denoiser: DenoiserModel | None = None,
        noise: Literal["grid", "gaussian"] = "grid",
        levels: Literal[255, 4095, 65535] = 255,
        quantize: bool = False,
        precision: Literal["fp32", "bf16", "fp16"] = "fp32",
        batch_size: int | None = None,
        compile: bool = False,
        bound: Literal["rankcp", "simuem", "cohen", "betting"] = "rankcp",
        n0: int = 100,
        seed: int | None = None,
    ) -> None:
        """Smooth a base classifier.

        Args:
            model: maps float (n, C, H, W) in [0, 1] to logits (n, num_classes); a module, or any callable.
            sigma: noise standard deviation, in units of the [0, 1] range, above 0 and at most 4.
            num_classes: number of classes, 2 or more.
            denoiser: for a classifier that was trained without noise: a module that maps noisy images, or noisy images
                and sigma, to images. The smoothed classifier is then that of the pipeline of both.
            noise: "grid": integer steps on the images' own grid, sound in computer arithmetic. "gaussian": ordinary
                float noise for images of any values, arithmetic not covered by the certificate.
            levels: grid images are integers 0..levels divided by levels (255: 8 bits, 4095: 12, 65535: 16).
            quantize: round float images to that grid. The certificates are then about the rounded images.
            precision: arithmetic of the base classifier; part of what is certified.
            batch_size: noise samples per forward pass; None: 512, fewer for large images.
            compile: `torch.compile` the base classifier.
            bound: confidence bounds behind a certificate, "rankcp", "simuem" or "cohen"; or "betting".
            n0: noise samples that select the class that is certified.
            seed: 64-bit seed, to reproduce results; None: fresh noise from the operating system's entropy at each call.
                With a seed, results depend on how many images this object has seen: no two share their noise.

        Raises:
            SpecError: a setting is out of range.
            ModelError: the model is not callable, or declares another number of classes.
        """
        if noise not in NOISE:
            raise SpecError(f"noise: expected 'grid' or 'gaussian', got {noise!r}.", code="E-SPEC-033")
        settings = make(CertifyConfig, sigma=(sigma,), noise=NOISE[noise], bound=bound, n0=n0, seed=seed)
        compiled: Literal["on", "off"] = "on" if compile else "off"
        runtime = make(RuntimeConfig, precision=precision, batch_size=batch_size, compile=compiled)
        classifier = behind(denoiser, as_classifier(model), float(sigma))
        super().__init__(classifier, num_classes, settings, runtime, (levels, quantize))
        if inside := other_levels((classifier.behind or classifier).module, float(sigma)):
            warnings.warn(inside, UserWarning, stacklevel=2)
        self.num_samples = 1000
        self.warnings: tuple[str, ...] = ()

    def train(self, mode: bool = True) -> SmoothedClassifier:
        """Return the object unchanged: the base classifier is always evaluated in evaluation mode."""
        return self

    def forward(self, x: Images) -> Tensor:
        """Return vote shares of `num_samples` fresh noise samples per image: an estimate of g's class probabilities.

        Args:
            x: images, as for `predict`; not differentiable.

        Returns:
            float32 (m, num_classes) on the device of x; each row sums to 1. An estimate, without any guarantee.
        """
        found = self._predicted(x, 1, (self.num_samples, None), "fixed")
        shares = torch.from_numpy(np.stack([image.votes for image in found]) / self.num_samples)
        return shares.float().to(device_of(x))

    def predict(self, x: Batches, *, k: int = 1, n: int | None = None, alpha: float | None = None) -> Predictions:
        """Predict with the smoothed classifier, or abstain (PREDICT of Cohen et al. 2019; Hung and Fithian 2019).

        For each image, an answer other than the smoothed classifier's is returned with probability at most alpha,
        early stopping included.

        Args:
            x: images: a tensor or array (m, C, H, W) or (C, H, W), float in [0, 1] or integers in 0..levels; or a
                DataLoader, a Dataset or any iterable of batches, with or without labels.
            k: number of classes in an answer.
            n: noise samples per image at most; None: the bundle's, or 1000.
            alpha: error probability of one answer; None: the bundle's, or 0.001.

        Returns:
            Predictions, one row per image, on the device of x.

        Raises:
            DataError: images are off the grid, or not of shape (m, C, H, W).
            SpecError: k, n or alpha is out of range, or n samples can never decide.
        """
        found: list[PredictionVotes] = []
        with self._counting("predicting", x):
            for images, _ in batches_of(x):
                found += self._predicted(images, k, (n, alpha), "looks")
        votes = np.stack([image.votes for image in found])
        return Predictions.of([image.answer for image in found], votes, k, device_of(x))

    def certify(
        self,
        x: Batches,
        y: Tensor | Sequence[int] | None = None,
        *,
        k: int = 1,
        radii: Sequence[float] = (0.25, 0.5, 1.0),
        n_max: int = 100_000,
        alpha: float = 0.001,
    ) -> Certificates:
        """Certify images with sequential looks: sampling of an image stops as soon as every radius is decided.

        For each image, a wrong certificate is returned with probability at most alpha, over the image's own noise.

        Args:
            x: images, as for `predict`; the labels of a DataLoader or Dataset are used as y.
            y: reference labels (m,). With k = 1, an image whose selected class differs is an abstention and is sampled
                no further; with k > 1 the label itself is certified. None: the selected class is certified.
            k: the certified class stays among the k most probable ones.
            radii: L2 radii to decide, in units of the [0, 1] range.
            n_max: noise samples per image at most, after selection; 100 or more.
            alpha: error probability of one certificate.

        Returns:
            Certificates, one row per image, on the device of x.

        Raises:
            DataError: images are off the grid, or labels do not fit.
            SpecError: k, radii, n_max or alpha is out of range.
        """
        found: list[Certificate] = []
        labels: list[int] | None = None
        with self._counting("certifying", x):
            for images, known in batches_of(x, y):
                if found and (known is None) != (labels is None):
                    raise DataError(
                        "Expected labels in every batch or in none, got batches of both kinds.", code="E-DATA-162"
                    )
                found += self.certificates(images, k, radii, labels=known, n_max=n_max, alpha=alpha)
                labels = known if known is None else [*(labels or []), *known]
        return Certificates.of(found, k, tuple(radii), labels, device_of(x))

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
            n: noise samples a prediction takes at most.
            alpha: error probability of one prediction.
            class_names: one per class; left out, those of the run or the classifier, or numbers.
            shape: (C, H, W) of an image, where neither run nor classifier declares it.
            run: the sealed run that certified this very classifier, or its directory.

        Raises:
            EvidenceError: the place is taken, the run is not sealed or damaged, or it certified another object.
            SpecError: n samples can never decide, shape or names do not fit.
        """
        from smoothcert.sampling.save_bundle import BundleRequest, save_bundle

        save_bundle(self, Path(path), BundleRequest(n, alpha, tuple(class_names), shape), run)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        model: nn.Module | None = None,
        device: Literal["auto", "cpu", "cuda"] | None = None,
        *,
        denoiser: DenoiserModel | None = None,
    ) -> SmoothedClassifier:
        """Load a bundle directory; every file of it is checked.

        Where this machine computes otherwise than the certified one did (another processor, device or torch), the
        classifier is loaded and `warnings` say so: a certificate of the run holds for the classifier with the run's
        numeric recipe, and single votes can differ with another.

        Args:
            path: the bundle directory.
            model: for a network that is not built in: a module of its architecture, whose weights are replaced.
            device: where to run it; None: a processor if it was certified on one, else an accelerator if there is one.
            denoiser: for a denoiser that is not built in: a module of its architecture, whose weights are replaced.

        Returns:
            The classifier; its `bundle` is the record, its `warnings` say where this machine computes otherwise.

        Raises:
            EvidenceError: a file was changed, or the bundle is not the object its run certified.
            ModelError: the code of network or denoiser is needed and was not given, or is other code.
            RecipeError: this machine cannot run the precision.
        """
        from smoothcert.sampling.load_bundle import load_bundle

        loaded = load_bundle(Path(path), model, denoiser)
        bundle = loaded.bundle
        g = cls(loaded.classifier, bundle.sigma, len(bundle.class_names), levels=bundle.levels, **loaded.options)
        g.bundle, g.num_samples = bundle, bundle.n
        wanted = device or ("cpu" if bundle.recipe.device == "cpu" else "auto")
        if wanted == "cuda" and not torch.cuda.is_available():
            raise RecipeError(
                "Expected a CUDA device for device 'cuda', found none. Use 'cpu' or 'auto'.", code="E-RECIPE-010"
            )
        if wanted != "cpu" and torch.cuda.is_available():
            g.to("cuda")
        g.warnings = loaded.warnings(g.recipe(bundle.shape))
        return g

    @contextmanager
    def _counting(self, what: str, x: Batches) -> Iterator[None]:
        """Show progress in a terminal or notebook, unless the caller set `on_decided`."""
        if self.on_decided is not None:
            yield
            return
        total, decided = count_of(x), 0
        with interactive(what, total) as show:

            def count(more: int) -> None:
                nonlocal decided
                decided += more
                show(decided)

            self.on_decided = count
            try:
                yield
            finally:
                self.on_decided = None

    def __repr__(self) -> str:
        """The object on one line."""
        noise = next(name for name, stored in NOISE.items() if stored == self._settings.noise)
        inner = self.classifier.behind or self.classifier
        denoiser = f", denoiser={self.classifier.denoiser.reference!r}" if self.classifier.denoiser else ""
        return (
            f"SmoothedClassifier({type(inner.module).__name__}{denoiser}, sigma={self.sigma:g}, "
            f"num_classes={self.num_classes}, noise={noise!r}, device={str(self.device)!r})"
        )
