"""Settings of a training run, and the report of each epoch."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

from smoothcert.errors import SpecError

_RANGES: dict[str, tuple[float, float]] = {
    "sigma": (0.0, 100.0),
    "epochs": (1, 100_000),
    "batch_size": (2, 1_000_000),
    "learning_rate": (1e-8, 100.0),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9),
    "consistency": (0.0, 1000.0),
    "entropy": (0.0, 100.0),
    "pretrain": (0, 100_000),
    "mse_weight": (0.0, 1e6),
    "average": (0.0, 0.99999),
    "estimate_every": (0, 100_000),
    "holdout": (0.0, 0.5),
    "seed": (0, 2**63 - 1),
}
_WHOLE = ("epochs", "batch_size", "pretrain", "estimate_every", "seed")
_CHOICES = {
    "precision": ("bf16", "fp32"),
    "augment": ("turns", "none"),
    "device": ("cpu", "cuda"),
    "objective": ("both", "stability", "mse"),
}
_OPTIONAL = ("learning_rate", "pretrain")
DEFAULT_ARCH, DEFAULT_RATE, FINE_TUNING_RATE = "resnet20", 0.2, 0.02
DenoiserArch = Literal["unet-s", "unet-m", "unet-l"]
DEFAULT_DENOISER: DenoiserArch = "unet-m"
PRETRAINING = 4
"""Epochs, but at most a tenth, in which a new denoiser first minimises the squared error."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What every training with noise has: noise levels, epochs, batches, seed.

    Args:
        sigma: Noise level; 0 trains without noise. Standard deviation, in units of the [0, 1] range.
        sigma_low: Lowest noise level, if one network serves several. The noise level of each image is drawn between
            sigma_low and sigma.
        epochs: Passes over the images.
        batch_size: Images per step.
        augment: Augmentation. turns: flips and quarter turns, for images without an up and down. none: noise only.
        holdout: Share of the images held out. Used to measure accuracy with and without noise; 0 to 0.5.
        seed: Seed. Of initial weights, order, augmentation and noise.
        precision: bf16 (autocast) or fp32.
        device: cpu or cuda.

    Raises:
        SpecError: a value out of its range.
    """

    sigma: float
    sigma_low: float | None = None
    epochs: int = 20
    batch_size: int = 128
    augment: Literal["turns", "none"] = "turns"
    holdout: float = 0.05
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"

    def __post_init__(self) -> None:
        values = asdict(self)
        for name, (low, high) in _RANGES.items():
            value = values.get(name)
            if name not in values or (value is None and name in _OPTIONAL):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise SpecError(f"training: {name} must be in {low:g}..{high:g}, got {value!r}.", code="E-SPEC-103")
            if name in _WHOLE and not isinstance(value, int):
                raise SpecError(f"training: {name} must be an integer, got {value!r}.", code="E-SPEC-105")
        if self.sigma_low is not None and not 0 < self.sigma_low < self.sigma:
            raise SpecError(
                f"training: sigma_low must be above 0 and below sigma, got {self.sigma_low!r}.", code="E-SPEC-104"
            )
        for name, choices in _CHOICES.items():
            if name in values and values[name] not in choices:
                raise SpecError(
                    f"training: {name} must be {' or '.join(choices)}, got {values[name]!r}.", code="E-SPEC-106"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for the metadata of the weights."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Schedule):
    """How one classifier is trained under Gaussian noise.

    Args:
        arch: resnet8, resnet20, wide20 or resnet18. Default: resnet20, or the architecture of --from.
        learning_rate: Peak rate (default: 0.2, with --from 0.02). SGD with Nesterov momentum 0.9, one cycle.
        weight_decay: L2 penalty on the weights of convolutions and of the head.
        label_smoothing: Share of the target spread over all classes. 0 to 0.9.
        consistency: Weight of the consistency loss. It is the agreement between two noise samples of an image; 0 uses
            one sample and half the time per epoch. Higher values trade certified accuracy at small radii for large
            ones; too high, with many classes, costs accuracy at all radii. Choose it on held-out images.
        entropy: Weight of the prediction entropy. The entropy of the mean prediction; only with consistency.

    >>> TrainingSettings(sigma=-1)
    Traceback (most recent call last):
    smoothcert.errors.SpecError: training: sigma must be in 0..100, got -1.
    """

    arch: str | None = None
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    consistency: float = 2.0
    entropy: float = 0.5

    @property
    def samples(self) -> int:
        """Noise samples per image in a step."""
        return 2 if self.consistency else 1

    def with_defaults(self, fine_tuning: bool) -> "TrainingSettings":
        """Return the settings with all defaults filled in; `fine_tuning`: training starts from a trained classifier.

        >>> TrainingSettings(sigma=0.5).with_defaults(fine_tuning=True).learning_rate
        0.02
        """
        rate = (FINE_TUNING_RATE if fine_tuning else DEFAULT_RATE) if self.learning_rate is None else self.learning_rate
        return replace(self, arch=self.arch or (None if fine_tuning else DEFAULT_ARCH), learning_rate=rate)


@dataclass(frozen=True, kw_only=True)
class DenoiserSettings(Schedule):
    """How a denoiser is trained.

    Args:
        sigma: Noise level, above 0. Standard deviation, in units of the [0, 1] range; the highest one with --sigma-low.
        arch: unet-s, unet-m or unet-l. 0.2, 0.7 and 5.2 million weights. Default: unet-m, or the architecture of
            --from.
        objective: What is minimised. mse: the squared error of the image. stability: the cross-entropy to what the
            classifiers of --for return for the clean image. both: stability, and --mse-weight times the squared error.
        pretrain: Epochs with mse before the objective. Default: 4, but at most a tenth of the epochs; with --from 0.
        mse_weight: Weight of the squared error in both.
        consistency: Weight of the consistency loss beside stability. It is the agreement of what a classifier returns
            for two noise samples of an image; 0 uses one sample and half the time per epoch.
        learning_rate: Peak rate. AdamW, one cycle, gradients clipped to norm 1.
        weight_decay: Decoupled weight decay of the convolutions.
        average: Decay of the moving average of the weights. The average is what is saved; 0 saves the last weights.
        estimate_every: Epochs between estimates of certified accuracy. On held-out images; 0: only after the last.
    """

    sigma: float
    epochs: int = 40
    arch: DenoiserArch | None = None
    objective: Literal["both", "stability", "mse"] = "both"
    pretrain: int | None = None
    mse_weight: float = 10.0
    consistency: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.995
    estimate_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma > 0:
            raise SpecError(f"training: a denoiser needs a sigma above 0, got {self.sigma!r}.", code="E-SPEC-131")
        if self.objective != "mse" and self.pretrain is not None and self.pretrain >= self.epochs:
            raise SpecError(
                f"training: pretrain must be below epochs, got {self.pretrain} of {self.epochs}: the objective "
                f"{self.objective!r} would never be minimised. Lower --pretrain, or use --objective mse.",
                code="E-SPEC-190",
            )

    def with_defaults(self, start: str | None = None) -> "DenoiserSettings":
        """Return the settings with all defaults filled in.

        Args:
            start: architecture of the trained denoiser from which training starts; None: it starts with new weights.

        >>> filled = DenoiserSettings(sigma=0.5, epochs=20).with_defaults()
        >>> filled.arch, filled.pretrain
        ('unet-m', 2)
        >>> filled = DenoiserSettings(sigma=0.5).with_defaults("unet-s")
        >>> filled.arch, filled.pretrain
        ('unet-s', 0)
        """
        usual = min(PRETRAINING, self.epochs // 10) if start is None else 0
        arch = self.arch or cast(DenoiserArch, start) or DEFAULT_DENOISER
        return replace(self, arch=arch, pretrain=usual if self.pretrain is None else self.pretrain)

    def samples_at(self, epoch: int) -> int:
        """Return the noise samples per image in a step of an epoch."""
        return 2 if self.consistency and self.objective_at(epoch) != "mse" else 1

    def objective_at(self, epoch: int) -> Literal["both", "stability", "mse"]:
        """Return what is minimised in an epoch, counted from 1, with all defaults filled in."""
        return "mse" if epoch <= (self.pretrain or 0) else self.objective


@dataclass(frozen=True)
class EpochReport:
    """Results of one epoch.

    Args:
        epoch: number of the epoch, from 1.
        epochs: number of epochs of the training.
        rate: learning rate at the end of the epoch.
        loss: mean over the batches.
        accuracy: accuracy on the noisy training images during the epoch, 0 to 1.
        clean: clean accuracy on the held-out images; None: no images are held out.
        noisy: accuracy on the held-out images with one noise sample per image.
        seconds: duration of the epoch.
    """

    epoch: int
    epochs: int
    rate: float
    loss: float
    accuracy: float
    clean: float | None
    noisy: float | None
    seconds: float


@dataclass(frozen=True)
class DenoiserReport:
    """Results of one epoch of a denoiser's training; accuracies are those of the first classifier behind it.

    An image counts as right if the pipeline returns its label. For images without labels, agreement is measured
    instead of accuracy: it counts as right if the pipeline returns what the classifier returns for the clean image.
    None: not measured.

    Args:
        epoch: number of the epoch, from 1.
        epochs: number of epochs of the training.
        rate: learning rate at the end of the epoch.
        loss: mean over the batches.
        mse: mean squared error per value of the denoised training images.
        psnr: peak signal-to-noise ratio of the held-out images with one noise sample each, denoised, in dB.
        psnr_noisy: the same before denoising.
        alone: accuracy on clean held-out images of the classifier without denoiser; None for images without labels.
        clean: accuracy of the pipeline on clean held-out images.
        noisy: accuracy of the pipeline on held-out images with one noise sample each, at the highest noise level.
        certified_025: share of held-out images whose votes suggest a certificate at L2 radius 0.25 at the highest noise
            level: an estimate without any guarantee.
        certified_05: the same at radius 0.5.
        certified_1: the same at radius 1.
        seconds: duration of the epoch.
    """

    epoch: int
    epochs: int
    rate: float
    loss: float
    mse: float
    psnr: float | None
    psnr_noisy: float | None
    alone: float | None
    clean: float | None
    noisy: float | None
    certified_025: float | None
    certified_05: float | None
    certified_1: float | None
    seconds: float
