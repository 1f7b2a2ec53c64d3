"""Why: tasks get the id of a run, which Prefect can show, and find what is open for it here.

A run's clients and its journal cannot be handed through Prefect, which would try to store them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from gameday.journal.store import Verdict
from gameday.monitor.judge import Judge
from gameday.monitor.sampler import Sampler
from gameday.plan.model import PlannedStage
from gameday.run.context import Run
from gameday.run.notices import Announcer
from gameday.run.observe import Halt, Observer
from gameday.run.recovery import Progress


@dataclass
class ActiveRun:
    """A run in this process, with what its steps share."""

    run: Run
    announcer: Announcer
    sampler: Sampler
    observer: Observer
    stage_began: datetime
    halt: Halt | None = None
    injecting: bool = False

    @classmethod
    def of(cls, run: Run, announcer: Announcer) -> ActiveRun:
        """Make what the steps of ``run`` share."""
        catalogue = run.session.catalogue
        source = catalogue.platform.prometheus
        sampler = Sampler(run.session.prometheus, run.plan.watches, source.job, source.scrape_interval)
        judge = Judge(run.plan.watches, catalogue.guardrails.no_data_grace)
        return cls(
            run, announcer, sampler, Observer(run, sampler, judge, Progress(run.plan.watches)), run.now()
        )

    async def called_off(self, stage: str) -> Halt | None:
        """Why ``stage`` must not be injected, asked anew just before; None where it may be."""
        if (halt := await self.observer.clear(stage)) is not None:
            return halt
        if self.run.journal_lost:
            return Halt(Verdict.ABORTED, (f"the record cannot be kept: {self.run.journal_lost}",))
        leases = self.run.leases
        if leases is None:
            return None
        await leases.renew()
        return Halt(Verdict.STOPPED, (lost,)) if (lost := leases.why_lost()) else None

    def stage(self, name: str) -> PlannedStage:
        """The stage called ``name``."""
        return next(stage for stage in self.run.plan.stages if stage.name == name)


_active: dict[str, ActiveRun] = {}


@contextmanager
def activated(active_run: ActiveRun) -> Iterator[ActiveRun]:
    """Let tasks find ``active_run`` meanwhile."""
    _active[active_run.run.id] = active_run
    try:
        yield active_run
    finally:
        del _active[active_run.run.id]


def active(run: str) -> ActiveRun:
    """The run with this id, which must be carried out by this process."""
    return _active[run]
