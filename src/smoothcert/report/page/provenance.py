"""What was tested, and where every number came from."""

from __future__ import annotations

from typing import Any

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.report.table import Table
from smoothcert.stats.rounding import full

Fact = tuple[str, str]


def images_facts(run: Run) -> list[Fact]:
    """Return what is known about the images."""
    data = run.spec.data
    channels, height, width = data.shape
    grouped = "yes; the population bound uses one image a group" if data.grouped else "no group was given"
    columns = ", ".join(map(printable, data.subgroups))
    return [
        ("Reference", data.reference),
        ("Images", f"{data.images:,}, {height} x {width} pixels, {channels} channels, values 0 to {data.levels}"),
        ("Classes", f"{run.spec.classes:,}"),
        ("Groups (such as patients)", grouped),
        *([("Subgroups", f"counted apart by {columns}")] if columns else []),
        ("Preprocessing", "; ".join(data.preprocessing) or "none recorded"),
        ("Data SHA-256", data.sha256.removeprefix("sha256:")),
        ("Labels SHA-256", data.labels_sha256.removeprefix("sha256:")),
    ]


def classifiers(run: Run) -> Table:
    """Return the tested classifiers, a row a sigma."""
    rows = tuple(
        (
            full(model.sigma),
            model.reference,
            model.arch or "not named",
            "not known" if model.trained_sigma is None else full(model.trained_sigma),
            model.sha256.removeprefix("sha256:"),
        )
        for model in run.spec.models
    )
    return Table(("sigma", "classifier", "architecture", "trained with sigma", "weights SHA-256"), rows, ())


def settings(run: Run) -> list[Fact]:
    """Return every setting of the request, as in spec.json."""
    record = run.spec.request.model_dump(mode="json")
    return [(name, _plain(value)) for name, value in record.items() if value not in (None, [])]


def origin(run: Run) -> list[Fact]:
    """Return where the numbers come from: hashes, seed, recipe."""
    spec = run.spec
    odd, shards = len(run.ledger.differing), run.directory.shards
    found = [
        ("Spec SHA-256", spec.sha256()),
        _ledger(run),
        ("Ledger", f"{len(run.ledger.lines):,} results, {run.missing:,} missing"),
        *([("Merged from", "; ".join(f"{each.name}: {each.lines:,} results" for each in shards))] if shards else []),
        ("Seed of the noise", f"{spec.seed} ({_SEEDS[spec.seed_source]})"),
        ("Votes are evaluated at", f"{', '.join(f'{n:,}' for n in spec.looks)} copies"),
        ("Numeric recipe", ", ".join(f"{name} {_plain(value)}" for name, value in spec.recipe.model_dump().items())),
        ("smoothcert", spec.smoothcert),
    ]
    return (
        [*found, ("Differing workers", f"{odd:,} results; the worker whose name sorts first counts")] if odd else found
    )


def _ledger(run: Run) -> Fact:
    """Return the hash of the ledger; that of a sealed one was compared with the seal for the status already."""
    seal = run.directory.seal()
    if seal is None:
        return "Ledger SHA-256", run.ledger.sha256()
    return "Ledger SHA-256, as sealed", str(seal.facts["ledger_sha256"])


_SEEDS = {"operating system": "drawn from the operating system's entropy", "user": "chosen by the user"}


def environment(run: Run) -> list[Fact]:
    """Return versions and machine, as recorded when the run was made; empty where the record is missing."""
    record = run.directory.read_environment()
    return [(name.replace("_", " "), _plain(value)) for name, value in sorted(record.items())]


def _plain(value: Any) -> str:
    """Print a setting without brackets and quotes."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(map(_plain, value)) if value and isinstance(value[0], dict) else ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
