"""A bundle directory: its files are written atomically, and checked byte for byte on every read."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from smoothcert.errors import EvidenceError
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.evidence.directory import file_sha256, refuse_occupied
from smoothcert.formats.strict import read_bytes

BITS = {255: 8, 4095: 12, 65535: 16}
NAMED_AT_MOST = 100

_PAGE = """# A smoothed classifier

Written by smoothcert {version}. The classifier in this folder is the *smoothed* one: the class that the {network} in
`weights.safetensors` returns most often when Gaussian noise of standard deviation {sigma:g} (in units of the [0, 1]
range of pixels) is added to the image. {pipeline}Images: {size}, {bits} bits a value, {done}.

    smoothcert predict BUNDLE IMAGE...              the class, or an abstention
    smoothcert predict BUNDLE IMAGE... --certify    the class and its certified radius
    smoothcert verify RUN --bundle BUNDLE           is this what the run certified?
    sha256sum -c SHA256SUMS                         are the files as they were written?
{code}
## What it guarantees

* A prediction draws up to {n} noise samples of the image, with fresh secret noise at each call. The probability of
  returning a class other than the smoothed classifier's is at most {alpha}; if the votes do not decide, it abstains.
  Treat an abstention as a result; do not repeat the prediction until it goes away.
* A certified radius means that no perturbation of the image with an L2 norm below it changes the class of the smoothed
  classifier. Class, abstention and radius come from one procedure, which is wrong with probability at most alpha.

## What it does not guarantee

* That a class is correct: a robust class can be wrong.
* Anything about the network {alone} with its recipe ({recipe}).
* Anything about larger perturbations, or about changes other than to pixels.

## Origin

{evidence}

The hashes detect changed files. They are not a signature: anyone who can change all files can change the hashes too.

## Classes

{names}
"""
_RUN = """Certified by a run over {images} images of {data} with up to {n_max} noise samples per image at alpha {alpha}:
spec sha256 {spec}, ledger sha256 {ledger}."""
_NO_RUN = "No certification run is recorded, so the robustness of this classifier over a data set is unknown."
_OTHER_CODE = """
The {part} is not built into smoothcert, so its code is needed: add `{flag}`. A bundle never
names code to run.
"""
_ALONE = """without noise, or with other weights, preprocessing, sigma or numeric recipe than those in
  `bundle.json`: the certificates hold for the classifier"""
_PIPELINE_ALONE = """without its denoiser or without noise, or with other weights, preprocessing, sigma or
  numeric recipe than those in `bundle.json`: the certificates hold for the pipeline"""
_NETWORKS = "pipeline of\nthe denoiser in `denoiser.safetensors` and the network"
_PIPELINE = "What is\ncertified is this pipeline, not the network alone. "


def readme(bundle: Bundle) -> str:
    """Return the README of a bundle in Markdown; texts from the data set are quoted as plain ASCII."""
    recipe, certified, denoised = bundle.recipe, bundle.certified, bundle.model.denoiser is not None
    return _PAGE.format(
        version=bundle.smoothcert,
        network=_NETWORKS if denoised else "network",
        pipeline=_PIPELINE if denoised else "",
        alone=_PIPELINE_ALONE if denoised else _ALONE,
        sigma=bundle.sigma,
        size=_size(bundle.shape),
        bits=BITS[bundle.levels],
        done=_done(bundle.preprocessing),
        code="".join(_OTHER_CODE.format(part=part, flag=flag) for part, flag in bundle.model.code.items()),
        n=f"{bundle.n:,}",
        alpha=f"{bundle.alpha:g}",
        recipe=f"{recipe.precision}, batches of {recipe.batch_size}, {recipe.device}, torch {recipe.torch}",
        evidence=_NO_RUN
        if certified is None
        else _RUN.format(
            images=f"{certified.images:,}",
            data=_code(certified.data),
            n_max=f"{certified.n_max:,}",
            alpha=f"{certified.alpha:g}",
            spec=certified.spec_sha256,
            ledger=certified.ledger_sha256,
        ),
        names=_names(bundle.class_names),
    )


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    colour = {1: "grey", 3: "colour (RGB)"}.get(channels, f"{channels} channels")
    return f"{width} x {height} pixels, {colour}"


def _done(preprocessing: tuple[str, ...]) -> str:
    if not preprocessing:
        return "as they are stored"
    return f"prepared before as the certified ones were ({', '.join(_code(step) for step in preprocessing)})"


def _quoted(text: str) -> str:
    """Return a text as printable ASCII on one line."""
    return json.dumps(text).replace("\x7f", "\\u007f")


def _code(text: str) -> str:
    """Return a text as a code span; backticks in it are replaced."""
    return f"`{_quoted(text).replace('`', chr(39))}`"


def _names(names: tuple[str, ...]) -> str:
    rows = [f"    {number}  {_quoted(name)}" for number, name in enumerate(names[:NAMED_AT_MOST])]
    more = [f"    and {len(names) - NAMED_AT_MOST:,} more in bundle.json"] if len(names) > NAMED_AT_MOST else []
    return "\n".join([*rows, *more])


RECORD, WEIGHTS, README, SUMS = "bundle.json", "weights.safetensors", "README.md", "SHA256SUMS"
DENOISER = "denoiser.safetensors"
SUMMED = (README, RECORD, WEIGHTS)
"""The files of every bundle besides the sums; with a denoiser, also `DENOISER`."""
LARGEST = 1 << 26
"""Largest number of bytes of a record: the names of a million classes."""
_LARGEST = {WEIGHTS: 1 << 37, DENOISER: 1 << 37}
_SUM = re.compile(r"([0-9a-f]{64})  (.+)")


def write_bundle(path: Path, bundle: Bundle, weights: bytes, denoiser: bytes | None = None) -> None:
    """Write a bundle directory atomically.

    Args:
        path: a new or empty folder.
        bundle: its record.
        weights: the bytes of a safetensors file.
        denoiser: likewise of the denoiser, or None.

    Raises:
        EvidenceError: the path is occupied or cannot be written.
    """
    refuse_occupied(path)
    files = {RECORD: bundle.to_json().encode(), WEIGHTS: weights, README: readme(bundle).encode()}
    files |= {} if denoiser is None else {DENOISER: denoiser}
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            fresh = Path(folder) / "bundle"
            fresh.mkdir()
            for name, data in {**files, SUMS: sums.encode()}.items():
                (fresh / name).write_bytes(data)
            with suppress(OSError):  # not there, or not empty
                path.rmdir()  # Windows moves nothing over an empty folder
            fresh.rename(path)
    except OSError as error:
        raise EvidenceError(f"Cannot write the bundle {path}: {error.strerror}.", code="E-RUN-015") from None


def read_bundle(path: Path) -> Bundle:
    """Read the record of a bundle after checking every file of it.

    Raises:
        EvidenceError: the path is not a bundle, a file was changed, added or is missing, or the record is invalid.
    """
    fault = next(bundle_faults(path), None)
    if fault:
        raise EvidenceError(
            f"{path} is not the bundle that was written: {fault}. "
            "Copy the bundle again from its origin, or make it again with `smoothcert bundle`.",
            code="E-RUN-016",
        )
    return read_record(path)


def read_record(path: Path) -> Bundle:
    """Read the record of a bundle whose files were checked already (`bundle_faults`).

    Raises:
        EvidenceError: the record is invalid.
    """
    return Bundle.from_json(read_bytes(path / RECORD, LARGEST))


def bundle_faults(path: Path) -> Iterator[str]:
    """Yield each file of a bundle that was changed, was added or is missing.

    Raises:
        EvidenceError: the path is not a bundle.
    """
    expect_bundle(path)
    try:
        yield from _faults(path)
    except OSError as error:
        raise EvidenceError(f"Cannot read {error.filename or path}: {error.strerror}.", code="E-RUN-017") from None


def expect_bundle(path: Path) -> None:
    """Raise if a path is not a bundle directory.

    Raises:
        EvidenceError: it is not.
    """
    if not path.is_dir() or not ((path / RECORD).exists() or (path / SUMS).exists()):
        raise EvidenceError(f"Expected a bundle directory with a {RECORD}, found none in {path}.", code="E-RUN-018")


def _faults(path: Path) -> Iterator[str]:
    there = sorted(entry.name for entry in path.iterdir())
    for name in (SUMS, *SUMMED):
        if name not in there:
            yield f"{name} is missing"
    for name in there:
        if name not in (SUMS, *SUMMED, DENOISER):
            yield f"{json.dumps(name)} was added"
        elif not (path / name).is_file():
            yield f"{name} is not a file"
        elif (path / name).stat().st_size > (largest := _LARGEST.get(name, LARGEST)):
            yield f"{name} is larger than {largest:,} bytes"
            return
    sums = _sums(path / SUMS) if (path / SUMS).is_file() else {}
    if sums is None:
        yield f"{SUMS} was changed: expected one line per file, the hash and the name"
        return
    if sums and (DENOISER in sums) != (DENOISER in there):
        yield f"{DENOISER} {'was added' if DENOISER in there else 'is missing'}"
    hashes = {name: file_sha256(path / name) for name in sums if (path / name).is_file()}
    for name, found in hashes.items():
        if found != sums[name]:
            yield f"{name} was changed: its hash is not the one in {SUMS}"
    if hashes == sums and sums:
        yield from _strange_weights(path, hashes)


def _sums(path: Path) -> dict[str, str] | None:
    """Return the hash of each file by `SHA256SUMS`; None if its lines are not as written."""
    lines = read_bytes(path, LARGEST).decode("utf-8", "replace").split("\n")
    found = [_SUM.fullmatch(line) for line in lines[:-1]]
    sums = {match[2]: match[1] for match in found if match}
    whole = lines[-1] == "" and len(found) == len(sums)
    return sums if whole and tuple(sorted({*sums} - {DENOISER})) == SUMMED else None


def _strange_weights(path: Path, hashes: dict[str, str]) -> Iterator[str]:
    try:
        bundle = read_record(path)
    except (EvidenceError, UnicodeDecodeError) as error:
        yield f"{RECORD} was changed ({error})"
        return
    named = {WEIGHTS: bundle.file_sha256}
    named |= {} if bundle.denoiser_file is None else {DENOISER: bundle.denoiser_file.sha256}
    for name, sha256 in named.items():
        if name not in hashes:
            yield f"{name} is missing"
        elif sha256 != f"sha256:{hashes[name]}":
            yield f"{name} was changed: it is not the file that {RECORD} names"
    if DENOISER in hashes and DENOISER not in named:
        yield f"{DENOISER} was added: {RECORD} names no denoiser"
