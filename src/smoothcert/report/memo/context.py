"""What the memo is made from, gathered once: the run, its entries, what verify says, the sponsor's fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from smoothcert.config import Device, Place, Production
from smoothcert.evidence import Run
from smoothcert.evidence.cost import basis_of
from smoothcert.evidence.events import LOCKED, STARTED, Event
from smoothcert.evidence.forecast import first_unnamed, forecast_of
from smoothcert.evidence.results import Verdict, verdicts
from smoothcert.evidence.scenarios import scenarios
from smoothcert.formats.cost import Basis, Scenario
from smoothcert.formats.plan import Forecast
from smoothcert.formats.results import Entry
from smoothcert.report.memo.blocks import cut, substitute
from smoothcert.report.memo.sponsor import Sponsor
from smoothcert.verify import Report, verify

NOT_MET = "NOT MET"


@dataclass(frozen=True)
class MemoContext:
    """Everything the fields and tables of the memo are derived from.

    Attributes:
        run: the run.
        sponsor: what the sponsor said.
        cells: the results table.
        checked: what verify says about the evidence.
    """

    run: Run
    sponsor: Sponsor
    cells: tuple[Entry, ...]
    checked: Report

    @property
    def named(self) -> Place | None:
        """The cell that was named before any look: the primary cell, else the first criterion's, else none."""
        request = self.run.spec.request
        if not self.locked_first or (self.planned and first_unnamed(self.planned, self.run.spec)):
            return None
        return request.primary or (request.criteria[0] if request.criteria else None)

    @cached_property
    def planned(self) -> Forecast | None:
        """What a plan predicted from a pilot on images of the run, where one is on record."""
        return forecast_of(self.run.events)

    @cached_property
    def shown(self) -> Entry:
        """The cell of the claim box: the named one, else the first attainable in the run's order, else the first."""
        if self.named is not None:
            wanted = (float(self.named.sigma), self.named.k, self.named.radius)
            return next(entry for entry in self.cells if (entry.sigma, entry.k, entry.radius) == wanted)
        return next((entry for entry in self.cells if entry.attainable), self.cells[0])

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The acceptance criteria, judged."""
        return verdicts(self.run.spec, self.cells)

    def judged(self, verdict: Verdict) -> tuple[str, str]:
        """Return what a criterion reached and its verdict, in words; nothing about a population of dependent images."""
        if self.run.missing:
            return "undecided: partial run", "undecided"
        if self.independent is False and verdict.criterion.of != "observed" and verdict.attainable:
            return "withheld: the images are not independent", "undecided"
        return verdict.reached, {True: "met", False: NOT_MET, None: "undecided"}[verdict.met]

    @property
    def production(self) -> Production:
        """What the sponsor says about production, or the defaults."""
        return self.sponsor.production or Production()

    @property
    def serving(self) -> Device | None:
        """The device that section 10 shows production on: the first the sponsor names; None: the run's own."""
        return next(iter(self.production.devices), None)

    @cached_property
    def basis(self) -> Basis:
        """What the cost scenarios are extrapolated from."""
        return basis_of(self.run, self.production)

    @cached_property
    def _scenarios(self) -> tuple[Scenario, ...]:
        return scenarios(self.basis, self.production)

    def scenario(self, task: str, studies: int | None = None) -> Scenario:
        """Return one row of the cost scenarios: on the run's device where it is done once, else on the one shown."""
        once, serving = studies is None, self.serving.name if self.serving else None
        rows = (row for row in self._scenarios if row.task == task and row.studies == studies)
        return next(row for row in rows if (row.here if once or serving is None else row.device == serving))

    @property
    def demo(self) -> bool:
        """Whether a classifier is the shipped demonstration."""
        return any(model.reference == "demo" for model in self.run.spec.models)

    @property
    def independent(self) -> bool | None:
        """What the sponsor says about the independence of the images; None where nothing was said."""
        return self.sponsor.independence.independent if self.sponsor.independence else None

    @property
    def locked_first(self) -> bool:
        """Whether the spec was locked before the first image: first in the log, and no line is older."""
        events = self.run.events
        if not events or events[0].event != LOCKED:
            return False
        return all(at >= events[0].at for at in self.run.ledger.columns.at.distinct())

    def event(self, name: str) -> Event | None:
        """Return the last event of a kind, or None."""
        return next((event for event in reversed(self.run.events) if event.event == name), None)

    @property
    def dated(self) -> str:
        """UTC time the memo bears: of the seal, else of the last image or event of the sampling. Never the clock's."""
        seal = self.run.directory.seal()
        if seal is not None:
            return seal.at
        times = self.run.ledger.columns.at.distinct()
        times += [event.at for event in self.run.events if event.event in (LOCKED, STARTED)]
        return max(times)


def gather(run: Run, sponsor: Sponsor, checked: Report | None = None) -> MemoContext:
    """Derive the results table of a run, and check its evidence where that was not done yet."""
    return MemoContext(run, sponsor, tuple(run.results()), checked or verify(run.directory.path, run))


def short(reference: str, most: int = 44) -> str:
    """Return the last part of a file name or reference, so that no machine's folders are printed."""
    return cut(substitute(PurePosixPath(reference.replace("\\", "/")).name or reference), most)
