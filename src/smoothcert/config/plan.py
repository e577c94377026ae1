"""`PlanSettings`: the settings of `certify`, where classifier and images may be left out, and those of the pilot."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator, model_validator

from smoothcert.config.request import Request
from smoothcert.config.values import Count, make

NO_CLASSES = "classes: without --model and --data the number of classes must be given"
LEAST_SAMPLES, MOST_SAMPLES = 50, 100_000


class PlanSettings(Request):
    """What a plan is asked. Every setting of `smoothcert certify`, and those of the pilot."""

    model: str = ""
    """Weights file, module:factory, timm:NAME or demo. As for `certify`; without --model and --data there is no pilot
    and no forecast."""
    data: str = ""
    """Folder, .npz, .csv, medmnist:NAME or synthetic:N. Labelled images, as for `certify`."""
    pilot: Count = 100
    """Images in the pilot. Drawn at random from --data."""
    pilot_samples: int = 300
    """Samples per pilot image. At each noise level; they are never votes of a run."""
    population: float = 0.6
    """Target for the population bound. The lower bound on the robust share of the population, from 0 to 1: the plan
    says how many images it takes."""
    images: Count | None = None
    """Images of the run (default: those of --data). Without --data: 400."""
    classes: int | None = None
    """Number of classes, without --model."""

    @field_validator("pilot_samples")
    @classmethod
    def _enough(cls, samples: int) -> int:
        if not LEAST_SAMPLES <= samples <= MOST_SAMPLES:
            raise ValueError(
                f"expected from {LEAST_SAMPLES} to {MOST_SAMPLES:,} noise samples per image, got {samples}; "
                "fewer resolve too little, and for more use `certify`"
            )
        return samples

    @field_validator("population")
    @classmethod
    def _share(cls, share: float) -> float:
        if not 0 < share < 1:
            raise ValueError(f"expected a share above 0 and below 1, got {share:g}; 60 % is written 0.6")
        return share

    @field_validator("classes")
    @classmethod
    def _classes(cls, classes: int | None) -> int | None:
        if classes is not None and not 2 <= classes <= 1_000_000:
            raise ValueError(f"expected 2 classes or more, got {classes}")
        return classes

    @model_validator(mode="after")
    def _whole(self) -> PlanSettings:
        if bool(self.model) != bool(self.data):
            raise ValueError(
                f"{'data' if self.model else 'model'}: a pilot needs --model and --data; leave out both to plan "
                "without one, with --classes"
            )
        if not self.model and self.denoiser is not None:
            raise ValueError("denoiser: without --model and --data there is no pilot; leave out --denoiser")
        if not self.model and self.classes is None:
            raise ValueError(NO_CLASSES)
        if self.classes is not None and max(self.k) >= self.classes:
            raise ValueError(f"k: expected k below the number of classes ({self.classes}), got {max(self.k)}")
        return self

    @property
    def draws(self) -> bool:
        """Whether the plan draws a pilot."""
        return bool(self.model)

    def request(self) -> Request:
        """Return the settings of the planned run."""
        return Request(**{name: getattr(self, name) for name in Request.model_fields})


def make_plan_settings(**fields: Any) -> PlanSettings:
    """Build the settings of a plan from plain values.

    Raises:
        SpecError: a field is unknown, missing or out of range; the message names it.

    >>> make_plan_settings(classes=8).n_max
    100000
    """
    return make(PlanSettings, **fields)
