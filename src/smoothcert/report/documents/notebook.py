"""Check `notebook.ipynb`: its cells against the template, and its outputs. No cell of the file is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from smoothcert.errors import EvidenceError, MissingExtraError
from smoothcert.report.documents.found import Findings, Written, describe, fault, note
from smoothcert.report.documents.html import Markup
from smoothcert.report.documents.printed import PrintedTable, compare_tables, markdown_tables
from smoothcert.report.notebook.build import NAME, read_script
from smoothcert.report.notebook.facts import Shown, render_sentence, render_table
from smoothcert.verify.keys import Compared

TAGS = frozenset(("p", "em", "div", "table", "thead", "tbody", "tr", "th", "td", "br", "wbr"))
KINDS = frozenset(("text/html", "text/plain", "image/png"))


def check_notebook(written: Written) -> Findings:
    """Check the notebook, if there is one."""
    if not (written.folder / NAME).is_file():
        return
    entries = _cells(written.record(NAME))
    unsafe = list(_unsafe(entries))
    yield from (fault(NAME, message) for message in unsafe[:5])
    if unsafe:
        return
    try:
        known = [_template(written, live) for live in (True, False)]
        script = next((each for each in known if _sources(each) == _sources(entries)), None)
        if written.same_code and script is None:
            yield fault(NAME, ": its cells are not those that this version writes for this run")
            return
        shown = derive(written, script or known[0])
    except MissingExtraError as missing:
        yield note(NAME, f": not checked. {missing}")
        return
    except Exception as error:  # the template is code of this package; if it fails, the file is not checked
        yield note(NAME, f": not checked, as its tables could not be derived again ({type(error).__name__}: {error})")
        return
    found = Compared()
    if written.same_code:
        _outputs(entries, shown, found)
        yield note(NAME, ": its figures, and the outputs of section 1, were not derived again")
    else:
        _tables(entries, shown, found)
        found.worded.append("cells, sentences and figures")
    yield from describe(written, NAME, found)


def _cells(record: dict[str, Any]) -> list[dict[str, Any]]:
    entries = record.get("cells")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise EvidenceError(f"results/{NAME}: expected a notebook with cells, got something else.", code="E-RUN-066")
    for entry in entries:
        outputs = entry.get("outputs", [])
        if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
            raise EvidenceError(
                f"results/{NAME}: expected a list of outputs in each cell, got something else.", code="E-RUN-067"
            )
    return entries


def _template(written: Written, live: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_script(written.run, written.folder, live).cells
    return found


def _sources(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(str(entry.get("cell_type")), _joined(entry.get("source"))) for entry in entries]


def _joined(text: object) -> str:
    """Return a text that a notebook may store as a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _unsafe(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Yield outputs that no version writes: active markup, errors, and kinds other than text and images."""
    for number, entry in enumerate(entries):
        if entry.get("attachments"):
            yield f", cell {number}: an attachment, which no version writes"
        if entry.get("cell_type") != "code" and Markup(_joined(entry.get("source"))).active:
            yield f", cell {number}: markup that could run or load something"
        for output in entry.get("outputs", []):
            kind, data = output.get("output_type"), output.get("data", {})
            if kind not in ("display_data", "stream") or not isinstance(data, dict) or not {*data} <= KINDS:
                yield f", cell {number}: an output of a kind that no version writes"
                continue
            markup = Markup(_joined(data.get("text/html", "")))
            if ("image/png" in data and not _joined(data.get("text/plain")).startswith("<IPython")) or len(data) > 2:
                yield f", cell {number}: an image with unexpected text"
            if markup.active or markup.scripts or markup.styles or not markup.tags <= TAGS:
                yield f", cell {number}: an output with markup that could run or load something"


def derive(written: Written, script: list[dict[str, Any]]) -> list[list[Shown] | None]:
    """Run the template of this package without figures, and return the output of each cell; None for live cells.

    Nothing of the stored notebook is executed: `script` is the text of this version.
    """
    shown: list[Shown] = []
    names: dict[str, Any] = {"__name__": "notebook", "OPENED": written.run}
    ours: dict[str, Callable[..., None]] = {
        "say": lambda *given, **more: shown.append(render_sentence(*given, **more)),
        "table": lambda *given, **more: shown.append(render_table(*given, **more)),
    }
    found: list[list[Shown] | None] = []
    for number, entry in enumerate(script):
        source = str(entry["source"])
        if entry["cell_type"] != "code":
            found.append([])
            continue
        parameters = "parameters" in entry["metadata"].get("tags", ())
        exec(compile(source.replace("open_run(RUN)", "OPENED"), f"<notebook, cell {number}>", "exec"), names)
        if parameters:
            names |= {"RUN": written.run.directory.path, "LIVE": False}
        drawing = [name for name in names if name == "picture" or name.startswith("draw_") or name.endswith("_figure")]
        names |= {**dict.fromkeys(drawing, _nothing), **ours}
        live = source.startswith("if live:") or "loaded = load()" in source  # needs classifier and images
        found.append(None if live else [*shown])
        shown.clear()
    return found


def _nothing(*_: Any, **__: Any) -> None:
    """Replace a function that draws."""


def _texts(entry: dict[str, Any]) -> list[Shown]:
    """Return the text outputs of a cell, streams included."""
    outputs = [each for each in entry.get("outputs", []) if "image/png" not in each.get("data", {})]
    return [
        (_joined(each["data"].get("text/html", "")), _joined(each["data"].get("text/plain", "")))
        if "data" in each
        else ("", _joined(each.get("text", "")))
        for each in outputs
    ]


def _outputs(entries: list[dict[str, Any]], shown: list[list[Shown] | None], found: Compared) -> None:
    """Compare the outputs of the same code, cell by cell."""
    for number, (entry, wanted) in enumerate(zip(entries, shown, strict=True)):
        if wanted is not None and _texts(entry) != wanted:
            found.wrong.append(f"the output of cell {number}")


def _tables(entries: list[dict[str, Any]], shown: list[list[Shown] | None], found: Compared) -> None:
    """Compare the tables of a notebook of another version, as HTML and as plain text."""
    theirs = [output for entry in entries for output in _texts(entry)]
    ours = [output for outputs in shown for output in outputs or ()]
    compare_tables(_in_html(theirs), _in_html(ours), found)
    plain = Compared()
    compare_tables(_in_text(theirs), _in_text(ours), plain)
    found.wrong += [f"{place} (plain text)" for place in plain.wrong]


def _in_html(outputs: list[Shown]) -> list[PrintedTable]:
    return [table for page, _ in outputs for table in Markup(page).tables]


def _in_text(outputs: list[Shown]) -> list[PrintedTable]:
    return [table for _, plain in outputs for table in markdown_tables(plain)]
