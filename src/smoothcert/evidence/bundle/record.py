"""`bundle.json`, version 1: the record of a deployed smoothed classifier; each attribute of `Bundle` is a key.

With a denoiser, what is certified is the pipeline of denoiser and base classifier. The keys `denoiser` of `model` and
`denoiser_file` are left out if there is none, and `state_sha256` of `model` if unknown.
"""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Literal, Self

from pydantic import ValidationError, ValidationInfo, field_validator, model_validator

from smoothcert.config import DenoiserFacts, Recipe
from smoothcert.config.values import Alpha, Count, Frozen, explain
from smoothcert.errors import EvidenceError
from smoothcert.formats.strict import parse

FORMAT: Literal[1] = 1
MOST_CLASSES = 1_000_000
MOST_ALPHA = 0.1
"""The largest error probability of a prediction that is accepted."""
OF_THE_MACHINE = ("device", "instructions", "torch")
"""Fields of a numeric recipe that belong to the machine; the others are settings, which a bundle keeps."""


class BundledModel(Frozen):
    """The base classifier."""

    arch: str | None
    """Name of a built-in architecture; None if only the user's own code can build the network."""
    own: bool
    reference: str
    """The classifier as given; for people, never run."""
    weights: str | None
    """The weights file as given, if it was given separately."""
    sha256: str
    """Hash of the weights as certified: of their file, or of the state dict if there was no file."""
    state_sha256: str | None = None
    """Hash of the certified state dict (name, type, shape and bytes of every tensor); left out if unknown."""
    denoiser: DenoiserFacts | None = None
    """The denoiser before it, with the keys of `denoiser` in spec.json; left out if there is none."""

    @property
    def code(self) -> dict[str, str]:
        """What must be given to rebuild it, as flags of `smoothcert predict`, by what is not built in."""
        flags = {} if self.arch is not None else {"network": "--model package.module:factory"}
        if self.denoiser is not None and self.denoiser.arch is None:
            hub = self.denoiser.reference.startswith("diffusers:")
            flags["denoiser"] = f"--denoiser {'diffusers:FOLDER' if hub else 'package.module:factory'}"
        return flags


class DenoiserFile(Frozen):
    """`denoiser.safetensors`, and how its network is called if it is not built in."""

    sha256: str
    """Hash of the file; equal to the certified hash if the file was copied."""
    value_range: tuple[float, float]
    """Lowest and highest pixel value of the images that the network takes and returns."""
    takes_sigma: bool
    """Whether the network takes the noise level as a second argument."""

    @field_validator("value_range")
    @classmethod
    def _range(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if not (all(map(math.isfinite, pair)) and pair[0] < pair[1]):
            raise ValueError(f"expected two numbers, the lower first, got {pair}")
        return pair


class Facts(Frozen):
    """Everything that defines a smoothed classifier: if one of these differs, it is another classifier."""

    sigma: float
    noise: Literal["grid", "float"]
    levels: Literal[255, 4095, 65535]
    shape: tuple[int, int, int]
    """(C, H, W) of an image."""
    preprocessing: tuple[str, ...]
    """Preprocessing of the pixels before the classifier, as text."""
    mean: tuple[float, ...]
    """Normalisation of each channel; with a denoiser, of its output."""
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
            raise ValueError(f"expected one finite number per channel (std above 0), or none, got {values}")
        return values

    @field_validator("class_names")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not 2 <= len(names) <= MOST_CLASSES:
            raise ValueError(f"expected 2 class names or more, got {len(names)}")
        return names


class Certified(Facts):
    """What a run certified at one noise level, and the facts of that run."""

    spec_sha256: str
    ledger_sha256: str
    sealed: bool
    data: str
    """The images of the run, as given."""
    data_sha256: str
    images: int
    k: tuple[int, ...]
    radii: tuple[float, ...]
    n_max: int
    alpha: float
    bound: Literal["rankcp", "simuem", "cohen", "betting"]


class Bundle(Facts):
    """The record of a bundle directory, `bundle.json`."""

    format: Literal[1] = FORMAT
    smoothcert: str
    """Version that wrote the bundle."""
    file_sha256: str
    """Hash of weights.safetensors; equal to the certified hash if the file was copied."""
    value_range: tuple[float, float] = (0.0, 1.0)
    n: Count
    """Maximum number of noise samples per prediction."""
    alpha: Alpha
    """Probability of returning a class other than the smoothed classifier's."""
    n0: Count
    """Noise samples that select the class of a certificate."""
    bound: Literal["rankcp", "simuem", "cohen", "betting"]
    """Confidence bounds behind a certificate."""
    probe: tuple[tuple[float, ...], ...] = ()
    """First logits of a few fixed images, if network or denoiser is not built in: they detect other code."""
    denoiser_file: DenoiserFile | None = None
    """The file of the denoiser; left out if there is none."""
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
            raise ValueError(f"expected 0 and 1, the range of noise, sigma and radii, got {pair}")
        return pair

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.model.denoiser is None) != (self.denoiser_file is None):
            raise ValueError("denoiser_file: expected it with a denoiser in model, and only then")
        return self

    def recipe_on(self, machine: Recipe) -> Recipe:
        """Return the recipe of this bundle with the machine (device, instructions, torch) of another recipe."""
        return self.recipe.model_copy(update={name: getattr(machine, name) for name in OF_THE_MACHINE})

    def to_json(self) -> str:
        """Return the text of `bundle.json`, in plain ASCII."""
        record = self.model_dump(mode="json")
        models = [each["model"] for each in (record, record["certified"]) if each is not None]
        for each, name in ((record, "denoiser_file"), *product(models, ("state_sha256", "denoiser"))):
            if each[name] is None:
                del each[name]
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
            raise EvidenceError(
                f"Expected a bundle.json of format {FORMAT}: {explain(error)}", code="E-RUN-019"
            ) from None
