"""Log a run and its documents to MLflow: counts and lower bounds as metrics, settings as parameters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smoothcert.errors import InputError, MissingExtraError
from smoothcert.evidence import Run
from smoothcert.evidence.seal import fingerprint_words
from smoothcert.formats.results import Entry
from smoothcert.report.claims import no_population
from smoothcert.report.memo.memo import Memo
from smoothcert.stats.rounding import full

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "smoothcert"
_LONGEST = 500
"""Maximum characters of a parameter."""


def expect_mlflow() -> None:
    """Raise MissingExtraError unless MLflow is installed; its telemetry is off unless the user turned it on."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow.tracking  # noqa: F401
    except ImportError:
        raise MissingExtraError("--mlflow", "mlflow") from None


def log_run(run: Run, memo: Memo, uri: str, files: Sequence[Path]) -> str:
    """Log one MLflow run to the experiment `smoothcert`.

    Args:
        run: the run.
        memo: its memo, which says whether a bound for a population may be stated.
        uri: tracking URI, such as `http://localhost:5000`.
        files: the documents, below `results/`.

    Returns:
        The id of the MLflow run.

    Raises:
        InputError: MLflow cannot be reached, or refuses the URI.
        MissingExtraError: MLflow is not installed.
    """
    expect_mlflow()
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        made = client.create_run(_experiment(client), run_name=memo.fields["run_id"].printed)
        at, number = made.info.start_time, made.info.run_id
        metrics = [Metric(name, value, at, 0) for name, value in metrics_of(run, memo)]
        params = [Param(name, value[:_LONGEST]) for name, value in _parameters(run)]
        client.log_batch(number, metrics, params, [RunTag(name, value) for name, value in _tags(run, memo)])
        for file in files:
            inside = file.relative_to(run.directory.results).parent.as_posix()
            client.log_artifact(number, str(file), None if inside == "." else inside)
        client.set_terminated(number)
    except (MlflowException, OSError) as error:
        raise InputError(
            f"--mlflow {uri}: the documents were written, but MLflow cannot log them: {error}", code="E-INPUT-220"
        ) from None
    return str(number)


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id if found else client.create_experiment(EXPERIMENT))


def metrics_of(run: Run, memo: Memo) -> Iterator[tuple[str, float]]:
    """Yield metrics: what is counted, then the place. What is not attainable has none.

    A bound for a population is a metric only if the sponsor describes the population and states that the images are
    independent draws; where sampling stopped early, counts are called "at least".
    """
    stated = memo.sponsor.of(run)
    for entry in run.results():
        place = f"sigma {full(entry.sigma)}/k {entry.k}/r {full(entry.radius)}"
        yield f"images/{place}", entry.images
        if not entry.attainable:
            continue
        yield f"{'at least ' if entry.at_least else ''}certified/{place}", entry.certified
        yield f"lower bound of rightly certified/{place}", entry.sample
        yield from _answers(entry, place)
        if no_population(entry, stated) is None and entry.joint is not None:
            yield f"joint lower bound of the population/{place}", entry.joint


def _answers(entry: Entry, place: str) -> Iterator[tuple[str, float]]:
    yield f"abstained/{place}", entry.abstained
    yield f"wrong class/{place}", entry.wrong
    yield f"without a result/{place}", entry.images - entry.lines


def _parameters(run: Run) -> Iterator[tuple[str, str]]:
    request = run.spec.request
    yield "sigma", ", ".join(map(full, request.sigma))
    yield "k", ", ".join(map(str, request.k))
    yield "radius", ", ".join(map(full, request.radius))
    for name in ("alpha", "bound", "n0", "n_max", "noise", "stopping"):
        yield name, str(getattr(request, name))
    yield "images", str(run.spec.data.images)


def _tags(run: Run, memo: Memo) -> Iterator[tuple[str, str]]:
    yield "smoothcert.run", memo.fields["run_id"].printed
    yield "smoothcert.marks", memo.fields["marks"].printed
    yield "smoothcert.fingerprint", fingerprint_words(run.directory)
    yield "smoothcert.version", str(memo.record()["smoothcert"])
