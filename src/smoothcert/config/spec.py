"""The locked spec: a request with every fact that is fixed before the first image. It never changes afterwards."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, model_validator

from smoothcert.config.request import Request
from smoothcert.config.values import MOST, Frozen, explain
from smoothcert.errors import SpecError
from smoothcert.formats.spec import FORMAT, parse_spec, spec_text
from smoothcert.import_factory import FACTORY

NOTHING = f"sha256:{hashlib.sha256().hexdigest()}"
"""The hash of a state dict without tensors, which identifies nothing."""
MOST_LOOKS = 128
MOST_RATIO = 10
"""Largest radius of a grid, in units of sigma: no number of votes attains it."""
MOST_RADII = 4096
"""Radii of a grid: its steps and all radii that are asked for."""
MOST_NAMED = 1000
"""Items of a list that are searched for unknown keys; no run has more classifiers."""


class DenoiserFacts(Frozen):
    """The denoiser before a base classifier, as found before the first image."""

    reference: str
    weights: str | None
    sha256: str
    arch: str | None
    """Name of the built-in denoiser; None: the user's own."""
    trained_low: float | None
    trained_sigma: float | None
    adapted: tuple[str, ...]
    """Steps around the network, as text."""
    source_sha256: str | None
    """Hash of the source file that built it, if the user's code did; of a diffusion model, of its configuration."""
    state_sha256: str | None
    """Hash of its state dict when it was loaded."""


class ModelFacts(Frozen):
    """One base classifier, as found before the first image.

    With a denoiser, `mean` and `std` are applied to its output; the other facts are about the classifier behind it.
    """

    sigma: float
    written: str
    """The noise level as typed, which replaces {sigma} in file names."""
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
    """Total-variation distance of one noisy image from Gaussian noise (0 for float noise, which is not covered)."""
    adapted: tuple[str, ...] = ()
    """Steps between the noisy image and the classifier besides normalisation, as text."""
    source_sha256: str | None = None
    """Hash of the source file that built it, if the user's code did."""
    state_sha256: str | None = None
    """Hash of its state dict when it was loaded: name, type, shape and bytes of every tensor."""
    denoiser: DenoiserFacts | None = None
    probe: tuple[tuple[float, ...], ...] = ()
    """First logits of a few fixed images, behind the denoiser, if one of the two is not built in."""

    @model_validator(mode="after")
    def _written(self) -> ModelFacts:
        if not _writes(self.written, self.sigma):
            raise ValueError(f"written: expected the noise level {self.sigma:g} as typed, got other text")
        return self


class DataFacts(Frozen):
    """The data set, as found before the first image was certified."""

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
    """Names of the columns for which results are also counted separately."""
    source_sha256: str | None = None
    """Hash of the source file that made them, if the user's code did."""

    @property
    def synthetic(self) -> bool:
        """Whether the images are synthetic images of this package."""
        return re.fullmatch(r"synthetic(:\d+)?(#.+)?", self.reference) is not None


class Recipe(Frozen):
    """The numeric recipe: how logits are computed. What is certified is the base classifier *with* its recipe."""

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
        """A short name, used in ledger lines."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class Spec(Frozen):
    """A request with every fact that is fixed before the first image; locked in `spec.json`."""

    format: Literal[1] = FORMAT
    minor: int = 0
    """Minor version of the format that wrote it."""
    smoothcert: str
    request: Request
    looks: tuple[int, ...]
    grid: tuple[tuple[float, ...], ...] = ()
    """For betting: the radii that are decided at each noise level."""
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
        """Number of entries (sigma, k, r) of the results table, over which joint bounds hold."""
        return len(self.request.sigma) * len(self.request.k) * len(self.request.radius)

    @property
    def denoised(self) -> bool:
        """Whether a denoiser comes before the classifiers; what is certified is then the pipeline of both."""
        return any(model.denoiser is not None for model in self.models)

    @property
    def expected(self) -> int:
        """Number of results of a complete run: one per (sigma, image)."""
        return len(self.request.sigma) * self.data.images

    @property
    def indices(self) -> tuple[int, ...]:
        """Index of each image in its source, in order."""
        return self.data.indices if self.data.indices is not None else tuple(range(self.data.images))

    def model_at(self, sigma: float) -> ModelFacts:
        """Return the base classifier of a noise level.

        Raises:
            SpecError: no classifier of this run belongs to that noise level.
        """
        for model in self.models:
            if model.sigma == sigma:
                return model
        raise SpecError(f"Expected one of the run's noise levels {self.request.sigma}, got {sigma}.", code="E-SPEC-002")

    @property
    def stops_early(self) -> bool:
        """Whether an image may stop before the last look, because its radii are decided or given up."""
        return len(self.looks) > 1 and self.request.stops_by != "never"

    @property
    def compact_lines(self) -> bool:
        """Whether ledger lines are of version 2: as many looks as betting takes would make the others long."""
        return self.request.bound == "betting"

    def grid_at(self, sigma: float) -> tuple[float, ...]:
        """Return the radii that betting decides at a noise level; none for other bounds."""
        return self.grid[self.request.sigma.index(sigma)] if self.grid else ()

    def to_json(self) -> str:
        """Return the canonical text of `spec.json`, including keys that only a newer version knows."""
        return spec_text(_plain(self, self.model_dump(mode="json")))

    def sha256(self) -> str:
        """Return the hash of the canonical text, which the first event of a run contains."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def unknown(self) -> tuple[str, ...]:
        """Keys that a newer minor version wrote and this version does not know."""
        return tuple(_unknown(self))


def identity(sha256: str, source_sha256: str | None = None) -> str:
    """Return the hashes that identify a network, shortened, for messages.

    Args:
        sha256: of its weights.
        source_sha256: of its code, which is stated if there are no weights; None: not known.

    >>> identity("sha256:0123456789abcdef"), identity(NOTHING, "sha256:0123456789abcdef"), identity(NOTHING)
    ('sha256:0123456789ab...', 'no weights, code sha256:0123456789ab...', 'no weights')
    """
    if sha256 != NOTHING:
        return f"{sha256[:19]}..."
    return "no weights" if source_sha256 is None else f"no weights, code {source_sha256[:19]}..."


def factory_of(reference: str) -> str | None:
    """Return the function that a reference to code names; None for other references. Its module may be moved.

    >>> factory_of("denoisers:drunet"), factory_of("net.safetensors")
    ('drunet', None)
    """
    match = FACTORY.fullmatch(reference)
    return None if match is None else match["factory"]


def _writes(text: str, sigma: float) -> bool:
    """Whether a text is exactly this noise level; it replaces {sigma} in paths, so it may contain nothing else."""
    try:
        return float(text) == sigma and text == text.strip()
    except ValueError:
        return False


def read_spec(text: str | bytes) -> Spec:
    """Read `spec.json`.

    Raises:
        SpecError: the text is not JSON, not a spec of a known format, or contradicts itself.
    """
    record, newer = parse_spec(text)
    try:
        spec = Spec.model_validate(record, extra="allow" if newer else "forbid")
    except ValidationError as error:
        raise SpecError(f"Expected a spec.json of format {FORMAT}: {explain(error)}", code="E-SPEC-003") from None
    fault = next(_contradictions(spec), None)
    if fault is not None:
        raise SpecError(f"Expected a spec.json of format {FORMAT}: {fault}.", code="E-SPEC-004")
    return spec


def _plain(value: Any, dumped: Any) -> Any:
    """Return the dump of a value, including keys that its class does not know."""
    if isinstance(value, BaseModel):
        known = {name: _plain(getattr(value, name), dumped[name]) for name in dumped}
        return {**known, **(value.model_extra or {})}
    if isinstance(value, tuple):
        return [_plain(each, plain) for each, plain in zip(value, dumped, strict=True)]
    return dumped


def _unknown(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{place}{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{place}{name}.")
    elif isinstance(value, tuple):
        for i, each in enumerate(value[:MOST_NAMED]):
            yield from _unknown(each, f"{place.removesuffix('.')}[{i}].")


def _contradictions(spec: Spec) -> Iterator[str]:
    """Describe where a spec contradicts itself, so that no run can have locked it; later code relies on these facts."""
    request, data = spec.request, spec.data
    if [model.sigma for model in spec.models] != [float(sigma) for sigma in request.sigma]:
        yield "models: expected one classifier for each noise level, in their order"
    if {model.denoiser is None for model in spec.models} - {request.denoiser is None}:
        yield "models.denoiser: expected one at every noise level where request.denoiser names one, else none"
    if not all(0 <= model.eta <= 1 for model in spec.models):
        yield "models.eta: expected numbers from 0 to 1"
    if any(len({len(row) for row in model.probe}) > 1 for model in spec.models):
        yield "models.probe: expected rows of one length"
    if not 0 <= spec.seed < 2**64:
        yield "seed: expected a whole number from 0 to 2^64 - 1"
    if not 1 <= data.images <= MOST:
        yield f"data.images: expected from 1 to {MOST:,} images, got {data.images}"
    if len(data.class_names) < 2 or len(data.class_counts) != len(data.class_names):
        yield "data.class_names: expected two or more, and a count for each"
    if min(data.class_counts, default=-1) < 0 or sum(data.class_counts) != data.images:
        yield f"data.class_counts: expected counts that add up to {data.images} images"
    if data.indices is not None and not _distinct(data.indices, data.images):
        yield f"data.indices: expected {data.images} different indices"
    if not all(1 <= side <= 65536 for side in data.shape) or math.prod(data.shape) > 2**31:
        yield "data.shape: expected (channels, height, width) of an image"
    if data.levels not in (255, 4095, 65535):
        yield "data.levels: expected 255, 4095 or 65535"
    if not 1 <= spec.recipe.batch_size <= MOST:
        yield f"recipe.batch_size: expected from 1 to {MOST:,}"
    if max(request.k) >= len(data.class_names):
        yield f"request.k: expected k below the number of classes ({len(data.class_names)})"
    looks = (0, *spec.looks)
    if not 2 <= len(looks) <= MOST_LOOKS or looks[-1] > MOST or not all(a < b for a, b in pairwise(looks)):
        yield f"looks: expected fewer than {MOST_LOOKS} sample numbers from 1 to {MOST:,}, increasing"
    if len(spec.grid) != (len(request.sigma) if request.bound == "betting" else 0):
        yield "grid: expected the radii of each noise level with bound = betting, else none"
    if any(len(radii) > MOST_RADII or not _increasing(radii) for radii in spec.grid):
        yield f"grid: expected at most {MOST_RADII} radii above 0 at each noise level, increasing"
    if any(radii and radii[-1] > MOST_RATIO * sigma for radii, sigma in zip(spec.grid, request.sigma, strict=False)):
        yield f"grid: expected radii of at most {MOST_RATIO} sigma"


def _increasing(radii: tuple[float, ...]) -> bool:
    return all(a < b < math.inf for a, b in pairwise((0.0, *radii)))


def _distinct(indices: tuple[int, ...], count: int) -> bool:
    return len(indices) == count == len(set(indices)) and min(indices) >= 0 and max(indices) < 2**63
