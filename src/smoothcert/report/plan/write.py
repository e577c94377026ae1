"""Write a plan: its record as JSON, a Markdown page, one CSV per table, and the figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smoothcert import version
from smoothcert.config import Production, Request
from smoothcert.errors import EvidenceError, MissingExtraError
from smoothcert.evidence.directory import refuse_occupied, write_derived, write_json
from smoothcert.evidence.events import utc_now
from smoothcert.evidence.run import Planned
from smoothcert.formats.plan import Forecast
from smoothcert.formats.strict import parse, read_bytes
from smoothcert.report.plan.tables import TITLES, tables
from smoothcert.stats.rounding import full, percent_exact, percent_up
from smoothcert.yaml_files import write_yaml


def reading(planned: Planned) -> Iterator[str]:
    """Yield the notes on how to read a plan, one or two sentences each."""
    asked, reaches = planned.settings, planned.outlook.reaches
    beyond = sum(not each.attainable for each in reaches)
    rule = "sequential looks" if asked.stopping == "looks" else "a fixed number of samples"
    selection = f"after {asked.n0} for selection" if asked.selects or asked.bound != "betting" else "without selection"
    yield (
        f"Settings: alpha {full(asked.alpha)}, bound {asked.bound}, up to {asked.n_max:,} noise samples per image "
        f"{selection}, {rule}; {planned.classes} classes, {planned.images:,} images."
    )
    yield (
        f"{beyond} of {len(reaches)} entries {'is' if beyond == 1 else 'are'} not attainable with these settings, "
        "whatever the classifier."
        if beyond
        else "Every entry is attainable."
    )
    yield (
        "Unanimous votes: the number needed by a single look that spends all of alpha; at look: where the run decides "
        "such an image. 95 % power at one look from p: the probability of the label that suffices in the hardest case, "
        "where all other votes are split equally among its k strongest rivals, if the best look were the only one. Of "
        "the run there: the share of such images that the whole procedure certifies, with its selection and its early "
        "stopping (simulated, to about 1 %)."
    )
    yield from _forecast(planned)
    single = " with rankcp, as betting has no single look" if asked.bound == "betting" else ""
    yield (
        "Margin: by how much the true radius exceeds r, in units of sigma; votes are those of a single look that "
        f"spends all of alpha{single}, with the other votes split equally among the k strongest rivals."
    )
    yield (
        f"Images for >= {percent_exact(asked.population)} %: the number of images at which the 95 % lower bound on the "
        "robust share of the population reaches this value, if exactly this share of them is certified and they are "
        "independent draws: about every second run would miss it. For 80 % and 95 % chance: the number with which "
        "a run reaches it that often, if each image is certified with this probability."
    )
    yield from planned.notes


def _forecast(planned: Planned) -> Iterator[str]:
    forecast, basis = planned.forecast, planned.basis
    if forecast is None:
        return
    pilot = forecast.pilot
    yield (
        f"Pilot: {pilot.images:,} images drawn at random, {pilot.copies:,} noise samples each at each sigma "
        f"({pilot.drawn:,} in {pilot.seconds:,.0f} s on {pilot.device}, {pilot.precision}). None of them is a vote "
        "of the run."
    )
    if planned.settings.denoiser is not None:
        denoiser = planned.settings.denoiser
        yield f"The pilot ran the pipeline that the run certifies: denoiser ({denoiser}), then classifier."
    yield (
        "A forecast is an estimate, not a certificate. Its interval contains the value of the run in about 95 % of "
        "pilots; it accounts for the images and the noise of the pilot, and for the noise of the run."
    )
    if any(entry.telling(pilot.copies) for entry in forecast.cells):
        yield (
            "Undecided: even unanimous votes of the pilot do not decide whether an image is certified. Such entries "
            "have no forecast: the interval gives what is possible, and mean samples in brackets are equally uncertain."
        )
    yield (
        "An image is sampled until its last entry is decided. Alone: the mean samples of a run with this entry only. "
        "Saved if left out: what the other entries would take less."
    )
    if planned.outlook.prices:
        yield (
            "Price: the samples that one certificate is worth (--stop worth --price). A lower price saves samples and "
            "loses certificates; points of certified accuracy are counted against stopping by futility."
        )
    if basis is not None and basis.abstention is not None:
        yield (
            f"An estimated {percent_up(basis.abstention)} % of such images would get no prediction with the number of "
            "votes of the cost table."
        )


PLAN, RUN_CONFIG = "plan.json", "run.yaml"
FORMAT = 1
LARGEST = 1 << 26
"""Maximum size of a plan.json, in bytes."""


def write_plan(planned: Planned, folder: Path, production: Production | None = None) -> list[Path]:
    """Write a plan into a new or empty folder.

    Args:
        planned: the plan.
        folder: a new or empty folder; a plan is never overwritten.
        production: the user's section `production`, for the cost.

    Returns:
        The files: plan.json, plan.md and one CSV per table; with a pilot also run.yaml, the settings for
        `certify --config`, and plan.svg and plan.png if matplotlib is installed.

    Raises:
        EvidenceError: the folder is not empty, or cannot be written.
    """
    refuse_occupied(folder)
    found = tables(planned, production)
    texts = {"plan.md": "\n".join(_page(planned, production))}
    texts |= {f"{name}.csv": table.render("csv") for name, table in found.items()}
    if planned.forecast is not None:
        texts[RUN_CONFIG] = settings_yaml(planned.settings.request())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_derived(folder / name, text.rstrip("\n") + "\n")
        write_json(folder / PLAN, _record(planned, production))
        figures = _figure(planned, folder)
    except OSError as error:
        raise EvidenceError(f"Cannot write the plan to {folder}: {error.strerror}.", code="E-RUN-072") from None
    return [folder / PLAN, *(folder / name for name in texts), *figures]


def settings_yaml(request: Request) -> str:
    """Return the settings of a run as YAML for `--config`, noise levels as typed."""
    return write_yaml(request.plain())


def read_plan(path: Path) -> Forecast:
    """Read the forecast of a plan.

    Args:
        path: folder of a plan, or its plan.json.

    Raises:
        EvidenceError: there is no plan, the plan is damaged, or it was made without a pilot.
    """
    file = path / PLAN if path.is_dir() else path
    if not file.exists():
        raise EvidenceError(
            f"Expected a plan written by `smoothcert plan --out`, found none in {path}.", code="E-RUN-073"
        )
    try:
        forecast = parse(read_bytes(file, LARGEST), file)["forecast"]
    except (EvidenceError, KeyError, TypeError):
        raise EvidenceError(
            f"{file} is not a plan, or it was changed. Run `smoothcert plan` again.", code="E-RUN-074"
        ) from None
    if forecast is None:
        raise EvidenceError(
            f"{file} contains no forecast, as it was made without --model and --data. Run `smoothcert plan` with both, "
            "or leave out --plan.",
            code="E-RUN-075",
        )
    return Forecast.from_record(forecast)


def _record(planned: Planned, production: Production | None) -> dict[str, Any]:
    stated = None if production is None else production.model_dump(mode="json")
    head = {"format": FORMAT, "smoothcert": version.__version__, "at": utc_now(), "production": stated}
    return {**head, **planned.to_record(), "reading": list(reading(planned))}


def _page(planned: Planned, production: Production | None) -> Iterator[str]:
    images = f"{planned.images:,} images" + (f" of {planned.settings.data}" if planned.settings.draws else "")
    yield f"# Plan for {images}, {planned.classes} classes\n"
    yield "\n".join(f"* {line}" for line in reading(planned))
    if planned.forecast is not None:
        yield "\n![Forecast of certified accuracy and samples per image](plan.svg)"
    for name, table in tables(planned, production).items():
        yield f"\n## {TITLES[name]}\n\n{table.render('md')}"


def _figure(planned: Planned, folder: Path) -> list[Path]:
    if planned.forecast is None:
        return []
    from smoothcert.report.figures.style import save
    from smoothcert.report.plan.figure import plan_figure

    try:
        return save(plan_figure(planned, planned.forecast), folder, "plan")
    except MissingExtraError:
        return []
