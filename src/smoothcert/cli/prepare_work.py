"""The work of `check` and `train`: load, work with progress, print what is next."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import Progress

from smoothcert.cli.progress import live
from smoothcert.cli.terminal import Screen, print_commands, print_text, show, terminated_is_interrupted
from smoothcert.config import Reading, Request
from smoothcert.data import DataOptions, ImageSet, load_images
from smoothcert.data.inspection import Inspection, inspect_images
from smoothcert.engine.check import Agreement, Check, check, noisy_images
from smoothcert.engine.workload import Workload, load_workload
from smoothcert.errors import ModelError, printable
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.import_factory import Consent
from smoothcert.models import ModelOptions
from smoothcert.progress import duration
from smoothcert.report import Table
from smoothcert.training.checkpoint import save, write_log
from smoothcert.training.settings import EpochReport, TrainingSettings
from smoothcert.training.start import Start, pretrained_start
from smoothcert.training.trainer import train

NOTABLY = 1.1
"""How many times as fast something must be to be mentioned."""
COLUMNS = 6
"""Classes on a contact sheet."""


def check_and_report(request: Request, train_data: tuple[str | None, bool], out: Path | None, consent: Consent) -> int:
    """Check, print and draw; return the exit status: 1 with a warning.

    Args:
        request: classifiers and images.
        train_data: images that the classifier was trained on, and whether they were typed, not read from a file.
        out: folder for the contact sheet.
        consent: which code may be run.
    """
    if out is not None:
        refuse_occupied(out)
    work = _loaded(request, consent)
    _print_inputs(work)
    inspected = _inspected(work, *train_data)
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    seen = check(work, lambda stage: console.print(f"checking {stage}", style="dim", markup=False))
    print(f"\nAccuracy on {seen.looks[0].clean.images} images, without noise (clean) and with noise\n")
    show(_accuracy_table(seen))
    print("\nSamples per second, by batch size\n")
    show(_batch_table(seen, work))
    print()
    for line in _speed(seen, work):
        print_text(line)
    warnings = [*inspected.warnings, *_warnings_of(seen)]
    for warning in warnings:
        print_text(f"WARNING  {printable(warning)}")
    if out is not None:
        _draw(work, out)
    _print_end(len(warnings))
    return 1 if warnings else 0


def _loaded(request: Request, consent: Consent) -> Workload:
    console = Screen(stderr=True, highlight=False)
    with live(console) as show_live:
        return load_workload(request, show_live.reading, consent=consent)


def _inspected(work: Workload, train_data: str | None, named: bool) -> Inspection:
    """Look for images that occur twice, and print what was found."""
    options = DataOptions.of(work.request, named=named or work.consent.trust)
    other = None if train_data is None else load_images(train_data, options)
    found = inspect_images(work.images, other)
    remarks = [] if found.duplicates.count else ["no duplicate images"]
    if found.groups is not None:
        remarks.append(f"{found.groups:,} groups")
    if other is not None and found.overlap is None:
        remarks.append(f"{other.reference} has images of another size or grid and was not compared")
    elif found.overlap is not None and not found.overlap.count:
        remarks.append(f"none is among the {len(other or ()):,} of {train_data}")
    if remarks:
        print_text("; ".join(remarks), indent=2)
    return found


def _print_inputs(work: Workload) -> None:
    """Print which classifiers are checked on which images, so that a wrong file is noticed."""
    images = work.images
    channels, height, width = images.shape
    print_text(
        f"Images: {printable(images.reference)}, {len(images):,} images of {height} x {width} pixels, "
        f"{'grey' if channels == 1 else 'colour'}, grid of 1/{images.levels}; "
        + (", ".join(images.preprocessing) or "no preprocessing")
    )
    counts = {name: int((images.labels == c).sum()) for c, name in enumerate(images.class_names)}
    print_text(f"Classes: {'; '.join(f'{printable(name)} ({count:,})' for name, count in counts.items())}", indent=2)
    same: dict[str, list[float]] = {}
    for sigma, each in work.classifiers.items():
        same.setdefault(each.sha256, []).append(sigma)
    for levels in same.values():
        each = work.classifiers[levels[0]]
        name, kind = printable(each.reference), each.arch or "custom"
        input_ = f"mean {_values(each.mean)}, std {_values(each.std)}" if each.mean else "none: input from 0 to 1"
        print_text(f"Classifier at sigma {_values(levels)}: {name}, {kind}, {each.sha256[:19]}...")
        print_text("; ".join([f"normalisation: {input_}", *each.adapted]), indent=2)


def _values(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _accuracy_table(seen: Check) -> Table:
    rows = tuple(
        (
            f"{look.sigma:g}",
            f"{100 * look.clean.accuracy:.1f}",
            f"{100 * look.clean.balanced:.1f}",
            "-" if look.clean.auc is None else f"{look.clean.auc:.3f}",
            f"{100 * look.noisy_accuracy:.1f}",
            f"{look.rate:,.0f}",
            duration(look.seconds_at_most),
            "yes" if seen.bit_equal[look.sigma] else "NO",
        )
        for look in seen.looks
    )
    accuracies = ("clean %", "clean balanced %", "clean AUC", "with noise %")
    return Table(("sigma", *accuracies, "samples/s", "time at most", "bit-equal"), rows, ())


def _batch_table(seen: Check, work: Workload) -> Table:
    rows = tuple(
        (f"{size:,}{' (this run)' if size == work.recipe.batch_size else ''}", f"{rate:,.0f}")
        for size, rate in seen.batches
    )
    return Table(("batch size", "samples/s"), rows, ())


def _speed(seen: Check, work: Workload) -> list[str]:
    """Return in words what would be faster, and how the precisions differ."""
    lines, rates = [], dict(seen.batches)
    if rates[seen.best_batch] > NOTABLY * rates[work.recipe.batch_size]:
        times = rates[seen.best_batch] / rates[work.recipe.batch_size]
        lines.append(f"Faster here: --batch-size {seen.best_batch}, {times:.1f} times as many samples per second.")
    if isinstance(seen.agreement, str):
        return [*lines, f"One precision only: {seen.agreement}"]
    return [*lines, _precisions(seen.agreement)]


def _precisions(found: Agreement) -> str:
    (mine, other), times = found.precisions, found.rates[1] / found.rates[0]
    return (
        f"{other} instead of {mine}: another class for {found.differing:,} of {found.samples:,} noise samples, at "
        f"{times:.1f} times the speed here. Either can be certified; the precision is part of what is certified."
    )


def _warnings_of(seen: Check) -> list[str]:
    found = [f"sigma {look.sigma:g}: {warning}" for look in seen.looks for warning in look.warnings]
    uneven = [f"{sigma:g}" for sigma, equal in seen.bit_equal.items() if not equal]
    if uneven:
        found.append(
            f"sigma {', '.join(uneven)}: the scores of a noise sample depend in their last digits on its place in the "
            "batch. The classifier can be certified, but the documents will say that computer arithmetic is not "
            "covered. Try another --batch-size, --precision or --device."
        )
    return found


def _draw(work: Workload, out: Path) -> None:
    """Draw one image of each class, as stored and with noise."""
    from smoothcert.report.figures.images import noisy_examples_figure
    from smoothcert.report.figures.style import save

    images = work.images
    places = np.unique(images.labels, return_index=True)[1][:COLUMNS]
    labels = images.labels[places]
    captions = [
        (f"image {images.indices[place]}", images.class_names[label], f"class {label}")
        for place, label in zip(places, labels, strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    drawn = noisy_examples_figure("What the classifier sees", "", captions, noisy_images(work, places))
    save(drawn, out, "contact_sheet")
    print_text(f"Contact sheet: {out / 'contact_sheet.png'}. Could you classify these images yourself?")


def _print_end(warnings: int) -> None:
    if warnings:
        print_text(
            f"{warnings} warning{'' if warnings == 1 else 's'}. Fix {'it' if warnings == 1 else 'them'}, or run "
            "`certify` anyway."
        )
        return
    print_text("No warnings. A check certifies nothing.")
    print_text("Next: smoothcert certify with the same flags and --out RUN")


@dataclass(frozen=True)
class TrainRequest:
    """What `train` is given besides its settings.

    Args:
        data: the images.
        out: the weights file to write.
        start: the classifier to fine-tune; None: train from scratch.
        weights: the weights file of that classifier, if its name is code.
        reading: how the images are read.
    """

    data: str
    out: Path
    start: str | None
    weights: str | None
    reading: Reading

    @property
    def checkpoint(self) -> Path:
        """The file from which an interrupted training continues."""
        return self.out.with_suffix(".checkpoint.safetensors")

    @property
    def log(self) -> Path:
        """The CSV file with one row per epoch."""
        return self.out.with_suffix(".csv")


def train_and_report(request: TrainRequest, settings: TrainingSettings) -> int:
    """Train, save, and print one line per epoch; return the exit status."""
    _check(request)
    images = load_images(request.data, DataOptions.of(request.reading))
    start = _start(request, images, settings)
    console = Screen(stderr=True, highlight=False)
    reports: list[EpochReport] = []
    try:
        with terminated_is_interrupted(), Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"sigma {settings.sigma:g}", total=settings.epochs)

            def report_epoch(epoch: EpochReport) -> None:
                reports.append(epoch)
                write_log(request.log, reports)
                bar.advance(task)
                console.print(_describe(reports), markup=False, soft_wrap=not console.is_terminal)

            request.out.parent.mkdir(parents=True, exist_ok=True)
            module = train(images, settings, report_epoch, start, request.checkpoint)
    except KeyboardInterrupt:
        text = f"Interrupted after {len(reports)} of {settings.epochs} epochs; the same command continues."
        console.print(text, markup=False, soft_wrap=not console.is_terminal)
        raise
    save(module, settings, images, request.out, start)
    request.checkpoint.unlink(missing_ok=True)
    _print_next(request, settings)
    return 0


def _check(request: TrainRequest) -> None:
    if request.out.suffix != ".safetensors":
        raise ModelError(f"--out: expected a file name ending in .safetensors, got {request.out}.", code="E-MODEL-002")
    if request.out.exists():
        raise ModelError(
            f"--out: {request.out} exists, and weights are never overwritten. Choose another name.", code="E-MODEL-003"
        )
    if request.weights and not request.start:
        raise ModelError(
            "--weights belongs to --from package.module:factory; name the factory, or leave it out.", code="E-MODEL-004"
        )


def _start(request: TrainRequest, images: ImageSet, settings: TrainingSettings) -> Start | None:
    if request.start is None:
        return None
    options = ModelOptions(
        arch=settings.arch,
        weights=request.weights,
        num_classes=images.num_classes,
        in_channels=images.shape[0],
    )
    return pretrained_start(images, request.start, options)


def _print_next(request: TrainRequest, settings: TrainingSettings) -> None:
    print_text(f"Weights: {request.out}; log of the epochs: {request.log}")
    code = request.start is not None and ":" in request.start
    model = f"{request.start} --weights {request.out}" if code else f"{request.out}"
    command = f"smoothcert certify --model {model} --data DATA --sigma {settings.sigma:g} --out RUN"
    print_commands(Screen(), {command: ""})


def _describe(reports: list[EpochReport]) -> str:
    """Describe the last epoch and the time left, at the median time per epoch: the machine may have been suspended."""
    epoch = reports[-1]
    held = "" if epoch.noisy is None else f", held-out images {epoch.noisy:.1%} with noise, {epoch.clean:.1%} clean"
    left = duration(median(report.seconds for report in reports) * (epoch.epochs - epoch.epoch))
    return (
        f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.3f}, training accuracy {epoch.accuracy:.1%} with "
        f"noise{held}; {epoch.seconds:.0f} s, about {left} left"
    )
