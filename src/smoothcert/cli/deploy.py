"""`smoothcert bundle` and `predict`: from a finished run to the deployed object and its predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.config.predict import PredictSettings


def bundle(
    run: Path,
    /,
    *,
    out: Path,
    sigma: float | None = None,
    n: int = 1000,
    alpha: float = 0.001,
    model: str | None = None,
    weights: str | None = None,
    denoiser: str | None = None,
    denoiser_weights: str | None = None,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Save the smoothed classifier of a run as a bundle.

    The run must be finished, sealed and undamaged, and the files of the classifier unchanged: they are hashed. A bundle
    never holds a seed: every prediction draws fresh noise.

    Args:
        run: Run directory.
        out: Bundle directory to create. A bundle is never overwritten.
        sigma: Noise level, if the run has several. A bundle holds one.
        n: Maximum samples per prediction.
        alpha: Error probability of a prediction. The probability that an answer is not the smoothed classifier's is at
            most alpha.
        model: Classifier, if it was moved or is code. A run is data and never names code by itself. The content of the
            classifier must be unchanged.
        weights: Weights file, if it was moved.
        denoiser: Denoiser, if it was moved or is code. As for --model.
        denoiser_weights: Weights file of the denoiser, if it was moved.
        trust_model: Run the code that the run names. Only if you trust the author of classifier, denoiser and run.
    """
    from smoothcert.cli.terminal import Screen, print_commands, print_text
    from smoothcert.errors import printable
    from smoothcert.evidence import open_run
    from smoothcert.evidence.directory import refuse_occupied

    opened = open_run(run)
    refuse_occupied(out)
    from smoothcert.sampling.save_bundle import BundleRequest, bundle_run

    moved = {"model": model, "weights": weights, "denoiser": denoiser, "denoiser_weights": denoiser_weights}
    made = bundle_run(opened, out, sigma, BundleRequest(n, alpha), moved, trust_model)
    certified = made.certified
    print_text(f"Bundle: {out}")
    if certified is not None:
        print_text(
            f"sigma {made.sigma:g}, {made.recipe.precision}, up to {made.n:,} samples per prediction at alpha "
            f"{made.alpha:g}; certified on {certified.images:,} images, ledger {certified.ledger_sha256[:12]}...",
            indent=2,
        )
    if made.model.denoiser is not None:
        parts = f"the denoiser {made.model.denoiser.reference} and the classifier {made.model.reference}"
        print_text(f"certified is the pipeline of {printable(parts)}, not the classifier alone", indent=2)
    code = "".join(f" {flag}" for flag in made.model.code.values())
    commands = {
        f"smoothcert predict {out} IMAGE...{code}": "predict image files",
        f"smoothcert verify {run} --bundle {out}": "compare bundle and run",
    }
    print_commands(Screen(), commands)
    return 0


Flags = Annotated[PredictSettings, Parameter(name="*", negative="", consume_multiple=True)]
DEFAULTS = PredictSettings()


def predict(bundle: Path, /, *images: Path, settings: Flags = DEFAULTS) -> int:
    """Predict or certify image files with a bundle.

    Prints a class or an abstention per image. The probability of returning a class other than the smoothed classifier's
    is at most alpha, early stopping included. All files are checked first, and nothing is resized or converted: images
    must have the size and grid of the certified ones. Every call draws fresh secret noise, so there is no --seed: with
    known noise, an image could be built that it misleads.

    Args:
        bundle: Bundle directory, from `smoothcert bundle`. Every file is checked.
        images: Image files (PNG, JPEG, TIFF, BMP) and folders. Folders are read in sorted order.
    """
    from smoothcert.cli.predict_work import predict_and_report

    return predict_and_report(bundle, images, settings)
