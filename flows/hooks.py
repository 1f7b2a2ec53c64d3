"""Why: when a run dies in a way that its own ``finally`` does not see, Prefect still calls us.

One hook for cancellation, crash and failure. It may run in a fresh process that knows nothing but
the flow run, so it finds the faults by their label and needs no journal to end them; the journal is
closed afterwards where it can be. Whoever stops a flow run that may be alive goes the same way, and
leaves the record to it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectException

from gameday.clients.grafana import Access
from gameday.clock import Clock
from gameday.errors import GamedayError
from gameday.journal.store import Journal, Verdict
from gameday.run.closing import close_cut_off
from gameday.run.ending import end_faults
from gameday.run.marks import wanted
from gameday.safety.called_off import Caller
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope, StopReport
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue

_logger = logging.getLogger(__name__)


async def end_faults_of_flow_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End whatever the flow run left in the cluster, then close its record."""
    del flow
    await _end(flow_run, state)


async def _end(flow_run: FlowRun, state: State[Any] | None, by: Caller | None = None) -> StopReport:
    """End the faults of the flow run and call it off. It is dead, unless somebody stops it: ``by``."""
    settings = load()
    catalogue = Catalogue(settings.experiments)
    environment = catalogue.platform.environment(flow_run.parameters.get("environment", "staging"))
    time = clock_at_hand(settings)
    scope = Scope.of_flow_run(str(flow_run.id), catalogue.platform.chaos_namespace)
    caller = by or Caller("Prefect", f"its flow run is {_named(state)}")
    report = await shielded(
        end_faults(scope, context=environment.context, clock=time, call_off=True, caller=caller)
    )
    if by is not None and (state is None or not state.is_final()) and not report.lapsed:
        # Its process closes the record, and says there who called it off.
        return await _doubted(settings.database_url, flow_run, state, report)
    for line in report.lines() if report.outcomes or not report.clean else ():
        _logger.warning("%s", line)
    marked = wanted(settings, catalogue.platform)
    door = "hook" if by is None else "flow"
    await _close_record(settings.database_url, str(flow_run.id), state, report, time, marked, door)
    return report


def _named(state: State[Any] | None) -> str:
    return (state.name or state.type.value) if state is not None else "without a state"


async def _doubted(
    database_url: str, flow_run: FlowRun, state: State[Any] | None, report: StopReport
) -> StopReport:
    """What goes on and could not be called off may still inject, unless its run has a verdict."""
    if report.called_off:
        return report
    try:
        async with Journal.open(database_url) as journal:
            record = await journal.of_flow_run(str(flow_run.id))
    except GamedayError:
        record = None
    if record is not None and record.verdict is not None:
        return report
    why = f"Flow run {flow_run.name} is {_named(state)}, and held no Lease by which it could be called off."
    return replace(report, may_go_on=report.may_go_on or why)


async def end_faults_of_suite(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The same for every run of a suite that has not come to its end."""
    del flow
    await _end_below(flow_run, state)


async def end_flow_run(flow_run: FlowRun, by: Caller) -> list[StopReport]:
    """What the hooks do, for whoever stops a flow run, of an experiment or a suite, dead or alive."""
    if "suite" in flow_run.parameters:
        return await _end_below(flow_run, flow_run.state, by)
    return [await _end(flow_run, flow_run.state, by)]


async def _end_below(
    flow_run: FlowRun, state: State[Any] | None, by: Caller | None = None
) -> list[StopReport]:
    # The suite itself first, so that it begins no other run.
    own = await _end(flow_run, state, by)
    try:
        async with get_client() as client:
            below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run.id]))
            runs = await client.read_flow_runs(flow_run_filter=below)
    except (httpx.HTTPError, PrefectException) as error:
        why = f"Prefect does not tell which runs the suite had ({error}); each has a watchdog of its own."
        _logger.warning("%s", why)
        return [replace(own, may_go_on=own.may_go_on or why)]
    left = [run for run in runs if run.state is None or not run.state.is_final()]
    return [own, *[await _end(run, state, by) for run in left]]


async def _close_record(
    database_url: str,
    flow_run: str,
    state: State[Any] | None,
    report: StopReport,
    time: Clock,
    marked: Access | None,
    door: str,
) -> None:
    cancelled = state is not None and (state.is_cancelled() or state.is_cancelling())
    verdict = Verdict.STOPPED if cancelled else Verdict.ERROR
    why = f"the process ended without a verdict ({_named(state)})"
    try:
        async with Journal.open(database_url) as journal:
            record = await journal.of_flow_run(flow_run)
            if record is not None:
                await close_cut_off(journal, record, verdict, why, report, time, door=door, marked=marked)
    except GamedayError as error:
        _logger.warning("The faults are ended; the record could not be closed: %s", error.message)
