"""`spec.json`, version 1: the locked spec. Canonical JSON: sorted keys, indented by one space, ASCII, final newline.

The first event of a run contains its SHA-256, so the text of a stored spec never changes. Keys marked + were added
after the format was fixed: they are left out if unset (null, false or empty), and a missing one is unset. All others
are always present.

* `format`: 1.
* `minor`+: int, minor version of the format that wrote it; 0 where left out.
* `smoothcert`: str, version that locked it.
* `looks`: list of int, sample numbers of the looks, increasing.
* `grid`+: list of list of number, for betting: the L2 radii that are decided at each noise level, increasing, in the
  order of `request.sigma`.
* `seed`: int of 64 bits, and `seed_source`: "operating system" or "user".
* `request`: the settings.
    `model`, `data`: str, classifier and images as given. `weights`, `arch`: str or null.
    `limit`: int or null. `quantise`: 8, 12, 16 or null. `resize`+, `crop`+: int, pixels. `window`+: [centre, width].
    `trust_model`: bool, a record of what was allowed when the run was made; it allows nothing.
    `input_range`+: [lowest, highest]. `mean`+, `std`+: list of number, one per channel. `layout`+: "NCHW" or "NHWC".
    `channels`+: "RGB" or "BGR". `output`+: "logit" or "probability". `subgroup`+: list of str. `denoiser`+,
    `denoiser_weights`+: str. `denoiser_range`+: [lowest, highest].
    `sigma`: list of number, in units of the [0, 1] range. `radius`: list of number, L2, same units. `k`: list of int.
    `target`: "auto", "prediction" or "label". `alpha`: number. `bound`: "rankcp", "simuem", "cohen" or
    "betting". `stopping`: "looks" or "fixed". `stop`+: "worth", "futility" or "never". `price`+: number, samples that
    one certificate is worth. `n0`, `n_max`: int. `seed`: int or null. `noise`: "grid" or "float".
    `precision`: "fp32", "bf16" or "fp16". `batch_size`: int or null. `device`: "auto", "cpu" or "cuda".
    `compile`: "off" or "on".
    `primary`+: object with `sigma`, `radius`, `k`. `criteria`+: list of objects with these and `at_least`: fraction,
    and `of`: "observed", "population" or "joint".
* `models`: list of objects, the classifier of each noise level, in the order of `request.sigma`.
    `sigma`: number. `written`: str, the noise level as typed. `reference`: str. `weights`: str or null.
    `sha256`: str, hash of the weights. `arch`: str or null. `input_shape`: [C, H, W] or null. `mean`, `std`: list of
    number. `trained_sigma`: number or null. `own`: bool, whether the network is built in. `eta`: number, total
    variation of one noisy image from Gaussian noise. `adapted`+: list of str, steps before the classifier.
    `source_sha256`+: str, hash of the source file of code that built it; of a model passed as a
    Python object, of its structure, attributes and source. `state_sha256`+: str, hash of its state dict.
    `denoiser`+: object, the denoiser before it; `mean` and `std` then apply to its output. `reference`: str. `weights`,
    `arch`, `source_sha256`, `state_sha256`: str or null. `sha256`: str. `trained_low`, `trained_sigma`: number or null,
    noise levels of its training. `adapted`: list of str. `source_sha256` of a folder of diffusers is the hash of
    its two configuration files.
    `probe`+: list of list of number, the first 64 logits, in float32, of four fixed images without noise, then of the
    same with noise, of this classifier behind its denoiser. Left out if network and denoiser are both built in, and
    if the classifier fails on these images.
* `data`: the images.
    `reference`, `sha256`, `labels_sha256`: str. `images`: int. `shape`: [C, H, W]. `levels`: int, grid steps in [0, 1].
    `class_names`: list of str. `class_counts`: list of int. `preprocessing`: list of str. `grouped`: bool.
    `indices`: list of int, or null for 0 to images - 1. `subgroups`+: list of str. `source_sha256`+: str, hash of the
    source file of code that made them.
* `recipe`: the numeric recipe.
    `precision`: as above. `folded`, `autocast`, `compiled`: bool. `memory_format`: "contiguous" or "channels_last".
    `batch_size`: int. `device`, `instructions`, `torch`: str.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from smoothcert.errors import SpecError
from smoothcert.formats.strict import parse

FORMAT: Literal[1] = 1
MINOR = 3
"""Raised by one with each addition of keys. 0: version 0.1.0. 1: hashes of states. 2: denoisers. 3: probes, betting."""
LARGEST = 1 << 26
"""Bytes of a spec.json: the indices of some million images."""
LATER = {
    "request": (
        *("primary", "criteria", "input_range", "mean", "std", "layout", "channels", "output"),
        *("resize", "crop", "window", "subgroup", "denoiser", "denoiser_weights", "denoiser_range", "stop", "price"),
    ),
    "data": ("subgroups", "source_sha256"),
    "models": ("adapted", "source_sha256", "state_sha256", "denoiser", "probe"),
}
"""Keys that were added after the format was fixed: they are left out if unset."""


def spec_text(record: dict[str, Any]) -> str:
    """Return the canonical text of a spec; keys of `LATER` are left out if unset."""
    kept = {name: value for name, value in record.items() if value or name not in ("minor", "grid")}
    for part, names in LATER.items():
        parts = kept[part]
        shown = [_set(each, names) for each in (parts if isinstance(parts, list) else [parts])]
        kept[part] = shown if isinstance(parts, list) else shown[0]
    return json.dumps(kept, indent=1, sort_keys=True) + "\n"


def _set(record: dict[str, Any], later: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value or name not in later}


def parse_spec(text: str | bytes) -> tuple[dict[str, Any], bool]:
    """Read the text of a spec as plain values.

    Returns:
        The record, and whether a newer minor version wrote it, so that it may have unknown keys.

    Raises:
        SpecError: the text is not JSON, or not of this format.
    """
    record = parse(text, f"Expected a spec.json of format {FORMAT}", SpecError)
    if not isinstance(record, dict):
        raise SpecError(
            f"Expected a spec.json of format {FORMAT}: expected an object, got {record!r:.40}.", code="E-SPEC-011"
        )
    if record.get("format", FORMAT) != FORMAT:
        raise SpecError(
            f"Expected a spec.json of format {FORMAT}, got format {record['format']!r:.20}. Read it with the version "
            f"of smoothcert that wrote it ({str(record.get('smoothcert'))!r:.40}).",
            code="E-SPEC-012",
        )
    minor = record.get("minor", 0)
    return record, type(minor) is int and minor > MINOR
