"""Training checkpoints, written atomically after every epoch, and the trained weights with their card and log."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from torch import nn

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError, SpecError
from smoothcert.evidence.directory import write_derived
from smoothcert.formats.card import Card
from smoothcert.models.checkpoints import read_tensors, save_weights, write_tensors
from smoothcert.models.state import State
from smoothcert.training.settings import DenoiserReport, EpochReport, TrainingSettings
from smoothcert.training.start import MEAN, STD, Start

FACTS = "training"
_Report = TypeVar("_Report", EpochReport, DenoiserReport)


@dataclass(frozen=True)
class Identity:
    """What identifies a training: `settings` with all defaults filled in, the hash of the images, and the start."""

    settings: dict[str, Any]
    images_sha256: str
    start: dict[str, str] | None

    def flat(self) -> dict[str, Any]:
        """Return all fields by the names that users know, as JSON values."""
        facts = {**self.settings, "images": self.images_sha256, "start": self.start}
        return json.loads(json.dumps(facts))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Checkpoint:
    """State of a training after an epoch.

    Args:
        tensors: state of model and optimiser, by name.
        log: one row per epoch.
        path: the file it was read from.
    """

    tensors: State
    log: list[dict[str, Any]]
    path: Path = Path()


def save_checkpoint(path: Path, identity: Identity, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically, replacing the previous one.

    Raises:
        ModelError: it cannot be written.
    """
    facts = {"identity": identity.flat(), "log": checkpoint.log}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, checkpoint.tensors, {FACTS: json.dumps(facts)})


def load_checkpoint(path: Path, identity: Identity) -> Checkpoint | None:
    """Return the checkpoint of this training, or None if there is none.

    Raises:
        SpecError: it belongs to a training with other settings, images or start.
        ModelError: it is damaged.
    """
    if not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    try:
        facts = json.loads(metadata[FACTS])
        before, log = dict(facts["identity"]), [dict(row) for row in facts["log"]]
    except (KeyError, TypeError, ValueError):
        raise not_a_checkpoint(path) from None
    now = identity.flat()
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        text = ", ".join(f"{name} was {_short(before.get(name))}, now {_short(now.get(name))}" for name in changed)
        raise SpecError(
            f"{path} is the checkpoint of an unfinished training with other settings ({text}); continue it with the "
            "command that started it, choose another --out, or remove the checkpoint.",
            code="E-SPEC-102",
        )
    return Checkpoint(tensors, log, path)


def reports_of(checkpoint: Checkpoint, kind: type[_Report], epochs: int) -> list[_Report]:
    """Return the reports of the completed epochs.

    Args:
        checkpoint: of a training.
        kind: the class of its reports.
        epochs: epochs of the training.

    Raises:
        ModelError: they are not the reports of its first epochs.
    """
    reader: TypeAdapter[_Report] = TypeAdapter(kind)
    try:
        reports = [reader.validate_python(row) for row in checkpoint.log]
    except ValidationError:
        raise not_a_checkpoint(checkpoint.path) from None
    known = all(row.keys() == asdict(report).keys() for row, report in zip(checkpoint.log, reports, strict=True))
    if not known or [report.epoch for report in reports] != list(range(1, min(len(reports), epochs) + 1)):
        raise not_a_checkpoint(checkpoint.path)
    return reports


def not_a_checkpoint(path: Path) -> ModelError:
    """Return the error for a file that is not the checkpoint of a training."""
    return ModelError(f"{path} is not a training checkpoint; remove it, or choose another --out.", code="E-MODEL-104")


def part(tensors: State, prefix: str) -> State:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _short(value: Any) -> str:
    text = "none" if value is None else str(value.get("model", "new") if isinstance(value, dict) else value)
    return text[:19]


def save(
    module: nn.Module,
    settings: TrainingSettings,
    images: ImageSet,
    path: str | os.PathLike[str],
    start: Start | None = None,
) -> None:
    """Write a trained module as safetensors, atomically.

    Args:
        module: returned by `train`.
        settings: of the training.
        images: of the training; their class names, shape and hash are written to the file.
        path: a new file ending in ``.safetensors``.
        start: the trained classifier from which training started, whose normalisation is kept; None: new weights.

    Raises:
        ModelError: the file exists, or it cannot be written.
    """
    channels = images.shape[0]
    settings = settings.with_defaults(fine_tuning=start is not None and start.trained)
    card = Card(
        arch=start.arch if start else settings.arch,
        num_classes=images.num_classes,
        in_channels=channels,
        input_shape=images.shape,
        mean=start.mean if start else (MEAN,) * channels,
        std=start.std if start else (STD,) * channels,
        sigma=float(settings.sigma) if settings.sigma_low is None and not (start and start.denoiser) else None,
        class_names=images.class_names,
        recipe={
            "settings": settings.as_dict(),
            "images": len(images),
            "images_sha256": images.sha256(),
            "start": start.origin if start else None,
        },
    )
    save_weights(module, card, path)


def write_log(path: Path, reports: Sequence[EpochReport | DenoiserReport]) -> None:
    """Write one CSV row per epoch with the fields of its report (empty: not measured), replacing the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(reports[0]))
    writer.writerows(astuple(report) for report in reports)
    write_derived(path, text.getvalue())
