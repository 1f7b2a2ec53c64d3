"""The main flow: one experiment in one environment, from the first look to the verdict.

It holds the promise that faults end: whatever happens after the first injection, the emergency stop
runs, shielded from cancellation and signals, before anything else does.
"""

# No postponed annotations here: Prefect reads the flow's parameters in a copy of this module that
# does not know the names they would have to be looked up by.

import asyncio
import getpass
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final

import httpx
from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows import cancellation, termination
from flows.hooks import end_faults_of_flow_run
from flows.phases import execute, post_experiment, pre_experiment
from gameday.clients.grafana import Access
from gameday.errors import GamedayError, RefusedError, StoppedError
from gameday.journal.audit import Action
from gameday.journal.past import PastRuns
from gameday.journal.store import Event, RunRecord, Verdict
from gameday.plan.build import build
from gameday.report.publish import publish
from gameday.run.annotating import Annotator
from gameday.run.closing import close_cut_off
from gameday.run.context import Listener, Requested, Run, Session
from gameday.run.ending import end_faults
from gameday.run.marks import wanted
from gameday.run.notices import Announcer
from gameday.run.session import open_session
from gameday.run.watched import watched
from gameday.safety.called_off import Caller
from gameday.safety.lease import RENEW_EVERY
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope
from gameday.safety.watchdog import Watchdog
from gameday.settings import Settings, clock, load
from gameday.spec.base import parse_duration
from gameday.spec.catalogue import Catalogue
from gameday.typed import one_line
from tasks.active import ActiveRun, activated
from tasks.board import Board
from tasks.listening import listeners
from tasks.preparation import announce
from tasks.progress import Picture, show_report
from tasks.suite import active_suite

# How the wish to end reaches a flow: its task is cancelled, Ctrl-C, SIGTERM by way of Prefect, and an
# engine that ends itself because its worker was killed.
INTERRUPTIONS: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, TerminationSignal)

_DRY: Final = "Dry run: everything that can be asked was asked; nothing was touched, and there is no record"

_HELD: Final = "the steady state held, every fault was proved in and out"

DurationText = Annotated[
    str | None,
    Field(
        pattern=r"^(\d+(\.\d+)?(ms|s|m|h))+$",
        description="Stretch or shrink the whole execution to this, such as 5m. Empty: as declared.",
    ),
]


@flow(
    name="run-experiment",
    flow_run_name="{experiment} on {environment}",
    persist_result=False,
    on_cancellation=[end_faults_of_flow_run],
    on_crashed=[end_faults_of_flow_run],
    on_failure=[end_faults_of_flow_run],
)
async def run_experiment(
    experiment: str,
    environment: str = "staging",
    duration: DurationText = None,
    dry_run: bool = False,
    requested_by: str = "",
    reason: str = "",
) -> State[Any]:
    """Run one experiment of the catalogue in one environment.

    Args:
        experiment: Its name in the catalogue.
        environment: An environment of platform.yaml.
        duration: The whole execution is stretched or shrunk to this, such as ``5m``.
        dry_run: Stop after the plan, with the API server asked too.
        requested_by: Who wants the run, and so cannot approve it. Must be given where it needs an approval.
        reason: Why.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where = catalogue.platform.environment(environment)
    declared = catalogue.experiment(experiment)
    takes = parse_duration(duration) if duration else None
    flow_run = runtime.flow_run.id
    suite = active_suite()
    if suite is not None:
        requested = replace(suite.requested, flow_run=flow_run)
    else:
        requested = requested_as(requested_by, reason, flow_run)
    logger = get_run_logger()
    time = suite.clock if suite is not None else clock(settings)
    async with open_session(settings, catalogue, where, time, logger.info) as session:
        before = await session.journal.of_flow_run(flow_run) if flow_run else None
        # The journal may have died with the first execution's machine; Prefect still counts.
        if flow_run and (before is not None or (runtime.flow_run.run_count or 0) > 1):
            return await _never_twice(session, flow_run, before, wanted(settings, catalogue.platform))
        past = PastRuns(session.journal, sandbox=session.sandbox)
        making = partial(build, catalogue, declared, where, session.cluster, duration=takes, past=past)
        plan = await making(now=time.now())
        board = Board()
        hears: list[Listener] = [*listeners(), in_log(logger), board.hear]
        async with (
            Run.begin(plan, session, requested, hears, dry=dry_run) as run,
            Annotator.kept(run, settings),
            Announcer.open(run) as announcer,
            cancellation.heeded(session, run.id, None if dry_run else flow_run),
        ):
            with termination.heeded(), activated(ActiveRun.of(run, announcer)) as current:
                if suite is not None:
                    suite.run = run
                current.board = board
                current.plan_again = lambda: making(now=time.now(), run=plan.run)
                return await _Carrying(current, settings, takes).out()


def requested_as(by: str, reason: str, flow_run: str | None) -> Requested:
    """Who wants it: a process of a deployment belongs to a worker, not to whoever started the run."""
    who, why, deployment = one_line(by), one_line(reason) or "no reason given", runtime.deployment.name
    if who or not deployment:
        return Requested(who or getpass.getuser(), why, flow_run)
    return Requested(f"deployment {deployment}", why, flow_run, named=False)


def in_log(logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> Listener:
    """Have the run's events in Prefect's log; samples only where somebody wants to see that much."""

    def log(event: Event) -> None:
        logger.log(logging.DEBUG if event.kind == "sample" else logging.INFO, "%s", event.message)

    return log


async def _never_twice(
    session: Session, flow_run: str, before: RunRecord | None, marked: Access | None
) -> State[Any]:
    """End what an earlier execution of this flow run left, and stop: a fault is never injected twice."""
    namespace = session.catalogue.platform.chaos_namespace
    scope = (
        Scope.of_run(before.run, namespace) if before is not None else Scope.of_flow_run(flow_run, namespace)
    )
    report = await shielded(
        end_faults(
            scope,
            context=session.environment.context,
            clock=session.clock,
            # The first execution may be alive, whatever Prefect believes.
            call_off=True,
            caller=Caller("Prefect", "it executed the run again"),
        )
    )
    why = "Prefect executed the run again; what was left was ended and nothing was injected"
    if before is not None:
        await close_cut_off(
            session.journal, before, Verdict.ERROR, why, report, session.clock, door="flow", marked=marked
        )
    return Failed(name="Error", message=f"{why}. {' '.join(report.lines())}")


@dataclass
class _Carrying:
    """Carries one run out, and gives it its end whatever happens."""

    current: ActiveRun
    settings: Settings
    duration: timedelta | None

    @property
    def run(self) -> Run:
        return self.current.run

    async def out(self) -> State[Any]:
        run = self.run
        await run.tell(
            "run",
            f"Run {run.id}: {run.plan.title}, on {run.plan.environment}",
            run=run.id,
            watches=[watch.model_dump(mode="json", by_alias=True) for watch in run.plan.watches],
        )
        with ExitStack() as standing_by:
            try:
                async with self._leases_kept():
                    await self._phases(standing_by)
            except RefusedError as error:
                await run.conclude(Verdict.REFUSED, error.reasons or (error.message,), hint=error.hint)
            except StoppedError as error:
                halted = await self.current.observer.standing.halted()
                await run.conclude(Verdict.STOPPED, (halted or error.message,))
            except GamedayError as error:
                # A halt ends the faults of a stage while it is injected, too: that is nobody's error.
                halted = await self.current.observer.standing.halted()
                verdict = Verdict.STOPPED if halted else Verdict.ERROR
                reasons = (halted, error.message) if halted else (error.message,)
                await run.conclude(verdict, reasons, hint=error.hint)
            except httpx.TransportError as error:
                # Ours are all wrapped: this one was Prefect's.
                why = f"Prefect's server does not answer any more ({error})"
                await run.conclude(Verdict.ERROR, (why,), hint="Is it up? The run can be started anew.")
                raise
            except BaseException as error:
                if isinstance(error, INTERRUPTIONS) or termination.lies_behind(error):
                    await run.conclude(Verdict.STOPPED, ("cancelled, or the process was told to end",))
                else:
                    await run.conclude(Verdict.ERROR, (f"{type(error).__name__}: {error}",))
                raise
            finally:
                if run.findings.verdict is not None:
                    # Sent from a queue of its own: neither the Leases nor a Ctrl-C wait for Slack.
                    self.current.announcer.close_thread(run.findings.verdict, run.findings.reasons)
                await shielded(self._let_go())
        return self._state()

    @asynccontextmanager
    async def _leases_kept(self) -> AsyncIterator[None]:
        async def keep() -> None:
            if self.run.leases is not None:
                await self.run.leases.keep()

        async with self.run.session.clock.every(RENEW_EVERY, keep):
            yield

    async def _phases(self, standing_by: ExitStack) -> None:
        if self.run.dry:
            await pre_experiment(self.run.id, dry_run_only=True)
            await self.run.tell("dry-run", _DRY)
            return
        await announce(self.run)
        # Started first and asked last whether it is ready: meanwhile the platform is looked at.
        watchdog = standing_by.enter_context(watched(self.run, self.settings.state_dir))
        self.current.watchdog = watchdog
        async with self.current.load.kept():
            await self._broken_and_watched(watchdog)

    async def _broken_and_watched(self, watchdog: Watchdog) -> None:
        await pre_experiment(self.run.id)
        await watchdog.ready()
        await self.run.account(Action.RUN_STARTED, digest=self.run.plan.digest)
        # Before the next phase begins, not beside it: Prefect on SQLite refuses what comes at once.
        self.current.picture = Picture(self.run, self.current.board)
        await self.current.picture.begin()
        watchdog.faults_follow()
        async with self.current.alerts.kept():
            try:
                self.current.halt = await execute(self.run.id)
            finally:
                await self.current.end_everything()
            await post_experiment(self.run.id, self.settings.reports_dir)

    async def _let_go(self) -> None:
        run = self.run
        # Where faults may be left, or the record could not be closed, the watchdog tries once this is gone.
        if self.current.watchdog is not None and not (run.findings.left_behind or run.journal_lost):
            self.current.watchdog.done()
        if run.leases is not None:
            for left in await run.leases.release():
                await run.tell("warning", left)
        await self._report()
        if self.current.picture is not None:
            await self.current.picture.close()
        if self.current.report is not None:
            await show_report(run.id, self.current.report.data)

    async def _report(self) -> None:
        """Write the report of a run that ended before its last step would have."""
        run = self.run
        if run.findings.reported or run.dry:
            return
        try:
            self.current.report = await publish(run, self.settings.reports_dir)
        except GamedayError as error:
            await run.tell("warning", error.message)

    def _state(self) -> State[Any]:
        findings = self.run.findings
        if self.run.dry and findings.verdict is None:
            return Completed(name="Dry run", message=_DRY)
        return state_of(findings.verdict or Verdict.ERROR, findings.reasons, _HELD, run=self.run.id)


def state_of(verdict: Verdict, reasons: Sequence[str], held: str, **more: Any) -> State[Any]:
    """The state in Prefect of what ended with ``verdict``; ``held`` says what that means."""
    name, message = verdict.value.capitalize(), "; ".join(reasons) or held
    outcome = {"verdict": verdict.value, "reasons": list(reasons), **more}
    match verdict:
        case Verdict.HELD:
            return Completed(name=name, message=message, data=outcome)
        case Verdict.STOPPED:
            return Cancelled(name=name, message=message, data=outcome)
        case _:
            return Failed(name=name, message=message, data=outcome)
