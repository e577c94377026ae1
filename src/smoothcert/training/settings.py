"""Settings of a training run, and the report of each epoch."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

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
    "holdout": (0.0, 0.5),
    "seed": (0, 2**63 - 1),
}
DEFAULT_ARCH, DEFAULT_RATE, FINE_TUNING_RATE = "resnet20", 0.2, 0.02


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How one classifier is trained under Gaussian noise.

    Args:
        sigma: Noise level; 0 trains without noise. Standard deviation, in units of the [0, 1] range.
        sigma_low: Lowest noise level, for one classifier for several. The noise level of each image is drawn between
            sigma_low and sigma.
        arch: resnet8, resnet20, wide20 or resnet18. Default: resnet20, or the architecture of --from.
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: Peak rate (default: 0.2, with --from 0.02). SGD with Nesterov momentum 0.9, one cycle.
        weight_decay: L2 penalty on the weights of convolutions and of the head.
        label_smoothing: Share of the target spread over all classes. 0 to 0.9.
        consistency: Weight of the consistency loss. It is the agreement between two noise samples of an image; 0 uses
            one sample and half the time per epoch. Higher values trade certified accuracy at small radii for large
            ones; too high, with many classes, costs accuracy at all radii. Choose it on held-out images.
        entropy: Weight of the prediction entropy. The entropy of the mean prediction; only with consistency.
        augment: Augmentation. turns: flips and quarter turns, for images without an up and down. none: noise only.
        holdout: Share of the images held out. Used to measure accuracy with and without noise; 0 to 0.5.
        seed: Seed. Of initial weights, order, augmentation and noise.
        precision: bf16 (autocast) or fp32.
        device: cpu or cuda.

    Raises:
        SpecError: a value out of its range.

    >>> TrainingSettings(sigma=-1)
    Traceback (most recent call last):
    smoothcert.errors.SpecError: training: sigma must be in 0..100, got -1.
    """

    sigma: float
    sigma_low: float | None = None
    arch: str | None = None
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    consistency: float = 2.0
    entropy: float = 0.5
    augment: Literal["turns", "none"] = "turns"
    holdout: float = 0.05
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name == "learning_rate":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise SpecError(f"training: {name} must be in {low:g}..{high:g}, got {value!r}.", code="E-SPEC-103")
        if self.sigma_low is not None and not 0 < self.sigma_low < self.sigma:
            raise SpecError(
                f"training: sigma_low must be above 0 and below sigma, got {self.sigma_low!r}.", code="E-SPEC-104"
            )
        for name in ("epochs", "batch_size", "seed"):
            if not isinstance(getattr(self, name), int):
                raise SpecError(f"training: {name} must be an integer, got {getattr(self, name)!r}.", code="E-SPEC-105")
        if self.precision not in ("bf16", "fp32"):
            raise SpecError(f"training: precision must be bf16 or fp32, got {self.precision!r}.", code="E-SPEC-106")
        if self.augment not in ("turns", "none"):
            raise SpecError(f"training: augment must be turns or none, got {self.augment!r}.", code="E-SPEC-107")
        if self.device not in ("cpu", "cuda"):
            raise SpecError(f"training: device must be cpu or cuda, got {self.device!r}.", code="E-SPEC-108")

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

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for the metadata of the weights."""
        return asdict(self)


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

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the columns of a log."""
        return tuple(field.name for field in fields(cls))
