"""The flow of a suite: experiments one after another, each a run of its own, well in between.

Every run has its own id, Lease, watchdog, record and report, as if it had been started alone; so the
faults end however this flow does. What follows from how a run ended is ``gameday.run.suite``'s.
"""

# No postponed annotations here, as in ``run_experiment``.

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import cancellation, termination
from flows.hooks import end_faults_of_suite
from flows.run_experiment import INTERRUPTIONS, DurationText, in_log, requested_as, run_experiment, state_of
from gameday.errors import GamedayError, StoppedError
from gameday.health import Examination
from gameday.journal.store import Event, Verdict
from gameday.plan.build import new_run_id
from gameday.redaction import redacted, redacted_data
from gameday.report.suite import render, write
from gameday.run.context import Listener, Requested, Session
from gameday.run.ending import end_faults_in
from gameday.run.session import open_session
from gameday.run.suite import Interval, Outcome, SuiteRun, goes_on, parts, pause
from gameday.run.suite_notices import SuiteNotices
from gameday.safety.called_off import Caller
from gameday.safety.lease import RENEW_EVERY, RunLeases
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope
from gameday.settings import clock, load
from gameday.spec.base import format_duration, parse_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.suite import Part, takes
from tasks.listening import listeners
from tasks.suite import ActiveSuite, activated, wait_until_well

_HELD: Final = "every experiment held"
_DRY: Final = "Dry run: every experiment was asked about; nothing was touched, and there is no record"
_AGAIN: Final = "Prefect executed the suite again; what was left was ended and nothing was injected"


@flow(
    name="run-suite",
    flow_run_name="{suite} on {environment}",
    persist_result=False,
    on_cancellation=[end_faults_of_suite],
    on_crashed=[end_faults_of_suite],
    on_failure=[end_faults_of_suite],
)
async def run_suite(
    suite: str,
    environment: str = "staging",
    duration: DurationText = None,
    dry_run: bool = False,
    requested_by: str = "",
    reason: str = "",
) -> State[Any]:
    """Run the experiments of one suite of the catalogue in one environment, one after another.

    Args:
        suite: Its name in the catalogue.
        environment: An environment of platform.yaml.
        duration: All executions together are stretched or shrunk to this, such as ``30m``.
        dry_run: Stop each after its plan, with the API server asked too.
        requested_by: Who wants the runs, and so cannot approve them. Must be given where they need it.
        reason: Why.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where = catalogue.platform.environment(environment)
    declared = catalogue.suite(suite)
    chosen = parts(declared, catalogue, parse_duration(duration) if duration else None)
    flow_run = runtime.flow_run.id
    requested = requested_as(requested_by, reason, flow_run)
    logger = get_run_logger()
    if flow_run and (runtime.flow_run.run_count or 0) > 1:
        await _end_what_is_left(flow_run)
        return Failed(name="Error", message=_AGAIN)
    time = clock(settings)
    async with open_session(settings, catalogue, where, time, logger.info) as session:
        going = SuiteRun(
            id=new_run_id(suite, time.now()),
            suite=declared,
            environment=environment,
            requested_by=requested.by,
            reason=requested.reason,
            started_at=time.now(),
        )
        hears: list[Listener] = [*listeners(), in_log(logger)]
        requested = replace(requested, suite=going.id)
        carrying = _Carrying.of(going, chosen, session, requested, hears, settings.reports_dir, dry_run)
        async with (
            carrying.notices.open(),
            cancellation.heeded(session, going.id, None if dry_run else flow_run),
        ):
            with termination.heeded():
                return await carrying.out()


async def _end_what_is_left(flow_run: str) -> None:
    async with get_client() as client:
        found = await client.read_flow_run(UUID(flow_run))
    await shielded(end_faults_of_suite(run_suite, found, Failed(message=_AGAIN)))


@dataclass
class _Carrying:
    """Carries one suite out, and gives it its end whatever happens."""

    active: ActiveSuite
    parts: Sequence[Part]
    session: Session
    leases: RunLeases
    notices: SuiteNotices
    hears: Sequence[Listener]
    reports_dir: Path
    dry: bool

    @classmethod
    def of(
        cls,
        going: SuiteRun,
        chosen: Sequence[Part],
        session: Session,
        requested: Requested,
        hears: Sequence[Listener],
        reports_dir: Path,
        dry: bool,
    ) -> "_Carrying":
        platform, where = session.catalogue.platform, session.environment
        leases = RunLeases(
            session.cluster,
            going.id,
            (),
            namespace=platform.chaos_namespace,
            clock=session.clock,
            flow_run=requested.flow_run or "",
        )
        examination = Examination(platform, where, session.cluster, session.chaos, session.prometheus)
        tell = partial(_tell, going, session, hears)
        interval = Interval(
            session.clock,
            session.cluster,
            platform.chaos_namespace,
            examination.all,
            leases.must_be_held,
            lambda words, bad: tell("health", words, bad=list(bad)),
        )
        active = ActiveSuite(going, requested, session.clock, interval)
        notices = SuiteNotices(going, chosen, session.messenger, where.channel, tell)
        return cls(active, chosen, session, leases, notices, hears, reports_dir, dry)

    @property
    def going(self) -> SuiteRun:
        return self.active.going

    @property
    def tell(self) -> Callable[..., Awaitable[None]]:
        return partial(_tell, self.going, self.session, self.hears)

    async def out(self) -> State[Any]:
        going = self.going
        await self.tell(
            "suite",
            f"Suite {going.id}: {going.suite.title}, on {going.environment}; "
            f"{len(self.parts)} experiments, {format_duration(takes(self.parts))} of faults in all",
        )
        try:
            async with self._called_off_by_its_lease():
                if not self.dry:
                    self.notices.begins()
                await self._one_after_another()
        except StoppedError as error:
            going.end(Verdict.STOPPED, error.message)
        except GamedayError as error:
            going.end(Verdict.ERROR, error.message)
        except BaseException as error:
            if isinstance(error, INTERRUPTIONS) or termination.lies_behind(error):
                going.end(Verdict.STOPPED, "cancelled, or the process was told to end")
            else:
                going.end(Verdict.ERROR, f"{type(error).__name__}: {error}")
            raise
        finally:
            await shielded(self._conclude())
        await self._show_report()
        if self.dry and going.verdict is Verdict.HELD:
            return Completed(name="Dry run", message=_DRY)
        return state_of(going.verdict, going.reasons, _HELD, **going.as_data())

    @asynccontextmanager
    async def _called_off_by_its_lease(self) -> AsyncIterator[None]:
        """Hold a Lease under the suite's id meanwhile: by it ``gameday stop`` ends the suite, too."""
        if self.dry:
            yield
            return
        await self.leases.announce("its runs")
        async with self.session.clock.every(RENEW_EVERY, self._keep):
            yield

    async def _keep(self) -> None:
        await self.leases.keep()
        run = self.active.run
        if self.leases.called_off and run is not None and run.findings.verdict is None:
            # The run's own Leases tell it that it was called off.
            await end_faults_in(
                self.session.cluster,
                Scope.of_run(run.id, self.session.catalogue.platform.chaos_namespace),
                clock=self.session.clock,
                call_off=True,
                caller=Caller(by) if (by := self.leases.called_off_by) else None,
            )

    async def _one_after_another(self) -> None:
        before: Part | None = None
        for number, part in enumerate(self.parts, start=1):
            if before is not None and not self.dry and not await self._well_between(before, part):
                return
            name = part.experiment.name
            await self.tell("suite", f"Experiment {number} of {len(self.parts)}: {name}")
            outcome = await self._run(part)
            if not self.dry:
                self.notices.goes_on()
            if not self.dry and not goes_on(outcome.verdict or Verdict.ERROR, self.going.suite.on_failure):
                return
            before = part

    async def _well_between(self, before: Part, after: Part) -> bool:
        between = self.going.suite.between
        settle = pause(self.going.suite, self.session.catalogue, self.going.environment)
        await self.tell("health", f"Letting the platform settle for {format_duration(settle)}")
        with activated(self.active):
            bad = await wait_until_well(
                before.experiment.name,
                after.experiment.name,
                settle.total_seconds(),
                between.timeout.total_seconds(),
            )
        if bad:
            waited = format_duration(between.timeout)
            self.going.end(
                Verdict.ABORTED,
                f"the platform was not well {waited} after {before.experiment.name}: {'; '.join(bad)}",
            )
        return not bad

    async def _run(self, part: Part) -> Outcome:
        """Carry one experiment out as it would be alone, and take down what became of it."""
        self.active.run = None
        failure = ""
        try:
            with activated(self.active):
                state: State[Any] = await run_experiment(
                    part.experiment.name,
                    self.going.environment,
                    duration=format_duration(part.duration) if part.duration is not None else None,
                    dry_run=self.dry,
                    return_state=True,
                )
            failure = await _failure(state)
        finally:
            outcome = self._outcome(part.experiment.name, failure)
            self.going.outcomes.append(outcome)
        return outcome

    def _outcome(self, name: str, failure: str) -> Outcome:
        run = self.active.run
        if run is None:
            # It failed before there was a run, or was interrupted then.
            return Outcome(name, verdict=Verdict.ERROR if failure else Verdict.STOPPED, why=failure)
        verdict = run.findings.verdict or (Verdict.HELD if self.dry else Verdict.ERROR)
        report = str(self.reports_dir / f"{run.id}.html") if run.findings.reported else ""
        return Outcome(name, "" if self.dry else run.id, verdict, "; ".join(run.findings.reasons), report)

    async def _conclude(self) -> None:
        going = self.going
        going.ended_at = self.session.clock.now()
        for left in await self.leases.release():
            await self.tell("warning", left)
        if self.dry and going.verdict is Verdict.HELD:
            await self.tell("dry-run", _DRY)
            return
        verdict, reasons = going.verdict, going.reasons
        await self.tell(
            "verdict",
            f"Suite {going.suite.name} {verdict.value}: {'; '.join(reasons) or _HELD}",
            verdict=verdict.value,
            reasons=list(reasons),
            **going.as_data(),
        )
        if self.dry:
            return
        self.notices.ends()
        try:
            path = write(going, self.reports_dir)
        except GamedayError as error:
            await self.tell("warning", error.message)
        else:
            await self.tell("report", f"The report of the suite is at {path}", path=str(path))

    async def _show_report(self) -> None:
        if not self.dry:
            await acreate_markdown_artifact(
                markdown=render(self.going), key="suite-report", description=f"Report of {self.going.id}"
            )


async def _failure(state: State[Any]) -> str:
    """Why a run failed that may not have come so far as to tell it."""
    raised = await state.aresult(raise_on_failure=False) if state.is_failed() else None
    return raised.message if isinstance(raised, GamedayError) else state.message or ""


async def _tell(
    going: SuiteRun, session: Session, hears: Sequence[Listener], kind: str, message: str, **data: Any
) -> None:
    """Let everybody who listens know; the runs, not the suite, are in the journal."""
    event = Event(going.id, session.clock.now(), kind, redacted(message), redacted_data(data))
    for listener in hears:
        listener(event)
