"""Why: tasks get the id of a run, which Prefect can show, and find what is open for it here.

A run's clients and its journal cannot be handed through Prefect, which would try to store them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from gameday.errors import RefusedError
from gameday.health import Check
from gameday.journal.store import Verdict
from gameday.monitor.judge import Judge
from gameday.monitor.probes import Probes
from gameday.monitor.sampler import Sampler
from gameday.plan.model import Plan, PlannedStage
from gameday.report.publish import Published
from gameday.run.alerts import AlertWatch
from gameday.run.approval import Gate
from gameday.run.context import Run, Session
from gameday.run.last_stop import end_everything
from gameday.run.load import LoadRun
from gameday.run.notices import Announcer
from gameday.run.observe import Halt, Observer, verdict_of_lost
from gameday.run.recovery import Progress
from gameday.run.standing import Standing
from gameday.safety.lease import Target
from gameday.safety.shield import shielded
from gameday.safety.watchdog import Watchdog
from tasks.board import Board
from tasks.progress import Picture


@dataclass
class ActiveRun:
    """A run in this process, with what its steps share."""

    run: Run
    announcer: Announcer
    sampler: Sampler
    observer: Observer
    alerts: AlertWatch
    load: LoadRun
    stage_began: datetime
    halt: Halt | None = None
    injected: bool = False  # something was, and the emergency stop has not looked since
    watchdog: Watchdog | None = None
    checks: Sequence[Check] = ()  # what the health check found
    gate: Gate | None = None
    board: Board = field(default_factory=Board)
    picture: Picture | None = None
    report: Published | None = None
    plan_again: Callable[[], Awaitable[Plan]] | None = None

    @classmethod
    def of(cls, run: Run, announcer: Announcer) -> ActiveRun:
        """Make what the steps of ``run`` share."""
        catalogue = run.session.catalogue
        source = catalogue.platform.prometheus
        load = LoadRun(run)
        sampler = Sampler(
            run.session.prometheus,
            run.plan.watches,
            source.job,
            source.scrape_interval,
            probes=_probes(run.session, run.plan.namespace, load),
        )
        judge = Judge(run.plan.watches, catalogue.guardrails.no_data_grace)
        standing = Standing(run, catalogue.guardrails.no_data_grace)
        observer = Observer(run, sampler, judge, Progress(run.plan.watches), standing)
        return cls(run, announcer, sampler, observer, AlertWatch(run), load, run.now())

    async def called_off(self, stage: str) -> Halt | None:
        """Why ``stage`` must not be injected, asked anew just before; None where it may be."""
        if (halt := await self.observer.clear(stage)) is not None:
            return halt
        await self.alerts.before(self.stage(stage))
        if self.watchdog is not None and self.watchdog.gone:
            return Halt(Verdict.ABORTED, ("the watchdog that would end its faults has ended itself",))
        if self.run.journal_lost:
            return Halt(Verdict.ABORTED, (f"the record cannot be kept: {self.run.journal_lost}",))
        return await self._forbidden(self.stage(stage)) or await self._not_ours_any_more(self.stage(stage))

    async def _forbidden(self, stage: PlannedStage) -> Halt | None:
        """Why a rule forbids ``stage`` now. Raises ``RefusedError`` where nothing was injected yet."""
        broken = await self.observer.standing.before(stage)
        if not broken:
            return None
        if not self.injected:
            raise RefusedError(f"Stage {stage.name} must not be injected now", broken)
        return Halt(Verdict.ABORTED, tuple(f"before {stage.name}: {reason}" for reason in broken))

    async def _not_ours_any_more(self, stage: PlannedStage) -> Halt | None:
        leases = self.run.leases
        if leases is None:
            return None
        # Written down before the fault is there: a crash in between leaves the pause that is due.
        hit = {share.service for fault in stage.faults for share in fault.shares}
        leases.hits(Target(self.run.plan.namespace, service) for service in hit)
        await leases.renew()
        return Halt(verdict_of_lost(leases), (lost,)) if (lost := leases.why_lost()) else None

    async def end_everything(self) -> None:
        """End whatever this run has injected, whatever interrupts; nothing where that is done."""
        if self.injected:
            await shielded(end_everything(self.run))
            self.injected = False

    def tell_halt(self, halt: Halt) -> None:
        """Tell people why the execution ended early. Returns at once."""
        last = self.observer.progress.stages[-1:]
        self.announcer.halted(halt, last[0].stage if last else None)

    def stage(self, name: str) -> PlannedStage:
        """The stage called ``name``."""
        return next(stage for stage in self.run.plan.stages if stage.name == name)


def _probes(session: Session, namespace: str, load: LoadRun) -> Probes | None:
    if session.front is None:
        return None
    platform = session.catalogue.platform
    return Probes(platform, namespace, session.cluster, session.front, session.clock, load.results)


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
