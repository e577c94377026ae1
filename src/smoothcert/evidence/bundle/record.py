"""What a deployed smoothed classifier is: the record in `bundle.json`."""

from __future__ import annotations

import json
import math
from typing import Literal, Self

from pydantic import ValidationError, ValidationInfo, field_validator

from smoothcert.config import Recipe
from smoothcert.config.values import Alpha, Count, Frozen, explain
from smoothcert.errors import EvidenceError
from smoothcert.formats.strict import parse

FORMAT: Literal[1] = 1
MOST_CLASSES = 1_000_000
MOST_ALPHA = 0.1
"""The largest probability of a wrong prediction that can be meant."""
OF_THE_MACHINE = ("device", "instructions", "torch")
"""Fields of a numeric recipe that a machine has; the others were chosen, and a bundle carries them along."""


class BundledModel(Frozen):
    """The base classifier under the noise."""

    arch: str | None
    """Name of one of our architectures, or None: only the user's own code can rebuild the network."""
    own: bool
    reference: str
    """The classifier as it was named; a note for people, never run."""
    weights: str | None
    """The weights file as it was named, where it was named beside the classifier."""
    sha256: str
    """Hash of the weights as they were certified: of their file, or of the state dict where there was no file."""
    state_sha256: str | None = None
    """Hash of the state that was certified, by name, type, shape and bytes of every tensor; left out where unknown."""


class Facts(Frozen):
    """Everything that makes a smoothed classifier the one it is; where one of these differs, it is another object."""

    sigma: float
    noise: Literal["grid", "float"]
    levels: Literal[255, 4095, 65535]
    shape: tuple[int, int, int]
    """(C, H, W) of an image."""
    preprocessing: tuple[str, ...]
    """What was done to the pixels before they came to the classifier, in words."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    model: BundledModel
    recipe: Recipe

    @field_validator("sigma")
    @classmethod
    def _sigma(cls, sigma: float) -> float:
        if not (math.isfinite(sigma) and 0.0 < sigma <= 4.0):
            raise ValueError(f"expected a noise level above 0 and at most 4, got {sigma}")
        return sigma

    @field_validator("shape")
    @classmethod
    def _shape(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(shape) < 1 or max(shape) > 65536:
            raise ValueError(f"expected (channels, height, width) of 1 or more, got {shape}")
        return shape

    @field_validator("mean", "std")
    @classmethod
    def _normalisation(cls, values: tuple[float, ...], others: ValidationInfo) -> tuple[float, ...]:
        channels = others.data.get("shape", (0,))[0]
        least = 0.0 if others.field_name == "std" else -math.inf
        if len(values) not in (0, 1, channels) or not all(math.isfinite(x) and x > least for x in values):
            raise ValueError(f"expected one usable number a channel, or none, got {values}")
        return values

    @field_validator("class_names")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not 2 <= len(names) <= MOST_CLASSES:
            raise ValueError(f"expected 2 class names or more, got {len(names)}")
        return names


class Certified(Facts):
    """What a run certified at one noise level, and the run's own facts."""

    spec_sha256: str
    ledger_sha256: str
    sealed: bool
    data: str
    """The images of the run, as they were named."""
    data_sha256: str
    images: int
    k: tuple[int, ...]
    radii: tuple[float, ...]
    n_max: int
    alpha: float
    bound: Literal["rankcp", "simuem", "cohen"]


class Bundle(Facts):
    """The record of a bundle directory, `bundle.json`."""

    format: Literal[1] = FORMAT
    smoothcert: str
    """Version that wrote the bundle."""
    file_sha256: str
    """Hash of weights.safetensors; equal to the certified hash where the very file was copied."""
    value_range: tuple[float, float] = (0.0, 1.0)
    n: Count
    """Noisy copies a prediction takes at most."""
    alpha: Alpha
    """Probability that one prediction is wrong."""
    n0: Count
    """Noisy copies that select the class of a certificate."""
    bound: Literal["rankcp", "simuem", "cohen"]
    """Confidence bounds behind a certificate."""
    probe: tuple[tuple[float, ...], ...] = ()
    """First logits of a few fixed images, for a network whose code is not ours: other code shows by other logits."""
    certified: Certified | None

    @field_validator("alpha")
    @classmethod
    def _alpha(cls, alpha: float) -> float:
        if alpha > MOST_ALPHA:
            raise ValueError(f"expected at most {MOST_ALPHA:g}, got {alpha:g}; 0.001 is usual")
        return alpha

    @field_validator("value_range")
    @classmethod
    def _range(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair != (0.0, 1.0):
            raise ValueError(f"expected 0 and 1, which noise, sigma and radii are in units of, got {pair}")
        return pair

    def recipe_on(self, machine: Recipe) -> Recipe:
        """Return the recipe of this bundle where it is run: what was chosen, on the machine another recipe names."""
        return self.recipe.model_copy(update={name: getattr(machine, name) for name in OF_THE_MACHINE})

    def to_json(self) -> str:
        """Return the text of `bundle.json`; plain ASCII, whatever the class names hold."""
        record = self.model_dump(mode="json")
        for each in filter(None, (record, record["certified"])):
            if each["model"]["state_sha256"] is None:
                del each["model"]["state_sha256"]
        return json.dumps(record, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read `bundle.json`.

        Raises:
            EvidenceError: the text is not JSON, or not a bundle of a known format.
        """
        record = parse(text, f"Expected a bundle.json of format {FORMAT}")
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            raise EvidenceError(f"Expected a bundle.json of format {FORMAT}: {explain(error)}") from None
