"""Why: every step of a run needs the same few things, and must tell what it does as it does it.

Holds the plan, the open clients and what the run has learned so far; writes every event to the
journal before anybody else hears of it. What the steps are, and their order, is for others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Self

from gameday.analysis.baseline import Baseline
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import Ref
from gameday.clients.front import FrontDoor
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus
from gameday.clients.slack import Messenger, Thread
from gameday.clock import Clock
from gameday.journal.audit import Action, Audit
from gameday.journal.kinds import EventKind
from gameday.journal.results import Results
from gameday.journal.store import (
    Event,
    FaultRecord,
    Journal,
    Observation,
    RunRecord,
    Verdict,
)
from gameday.plan.model import Plan
from gameday.redaction import redacted, redacted_data
from gameday.run.record import Record, Write
from gameday.safety.lease import RunLeases
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Proof, StopReport
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment

Listener = Callable[[Event], None]
FaultListener = Callable[[FaultRecord], None]

FLOW: Final = "flow"
"""The door by which a run comes into the audit trail."""

_GONE: Final = (
    "gone: ended by somebody else; Chaos Mesh keeps an object until it has recovered, unless forced"
)
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
    front: FrontDoor | None = None
    sandbox: bool = False  # a twin, not a cluster: its record is kept apart


@dataclass(frozen=True, slots=True)
class Requested:
    """Who wants the run, and why."""

    by: str
    reason: str
    flow_run: str | None = None
    named: bool = True  # False where nobody said who it is, and ``by`` only tells from where
    suite: str | None = None  # the id of the suite that the run is part of


@dataclass(frozen=True, slots=True)
class Recovered:
    """Whether and how fast the steady state came back after the last fault."""

    in_time: bool
    took: timedelta | None
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
    # What the experiment said the faults must show: that did not come, and that nobody could see.
    missed: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    left_behind: bool = False  # faults are in, or may be, and nobody has proved that they ended
    untold: list[str] = field(default_factory=list)
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    reported: bool = False


class Run:
    """One run: its plan, its clients, its record."""

    def __init__(
        self,
        plan: Plan,
        session: Session,
        requested: Requested,
        listeners: Sequence[Listener] = (),
        *,
        dry: bool = False,
    ) -> None:
        """Use ``begin`` to start a run; this only holds it. A ``dry`` one leaves no record."""
        self.plan = plan
        self.dry = dry
        self.session = session
        self.requested = requested
        self.findings = Findings()
        self.leases: RunLeases | None = None
        self.thread: Thread | None = None
        # Objects whose creation was asked for and never answered: they may be there, or still come.
        self.unanswered: set[Ref] = set()
        # Who said yes, where somebody had to.
        self.approved_by = ""
        # Told of each fault once it is written down; they return at once and raise nothing.
        self.fault_listeners: list[FaultListener] = []
        self._listeners = listeners
        self._record = Record(self._lose_journal)
        self._faults: dict[str, FaultRecord] = {}
        self._audit = Audit(session.journal)

    @classmethod
    @asynccontextmanager
    async def begin(
        cls,
        plan: Plan,
        session: Session,
        requested: Requested,
        listeners: Sequence[Listener] = (),
        *,
        dry: bool = False,
    ) -> AsyncIterator[Self]:
        """Write the run down, then hand it out. Raises ``JournalError`` where it cannot be written.

        A ``dry`` run breaks nothing, so it is none in the record: only who listens hears of it.
        """
        run = cls(plan, session, requested, listeners, dry=dry)
        if dry:
            yield run
            return
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
            suite=requested.suite,
            sandbox=session.sandbox,
        )
        # First: what cannot be accounted for does not begin.
        await run.account(
            Action.RUN_REQUESTED,
            experiment=plan.experiment,
            environment=plan.environment,
            reason=requested.reason,
            digest=plan.digest,
            flowRun=requested.flow_run,
        )
        await session.journal.begin(record)
        await Results(session.journal).expect(plan.run, plan.experiment, plan.environment)
        try:
            yield run
        finally:
            await shielded(run._record.close())

    @property
    def id(self) -> str:
        """The run id."""
        return self.plan.run

    @property
    def journal_lost(self) -> str:
        """Why something could not be written down in time, "" where everything was."""
        return self._record.lost

    async def replan(self, plan: Plan) -> None:
        """Carry out ``plan`` instead, which was made anew before anything was injected."""
        self.plan = plan
        written = plan.model_dump(mode="json", by_alias=True)
        await self._write(partial(self.session.journal.amend, self.id, plan=written, digest=plan.digest))

    def now(self) -> datetime:
        """The run's time."""
        return self.session.clock.now()

    async def tell(self, kind: EventKind, message: str, **data: Any) -> None:
        """Write an event to the journal, then let everybody who listens know.

        A journal that fails does not stop the run here: it is remembered in ``journal_lost``, what
        was not written is kept and written in order when it is back, and the monitor aborts because of it.
        """
        entry = Event(self.id, self.now(), kind, redacted(message), redacted_data(data))
        await self._write(partial(self.session.journal.append, entry))
        self._announce(entry)

    async def _write(self, write: Write) -> None:
        if not self.dry:
            await self._record.write(write)

    def _announce(self, entry: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(entry)
            except OSError:
                # Whoever read our output has gone: what becomes of the run then is the command's to say.
                raise
            except Exception as error:
                # A display must not end what it shows; it shows nothing more, and the record says why.
                self._listeners = [other for other in self._listeners if other is not listener]
                why = f"a display of the run failed and was taken off: {type(error).__name__}: {error}"
                said = Event(self.id, entry.at, "warning", redacted(why))
                if not self.dry:
                    self._record.later(partial(self.session.journal.append, said))

    def _lose_journal(self, why: str) -> None:
        entry = Event(self.id, self.now(), "warning", why)
        self._record.later(partial(self.session.journal.append, entry))
        self._announce(entry)

    async def observe(self, seen: Sequence[Observation], message: str, **data: Any) -> None:
        """Write a sample down and announce it."""
        self.findings.samples += 1
        entry = Event(self.id, self.now(), "sample", redacted(message), redacted_data(data))
        await self._write(partial(self.session.journal.observe, self.id, seen, entry))
        self._announce(entry)

    def known_fault(self, name: str) -> FaultRecord | None:
        """What was last written down of a fault."""
        return self._faults.get(name)

    async def account(self, action: Action, **detail: Any) -> None:
        """Write an action into the audit trail before it is done. Raises ``JournalError``."""
        if not self.dry:
            await self._audit.record(
                action, by=self.requested.by, source=FLOW, at=self.now(), run=self.id, detail=detail
            )

    async def _account_for(self, action: Action, **detail: Any) -> None:
        """The same for what has been done: that it cannot be written holds nothing up."""
        await self._write(
            partial(
                self._audit.record,
                action,
                by=self.requested.by,
                source=FLOW,
                at=self.now(),
                run=self.id,
                detail=detail,
            )
        )

    async def record_fault(self, fault: FaultRecord) -> None:
        """Write down what is known of a fault."""
        before = self._faults.get(fault.name)
        self._faults[fault.name] = fault
        await self._write(partial(self.session.journal.put_fault, self.id, fault))
        about = {"kind": fault.kind, "name": fault.name, "stage": fault.stage, "proof": fault.proof}
        if fault.injected_at is not None and (before is None or before.injected_at is None):
            await self._account_for(Action.FAULT_INJECTED, **about, pods=list(fault.pods))
        if fault.ended_at is not None and (before is None or before.ended_at is None):
            await self._account_for(Action.FAULT_ENDED, **about)
        for listener in self.fault_listeners:
            listener(fault)

    async def take_stop_report(self, report: StopReport) -> None:
        """Write down what the emergency stop made of each fault, and what nobody can vouch for."""
        await self._account_for(Action.STOP, **report.gist())
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

    async def take_gone(self) -> None:
        """Write down the end of what somebody else has ended: nothing of the run is in the cluster now."""
        for fault in list(self._faults.values()):
            if fault.injected_at is not None and fault.ended_at is None:
                await self.record_fault(replace(fault, ended_at=self.now(), proof=_GONE))

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
        await self._write(partial(self._close_record, verdict, summary, self.now()))
        action = Action.RUN_REFUSED if verdict is Verdict.REFUSED else Action.RUN_ENDED
        await self._account_for(action, verdict=verdict.value, reasons=list(reasons))

    async def _close_record(self, verdict: Verdict, summary: str, at: datetime) -> None:
        if not await self.session.journal.conclude(self.id, verdict, summary, at):
            words = "The record had been closed meanwhile and keeps that verdict"
            note = Event(self.id, at, "note", words)
            self._record.later(partial(self.session.journal.append, note))
            self._announce(note)
