"""model-card.md: a model card with Hugging Face metadata; each number has its condition in the name of its metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smoothcert.errors import MissingExtraError, printable
from smoothcert.evidence import Run
from smoothcert.evidence.seal import fingerprint_words
from smoothcert.formats.results import Entry
from smoothcert.report.claims import guarantees
from smoothcert.report.markup import markdown
from smoothcert.report.memo.context import short
from smoothcert.report.memo.memo import Memo
from smoothcert.report.networks import bare, has_weights, networks
from smoothcert.report.results import results_of
from smoothcert.stats.rounding import format_down, full
from smoothcert.verify import NOT_SHOWN

CARD = "model-card.md"
TAGS = ["certified-robustness", "randomized-smoothing"]
TASK = "image-classification"
METRIC = "certified_accuracy"
_FIELDS = (
    ("Device", "device"),
    ("Intended use", "intended_use"),
    ("Users", "users"),
    ("Population", "population"),
    ("Reference standard", "reference_standard"),
    ("Origin of the images", "data_origin"),
    ("Role of the images", "data_role"),
)


def card_text(run: Run, memo: Memo) -> str:
    """Return the card: metadata between lines of `---`, then Markdown.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import ModelCardData
    except ImportError:
        raise MissingExtraError(CARD, "report") from None
    data = ModelCardData(
        model_name=f"smoothed classifier of run {memo.fields['run_id'].printed}",
        library_name="smoothcert",
        pipeline_tag=TASK,
        tags=TAGS,
        metrics=[METRIC],
        eval_results=_results(run, [each for each in run.results() if each.attainable]) or None,
    )
    facts = data.to_yaml(line_break="\n")
    return "\n".join(("---", facts.rstrip("\n"), "---", "", *_body(run, memo))).rstrip("\n") + "\n"


def _results(run: Run, entries: list[Entry]) -> list[Any]:
    from huggingface_hub import EvalResult

    name = short(run.spec.data.reference)
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=name,
            dataset_name=f"{name}, {each.images:,} images",
            metric_type=METRIC,
            metric_name=metric_name(run, each),
            metric_value=float(format_down(each.certified / each.images, 4)),
            metric_args=_condition(run, each),
        )
        for each in entries
    ]


def metric_name(run: Run, entry: Entry) -> str:
    """Return the name of a metric, with everything that the number depends on."""
    partial = f", {entry.images - entry.lines:,} images without a result" if entry.lines < entry.images else ""
    least = "at least, " if entry.at_least else ""
    return (
        f"certified accuracy ({least}share of these {entry.images:,} images) at L2 radius r = {full(entry.radius)}, "
        f"sigma {full(entry.sigma)}, k = {entry.k}, up to {run.spec.request.n_max:,} noise samples per image, "
        f"alpha = {full(run.spec.request.alpha)}{partial}"
    )


def _condition(run: Run, entry: Entry) -> dict[str, Any]:
    facts = {"sigma": float(entry.sigma), "k": entry.k, "radius": float(entry.radius)}
    counts = {"images": entry.images, "certified": entry.certified, "abstained": entry.abstained, "wrong": entry.wrong}
    request = run.spec.request
    return {**facts, **counts, "n_max": request.n_max, "alpha": request.alpha, "bound": request.bound}


def _body(run: Run, memo: Memo) -> Iterator[str]:
    printed = {name: field.printed for name, field in memo.fields.items()}
    yield f"# Smoothed classifier of run {markdown(printed['run_id'])}\n"
    yield f"{markdown(printed['marks'])}. {markdown(printed['reasons'])}.\n"
    for warning in memo.fields["warnings"].value:
        yield f"**{markdown(warning)}**\n"
    yield "## What was tested\n"
    if "object" in printed:
        yield f"{markdown(printed['object'])}\n"
    for each in networks(run.spec):
        trained = "not recorded" if each.trained is None else f"sigma {each.trained}"
        name, arch = markdown(short(printable(each.facts.reference))), markdown(printable(each.facts.arch or "custom"))
        weights = f"SHA-256 `{bare(each.facts.sha256)}`" if has_weights(run.spec, each.facts) else "no weights"
        code = f", code `{bare(each.facts.source_sha256)}`" if each.facts.source_sha256 else ""
        what = f"{each.part} at sigma {full(each.sigma)}"
        yield f"- {what}: {name} ({arch}), trained with noise: {trained}; {weights}{code}"
    yield f"- images: {run.spec.data.images:,} of {markdown(short(run.spec.data.reference))}\n"
    yield "## What only the sponsor can say\n"
    for label, name in _FIELDS:
        yield f"- {label}: {markdown(printable(getattr(memo.sponsor, name) or 'not stated'))}"
    yield "\n## Results\n"
    yield "Sections are those of memo.pdf.\n"
    for name in (
        "first_fault",
        "claim_heading",
        "observed",
        "by_class",
        "stable_wrong",
        "sample",
        "population",
        "condition",
        "criteria_words",
    ):
        if printed.get(name):
            yield f"{markdown(printed[name])}\n"
    yield results_of(run).render("md")
    yield f"\n## What is and is not guaranteed\n\n{guarantees(run.arithmetic_covered, run.spec.denoised).render('md')}"
    yield "\n## How to check it\n"
    yield f"`smoothcert verify RUN`. Evidence fingerprint: {markdown(fingerprint_words(run.directory))}.\n"
    yield f"Not shown by this: {NOT_SHOWN}."
