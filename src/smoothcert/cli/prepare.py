"""`smoothcert check`, `plan` and `train`: the verbs before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.cli.consent import NOTHING, Typed, consent_of
from smoothcert.config import Reading, Request
from smoothcert.config.plan import NO_CLASSES, PlanSettings
from smoothcert.errors import InputError
from smoothcert.training.settings import TrainingSettings

RequestFlags = Annotated[Request, Parameter(name="*", negative="", consume_multiple=True)]


def check(
    *,
    request: RequestFlags,
    train_data: str | None = None,
    out: Path | None = None,
    config: Path | None = None,
    typed: Typed = NOTHING,
) -> int:
    """Check classifier and images: will it work, does anything look wrong, how long will it take?

    Takes what `certify` takes. Looks at a few hundred images with and without noise, at the way they are fed, at both
    precisions and at batch sizes; writes nothing but the folder of --out. Exit status 1 if something looks wrong; each
    doubt names its remedy. `certify` does the short form of this by itself.

    Args:
        train_data: Images the classifier was trained on, named as for --data: images that occur in both are counted.
        out: Folder to create for a contact sheet: images of each class as stored and as noisy copies.
        config: YAML file with any of these settings; flags override it.
    """
    from smoothcert.cli.prepare_work import check_and_report

    consent = consent_of(request, typed)
    return check_and_report(request, (train_data, "--train-data" in typed), out, consent)


PlanFlags = Annotated[PlanSettings | None, Parameter(name="*", negative="", consume_multiple=True)]


def plan(
    *,
    settings: PlanFlags = None,
    out: Path | None = None,
    sponsor: Path | None = None,
    config: Path | None = None,
    typed: Typed = NOTHING,
) -> int:
    """Plan a run: radii within reach, votes and images needed, and from a pilot the run's accuracy, time and cost.

    With --model and --data it draws a few hundred votes of some images, on this device, and forecasts the run; without
    them, and with --classes, it says what follows from the settings alone. `smoothcert certify --plan` records the
    forecast before the first image and prints it beside what was realised.

    Args:
        out: Folder to create: plan.json, plan.md, a CSV a table; with a pilot also run.yaml, plan.svg and plan.png. A
            plan is never overwritten.
        sponsor: YAML file whose section `production` names studies a day, votes, devices and prices (docs/cost.md).
        config: YAML file with any of these settings; flags override it.
    """
    if settings is None:
        raise InputError(f"--{NO_CLASSES}.")
    from smoothcert.cli.prepare_work import plan_and_report

    return plan_and_report(settings, out, sponsor, consent_of(settings, typed))


def train(
    *,
    data: str,
    out: Path,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    weights: str | None = None,
    settings: Annotated[TrainingSettings, Parameter(name="*", negative="")],
    reading: Annotated[Reading | None, Parameter(name="*", negative="")] = None,
) -> int:
    """Train a classifier under Gaussian noise, flips and rotations, and save it as safetensors.

    A small ResNet from nothing, or (--from) a classifier trained already, which certifies badly as long as it never
    saw noise. One classifier a noise level; certify them together with --model "weights/r20_{sigma}.safetensors".
    Interrupted, it is continued by the same command; the log of its epochs stands beside the weights as CSV.

    Args:
        data: Labelled training images, named as for `certify`.
        out: Weights file to write (.safetensors); an existing file is never overwritten.
        start: Train this classifier on: FILE.safetensors, FILE.pt with --arch, package.module:factory or timm:NAME.
        weights: Weights file for --from package.module:factory or timm:NAME.
    """
    from smoothcert.cli.prepare_work import TrainRequest, train_and_report

    return train_and_report(TrainRequest(data, out, start, weights, reading or Reading()), settings)
