"""How a run was conducted: interruptions, changes, losses and restrictions that its log and its ledger show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.events import (
    FINISHED,
    REPEATED,
    RESUMED,
    SESSION_ENDED,
    SHARD_FINISHED,
    STARTED,
    WORKER,
    Event,
)
from smoothcert.evidence.run import forecast_of
from smoothcert.verify.chains import lost_lines

NOTHING = "The log shows one session without interruption, one numeric recipe and one version of the code."
NOT_KNOWN = "Earlier use of these images, and results seen or discarded elsewhere, are not in the log."


def deviations(run: Run) -> list[str]:
    """Return what the log and the ledger show besides one undisturbed session, as sentences; empty if nothing."""
    return [*_limited(run), *_piloted(run), *_sessions(run), *_changed(run), *_redrawn(run), *_repeated(run)]


def described(run: Run) -> list[str]:
    """Return `deviations`, or that there are none."""
    return deviations(run) or [NOTHING]


def deviations_stated(run: Run) -> list[str]:
    """Return what the tool knows, and what the sponsor states or has left open."""
    stated = run.stated.deviations
    words = f"The sponsor states: {printable(stated)}" if stated else "The sponsor has stated nothing."
    return [*described(run), NOT_KNOWN, words]


def _limited(run: Run) -> Iterator[str]:
    limit = run.spec.request.limit
    if limit:
        held = next((event.facts.get("source") for event in run.events if event.event == REPEATED), None)
        of = f" of {held:,}" if isinstance(held, int) else ""
        yield f"Only the first {run.spec.data.images:,}{of} images of the data set were used (limit {limit:,})."


def _piloted(run: Run) -> Iterator[str]:
    planned = forecast_of(run.events)
    if planned is not None:
        pilot = planned.pilot
        yield (
            f"Before the run, a plan drew {pilot.drawn:,} noise samples of {pilot.images:,} of these images; none is "
            "a vote of this run."
        )


def _sessions(run: Run) -> Iterator[str]:
    logs = _logs(run)
    counts = [_counted(log) for log in logs]
    began, recorded, silent = (sum(column) for column in zip(*counts, strict=True))
    if shards := len(logs) - 1:
        yield f"The results were merged from {shards:,} shards, each with its own log."
    if recorded or silent:
        unknown = f"; of {silent:,} the log does not record when or how" if silent else ""
        yield f"Sampling took {began:,} sessions; {recorded + silent:,} ended early{unknown}."
    lost = [event for log in logs for event in log if event.event == WORKER and event.facts.get("images_again")]
    if lost:
        images = sum(int(event.facts["images_again"]) for event in lost)
        yield f"{len(lost):,} workers were lost; {images:,} unfinished images were sampled again from the start."


def _logs(run: Run) -> list[tuple[Event, ...]]:
    """Return the log of a run and, if it was merged, those of its shards."""
    shards = (run.directory.of_shard(shard.name) for shard in run.directory.shards)
    return [run.directory.own_events(), *(shard.own_events() for shard in shards)]


def _counted(log: Sequence[Event]) -> tuple[int, int, int]:
    """Return the sessions of a log, those with a recorded early end, and those that ended without a record."""
    order = [event.event for event in log if event.event in (STARTED, RESUMED, SESSION_ENDED, FINISHED, SHARD_FINISHED)]
    silent = sum(one in (STARTED, RESUMED) and other == RESUMED for one, other in pairwise(order))
    return order.count(STARTED) + order.count(RESUMED), order.count(SESSION_ENDED), silent


def _changed(run: Run) -> Iterator[str]:
    other = sum(count for recipe, count in run.ledger.columns.recipe.counts().items() if recipe is not None)
    if other:
        yield f"{other:,} results were sampled with another numeric recipe than the spec's."
    codes = {code for log in _logs(run) for event in log if (code := event.facts.get("code_sha256"))}
    if len(codes) > 1:
        yield f"Its sessions ran {len(codes):,} different versions of the code (code_sha256 in the log)."


def _redrawn(run: Run) -> Iterator[str]:
    for found in lost_lines(run):
        yield f"Results were lost and drawn again: {found}."
    if run.ledger.differing:
        yield (
            f"Two workers differed on {len(run.ledger.differing):,} results; the worker whose name sorts first counts, "
            "whatever the votes."
        )
    if number := sum(run.ledger.uncounted.values()):
        yield f"{number:,} results that were drawn twice do not count."


def _repeated(run: Run) -> Iterator[str]:
    if run.repeats:
        yield f"{run.repeats:,} of {run.spec.data.images:,} images repeat another one pixel by pixel."
