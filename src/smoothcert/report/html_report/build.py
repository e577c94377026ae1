"""Build `report.html`, one self-contained file. The only module that imports Jinja."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smoothcert.config import Production
from smoothcert.errors import MissingExtraError
from smoothcert.evidence import Run
from smoothcert.evidence.cost import basis_of
from smoothcert.evidence.directory import write_derived
from smoothcert.evidence.scenarios import scenarios
from smoothcert.report.claims import guarantees
from smoothcert.report.cost import assumptions, device_tables, devices_table, rates_table
from smoothcert.report.groups import by_column, subgroup_note, subgroup_table
from smoothcert.report.html_report import provenance, summary
from smoothcert.report.html_report.data import page_data, script_safe
from smoothcert.report.html_report.images import listed
from smoothcert.report.html_report.provenance import event_words
from smoothcert.report.html_report.summary import marks
from smoothcert.report.markup import visible
from smoothcert.report.results_table import interval_words, results_table
from smoothcert.report.returned import confusion_table
from smoothcert.report.tables import (
    accuracy_table,
    changes_table,
    cost_table,
    criteria_table,
    group_table,
    units_table,
)
from smoothcert.stats.rounding import full
from smoothcert.verify.conduct import deviations_stated

if TYPE_CHECKING:
    from jinja2 import Template

NAME = "report.html"
SCRIPTS = ("base", "chart", "slider", "classes", "images", "certificate", "start")
"""The scripts of the page, joined in this order into one."""

SECTIONS = (
    ("summary", "Summary"),
    ("curve", "Certified accuracy against radius"),
    ("tested", "Images, population and classifiers"),  # number 3: the population claim refers to it
    ("results", "Results"),
    ("criteria", "Acceptance criteria"),
    ("price", "Clean and certified accuracy"),
    ("cost", "Cost of certifying, and of production"),
    ("units", "The radius in image units"),
    ("classes", "Classes"),
    ("subgroups", "Subgroups"),  # only where the spec names columns
    ("images", "Images"),
    ("guarantees", "What a certificate does and does not guarantee"),
    ("provenance", "Provenance and verification"),
)


def write_page(run: Run, folder: Path, production: Production | None = None) -> Path:
    """Write `report.html`: tables, chart and images of a run in one file that needs no network.

    The same run gives the same bytes. Names from the data are text, never markup.

    Args:
        run: the run, complete or partial.
        folder: an existing folder.
        production: section `production` of the sponsor's file. Default: the built-in values.

    Returns:
        The file.

    Raises:
        MissingExtraError: Jinja is not installed.
        SpecError: the ledger does not fit the spec.
    """
    path = folder / NAME
    write_derived(path, page_text(run, production))
    return path


def page_text(run: Run, production: Production | None = None) -> str:
    """Return the text that `write_page` writes."""
    return render(run, production).encode("utf-8", "replace").decode("utf-8")  # half a character becomes "?"


def render(run: Run, production: Production | None = None) -> str:
    """Return the page as text.

    Raises:
        MissingExtraError: Jinja is not installed.
        SpecError: the ledger does not fit the spec.
    """
    shown = [section for section in SECTIONS if section[0] != "subgroups" or run.spec.data.subgroups]
    style, script = _text("report.css"), "\n".join(_text("js", f"{name}.js") for name in SCRIPTS)
    return _template().render(
        **_content(run, production or Production()),
        style=style,
        script=script,
        policy=policy_of(style, script),
        sections=[{"number": i, "id": name, "title": title} for i, (name, title) in enumerate(shown, 1)],
    )


def _content(run: Run, production: Production) -> dict[str, Any]:
    """Return all values that the template needs for one run."""
    entries, request, basis = run.results(), run.spec.request, basis_of(run, production)
    primary, state = summary.primary_entry(run, entries), marks(run)
    k, r = request.first_k, request.first_radius
    return {
        "run": run,
        "full": full,
        "marks": state,
        "head": [*summary.head(run), ("Evidence", state[0].detail)] if state[0].kind == "closed" else summary.head(run),
        "primary": primary,
        "primary_claims": list(summary.primary_claims(run, primary)) if primary else [],
        "reading": summary.reading(run),
        "intervals": f"Intervals: {interval_words(run)}.",
        "no_population": run.stated.no_population(run.spec.data.grouped),
        "deviations": deviations_stated(run),
        "k": k,
        "r": r,
        "data": script_safe(page_data(run, entries)),
        "listed": len(listed(run.spec)),
        "facts": {
            "images": provenance.images_facts(run),
            "pipeline": provenance.pipeline_facts(run),
            "settings": provenance.settings(run),
            "origin": provenance.origin(run),
            "environment": provenance.environment(run),
        },
        "subgroups": by_column(subgroup_table(run, k, r)),
        "subgroup_note": subgroup_note(run),
        "assumed": assumptions(basis, production),
        "production": device_tables(scenarios(basis, production)) if run.ledger.lines else {},
        "events": [(event.at, event.event, event_words(event)) for event in run.events],
        "tables": {
            "headline": summary.headline(run, entries, k),
            "classifiers": provenance.classifiers(run),
            "results": results_table(entries, run),
            "confusion": confusion_table(run),
            "criteria": criteria_table(run),
            "accuracy": accuracy_table(run),
            "cost": cost_table(run),
            "rates": rates_table(run),
            "devices": devices_table(basis, production),
            "units": units_table(run),
            "changes": changes_table(run),
            "groups": group_table(run, k, r),
            "guarantees": guarantees(run.arithmetic_covered, run.spec.denoised),
        },
    }


def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError(NAME, "report") from None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    return environment.from_string(_text("report.html.j2"))


def _shown(value: object) -> object:
    """Return the printed form of a value: a plain string is untrusted text, `Markup` is ours."""
    return visible(value) if type(value) is str else value


def policy_of(style: str, script: str) -> str:
    """Return the content security policy of the page: nothing is fetched, and only this style and script apply.

    Under it, event handlers inside markup do not run.
    """
    sources = {"style": style, "script": script}
    allowed = (f"{kind}-src '{_hash(text)}'" for kind, text in sources.items())
    return "; ".join(["default-src 'none'", *allowed, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _text(*parts: str) -> str:
    return files("smoothcert.report.html_report").joinpath(*parts).read_text(encoding="utf-8")
