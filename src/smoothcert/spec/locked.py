"""The locked spec: a request with every fact found before the first image. It never changes afterwards."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Literal

from pydantic import ValidationError

from smoothcert.errors import SpecError
from smoothcert.spec.request import Request, explain
from smoothcert.spec.values import Frozen

FORMAT: Literal[1] = 1
LATER = {
    "request": (
        *("primary", "criteria", "input_range", "mean", "std", "layout", "channels", "output"),
        *("resize", "crop", "window", "subgroup"),
    ),
    "data": ("subgroups",),
}
"""Settings and facts that came after the format was fixed: they are left out where unset."""


class ModelFacts(Frozen):
    """One tested classifier, as it was found before the first image."""

    sigma: float
    written: str
    """The noise level as it was typed; it fills {sigma} in file names."""
    reference: str
    weights: str | None
    sha256: str
    arch: str | None
    input_shape: tuple[int, int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    trained_sigma: float | None
    own: bool
    eta: float
    """Total-variation distance of one noisy image from ideal Gaussian noise (0 for float noise: not covered)."""
    adapted: tuple[str, ...] = ()
    """What lies between the noisy image and the classifier besides normalisation, in words."""


class DataFacts(Frozen):
    """The images, as they were found before the first image was certified."""

    reference: str
    sha256: str
    labels_sha256: str
    images: int
    shape: tuple[int, int, int]
    levels: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    preprocessing: tuple[str, ...]
    grouped: bool
    indices: tuple[int, ...] | None = None
    """Index of each image in its source; None means 0 to images - 1."""
    subgroups: tuple[str, ...] = ()
    """Names of the columns for which results are also counted apart."""

    @property
    def synthetic(self) -> bool:
        """Whether the images were drawn by this package, not taken."""
        return re.fullmatch(r"synthetic(:\d+)?(#.+)?", self.reference) is not None


class Recipe(Frozen):
    """How the classifier's numbers are computed. What is certified is the classifier *with* its recipe."""

    precision: Literal["fp32", "bf16", "fp16"]
    folded: bool
    autocast: bool
    compiled: bool
    memory_format: Literal["contiguous", "channels_last"]
    batch_size: int
    device: str
    instructions: str
    torch: str

    @property
    def name(self) -> str:
        """A short name that ledger lines can quote."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class Spec(Frozen):
    """A request with every fact found before the first image; locked in `spec.json`."""

    format: Literal[1] = FORMAT
    smoothcert: str
    request: Request
    looks: tuple[int, ...]
    seed: int
    seed_source: Literal["operating system", "user"]
    models: tuple[ModelFacts, ...]
    data: DataFacts
    recipe: Recipe

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.class_names)

    @property
    def cells(self) -> int:
        """Number of (sigma, k, r) cells, over which joint bounds are shared."""
        return len(self.request.sigma) * len(self.request.k) * len(self.request.radius)

    @property
    def expected(self) -> int:
        """Number of results a whole run has: one a (sigma, image)."""
        return len(self.request.sigma) * self.data.images

    @property
    def indices(self) -> tuple[int, ...]:
        """Index of each image in its source, in order."""
        return self.data.indices if self.data.indices is not None else tuple(range(self.data.images))

    def model_at(self, sigma: float) -> ModelFacts:
        """Return the classifier that is tested at a noise level.

        Raises:
            SpecError: no classifier of this run belongs to that noise level.
        """
        for model in self.models:
            if model.sigma == sigma:
                return model
        raise SpecError(f"Expected one of the run's noise levels {self.request.sigma}, got {sigma}.")

    def to_json(self) -> str:
        """Return the canonical text of `spec.json`.

        What came after the format was fixed is left out where unset, so that older runs keep their hash.
        """
        record = self.model_dump(mode="json")
        for part, names in LATER.items():
            record[part] = {name: value for name, value in record[part].items() if value or name not in names}
        for model in record["models"]:
            if not model["adapted"]:
                del model["adapted"]
        return json.dumps(record, indent=1, sort_keys=True) + "\n"

    def sha256(self) -> str:
        """Return the hash of the canonical text; the first event of a run quotes it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def read_spec(text: str) -> Spec:
    """Read `spec.json`.

    Raises:
        SpecError: the text is not JSON, or not a spec of a known format.
    """
    try:
        return Spec.model_validate_json(text)
    except ValidationError as error:
        raise SpecError(f"Expected a spec.json of format {FORMAT}: {explain(error)}") from None
