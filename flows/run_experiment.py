"""The main flow: one experiment in one environment, from the first look to the verdict.

It holds the promise that faults end: whatever happens after the first injection, the emergency stop
runs, shielded from cancellation and signals, before anything else does.
"""

# No postponed annotations here: Prefect reads the flow's parameters in a copy of this module that
# does not know the names they would have to be looked up by.

import asyncio
import getpass
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows import termination
from flows.hooks import end_faults_of_flow_run
from flows.phases import execute, post_experiment, pre_experiment
from gameday.errors import GamedayError, RefusedError
from gameday.journal.store import Event, RunRecord, Verdict
from gameday.plan.build import build
from gameday.report.publish import publish
from gameday.run.closing import close_cut_off
from gameday.run.context import Listener, Requested, Run, Session
from gameday.run.ending import end_faults
from gameday.run.last_stop import end_everything
from gameday.run.notices import Announcer
from gameday.run.session import open_session
from gameday.safety.lease import RENEW_EVERY
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope
from gameday.settings import Settings, clock, load
from gameday.spec.base import parse_duration
from gameday.spec.catalogue import Catalogue
from tasks.active import ActiveRun, activated
from tasks.listening import listeners

# How the wish to end reaches a flow: its task is cancelled, Ctrl-C, SIGTERM by way of Prefect.
INTERRUPTIONS: Final = (asyncio.CancelledError, KeyboardInterrupt, TerminationSignal)

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
        requested_by: Who wants the run; the user of this process where it is empty.
        reason: Why.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where = catalogue.platform.environment(environment)
    declared = catalogue.experiment(experiment)
    wanted = parse_duration(duration) if duration else None
    flow_run = runtime.flow_run.id
    requested = Requested(requested_by or getpass.getuser(), reason or "no reason given", flow_run)
    logger = get_run_logger()
    time = clock(settings)
    async with open_session(settings, catalogue, where, time, logger.info) as session:
        if (before := await _executed_before(session, flow_run)) is not None:
            return await _never_twice(session, before)
        plan = await build(catalogue, declared, where, session.cluster, now=time.now(), duration=wanted)
        hears: list[Listener] = [*listeners(), _in_log(logger)]
        async with (
            Run.begin(plan, session, requested, hears) as run,
            Announcer.open(run) as announcer,
        ):
            with termination.heeded(), activated(ActiveRun.of(run, announcer)) as current:
                return await _Carrying(current, settings, wanted, dry_run).out()


def _in_log(logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> Listener:
    """Have the run's events in Prefect's log; samples only where somebody wants to see that much."""

    def log(event: Event) -> None:
        logger.log(logging.DEBUG if event.kind == "sample" else logging.INFO, "%s", event.message)

    return log


async def _executed_before(session: Session, flow_run: str | None) -> RunRecord | None:
    return await session.journal.of_flow_run(flow_run) if flow_run else None


async def _never_twice(session: Session, before: RunRecord) -> State[Any]:
    """End what an earlier execution of this flow run left, and stop: a fault is never injected twice."""
    report = await shielded(
        end_faults(Scope.of_run(before.run), context=session.environment.context, clock=session.clock)
    )
    why = "Prefect executed the run again; what was left was ended and nothing was injected"
    await close_cut_off(session.journal, before, Verdict.ERROR, why, report, session.clock)
    return Failed(name="Error", message=f"{why}. {' '.join(report.lines())}")


@dataclass
class _Carrying:
    """Carries one run out, and gives it its end whatever happens."""

    current: ActiveRun
    settings: Settings
    duration: timedelta | None
    dry_run: bool

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
        try:
            async with self._leases_kept():
                await self._phases()
        except RefusedError as error:
            await run.conclude(Verdict.REFUSED, error.reasons or (error.message,), hint=error.hint)
        except GamedayError as error:
            await run.conclude(Verdict.ERROR, (error.message,), hint=error.hint)
        except INTERRUPTIONS:
            await run.conclude(Verdict.STOPPED, ("cancelled, or the process was told to end",))
            raise
        except BaseException as error:
            await run.conclude(Verdict.ERROR, (f"{type(error).__name__}: {error}",))
            raise
        finally:
            await shielded(self._let_go())
        return self._state()

    @asynccontextmanager
    async def _leases_kept(self) -> AsyncIterator[None]:
        async def renew() -> None:
            if self.run.leases is not None:
                await self.run.leases.renew()

        async with self.run.session.clock.every(RENEW_EVERY, renew):
            yield

    async def _phases(self) -> None:
        await pre_experiment(self.run.id, dry_run_only=self.dry_run)
        if self.dry_run:
            await self.run.conclude(Verdict.HELD, ("dry run: everything that can be asked was asked",))
            return
        try:
            self.current.halt = await execute(self.run.id)
        finally:
            if self.current.injecting:
                await shielded(end_everything(self.run))
        await post_experiment(self.run.id, self.settings.reports_dir)

    async def _let_go(self) -> None:
        run = self.run
        if run.findings.verdict is not None and run.thread is not None:
            await self.current.announcer.close_thread(run.findings.verdict, run.findings.reasons)
        if run.leases is not None:
            for left in await run.leases.release():
                await run.tell("warning", left)
        await self._report()

    async def _report(self) -> None:
        """Write the report of a run that ended before its last step would have."""
        run = self.run
        if run.findings.reported:
            return
        try:
            await publish(run, self.settings.reports_dir)
        except GamedayError as error:
            await run.tell("warning", error.message)

    def _state(self) -> State[Any]:
        findings = self.run.findings
        verdict = findings.verdict or Verdict.ERROR
        name = verdict.value.capitalize()
        message = "; ".join(findings.reasons) or "the steady state held, every fault was proved in and out"
        outcome = {"run": self.run.id, "verdict": verdict.value, "reasons": list(findings.reasons)}
        match verdict:
            case Verdict.HELD:
                return Completed(name=name, message=message, data=outcome)
            case Verdict.STOPPED:
                return Cancelled(name=name, message=message, data=outcome)
            case _:
                return Failed(name=name, message=message, data=outcome)
