"""Why: every step of a run needs the same few things, and must tell what it does as it does it.

Holds the plan, the open clients and what the run has learned so far; writes every event to the
journal before anybody else hears of it. What the steps are, and their order, is for others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from gameday.analysis.baseline import Baseline
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import Ref
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus
from gameday.clients.slack import Messenger, Thread
from gameday.clock import Clock
from gameday.journal.store import (
    Event,
    FaultRecord,
    Journal,
    JournalError,
    Observation,
    RunRecord,
    Verdict,
)
from gameday.plan.model import Plan
from gameday.safety.lease import RunLeases
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Proof, StopReport
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment

Listener = Callable[[Event], None]

_WHY_HELD: Final = "every signal stayed within its limits, every fault was proved in and out"


@dataclass(frozen=True)
class Session:
    """Everything that is open while one environment is worked on."""

    catalogue: Catalogue
    environment: Environment
    clock: Clock
    cluster: Cluster
    chaos: ChaosMesh
    prometheus: Prometheus
    messenger: Messenger
    journal: Journal


@dataclass(frozen=True, slots=True)
class Requested:
    """Who wants the run, and why."""

    by: str
    reason: str
    flow_run: str | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """Whether and how fast the steady state came back after the last fault."""

    in_time: bool
    took: timedelta | None
    of_service: dict[str, timedelta | None]
    unmet: tuple[str, ...] = ()
    blind: bool = False  # nothing spoke against it but what could not be seen


@dataclass
class Findings:
    """What the run has learned so far."""

    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    baselines: list[Baseline] = field(default_factory=list)
    samples: int = 0
    faults_ended_at: datetime | None = None
    recovered: Recovered | None = None
    unproved: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    reported: bool = False


class Run:
    """One run: its plan, its clients, its record."""

    def __init__(
        self, plan: Plan, session: Session, requested: Requested, listeners: Sequence[Listener] = ()
    ) -> None:
        """Use ``begin`` to start a run; this only holds it."""
        self.plan = plan
        self.session = session
        self.requested = requested
        self.findings = Findings()
        self.leases: RunLeases | None = None
        self.thread: Thread | None = None
        self.journal_lost = ""
        # Objects whose creation was asked for and never answered: they may be there, or still come.
        self.unanswered: set[Ref] = set()
        self._listeners = listeners
        self._unwritten: deque[Event] = deque()
        self._writing = asyncio.Lock()
        self._faults: dict[str, FaultRecord] = {}

    @classmethod
    @asynccontextmanager
    async def begin(
        cls, plan: Plan, session: Session, requested: Requested, listeners: Sequence[Listener] = ()
    ) -> AsyncIterator[Self]:
        """Write the run down, then hand it out. Raises ``JournalError`` where it cannot be written."""
        run = cls(plan, session, requested, listeners)
        record = RunRecord(
            run=plan.run,
            experiment=plan.experiment,
            environment=plan.environment,
            requested_by=requested.by,
            reason=requested.reason,
            started_at=session.clock.now(),
            flow_run=requested.flow_run,
            plan=plan.model_dump(mode="json", by_alias=True),
            digest=plan.digest,
        )
        await session.journal.begin(record)
        yield run

    @property
    def id(self) -> str:
        """The run id."""
        return self.plan.run

    def now(self) -> datetime:
        """The run's time."""
        return self.session.clock.now()

    async def tell(self, kind: str, message: str, **data: Any) -> None:
        """Write an event to the journal, then let everybody who listens know.

        A journal that fails does not stop the run here: it is remembered in ``journal_lost``, what
        was not written is kept and tried again, and the monitor aborts because of it.
        """
        entry = Event(self.id, self.now(), kind, message, data)
        self._unwritten.append(entry)
        await self._write_down()
        self._announce(entry)

    async def _write_down(self) -> None:
        try:
            # One at a time: steps and messages are told at once, and each event is written once.
            async with self._writing:
                while self._unwritten:
                    # Taken first: a call that is cancelled has been written all the same.
                    entry = self._unwritten.popleft()
                    try:
                        await self.session.journal.append(entry)
                    except JournalError:
                        self._unwritten.appendleft(entry)
                        raise
        except JournalError as error:
            self._lose_journal(error)

    def _announce(self, entry: Event) -> None:
        for listener in self._listeners:
            listener(entry)

    def _lose_journal(self, error: JournalError) -> None:
        if not self.journal_lost:
            self.journal_lost = error.message
            self._announce(Event(self.id, self.now(), "warning", error.message))

    async def observe(self, seen: Sequence[Observation], message: str, **data: Any) -> None:
        """Write a sample down and announce it."""
        self.findings.samples += 1
        entry = Event(self.id, self.now(), "sample", message, data)
        try:
            await self.session.journal.observe(self.id, seen, entry)
        except JournalError as error:
            self._lose_journal(error)
        self._announce(entry)

    def known_fault(self, name: str) -> FaultRecord | None:
        """What was last written down of a fault."""
        return self._faults.get(name)

    async def record_fault(self, fault: FaultRecord) -> None:
        """Write down what is known of a fault."""
        self._faults[fault.name] = fault
        try:
            await self.session.journal.put_fault(self.id, fault)
        except JournalError as error:
            self._lose_journal(error)

    async def take_stop_report(self, report: StopReport) -> None:
        """Write down what the emergency stop made of each fault, and what nobody can vouch for."""
        for outcome in report.outcomes:
            known = self._faults.get(outcome.ref.name)
            if known is None:
                continue
            proved = outcome.proof is not Proof.UNPROVED
            ended = self.now() if proved else None
            await self.record_fault(replace(known, ended_at=ended, proof=f"emergency stop: {outcome}"))
        for line in report.todo:
            self.findings.unproved.append(line)
            await self.tell("warning", line)

    async def conclude(self, verdict: Verdict, reasons: Sequence[str], *, hint: str = "") -> None:
        """Give the verdict; the first one stands. ``hint`` says what a person can do about it.

        Told and recorded as one, whatever interrupts: a verdict that was told is never another later.
        """
        if self.findings.verdict is not None:
            return
        self.findings.verdict = verdict
        self.findings.reasons = tuple(reasons)
        await shielded(self._record_verdict(verdict, reasons, hint))

    async def _record_verdict(self, verdict: Verdict, reasons: Sequence[str], hint: str) -> None:
        summary = "; ".join(reasons)
        why = summary or (_WHY_HELD if verdict is Verdict.HELD else "no reason was recorded")
        message = f"{verdict.value.capitalize()}: {why}"
        more = {"hint": hint} if hint else {}
        await self.tell("verdict", message, verdict=verdict.value, reasons=list(reasons), **more)
        try:
            await self.session.journal.amend(
                self.id, verdict=verdict.value, summary=summary, ended_at=self.now()
            )
        except JournalError as error:
            self._lose_journal(error)
