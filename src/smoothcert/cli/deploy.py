"""`smoothcert bundle` and `predict`: from a finished run to the object that is deployed, and what it answers."""

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
    trust_model: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write the smoothed classifier that a run certified at one noise level as a bundle, for `smoothcert predict`.

    The run must be finished, sealed and undamaged, and the classifier's files unchanged: they are hashed. A bundle
    never holds a seed: every prediction draws its noise anew.

    Args:
        run: Run directory.
        out: Bundle directory to create. A bundle is never overwritten.
        sigma: Which noise level, where the run has several; a bundle holds one.
        n: Noisy copies a prediction takes at most.
        alpha: Probability, at most, that one answer is not the smoothed classifier's.
        model: Place of the classifier, if it was moved, or its code: a run is data and names no code by itself. Its
            content must be unchanged.
        weights: New place of the weights file, if it was moved.
        trust_model: Run what is code as the run names it, because you trust whoever made classifier and run.
    """
    from smoothcert.cli.terminal import print_text
    from smoothcert.evidence import open_run
    from smoothcert.evidence.directory import refuse_occupied

    opened = open_run(run)
    refuse_occupied(out)
    from smoothcert.sampling.save_bundle import BundleRequest, bundle_run

    made = bundle_run(opened, out, sigma, BundleRequest(n, alpha), {"model": model, "weights": weights}, trust_model)
    certified = made.certified
    print_text(f"Bundle: {out}")
    if certified is not None:
        print_text(
            f"sigma {made.sigma:g}, {made.recipe.precision}, up to {made.n:,} copies a prediction at alpha "
            f"{made.alpha:g}; certified on {certified.images:,} images, ledger {certified.ledger_sha256[:12]}...",
            indent=2,
        )
    code = "" if made.model.arch else " --model package.module:factory"
    print_text(
        f"Next: smoothcert predict {out} IMAGE...{code}; smoothcert verify {run} --bundle {out} compares the two"
    )
    return 0


Flags = Annotated[PredictSettings, Parameter(name="*", negative="", consume_multiple=True)]
NOTHING_ASKED = PredictSettings()


def predict(bundle: Path, /, *images: Path, asked: Flags = NOTHING_ASKED) -> int:
    """Predict image files (PNG, JPEG, TIFF, BMP), or whole folders, with a bundle: a class for each, or an abstention.

    Sampling stops as soon as an image is decided; an answer is not the smoothed classifier's with probability at most
    alpha all the same. All files are checked before the first prediction, and nothing is resized or converted: images
    must be as the certified ones were. Every call draws fresh secret noise, so there is no --seed: whoever knows the
    noise can look for an image that it misleads.

    Args:
        bundle: Bundle directory, written by `smoothcert bundle`; every file of it is checked.
        images: Image files and folders; folders are searched through in sorted order.
    """
    from smoothcert.cli.predict_work import predict_and_report

    return predict_and_report(bundle, images, asked)
