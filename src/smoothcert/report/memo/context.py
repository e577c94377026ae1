"""The context of the memo, gathered once: the run, its entries, the result of verify, the sponsor's fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from smoothcert.config import Device, Place, Production
from smoothcert.evidence import Run
from smoothcert.evidence.cost import basis_of
from smoothcert.evidence.events import LOCKED, STARTED, Event
from smoothcert.evidence.results import Verdict, verdicts
from smoothcert.evidence.run import first_unnamed, forecast_of
from smoothcert.evidence.scenarios import scenarios
from smoothcert.formats.cost import Basis, Scenario
from smoothcert.formats.plan import Forecast
from smoothcert.formats.results import Entry
from smoothcert.report.memo.blocks import cut, substitute
from smoothcert.report.memo.sponsor import Sponsor
from smoothcert.report.returned import ByClass, StableWrong, by_class, stable_wrong
from smoothcert.verify import Report, verify


@dataclass(frozen=True)
class MemoContext:
    """The inputs of all fields and tables of the memo.

    Attributes:
        run: the run.
        sponsor: the sponsor's fields.
        entries: the results table.
        checked: the result of verify for the evidence.
        final: whether the memo is printed without "draft".
    """

    run: Run
    sponsor: Sponsor
    entries: tuple[Entry, ...]
    checked: Report
    final: bool = False

    @property
    def named(self) -> Place | None:
        """The entry that was named before any look: the primary entry, else that of the first criterion, else None."""
        request = self.run.spec.request
        if not self.locked_first or (self.planned and first_unnamed(self.planned, self.run.spec)):
            return None
        return request.primary or (request.criteria[0] if request.criteria else None)

    @cached_property
    def planned(self) -> Forecast | None:
        """The forecast of a plan from a pilot on images of the run, if one is recorded."""
        return forecast_of(self.run.events)

    @cached_property
    def shown(self) -> Entry:
        """The entry of the claim box: the named one, else the first attainable one, else the first."""
        if self.named is not None:
            wanted = (float(self.named.sigma), self.named.k, self.named.radius)
            return next(entry for entry in self.entries if (entry.sigma, entry.k, entry.radius) == wanted)
        return next((entry for entry in self.entries if entry.attainable), self.entries[0])

    @cached_property
    def by_class(self) -> ByClass | None:
        """The extreme classes of the entry shown."""
        return by_class(self.run, self.shown) if self.shown.attainable else None

    @cached_property
    def stable_wrong(self) -> StableWrong | None:
        """Wrong answers that are certified as well, at the entry shown; None if it is not about predictions."""
        predicted = self.shown.k == 1 and self.run.spec.request.target_of(1) == "prediction"
        return (
            stable_wrong(self.run, self.shown.sigma, self.shown.radius) if predicted and self.shown.attainable else None
        )

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The acceptance criteria, judged."""
        return verdicts(self.run.spec, self.entries, self.run.stated)

    @property
    def production(self) -> Production:
        """The sponsor's section on production, or the defaults."""
        return self.sponsor.production or Production()

    @property
    def serving(self) -> Device | None:
        """The device of production in section 10: the first that the sponsor names, or None for that of the run."""
        return next(iter(self.production.devices), None)

    @cached_property
    def basis(self) -> Basis:
        """The basis of the cost scenarios."""
        return basis_of(self.run, self.production)

    @cached_property
    def _scenarios(self) -> tuple[Scenario, ...]:
        return scenarios(self.basis, self.production)

    def scenario(self, task: str, studies: int | None = None) -> Scenario:
        """Return one cost scenario: on the device of the run if the task is done once, else on the device shown."""
        once, serving = studies is None, self.serving.name if self.serving else None
        rows = (row for row in self._scenarios if row.task == task and row.studies == studies)
        return next(row for row in rows if (row.here if once or serving is None else row.device == serving))

    @property
    def demo(self) -> bool:
        """Whether a classifier is the bundled demo."""
        return any(model.reference == "demo" for model in self.run.spec.models)

    @property
    def locked_first(self) -> bool:
        """Whether the spec was locked before the first image: it is the first event, and no ledger line is older."""
        events = self.run.events
        if not events or events[0].event != LOCKED:
            return False
        return all(at >= events[0].at for at in self.run.ledger.columns.at.distinct())

    def event(self, name: str) -> Event | None:
        """Return the last event of a kind, or None."""
        return next((event for event in reversed(self.run.events) if event.event == name), None)

    @property
    def dated(self) -> str:
        """UTC date of the memo: of the seal, else of the last image or sampling event; never the current time."""
        seal = self.run.directory.seal()
        if seal is not None:
            return seal.at
        times = self.run.ledger.columns.at.distinct()
        times += [event.at for event in self.run.events if event.event in (LOCKED, STARTED)]
        return max(times)


def gather(run: Run, sponsor: Sponsor, checked: Report | None = None, final: bool = False) -> MemoContext:
    """Return the context of a run; its evidence is verified unless `checked` is given."""
    found = sponsor.of(run)
    return MemoContext(found, sponsor, tuple(found.results()), checked or verify(run.directory.path, found), final)


def short(reference: str, most: int = 44) -> str:
    """Return the last part of a path or reference, so that no local folder is printed."""
    return cut(substitute(PurePosixPath(reference.replace("\\", "/")).name or reference), most)
