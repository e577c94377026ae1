"""What a training run is told, and what it reports."""

from dataclasses import asdict, dataclass
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
    "holdout": (0.0, 0.5),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How one classifier is trained under Gaussian noise.

    Args:
        sigma: Standard deviation of the noise, in units of the [0, 1] range; 0 trains without noise.
        sigma_low: Train one classifier for several noise levels: each image's is drawn between this and sigma.
        arch: Architecture: resnet8, resnet20 or resnet18.
        epochs: Passes over the images.
        batch_size: Images a step.
        learning_rate: The highest rate of the cycle (SGD with Nesterov momentum 0.9).
        weight_decay: L2 penalty on the weights of convolutions and of the head.
        label_smoothing: Share of the target spread over all classes, 0 to 0.9.
        consistency: Weight of the agreement between two noisy copies of an image (0: one copy, and half the time an
            epoch); more of it trades certified accuracy at small radii for large ones.
        holdout: Share of the images kept apart to measure accuracy under noise, 0 to 0.5.
        seed: Seed of initial weights, order, augmentation and noise.
        precision: bf16 (autocast) or fp32.
        device: cpu or cuda.

    Raises:
        SpecError: a value out of its range.

    >>> TrainingSettings(sigma=-1)
    Traceback (most recent call last):
    smoothcert.errors.SpecError: training: sigma must lie in 0..100, got -1.
    """

    sigma: float
    sigma_low: float | None = None
    arch: str = "resnet20"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    consistency: float = 2.0
    holdout: float = 0.05
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise SpecError(f"training: {name} must lie in {low:g}..{high:g}, got {value!r}.")
        if self.sigma_low is not None and not 0 < self.sigma_low < self.sigma:
            raise SpecError(f"training: sigma_low must lie above 0 and below sigma, got {self.sigma_low!r}.")
        for name in ("epochs", "batch_size", "seed"):
            if not isinstance(getattr(self, name), int):
                raise SpecError(f"training: {name} must be a whole number, got {getattr(self, name)!r}.")
        if self.precision not in ("bf16", "fp32"):
            raise SpecError(f"training: precision must be bf16 or fp32, got {self.precision!r}.")
        if self.device not in ("cpu", "cuda"):
            raise SpecError(f"training: device must be cpu or cuda, got {self.device!r}.")

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, for the metadata of the weights."""
        return asdict(self)


@dataclass(frozen=True)
class EpochReport:
    """What one epoch came to: mean loss, accuracy under noise (0..1), seconds it took."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    holdout_accuracy: float | None
    seconds: float
