"""`smoothcert train` and `train-denoiser`: train, save, and print one line per epoch."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from smoothcert.cli.consent import declared_flags, flags
from smoothcert.config import Declared, Reading
from smoothcert.errors import ModelError
from smoothcert.import_factory import FACTORY
from smoothcert.progress import duration
from smoothcert.training.settings import DenoiserReport, DenoiserSettings, EpochReport, TrainingSettings

if TYPE_CHECKING:
    from rich.console import Console

    from smoothcert.data import ImageSet
    from smoothcert.training.start import Start

_Report = TypeVar("_Report", EpochReport, DenoiserReport)
ReadingFlags = Annotated[Reading | None, Parameter(name="*", negative="")]


@dataclass(frozen=True)
class Output:
    """The files of a training.

    Attributes:
        weights: file to write; it does not exist yet.
    """

    weights: Path

    def __post_init__(self) -> None:
        if self.weights.suffix != ".safetensors":
            raise ModelError(
                f"--out: expected a file name ending in .safetensors, got {self.weights}.", code="E-MODEL-002"
            )
        if self.weights.exists():
            raise ModelError(
                f"--out: {self.weights} exists, and weights are never overwritten. Choose another name.",
                code="E-MODEL-003",
            )
        if self.log.exists() and not self.checkpoint.exists():
            raise ModelError(
                f"--out: the log of the epochs would overwrite {self.log}. Choose another name, or move that file.",
                code="E-MODEL-139",
            )

    @property
    def checkpoint(self) -> Path:
        """The file from which an interrupted training continues."""
        return self.weights.with_suffix(".checkpoint.safetensors")

    @property
    def log(self) -> Path:
        """The CSV file with one row per epoch."""
        return self.weights.with_suffix(".csv")


def train(
    *,
    data: str,
    out: Path,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    weights: str | None = None,
    denoiser: str | None = None,
    settings: Annotated[TrainingSettings, Parameter(name="*", negative="")],
    reading: ReadingFlags = None,
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
        denoiser: Denoiser before the classifier. FILE.safetensors from `train-denoiser`; it is not trained. The
            classifier learns from denoised images and is certified behind the same denoiser.
    """
    output = Output(out)
    if weights and not start:
        raise ModelError(
            "--weights belongs to --from package.module:factory; name the factory, or leave it out.", code="E-MODEL-004"
        )
    from smoothcert.data import DataOptions, load_images
    from smoothcert.models.denoisers.load import load_built_in_denoiser
    from smoothcert.training.checkpoint import save
    from smoothcert.training.start import start_and_settings
    from smoothcert.training.trainer import train as train_classifier

    images = load_images(data, DataOptions.of(reading or Reading()))
    before = None if start is None else _start(images, start, weights, settings)
    if denoiser is not None:
        first = load_built_in_denoiser(denoiser, "--denoiser", images.shape[0])
        before = start_and_settings(images, settings, before)[0].behind(first)
    with _reporting(output, f"sigma {settings.sigma:g}", settings.epochs, _describe) as report:
        module = train_classifier(images, settings, report, before, output.checkpoint)
    save(module, settings, images, out, before)
    output.checkpoint.unlink(missing_ok=True)
    code = start is not None and _takes_weights(start)
    model = shlex.quote(start or "") + flags({"weights": str(out)}) if code else shlex.quote(str(out))
    model += flags({"denoiser": denoiser})
    command = f"smoothcert certify --model {model} --data DATA --sigma {settings.sigma:g} --out RUN"
    if settings.sigma == 0:  # no noise level to certify at: a denoiser is what it lacks
        command = (
            f"smoothcert train-denoiser --for {model}{flags({'data': data})} --sigma 0.25 --out denoiser.safetensors"
        )
    _print_next(output, command if settings.sigma or denoiser is None else "")
    return 0


def _start(images: ImageSet, start: str, weights: str | None, settings: TrainingSettings) -> Start:
    from smoothcert.models import ModelOptions
    from smoothcert.training.start import pretrained_start

    options = ModelOptions(
        arch=settings.arch, weights=weights, num_classes=images.num_classes, in_channels=images.shape[0]
    )
    return pretrained_start(images, start, options)


DeclaredFlags = Annotated[Declared | None, Parameter(name="*", negative="", consume_multiple=True)]


def train_denoiser(
    *,
    data: str,
    out: Path,
    for_: Annotated[tuple[str, ...], Parameter(name="--for", negative="")] = (),
    start: Annotated[str | None, Parameter(name="--from")] = None,
    weights: str | None = None,
    for_arch: str | None = None,
    settings: Annotated[DenoiserSettings, Parameter(name="*", negative="")],
    declared: DeclaredFlags = None,
    reading: ReadingFlags = None,
) -> int:
    """Train a denoiser for a classifier that may not be changed.

    The classifier was trained without noise and stays as it is; the denoiser is put before it, and the pipeline of both
    is certified: `smoothcert certify --model MODEL --denoiser FILE`. With --sigma-low one denoiser serves several noise
    levels. Images without labels suffice: a folder of image files. The same command continues an interrupted training;
    one row per epoch is written beside the weights as CSV.

    Args:
        data: Folder, .npz, .csv, medmnist:NAME or synthetic:N. Training images, named as for `certify`, or a folder of
            image files without labels. Never those that are certified later.
        out: Denoiser file to write (.safetensors). An existing file is never overwritten.
        for_: Classifier behind the denoiser. Named as --model of `certify`; repeated for a denoiser that serves several
            classifiers. Accuracy is measured with the first. A classifier without gradients, such as an ONNX file, is
            only measured: name a torch network for the same task as well, or use --objective mse.
        start: Denoiser to train further. FILE.safetensors from `train-denoiser`, such as one for several levels.
        weights: Weights of --for module:factory or timm:NAME. Other classifiers of --for do not take them.
        for_arch: Architecture of --for FILE.pt. One of resnet8, resnet20, wide20, resnet18.
    """
    output = Output(out)
    if weights and not any(map(_takes_weights, for_)):
        raise ModelError(
            "--weights belongs to --for package.module:factory or timm:NAME; name one, or leave it out.",
            code="E-MODEL-194",
        )
    from smoothcert.data import DataOptions, load_images, load_unlabelled
    from smoothcert.models import ModelOptions, load_classifier
    from smoothcert.models.denoisers.load import load_built_in_denoiser
    from smoothcert.training.denoiser_trainer import save_denoiser
    from smoothcert.training.denoiser_trainer import train_denoiser as work

    options = DataOptions.of(reading or Reading())
    unlabelled = load_unlabelled(data, options)
    images = load_images(data, options) if unlabelled is None else unlabelled
    known = ModelOptions(in_channels=images.shape[0]).with_declared(declared or Declared())
    code, file = replace(known, weights=weights), replace(known, arch=for_arch)
    classifiers = [load_classifier(name, code if _takes_weights(name) else file) for name in for_]
    before = None if start is None else load_built_in_denoiser(start, "--from", images.shape[0])
    settings = settings.with_defaults(None if before is None else before.arch)
    low = "" if settings.sigma_low is None else f"{settings.sigma_low:g} to "
    describe = partial(_describe_denoiser, settings)
    with _reporting(output, f"sigma {low}{settings.sigma:g}", settings.epochs, describe) as report:
        module = work(images, settings, classifiers, report, output.checkpoint, unlabelled is None, before)
    save_denoiser(module, settings, images, out, classifiers, before)
    output.checkpoint.unlink(missing_ok=True)
    first = (for_ or ("MODEL",))[0]
    named = {"weights": weights} if _takes_weights(first) else {"arch": for_arch}
    model = shlex.quote(first) + flags(named) + ("" if declared is None else declared_flags(declared))
    model += flags({"denoiser": str(out)})
    levels = ",".join(f"{each:g}" for each in (settings.sigma_low, settings.sigma) if each is not None)
    command = f"smoothcert certify --model {model} --data DATA --sigma {levels} --out RUN"
    _print_next(output, command)
    return 0


def _takes_weights(model: str) -> bool:
    """Return whether a reference takes a weights file beside it."""
    return model.startswith("timm:") or FACTORY.fullmatch(model) is not None


@contextmanager
def _reporting(
    output: Output, what: str, epochs: int, describe: Callable[[list[_Report]], str]
) -> Iterator[Callable[[_Report], None]]:
    """Yield a function that logs and prints the report of an epoch; SIGTERM is treated like Ctrl-C in the block."""
    from rich.progress import Progress

    from smoothcert.cli.terminal import Screen, terminated_is_interrupted
    from smoothcert.training.checkpoint import write_log

    console = Screen(stderr=True, highlight=False)
    reports: list[_Report] = []
    output.weights.parent.mkdir(parents=True, exist_ok=True)
    try:
        with terminated_is_interrupted(), Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(what, total=epochs)

            def report(epoch: _Report) -> None:
                reports.append(epoch)
                write_log(output.log, reports)
                bar.advance(task)
                _print(console, describe(reports))

            yield report
    except KeyboardInterrupt:
        _print(console, f"Interrupted after {len(reports)} of {epochs} epochs; the same command continues.")
        raise


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def _print_next(output: Output, command: str) -> None:
    from smoothcert.cli.terminal import Screen, print_commands, print_text

    print_text(f"Weights: {output.weights}; log of the epochs: {output.log}")
    if command:
        print_commands(Screen(), {command: ""})


def _describe(reports: list[EpochReport]) -> str:
    epoch = reports[-1]
    held = "" if epoch.noisy is None else f", held-out images {epoch.noisy:.1%} with noise, {epoch.clean:.1%} clean"
    return (
        f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.3f}, training accuracy {epoch.accuracy:.1%} with "
        f"noise{held}; {_time(reports)}"
    )


def _describe_denoiser(settings: DenoiserSettings, reports: list[DenoiserReport]) -> str:
    """Return one line on an epoch; for images without labels, `alone` is None, and agreement takes its place."""
    epoch = reports[-1]
    objective = settings.objective_at(epoch.epoch)
    phase = "" if objective == settings.objective else f" ({objective} first)"
    what, share = "accuracy", "certified accuracy"
    if epoch.alone is None:
        what, share = "agreement with the classifier on clean images", "certified agreement"
    parts = [f"loss {epoch.loss:.3f}, mean squared error {epoch.mse:.4f}"]
    if epoch.psnr is not None:
        parts.append(f"held-out images: PSNR {epoch.psnr_noisy:.1f} dB noisy, {epoch.psnr:.1f} dB denoised")
    if epoch.noisy is not None:
        behind = f"{epoch.clean:.1%} clean, {epoch.noisy:.1%} with noise"
        alone = "" if epoch.alone is None else f" {epoch.alone:.1%} without denoiser,"
        parts.append(f"{what}{alone} behind {'the denoiser' if epoch.alone is None else 'it'} {behind}")
    if epoch.certified_025 is not None:
        shares = ", ".join(f"{share:.0%}" for share in (epoch.certified_025, epoch.certified_05, epoch.certified_1))
        parts.append(f"estimate of {share} at r 0.25, 0.5, 1: {shares}")
    return f"epoch {epoch.epoch}/{epoch.epochs}{phase}: {'; '.join(parts)}; {_time(reports)}"


def _time(reports: list[_Report]) -> str:
    """Return the time of the epoch and the time left at the median per epoch: the machine may have been suspended."""
    epoch = reports[-1]
    left = duration(median(report.seconds for report in reports[-5:]) * (epoch.epochs - epoch.epoch))
    return f"{epoch.seconds:.0f} s, about {left} left"
