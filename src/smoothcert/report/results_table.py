"""`Table`, the value behind every table of the documents, and the results table, one row per (sigma, k, r).

Lower bounds are rounded down, upper bounds up.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smoothcert.config import UNSTATED
from smoothcert.evidence import Run
from smoothcert.formats.published import PublishedLog
from smoothcert.formats.results import PARTIAL, Entry
from smoothcert.report import markup
from smoothcert.stats import interval
from smoothcert.stats.rounding import format_down, full, percent_down, percent_of, percents

_NUMBER = re.compile(
    r"([<>]= |over )?[-+]?[\d.,]+(e[-+]?\d+)?"
    r"( ?%.*| ?/ ?\d.*| (to|of|ms|s|min|h|W|Wh|kWh|mJ|[A-Z]{3})\b.*| \((\d|this|plan|k).*|[\n ,\d.]*)",
    re.S,
)
"""A number, with what may follow it: a unit, a total, an interval, a remark, further numbers."""
WITHHELD = "withheld"
FORMATS = ("md", "csv", "tex", "json")
LEAST = ">= "
AT_LEAST = (
    'Sampling of an image stops once the radii of the run are decided; at other radii the counts are "at least", '
    "without an upper end."
)

HEADINGS = {
    "sigma": "sigma",
    "k": "k",
    "radius": "r",
    "certified": "certified",
    "accuracy": "certified accuracy %",
    "interval": "95 % interval if independent",
    "sample": "this sample >=",
    "population": "population >= % if independent",
    "joint": "joint >= % if independent",
    "abstained": "abstained",
    "wrong": "wrong class",
    "r_max": "R_max",
    "mean": "mean samples",
    "median": "median",
}


@dataclass(frozen=True)
class Table:
    """Rows of printed strings under headings, and the raw records they came from."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: tuple[dict[str, Any], ...]
    note: str = ""
    """A line under the table in Markdown and LaTeX; the records contain the same in columns."""

    def numeric(self, column: int) -> bool:
        """Whether most texts of a column are numbers, which are right-aligned; what is not known does not count."""
        texts = [
            row[column]
            for row in self.rows
            if row[column] != "-" and not row[column].startswith(("not ", "unknown", WITHHELD))
        ]
        numbers = sum(_NUMBER.fullmatch(text) is not None for text in texts)
        return len(texts) <= 2 * numbers

    def render(self, form: str) -> str:
        """Return the table as Markdown, CSV, LaTeX or JSON text (`FORMATS`)."""
        if form == "json":
            return json.dumps(list(self.records), indent=1)
        if form == "csv":
            return self._csv()
        return self._tex() if form == "tex" else self._markdown()

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(markup.inert, self.records[0]))
        writer.writerows(map(markup.inert, record.values()) for record in self.records)
        return text.getvalue().rstrip("\n")

    def _markdown(self) -> str:
        head, *rows = (tuple(map(markup.markdown, row)) for row in (self.headings, *self.rows))
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

        numeric = [self.numeric(i) for i in range(len(widths))]

        def line(entries: Sequence[str]) -> str:
            set_in = zip(entries, widths, numeric, strict=True)
            return "| " + " | ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in set_in) + " |"

        rules = zip(widths, numeric, strict=True)
        rule = "|" + "|".join("-" * (width + 1) + (":" if right else "-") for width, right in rules) + "|"
        under = ["", markup.markdown(self.note)] if self.note else []
        return "\n".join([line(head), rule, *(line(row) for row in rows), *under])

    def _tex(self) -> str:
        rows = [" & ".join(markup.tex(entry) for entry in row) + r" \\" for row in (self.headings, *self.rows)]
        columns = "".join("r" if self.numeric(i) else "l" for i in range(len(self.headings)))
        head = rf"\begin{{tabular}}{{{columns}}}"
        under = ["", rf"\noindent {markup.tex(self.note)}"] if self.note else []
        return "\n".join([head, r"\hline", rows[0], r"\hline", *rows[1:], r"\hline", r"\end{tabular}", *under])


def results_table(entries: Sequence[Entry], run: Run | None = None) -> Table:
    """Return the results table.

    An entry that is not attainable says so; it is never 0 %. Counts that are only "at least" are marked, and have
    neither an upper end nor abstentions. Withheld population bounds are left out.

    Args:
        entries: the results table.
        run: their run, with what the sponsor states about its images. Default: nothing is stated.
    """
    no_interval = run.no_interval if run else None
    shown = [kept(entry, run) for entry in entries]
    rows = tuple(tuple(_row(entry, no_interval is not None)[name] for name in HEADINGS) for entry in shown)
    records = tuple(_record(entry, no_interval) for entry in shown)
    return Table(tuple(HEADINGS.values()), rows, records, " ".join(_notes(shown, run)))


def kept(entry: Entry, run: Run | None) -> Entry:
    """Return an entry without bounds on a population where the sponsor denies their condition."""
    denied = run.stated.denied(run.spec.data.grouped) if run and not entry.withheld else None
    return replace(entry, population=None, joint=None, withheld=denied) if denied else entry


def _record(entry: Entry, no_interval: str | None) -> dict[str, Any]:
    """Return the record of an entry with the assumption behind its interval, or without one."""
    record = entry.record()
    if not entry.attainable or no_interval is None:
        return record | {"interval_assumes": INTERVAL_ASSUMES if entry.attainable else None}
    return record | {"low": None, "high": None, "interval_assumes": f"{WITHHELD}: {no_interval}"}


def interval_words(run: Run | None) -> str:
    """Return the condition of the intervals over images, or why they are withheld."""
    return f"{WITHHELD}: {run.no_interval}" if run and run.no_interval else INTERVAL_ASSUMES


INTERVAL_ASSUMES = "images are independent draws: assumed, not checked"


def _notes(entries: Sequence[Entry], run: Run | None) -> Iterator[str]:
    """Yield the assumptions of the columns, and why a bound is missing."""
    attainable = [entry for entry in entries if entry.attainable]
    if attainable:
        yield f"Intervals: {interval_words(run)}."
    if any(entry.at_least for entry in attainable):
        yield AT_LEAST
    yield from dict.fromkeys(
        f"Population: {entry.population_assumes}." for entry in attainable if entry.population_assumes
    )
    yield from dict.fromkeys(f"No population bound: {entry.withheld}." for entry in attainable if entry.withheld)
    no_population = (run.stated if run else UNSTATED).no_population(any(entry.groups is not None for entry in entries))
    if no_population and any(entry.population is not None for entry in attainable):
        yield f"These columns are no statement about a population: {no_population}."


def _row(entry: Entry, withheld: bool) -> dict[str, str]:
    shared = {
        "sigma": full(entry.sigma),
        "k": str(entry.k),
        "radius": full(entry.radius),
        "abstained": str(entry.abstained),
        "wrong": str(entry.wrong),
        "r_max": format_down(entry.r_max, 4),
        "mean": f"{entry.samples_mean:,.0f}",
        "median": f"{entry.samples_median:,.0f}",
    }
    if not entry.attainable:
        nothing = dict.fromkeys(("certified", "interval", "sample", "population", "joint"), "-")
        return {**shared, **nothing, "accuracy": f"not attainable (R_max {format_down(entry.r_max, 4)})"}
    least = LEAST if entry.at_least else ""
    found = {
        "certified": f"{least}{entry.certified}/{entry.images}",
        "accuracy": f"{least}{percent_of(entry.certified, entry.images)}",
        "interval": _interval(entry, withheld),
        "sample": str(entry.sample),
        "population": _percent(entry.population, entry),
        "joint": _percent(entry.joint, entry),
    }
    return {**shared, **found, **({"abstained": "-"} if entry.at_least else {})}


def _interval(entry: Entry, withheld: bool) -> str:
    if entry.lines < entry.images:
        return PARTIAL
    return WITHHELD if withheld else percents(entry.low, entry.high)


def _percent(value: float | None, entry: Entry) -> str:
    if value is not None:
        return percent_down(value)
    return PARTIAL if entry.withheld == PARTIAL else WITHHELD


def log_table(logs: Sequence[PublishedLog], radii: Sequence[float]) -> Table:
    """Return certified accuracy from published per-image logs; without their votes no bound is claimed."""
    records = [_log_record(log, r) for log in logs for r in radii]
    rows = tuple(
        (
            str(record["log"]),
            full(record["radius"]),
            f"{record['certified']}/{record['images']}",
            f"{record['observed']:.2f}",
            percents(record["low"], record["high"]),
            str(record["abstained"]),
        )
        for record in records
    )
    headings = ("log", "r", "certified", "certified accuracy", HEADINGS["interval"], "abstained")
    return Table(headings, rows, tuple(records))


def _log_record(log: PublishedLog, r: float) -> dict[str, Any]:
    m, s = len(log.radius), log.certified(r)
    low, high = interval(s, m)
    record = {"log": log.name, "radius": r, "images": m, "certified": s, "observed": s / m}
    return {**record, "low": low, "high": high, "abstained": int(log.abstained.sum())}
