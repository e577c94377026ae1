"""Tables of plain facts: the item tested, the run's parameters, hashes, criteria."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from smoothcert.report.memo.letters import class_label, cut, substitute
from smoothcert.report.memo.material import NOT_MET, Material, short
from smoothcert.report.memo.sponsored import said
from smoothcert.report.table import Table
from smoothcert.spec import ModelFacts
from smoothcert.stats.rounding import format_down, full

CRITERIA = 5
"""Acceptance criteria that fit section 8."""
_MODELS, _COUNTED, _CLASSES, _RANKS, _LEVELS = 3, 12, 330, 3, 4


def brief(sha: str) -> str:
    """Return the first digits of a hash; section 17 prints it in full."""
    return f"{bare(sha)[:16]}…"


def bare(sha: str) -> str:
    """Return a hash without its prefix."""
    return sha.removeprefix("sha256:")


def items(found: Material) -> Table:
    """Section 4: a row for each classifier; noise levels that share weights share a row."""
    groups: dict[tuple[str, str], list[ModelFacts]] = {}
    for model in found.run.spec.models:
        groups.setdefault((model.sha256, model.reference), []).append(model)
    rows = [_item(models) for models in list(groups.values())[:_MODELS]]
    if len(groups) > _MODELS:
        rows.append(("…", f"{len(groups) - _MODELS} more in spec.json", "", "", ""))
    headings = ("sigma", "classifier", "architecture", "weights SHA-256 (begins)", "trained with noise")
    records = tuple(model.model_dump(mode="json") for models in groups.values() for model in models)
    return Table(headings, tuple(rows), records)


def _item(models: list[ModelFacts]) -> tuple[str, ...]:
    first = models[0]
    sigmas = ", ".join(full(model.sigma) for model in models[:6]) + ("…" if len(models) > 6 else "")
    trained = "not recorded" if first.trained_sigma is None else f"sigma {full(first.trained_sigma)}"
    arch = cut(substitute(first.arch or "own code"), 24)
    return (sigmas, short(first.reference), arch, brief(first.sha256), trained)


def item_facts(found: Material) -> Table:
    """Section 4: images, classes, preprocessing, and the role of the images."""
    data = found.run.spec.data
    channels, height, width = data.shape
    images = (
        f"{data.images:,} images of {height} x {width} pixels, {channels} channels, values 0 to {data.levels:,} "
        f"scaled to [0, 1]; {short(data.reference)}, SHA-256 {brief(data.sha256)}"
    )
    rows = (
        ("Images", images),
        ("Classes", class_counts(found)),
        ("Preprocessing", _preprocessing(found)),
        ("Role of the images", said(found.sponsor, "data_role")),
    )
    return Table(("fact", "value"), rows, ({"data": data.model_dump(mode="json", exclude={"indices"})},))


def class_counts(found: Material) -> str:
    """Return the images of each class in words; of many classes only their range."""
    data = found.run.spec.data
    pairs = list(enumerate(zip(data.class_names, data.class_counts, strict=True)))
    if len(pairs) > _COUNTED:
        return (
            f"{len(pairs):,} classes of {min(data.class_counts):,} to {max(data.class_counts):,} images (report.html)"
        )
    told = ", ".join(f"{class_label(i, name)}: {count:,}" for i, (name, count) in pairs)
    return told if len(told) <= _CLASSES else ", ".join(f"class {i}: {count:,}" for i, (_, count) in pairs)


def _preprocessing(found: Material) -> str:
    spec = found.run.spec
    steps = [*spec.data.preprocessing]
    normalised = [[list(model.mean), list(model.std)] for model in spec.models]
    text = json.dumps([steps, spec.data.levels, list(spec.data.shape), normalised])
    listed = cut(substitute("; ".join(steps)), 120) or "none before scaling"
    return f"{listed}; after the noise {_normalisation(found)}; SHA-256 of both {brief(_sha256(text))}"


def _normalisation(found: Material) -> str:
    declared = {(model.mean, model.std) for model in found.run.spec.models}
    if len(declared) > 1:
        return "differing normalisations (spec.json)"
    mean, std = (" ".join(full(value) for value in values) for values in declared.pop())
    return f"mean {mean}, std {std}" if mean else "no declared normalisation"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def parameters(found: Material) -> Table:
    """Section 9: the run's parameters."""
    spec, request = found.run.spec, found.run.spec.request
    looks = f"{len(spec.looks)} looks, {spec.looks[0]:,} to {spec.looks[-1]:,}" if len(spec.looks) > 1 else "one look"
    grid = f"integer steps of 1/{spec.data.levels}, a rounded Gaussian"
    rows = [
        ("alpha", f"{full(request.alpha)} for each image and k, over the noise"),
        ("bound; stopping", f"{request.bound}; {request.stopping} ({looks})"),
        ("copies an image", f"n0 = {request.n0:,} for selection, n up to {request.n_max:,}"),
        ("class certified", "; ".join(f"k = {k}: {request.target_of(k)}" for k in request.k[:_LEVELS])),
        ("noise", grid if request.noise == "grid" else "floating point: arithmetic not covered"),
        ("seed", "operating system's entropy" if spec.seed_source == "operating system" else "chosen by the user"),
        ("joint level", f"5 % / {spec.cells} cells of the run"),
        *(_limits(found, k) for k in request.k[:_RANKS]),
    ]
    return Table(("parameter", "value"), tuple(rows), ({"looks": list(spec.looks), "seed": str(spec.seed)},))


def _limits(found: Material, k: int) -> tuple[str, str]:
    reach = {cell.sigma: cell.r_max for cell in found.cells if cell.k == k}
    told = [f"{format_down(limit, 4)} (sigma {full(sigma)})" for sigma, limit in list(reach.items())[:_LEVELS]]
    return f"R_max, k = {k}", ", ".join(told) + (", …" if len(reach) > _LEVELS else "")


def criteria(found: Material) -> Table:
    """Section 8: acceptance criteria that were locked before the first image, judged."""
    n_max = f"{found.run.spec.request.n_max:,}"
    judged = [(each.promised, n_max, *found.judged(each)) for each in found.verdicts] if found.locked_first else []
    first = sorted(range(len(judged)), key=lambda i: judged[i][-1] != NOT_MET)[:CRITERIA]
    records = tuple({"criterion": each.promised, "value": each.value, "met": each.met} for each in found.verdicts)
    return Table(("criterion", "n up to", "reached", "verdict"), tuple(judged[i] for i in sorted(first)), records)


def hashes(found: Material) -> Table:
    """Section 17: what identifies the evidence."""
    spec = found.run.spec
    weights: dict[str, list[str]] = {}
    for model in spec.models:
        weights.setdefault(model.sha256, []).append(full(model.sigma))
    shown = [(f"weights, sigma {cut(', '.join(sigmas), 24)}", sha) for sha, sigmas in weights.items()][:_MODELS]
    rows = [
        ("spec.json", spec.sha256()),
        ("ledger, canonical", found.run.ledger.sha256()),
        ("images", bare(spec.data.sha256)),
        ("labels", bare(spec.data.labels_sha256)),
        *((name, bare(sha)) for name, sha in shown),
        ("code that sampled", str(environment(found).get("code_sha256") or "not recorded")),
    ]
    return Table(("what", "SHA-256"), tuple((name, cut(substitute(sha), 72)) for name, sha in rows), ())


def environment(found: Material) -> dict[str, Any]:
    """Return what the run recorded about the machine that sampled, or nothing."""
    return found.run.directory.read_environment()
