"""Measurements beside the votes, once per run: clean accuracy, perturbations, sampling rates, energy.

Energy is read from NVML for CUDA devices and from RAPL for processors; otherwise it is unknown, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smoothcert.data import PERTURBATIONS, perturbation_norms
from smoothcert.engine.workload import IntArray, Workload
from smoothcert.errors import ModelError
from smoothcert.evidence.line_store import image_key, repeated
from smoothcert.models.heads import forward_error
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.recipe import DTYPES, input_precision, prepare
from smoothcert.sampling.sampler import Sampler, keep_freed_memory

POWERCAP = Path("/sys/class/powercap")
NVML, RAPL = "NVML", "RAPL"
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Counter:
    """An energy counter of a device.

    Attributes:
        read: returns the count; raises OSError or RuntimeError if it cannot be read.
        unit: joules per count.
        wraps: count at which it starts again from 0, or None if it never does.
    """

    read: Callable[[], int]
    unit: float
    wraps: int | None = None


class Meter:
    """Measures the energy of a device between `start` and `stop`, that of other processes included."""

    def __init__(self, source: str, counters: tuple[Counter, ...] = ()) -> None:
        """Store the counters.

        Args:
            source: "NVML" or "RAPL", or why the energy is unknown.
            counters: the counters to add; none if the energy is unknown.
        """
        self.source = source
        self._counters, self._last, self._joules = counters, [0 for _ in counters], 0.0

    def start(self) -> None:
        """Start at 0."""
        self._joules = 0.0
        self._last = [count for _, count in self._counts()]

    def poll(self) -> None:
        """Add the energy since the last call; call it every few minutes, before a counter wraps twice."""
        for i, (counter, count) in enumerate(self._counts()):
            used = count - self._last[i]
            if used < 0 and counter.wraps is not None:
                used += counter.wraps
            if used < 0:
                self._give_up(f"unknown: the {self.source} counter went back")
                return
            self._joules += used * counter.unit
            self._last[i] = count

    def stop(self) -> float | None:
        """Return the joules since `start`, or None if they are unknown; `source` then says why."""
        self.poll()
        if self._counters and self._joules <= 0:
            self._give_up(f"unknown: the {self.source} counter did not move")
        return self._joules if self._counters else None

    def _counts(self) -> list[tuple[Counter, int]]:
        try:
            return [(counter, counter.read()) for counter in self._counters]
        except (OSError, RuntimeError, ValueError) as error:
            self._give_up(f"unknown: {self.source} could not be read ({_reason(error)})")
            return []

    def _give_up(self, reason: str) -> None:
        self.source, self._counters, self._joules = reason, (), 0.0


def meter_of(device: str, powercap: Path = POWERCAP, nvml: Any = None) -> Meter:
    """Return the meter of a device, ready to start.

    Args:
        device: device of a numeric recipe, such as "cpu" or "cuda (NVIDIA H100)".
        powercap: folder of the processor's counters.
        nvml: the module `pynvml`; imported by default, if it is installed.
    """
    return _nvml_meter(nvml) if device.startswith("cuda") else _rapl_meter(powercap)


def _rapl_meter(powercap: Path) -> Meter:
    """Return a meter of the processor packages; their parts (`intel-rapl:0:0`) are included in them."""
    packages = [folder for folder in sorted(powercap.glob("intel-rapl:*")) if folder.name.count(":") == 1]
    try:
        counters = tuple(_package(folder) for folder in packages if _name(folder).startswith("package"))
    except PermissionError:
        return Meter("unknown: RAPL may not be read by this user")
    except (OSError, ValueError) as error:
        return Meter(f"unknown: RAPL could not be read ({_reason(error)})")
    return Meter(RAPL, counters) if counters else Meter("unknown: this machine reports no RAPL energy")


def _name(folder: Path) -> str:
    return (folder / "name").read_text(encoding="utf-8").strip()


def _package(folder: Path) -> Counter:
    def read() -> int:
        return int((folder / "energy_uj").read_text(encoding="utf-8"))

    read()
    wraps = int((folder / "max_energy_range_uj").read_text(encoding="utf-8")) + 1
    return Counter(read, _MICRO, wraps)


def _nvml_meter(nvml: Any) -> Meter:
    try:
        nvml = nvml or import_module("pynvml")
    except ImportError:
        return Meter("unknown: pynvml is not installed")
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(_uuid())
        counter = Counter(lambda: _asked(nvml, handle), _MILLI)
        counter.read()
    except Exception as error:  # NVML has an error class of its own for every driver's refusal
        return Meter(f"unknown: NVML does not report it ({_reason(error)})")
    return Meter(NVML, (counter,))


def _asked(nvml: Any, handle: Any) -> int:
    """Return the energy of the device since its driver was loaded, in mJ."""
    try:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except nvml.NVMLError as error:
        raise RuntimeError(_reason(error)) from None


def _uuid() -> bytes:
    """Return the NVML name of the device that torch uses, whatever CUDA_VISIBLE_DEVICES is."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}".encode()


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


IMAGES_CHANGED = 200
BATCH = 256
RATE_BATCHES, RATE_SECONDS = 24, 1.0
"""Batches and time for measuring a rate, whichever is reached first."""


def measure_clean(work: Workload, sigma: float) -> dict[str, Any]:
    """Classify every image of a run without noise, with the classifier of one noise level.

    Returns:
        `images` and, for each k of the run, `correct`: the number of images of each class whose label is among the k
        highest logits (the lower class first on equal logits). With a denoiser `alone`, too: the same for the
        classifier without it.

    Raises:
        ModelError: the classifier fails on an image.
    """
    found = {"sigma": sigma, "images": len(work.images), "correct": _correct(work, sigma)}
    return found if work.classifiers[sigma].denoiser is None else {**found, "alone": _correct(work.behind, sigma)}


def _correct(work: Workload, sigma: float) -> dict[str, list[int]]:
    """Return the counts of `measure_clean`."""
    forward = clean_forward(work, sigma)
    labels, classes, ks = work.images.labels, work.images.num_classes, work.request.k
    correct = {k: np.zeros(classes, dtype=np.int64) for k in ks}
    for start in range(0, len(labels), min(BATCH, work.recipe.batch_size)):
        batch = np.arange(start, min(start + min(BATCH, work.recipe.batch_size), len(labels)))
        ranked = np.argsort(-clean_logits(work, sigma, batch, forward), axis=1, kind="stable")
        for k in ks:
            hit = (ranked[:, :k] == labels[batch, None]).any(axis=1)
            correct[k] += np.bincount(labels[batch][hit], minlength=classes)
    return {str(k): each.tolist() for k, each in correct.items()}


def measure_repeats(work: Workload) -> dict[str, Any]:
    """Count identical images; images drawn independently hardly ever are.

    Returns:
        `images` of the run, and how many `repeats` another one; if images have groups, one of another group. If the
        run is limited to the first images of its source, also the number of images of the `source`.
    """
    images = work.images
    keys = np.array([image_key(images.image_sha256(i)) for i in range(len(images))], dtype=np.uint64)
    names = [str(i) for i in range(len(images))] if images.groups is None else [str(name) for name in images.groups]
    found = {"images": len(images), "repeats": repeated(keys, np.unique(names, return_inverse=True)[1])}
    return found if images.source_images is None else {**found, "source": images.source_images}


def measure_changes(work: Workload) -> dict[str, Any]:
    """Measure the L2 norm of simple perturbations of the first images of a run.

    Returns:
        `images` measured, the run's `radius`, and for each perturbation its `median` L2 norm, and the number of images
        `within` each radius.
    """
    images = work.images
    count = min(IMAGES_CHANGED, len(images))
    norms = [perturbation_norms(images.pixels(i), images.levels) for i in range(count)]
    changes = {name: _spread([each[name] for each in norms], work.request.radius) for name in PERTURBATIONS}
    return {"images": count, "radius": list(work.request.radius), "changes": changes}


def _spread(norms: list[float], radii: Iterable[float]) -> dict[str, Any]:
    values = np.asarray(norms)
    return {"median": float(np.median(values)), "within": [int((values < r).sum()) for r in radii]}


def measure_rates(work: Workload, sigma: float, seed: int) -> dict[str, Any]:
    """Measure samples per second in every precision that this device can run, never compiled.

    The samples are of the test stage and are never votes.

    Returns:
        `device`, `batch_size`, `rates` by precision, and `left_out`: precisions that do not run here, with the reason.
    """
    keep_freed_memory()
    rates, left_out = {}, {}
    for precision in DTYPES:
        try:
            rates[precision] = round(_rate(work, sigma, seed, precision), 1)
        except (ModelError, RuntimeError) as error:
            left_out[precision] = str(error).splitlines()[0]
    facts = {"device": work.recipe.device, "batch_size": work.recipe.batch_size}
    return {"sigma": sigma, **facts, "rates": rates, "left_out": left_out}


def _rate(work: Workload, sigma: float, seed: int, precision: str) -> float:
    sampler = work.sampler(sigma, seed, work.recipe_as(sigma, precision=precision))
    return samples_per_second(sampler, int(work.images.indices[0]), RATE_SECONDS, RATE_BATCHES)


def samples_per_second(sampler: Sampler, index: int, seconds: float, most: int) -> float:
    """Return samples per second, over whole batches of the test stage, which are never votes.

    Args:
        sampler: draws the samples.
        index: the image.
        seconds: measuring time; at least one batch is drawn.
        most: maximum number of batches.
    """
    sampler.load(0, index)
    _draw(sampler, index, 0)  # the first batch also sets up caches and kernels
    began, batches = time.monotonic(), 0
    while batches < 1 or (batches < most and time.monotonic() - began < seconds):
        batches += 1
        _draw(sampler, index, batches)
    return batches * sampler.batch_size / (time.monotonic() - began)


def _draw(sampler: Sampler, index: int, batch: int) -> None:
    """Draw one batch and wait for its votes."""
    samples = np.arange(batch * sampler.batch_size, (batch + 1) * sampler.batch_size)
    sampler.draw(Rows.of(slot=0, image=index, sample=samples, stage=Stage.TEST))
    sampler.take(np.array([0]))


def clean_forward(work: Workload, sigma: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the prepared, never compiled classifier of one noise level."""
    return prepare(work.classifiers[sigma], work.recipe.model_copy(update={"compiled": False}))


def clean_logits(
    work: Workload, sigma: float, places: Sequence[int] | IntArray, forward: Callable[[torch.Tensor], torch.Tensor]
) -> NDArray[np.float32]:
    """Return float32 logits (n, classes) of n images without noise, in the recipe's precision.

    Raises:
        ModelError: the output is not (n, classes), or the classifier fails on these images.
    """
    classifier = work.classifiers[sigma]
    pixels = np.stack([work.images.pixels(i) for i in places]).astype(np.float64) / work.images.levels
    mean, std = (np.reshape(column, (1, -1, 1, 1)) for column in (classifier.mean or (0.0,), classifier.std or (1.0,)))
    batch = torch.from_numpy((pixels - mean) / std).to(DTYPES[input_precision(work.recipe)])
    device = "cuda" if work.recipe.device.startswith("cuda") else "cpu"
    with torch.inference_mode():
        try:
            logits = forward(batch.to(device))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise forward_error(classifier.reference, tuple(batch.shape), error) from None
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(places) or logits.shape[1] < 2:
        came = f"shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise ModelError(
            f"{classifier.reference}: expected logits of shape (n, classes) with n = {len(places)} and 2 classes or "
            f"more, got {came}. Wrap the classifier so that it returns one row of class scores per image.",
            code="E-MODEL-013",
        )
    array: NDArray[np.float32] = logits.float().cpu().numpy()
    return array
