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
    """Check classifier and images before a run.

    Takes the flags of `certify`. Classifies a few hundred images with and without noise, tries other input conventions,
    precisions and batch sizes, and estimates the time of the run. Each warning names its remedy; the exit status is 1
    if there is any. `certify` runs a short form of these checks itself.

    Args:
        train_data: Training images, to count those also in --data. Named as for --data.
        out: Folder to create for a contact sheet. Images of each class, as stored and with noise.
        config: YAML file with settings; flags override it.
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
    """Forecast a run: attainable radii, images, accuracy, cost.

    With --model and --data, a pilot samples some images on this device and the whole run is forecast from it; without,
    and with --classes, the plan shows what follows from the settings alone. `smoothcert certify --plan` records the
    forecast before the first image and prints it beside the results.

    Args:
        out: Folder to create for the plan. It gets plan.json, plan.md and one CSV per table; with a pilot also
            run.yaml, plan.svg and plan.png. A plan is never overwritten.
        sponsor: YAML file with a section `production`. Its studies per day, votes, devices and prices are used for the
            cost (docs/cost.md).
        config: YAML file with settings; flags override it.
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
    """Train or fine-tune a classifier under Gaussian noise.

    Trains a small ResNet from scratch, or fine-tunes the classifier of --from. Train one classifier per noise level,
    and certify them together with --model "r20_{sigma}.safetensors". The same command continues an interrupted
    training; one row per epoch is written beside the weights as CSV.

    Args:
        data: Folder, .npz, .csv, medmnist:NAME or synthetic:N. Labelled training images, named as for `certify`.
        out: Weights file to write (.safetensors). An existing file is never overwritten.
        start: Classifier to fine-tune. FILE.safetensors, FILE.pt with --arch, package.module:factory or timm:NAME.
        weights: Weights of --from module:factory or timm:NAME.
    """
    from smoothcert.cli.prepare_work import TrainRequest, train_and_report

    return train_and_report(TrainRequest(data, out, start, weights, reading or Reading()), settings)
