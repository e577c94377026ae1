"""What the notebook's cells show: the evidence of a run in sentences and tables."""

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
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import full

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DPI, WIDE = 240, 640  # pixels an inch as stored; pixels across on the screen
COLOURS = 256  # of a drawing; makes its file a third as large
SCROLLED = 30  # rows beyond which a table scrolls
_NUMBER = re.compile(r"(>= |over )?[-+]?[\d.,]+(e[-+]?\d+)?( ?%.*|/\d.*| (to|of) .*| \((\d|this|k).*|[\n ,\d.]*)", re.S)
SHORT, LONG = 18, 40  # characters of a text that stays on one line, and of a word that may be broken
Shown = tuple[str, str]
"""An output as HTML and as plain text."""


def say(sentence: str, warn: bool = False) -> None:
    """Show a sentence.

    Args:
        sentence: plain text; nothing in it is read as markup.
        warn: show it as a warning.
    """
    _show(*said(sentence, warn))


def said(sentence: str, warn: bool = False) -> Shown:
    """Return what `say` shows."""
    style = ' style="color: #a03000; font-weight: bold"' if warn else ""
    sentence = printable(sentence)
    return f"<p{style}>{html.escape(sentence)}</p>", textwrap.fill(sentence, 120)


def hold(agrees: bool, otherwise: str) -> None:
    """Go on only where a check by hand agrees; unlike an `assert`, Python never leaves it out.

    Raises:
        EvidenceError: with these words.
    """
    if not agrees:
        raise EvidenceError(otherwise)


def table(found: Table, caption: str = "") -> None:
    """Show a table; a long one scrolls, and its plain text is cut.

    Args:
        found: the table; nothing in it is read as markup.
        caption: what the table says, in one sentence.
    """
    _show(*set_out(found, caption))


def set_out(found: Table, caption: str = "") -> Shown:
    """Return what `table` shows."""
    caption, many = printable(caption), len(found.rows) > SCROLLED
    box = "max-height: 30em; overflow: auto" if many else "overflow-x: auto"
    sides = [_side([row[i] for row in found.rows]) for i in range(len(found.headings))]
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
    """Say where a cell's lines may break: never in short texts, at line ends, and inside words as long as a hash."""
    text = visible(text)
    if kind == "td" and len(text) <= SHORT:
        text = text.replace(" ", "\N{NO-BREAK SPACE}")
    words = re.sub(rf"(\S{{{LONG}}})(?=\S)", "\\1\N{ZERO WIDTH SPACE}", text)
    return html.escape(words).replace("\n", "<br>").replace("\N{ZERO WIDTH SPACE}", "<wbr>")


def _side(column: Sequence[str]) -> str:
    """Words are read from the left; numbers stand on the right, as they do in every notebook."""
    told = [text for text in column if text != "-" and not text.startswith("not ")]
    numbers = [text for text in told if _NUMBER.fullmatch(text)]
    return ' style="text-align: left"' if 2 * len(numbers) < len(told) else ""


@styled
def picture(figure: Figure, words: str, photo: bool = False) -> None:
    """Show a figure as PNG.

    Args:
        figure: the figure.
        words: what it shows, for readers who cannot see it.
        photo: whether it holds images, whose colours must stay as they are.
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
    """Return a file's name without its folders: a notebook is passed on.

    >>> file_name("/home/someone/images.npz#val"), file_name("synthetic:300")
    ('images.npz#val', 'synthetic:300')
    """
    return printable(re.split(r"[/\\]", reference)[-1])


def class_name(spec: Spec, number: int | None) -> str:
    """Return the number and name of a class."""
    return "-" if number is None else f"{number} ({printable(spec.data.class_names[number])})"


def warnings(run: Run) -> Iterator[str]:
    """Yield what a reader must know before reading any number."""
    if run.spec.data.synthetic:
        yield "Synthetic images: drawn, not photographed; of no patient."
    if not run.sealed:
        yield "NOT SEALED: no finish event vouches for the ledger."
    if remark := seal_remark(run.directory):
        yield f"{remark}."
    if run.missing:
        yield (
            f"PARTIAL RUN: {run.missing:,} results are missing. Images without a result count as not certified, so "
            "every share of certified images is a lower limit; no statement about a population is made."
        )


def spec_table(spec: Spec) -> Table:
    """What was fixed before the first image."""
    return rows(("fixed before the first image", "value"), [*_images(spec), *_models(spec), *_settings(spec)])


def _images(spec: Spec) -> Iterator[tuple[str, str]]:
    data = spec.data
    channels, height, width = data.shape
    more = "; ..." if spec.classes > FEW_CLASSES else ""
    yield "images", f"{file_name(data.reference)}: {data.images:,} of {height} x {width} x {channels}\n{data.sha256}"
    yield "their grid", f"whole steps of 1/{data.levels:,}; preprocessing: {'; '.join(data.preprocessing) or 'none'}"
    yield "classes", f"{spec.classes:,}: {'; '.join(map(printable, data.class_names[:FEW_CLASSES]))}{more}"
    if data.subgroups:
        yield "subgroups", f"counted apart by {', '.join(map(printable, data.subgroups))}"


def _models(spec: Spec) -> Iterator[tuple[str, str]]:
    for model in spec.models:
        named = f"{file_name(model.reference)}, {model.arch or 'an architecture of its own'}"
        yield f"classifier at sigma {full(model.sigma)}", f"{named}\n{model.sha256}"


def _settings(spec: Spec) -> Iterator[tuple[str, str]]:
    request, recipe = spec.request, spec.recipe
    source = "from the operating system" if spec.seed_source == "operating system" else "chosen by the user"
    yield "L2 radii", ", ".join(full(r) for r in request.radius)
    yield "class certified", ", ".join(f"k = {k}: the {_target(spec, k)}" for k in request.k)
    yield "alpha, bound", f"{full(request.alpha)}, {request.bound}"
    yield "copies that select the class", f"{request.n0:,}" if request.selects else "none"
    yield "looks: copies after selection", ", ".join(f"{n:,}" for n in spec.looks)
    yield "stopping", "once every radius is decided" if request.stopping == "looks" else "always at the last look"
    yield "noise", "whole steps of the grid" if request.noise == "grid" else "floating point: arithmetic not covered"
    yield "seed of the noise", f"{spec.seed}, {source}"
    yield (
        "numeric recipe",
        f"{recipe.precision}, {recipe.device}, {recipe.batch_size} copies a batch, torch {recipe.torch}",
    )
    yield "smoothcert", spec.smoothcert


def _target(spec: Spec, k: int) -> str:
    return "prediction" if spec.request.target_of(k) == "prediction" else "reference label"


def event_table(run: Run) -> Table:
    """The event log; reports, which change no evidence, are left out."""
    events = [event for event in run.events if event.event != REPORTED]
    return rows(
        ("UTC", "event", "what it states"), [(each.at, each.event, "; ".join(_stated(each))) for each in events]
    )


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
        yield f"correct without noise: {counts} of {facts['images']:,}"
    if event.event == CHANGED:
        yield f"L2 norms of {len(facts['changes'])} simple changes, on {facts['images']:,} images"
    if event.event == RATES:
        rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in facts["rates"].items())
        yield f"noisy copies a second: {rates}"
    if event.event == ENERGY:
        used = "energy unknown" if facts["joules"] is None else f"{facts['joules']:,.0f} J by {facts['source']}"
        yield f"{facts['copies']:,} copies drawn, {used}"
    if isinstance(test, dict):
        yield f"self-test: logits {'do not ' if test.get('bit_equal') else ''}depend on neighbours in the batch"
    if isinstance(delivered, dict):
        yield f"noise delivered: its tests {'passed' if delivered.get('passed') else 'FAILED'}"


def line_table(spec: Spec, line: Line) -> Table:
    """One ledger line, field by field."""
    looks = "\n".join(f"{n:,}: {votes_in_words(spec, votes)}" for n, votes in line.looks)
    selection = "-" if line.selection is None else votes_in_words(spec, line.selection)
    subgroups = "\n".join(f"{printable(name)}: {printable(value)}" for name, value in line.subgroups.items())
    found = (
        ("sigma, index", f"{full(line.sigma)}, {line.index}", "which noise level, which image"),
        ("image", line.image, "hash of its pixels"),
        ("label", class_name(spec, line.label), "reference label"),
        ("group", printable(line.group or "-"), "patient or other group, where the data name one"),
        *([("subgroups", subgroups, "value in each column for which results are counted apart")] if subgroups else []),
        ("selection", selection, "votes that select the class; no bound uses them"),
        ("looks", looks or "-", "copies so far after selection, and all their votes"),
    )
    return rows(("field", "content", "meaning"), found)


def votes_in_words(spec: Spec, votes: Votes) -> str:
    """Return votes by class, the most first."""
    ranked = sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = f", and {len(ranked) - FEW_VOTES} more classes" if len(ranked) > FEW_VOTES else ""
    return ", ".join(f"{n:,} {printable(spec.data.class_names[c])}" for c, n in ranked[:FEW_VOTES]) + rest
