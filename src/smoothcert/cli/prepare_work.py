"""The work of `check`: load, look with progress, print what was found and what is next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from smoothcert.cli.consent import declared_flags, flags
from smoothcert.cli.terminal import Screen, live, print_text, show
from smoothcert.config import Request, identity
from smoothcert.data import DataOptions, load_images
from smoothcert.data.inspection import Inspection, inspect_images
from smoothcert.engine.check import Agreement, Check, check, noisy_images
from smoothcert.engine.warnings import of_self_test
from smoothcert.engine.workload import Workload, load_workload
from smoothcert.errors import printable
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.import_factory import Consent
from smoothcert.models import Classifier, Denoiser, at_sigma
from smoothcert.progress import duration
from smoothcert.report import Table
from smoothcert.training.estimate import TrainingTime

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
    if seen.training is not None:
        _print_remedies(work, seen.training, train_data[0])
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
    same: dict[tuple[str, str], list[float]] = {}
    for sigma, each in work.classifiers.items():
        same.setdefault((each.sha256, each.denoiser.sha256 if each.denoiser else ""), []).append(sigma)
    for levels in same.values():
        pipeline = work.classifiers[levels[0]]
        each, denoiser = pipeline.behind or pipeline, pipeline.denoiser
        if denoiser is not None:
            _print_network(f"Denoiser at sigma {_values(levels)}", denoiser)
            print_text("; ".join([_trained_levels(denoiser), *denoiser.adapted]), indent=2)
        input_ = f"mean {_values(each.mean)}, std {_values(each.std)}" if each.mean else "none: input from 0 to 1"
        _print_network(f"Classifier at sigma {_values(levels)}{', behind it' if denoiser else ''}", each)
        print_text("; ".join([f"normalisation: {input_}", *each.adapted]), indent=2)


def _print_network(what: str, each: Classifier | Denoiser) -> None:
    shown = identity(each.sha256, each.source_sha256)
    print_text(f"{what}: {printable(each.reference)}, {each.arch or 'custom'}, {shown}")


def _trained_levels(denoiser: Denoiser) -> str:
    levels = sorted({each for each in (denoiser.sigma_low, denoiser.sigma) if each is not None})
    return f"trained with sigma {' to '.join(f'{each:g}' for each in levels)}" if levels else "training unknown"


def _values(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _accuracy_table(seen: Check) -> Table:
    denoised = any(look.denoising is not None for look in seen.looks)
    rows = tuple(
        (
            f"{look.sigma:g}",
            *([f"{100 * look.denoising.alone:.1f}"] if look.denoising is not None else []),
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
    behind = " behind it" if denoised else ""
    accuracies = [f"{name}{behind}" for name in ("clean %", "clean balanced %", "clean AUC", "with noise %")]
    alone = ["clean % without denoiser"] if denoised else []
    return Table(("sigma", *alone, *accuracies, "samples/s", "time at most", "bit-equal"), rows, ())


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
        found.append(of_self_test(", ".join(uneven)))
    return found


def _print_remedies(work: Workload, found: TrainingTime, train_data: str | None) -> None:
    """Print the two ways to certify a classifier that collapses under noise: train it, or put a denoiser before it."""
    request, data = work.request, shlex.quote(train_data or "TRAINING_IMAGES")
    model = request.model if "{" not in request.model else at_sigma(request.model, request.sigma[-1].text)
    named = {"weights": request.weights, "arch": request.arch}
    levels = sorted(request.sigma)
    low = f" --sigma-low {levels[0].text}" if len(levels) > 1 else ""
    shown = declared_flags(request)
    objective = "" if found.objective == "both" else f" --objective {found.objective}"
    ways = {}
    if found.classifier is not None:
        command = f"smoothcert train --from {shlex.quote(model)}{flags(named)} --data {data} --sigma {levels[-1].text}"
        ways[f"{command} --out noise.safetensors"] = _training_time("its weights may change", found.classifier, 20)
    named = {"weights": request.weights, "for-arch": request.arch}
    command = f"smoothcert train-denoiser --for {shlex.quote(model)}{flags(named)}{shown}{objective} --data {data}"
    command += f" --sigma {levels[-1].text}{low} --out denoiser.safetensors"
    ways[command] = _training_time("its weights may not change", found.denoiser, 40)
    print_text("Little can be certified like this, because the classifier was not made for noise. What helps:")
    for command, text in ways.items():
        print_text(f"# {text}", indent=2)
        Screen().print(f"  {printable(command)}", markup=False, highlight=False, soft_wrap=True)  # never broken


def _training_time(when: str, seconds: float, epochs: int) -> str:
    return f"{when}; here about {duration(1000 * seconds * epochs)} per 1,000 training images, {epochs} epochs"


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
    taker = "denoiser" if any(each.denoiser for each in work.classifiers.values()) else "classifier"
    drawn = noisy_examples_figure(f"What the {taker} sees", "", captions, noisy_images(work, places), taker)
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
