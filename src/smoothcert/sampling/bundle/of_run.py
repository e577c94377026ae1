"""The bundle of a finished run: the run's own classifier at one noise level, checked by its hash."""

from __future__ import annotations

from pathlib import Path

from smoothcert.evidence import Run, refuse_occupied
from smoothcert.evidence.bundle.differences import certified_of
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.sampling.bundle.certified import certified_classifier, check_whole, level_of
from smoothcert.sampling.bundle.saving import Wanted, write


def bundle_run(
    run: Run,
    path: Path,
    sigma: float | None,
    wanted: Wanted,
    moved: dict[str, str | None] | None = None,
    trust_model: bool = False,
) -> Bundle:
    """Write the bundle of one noise level of a finished run, from the run's own classifier.

    Args:
        run: a sealed run.
        path: a new or empty folder.
        sigma: one of its noise levels; None where it has only one.
        wanted: copies and alpha of a prediction.
        moved: `model` and `weights`, named anew; their content must be unchanged. A classifier that is code must be
            named, for a run is data and names none.
        trust_model: run files that are code, and code that only the run names.

    Raises:
        EvidenceError: the run is not sealed or damaged, the classifier is not the run's, or the place is taken.
        ModelError: the classifier cannot be loaded.
        SpecError: the noise level is not clear, or n copies can never decide.
    """
    refuse_occupied(path)
    check_whole(run)
    certified = certified_of(run, level_of(run, sigma))
    classifier, weights = certified_classifier(run, certified.sigma, moved or {}, trust_model)
    more = {"n0": run.spec.request.n0, "bound": certified.bound, "certified": certified}
    return write(path, certified, (classifier, weights), wanted, more)
