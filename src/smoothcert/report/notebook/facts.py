"""Display functions of the notebook, and the evidence of a run as sentences and tables."""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError, printable
from smoothcert.evidence import Run
from smoothcert.evidence.events import CHANGED, CLEAN, ENERGY, MERGED, RATES, REPORTED, WORKER, Event
from smoothcert.evidence.seal import seal_remark
from smoothcert.formats.line import Line, Votes
from smoothcert.report.figures.style import styled
from smoothcert.report.markup import visible
from smoothcert.report.networks import NO_STEPS, has_weights, networks
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import full

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DPI, WIDE = 240, 640  # stored resolution; width on the screen in pixels
COLOURS = 256  # of a drawing, which reduces its file to a third
SCROLLED = 30  # rows beyond which a table scrolls
SHORT, LONG = 18, 40  # characters of a text that stays on one line, and between break points of a long word
Shown = tuple[str, str]
"""An output as HTML and plain text."""


def say(sentence: str, warn: bool = False) -> None:
    """Show a sentence.

    Args:
        sentence: plain text, never read as markup.
        warn: show it as a warning.
    """
    _show(*render_sentence(sentence, warn))


def render_sentence(sentence: str, warn: bool = False) -> Shown:
    """Return the output of `say`."""
    style = ' style="color: #a03000; font-weight: bold"' if warn else ""
    sentence = printable(sentence)
    return f"<p{style}>{html.escape(sentence)}</p>", textwrap.fill(sentence, 120)


def require(agrees: bool, message: str) -> None:
    """Raise an error unless a check by hand agrees; unlike `assert`, this is never disabled.

    Raises:
        EvidenceError: with this message.
    """
    if not agrees:
        raise EvidenceError(message, code="E-RUN-071")


def table(found: Table, caption: str = "") -> None:
    """Show a table; a long one scrolls, and its plain text is cut.

    Args:
        found: the table, never read as markup.
        caption: what the table shows, in one sentence.
    """
    _show(*render_table(found, caption))


def render_table(found: Table, caption: str = "") -> Shown:
    """Return the output of `table`."""
    caption, many = printable(caption), len(found.rows) > SCROLLED
    box = "max-height: 30em; overflow: auto" if many else "overflow-x: auto"
    left = ' style="text-align: left"'  # numbers keep the right alignment of notebooks
    sides = ["" if found.numeric(i) else left for i in range(len(found.headings))]
    body = "".join(_row("td", row, sides) for row in found.rows)
    title = f"<p><em>{html.escape(caption)}</em></p>" if caption else ""
    head = f"<thead>{_row('th', found.headings, sides)}</thead>"
    cut = Table(found.headings, found.rows[:SCROLLED], found.records)
    rest = f"\n... {len(found.rows) - SCROLLED:,} more rows" if many else ""
    page = f'<div style="{box}">{title}<table>{head}\n<tbody>\n{body}</tbody></table></div>'
    return page, f"{caption}\n{cut.render('md')}{rest}".strip()


def _row(kind: str, texts: Sequence[str], sides: Sequence[str]) -> str:
    entries = (f"<{kind}{side}>{_broken(text, kind)}</{kind}>" for text, side in zip(texts, sides, strict=True))
    return f"<tr>{''.join(entries)}</tr>\n"


def _broken(text: str, kind: str) -> str:
    """Return the HTML of a table cell: short texts never break, long words such as hashes may."""
    text = visible(text)
    if kind == "td" and len(text) <= SHORT:
        text = text.replace(" ", "\N{NO-BREAK SPACE}")
    words = re.sub(rf"(\S{{{LONG}}})(?=\S)", "\\1\N{ZERO WIDTH SPACE}", text)
    return html.escape(words).replace("\n", "<br>").replace("\N{ZERO WIDTH SPACE}", "<wbr>")


@styled
def picture(figure: Figure, words: str, photo: bool = False) -> None:
    """Show a figure as PNG.

    Args:
        figure: the figure.
        words: alternative text.
        photo: whether the figure contains images, whose colours must not be reduced.
    """
    from IPython.display import Image, display
    from PIL import Image as Pixels

    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    pixels = Pixels.open(drawn).convert("RGB")
    if not photo:
        pixels = pixels.quantize(COLOURS, dither=Pixels.Dither.NONE)
    pixels.save(stored, format="png", optimize=True)
    display(Image(stored.getvalue(), width=WIDE, alt=words))  # type: ignore[no-untyped-call]


def _show(page: str, plain: str) -> None:
    from IPython.display import display

    display({"text/html": page, "text/plain": plain}, raw=True)  # type: ignore[no-untyped-call]


FEW_CLASSES, FEW_VOTES = 12, 6


def rows(headings: Sequence[str], found: Iterable[Sequence[object]]) -> Table:
    """Return a table of printed values."""
    return Table(tuple(headings), tuple(tuple(str(value) for value in row) for row in found), ())


def file_name(reference: str) -> str:
    """Return the name of a file without its folders, as notebooks are passed on.

    >>> file_name("/home/someone/images.npz#val"), file_name("synthetic:300")
    ('images.npz#val', 'synthetic:300')
    """
    return printable(re.split(r"[/\\]", reference)[-1])


def class_name(spec: Spec, number: int | None) -> str:
    """Return the number and name of a class."""
    return "-" if number is None else f"{number} ({printable(spec.data.class_names[number])})"


def warnings(run: Run) -> Iterator[str]:
    """Yield the warnings that precede all numbers."""
    if run.spec.data.synthetic:
        yield "Synthetic images, not of patients."
    if run.stated.demonstration:
        yield "Public or demonstration data, as the sponsor states."
    if any(model.reference == "demo" for model in run.spec.models):
        yield "Demonstration classifier, bundled to show the method only."
    if not run.sealed:
        yield "NOT SEALED: the run has no finish event."
    if remark := seal_remark(run.directory):
        yield f"{remark}."
    if run.missing:
        yield (
            f"PARTIAL RUN: {run.missing:,} results are missing. Images without a result count as not certified, so "
            "every share of certified images is a lower limit; no statement about a population is made."
        )


def spec_table(spec: Spec) -> Table:
    """Return what was fixed before the first image."""
    return rows(("fixed before the first image", "value"), [*_images(spec), *_models(spec), *_settings(spec)])


def _images(spec: Spec) -> Iterator[tuple[str, str]]:
    data = spec.data
    channels, height, width = data.shape
    more = "; ..." if spec.classes > FEW_CLASSES else ""
    yield "images", f"{file_name(data.reference)}: {data.images:,} of {height} x {width} x {channels}\n{data.sha256}"
    yield "pixel grid", f"steps of 1/{data.levels:,}; preprocessing: {'; '.join(data.preprocessing) or NO_STEPS}"
    yield "classes", f"{spec.classes:,}: {'; '.join(map(printable, data.class_names[:FEW_CLASSES]))}{more}"
    if data.subgroups:
        yield "subgroups", f"results by {', '.join(map(printable, data.subgroups))}"


def _models(spec: Spec) -> Iterator[tuple[str, str]]:
    for each in networks(spec):
        named = f"{file_name(each.facts.reference)}, {each.facts.arch or 'custom architecture'}"
        yield (
            f"{each.part} at sigma {full(each.sigma)}",
            f"{named}\n{each.facts.sha256 if has_weights(spec, each.facts) else 'no weights'}",
        )


def _settings(spec: Spec) -> Iterator[tuple[str, str]]:
    request, recipe = spec.request, spec.recipe
    source = "from the operating system" if spec.seed_source == "operating system" else "chosen by the user"
    yield "L2 radii", ", ".join(full(r) for r in request.radius)
    yield "class certified", ", ".join(f"k = {k}: the {_target(spec, k)}" for k in request.k)
    yield "alpha, bound", f"{full(request.alpha)}, {request.bound}"
    yield "samples for selection", f"{request.n0:,}" if request.selects else "none"
    yield "looks: samples after selection", ", ".join(f"{n:,}" for n in spec.looks)
    yield "stopping", "once every radius is decided" if request.stopping == "looks" else "at the last look"
    yield "noise", "steps of the pixel grid" if request.noise == "grid" else "floating point: arithmetic not covered"
    yield "seed of the noise", f"{spec.seed}, {source}"
    yield (
        "numeric recipe",
        f"{recipe.precision}, {recipe.device}, batches of {recipe.batch_size}, torch {recipe.torch}",
    )
    yield "smoothcert", spec.smoothcert


def _target(spec: Spec, k: int) -> str:
    return "prediction" if spec.request.target_of(k) == "prediction" else "reference label"


def event_table(run: Run) -> Table:
    """Return the event log without reports, which change no evidence."""
    events = [event for event in run.events if event.event != REPORTED]
    return rows(("UTC", "event", "details"), [(each.at, each.event, "; ".join(_stated(each))) for each in events])


def _stated(event: Event) -> Iterator[str]:
    facts = event.facts
    test, delivered = facts.get("self_test"), facts.get("noise_test")
    if "sigma" in facts:
        yield f"sigma {full(facts['sigma'])}"
    if event.event == MERGED:
        yield f"{len(facts['shards']):,} shards, {sum(shard['lines'] for shard in facts['shards']):,} ledger lines"
    if isinstance(facts.get("shard"), str):
        yield f"shard {facts['shard']}"
    if event.event == WORKER:
        yield f"{facts['worker']} {facts['state']}"
    if "lines" in facts:
        yield f"{facts['lines']:,} ledger lines"
    for name in ("spec_sha256", "ledger_sha256", "code_sha256"):
        if name in facts:
            yield f"hash of the {name.partition('_')[0]} {facts[name][:16]}..."
    if event.event == CLEAN:
        counts = ", ".join(f"{sum(each):,} (k = {k})" for k, each in facts["correct"].items())
        yield f"clean predictions correct: {counts} of {facts['images']:,}"
        if facts.get("alone"):
            counts = ", ".join(f"{sum(each):,} (k = {k})" for k, each in facts["alone"].items())
            yield f"without the denoiser: {counts}"
    if event.event == CHANGED:
        yield f"L2 norms of {len(facts['changes'])} simple perturbations, on {facts['images']:,} images"
    if event.event == RATES:
        rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in facts["rates"].items())
        yield f"samples per second: {rates}"
    if event.event == ENERGY:
        used = "energy unknown" if facts["joules"] is None else f"{facts['joules']:,.0f} J by {facts['source']}"
        yield f"{facts['copies']:,} samples drawn, {used}"
    if isinstance(test, dict):
        yield f"self-test: logits {'do not ' if test.get('bit_equal') else ''}depend on neighbours in the batch"
    if isinstance(delivered, dict):
        yield f"delivered noise: tests {'passed' if delivered.get('passed') else 'FAILED'}"


def line_table(spec: Spec, line: Line) -> Table:
    """Return one ledger line, field by field."""
    looks = "\n".join(f"{n:,}: {votes_in_words(spec, votes)}" for n, votes in line.looks)
    selection = "-" if line.selection is None else votes_in_words(spec, line.selection)
    subgroups = "\n".join(f"{printable(name)}: {printable(value)}" for name, value in line.subgroups.items())
    found = (
        ("sigma, index", f"{full(line.sigma)}, {line.index}", "noise level and image"),
        ("image", line.image, "hash of its pixels"),
        ("label", class_name(spec, line.label), "reference label"),
        ("group", printable(line.group or "-"), "patient or other group, if the data have one"),
        *([("subgroups", subgroups, "value in each subgroup column")] if subgroups else []),
        ("selection", selection, "votes that select the class; not used by any bound"),
        ("looks", looks or "-", "samples after selection so far, and all their votes"),
    )
    return rows(("field", "content", "meaning"), found)


def votes_in_words(spec: Spec, votes: Votes) -> str:
    """Return votes by class, most votes first."""
    ranked = sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = f", and {len(ranked) - FEW_VOTES} more classes" if len(ranked) > FEW_VOTES else ""
    return ", ".join(f"{n:,} {printable(spec.data.class_names[c])}" for c, n in ranked[:FEW_VOTES]) + rest
