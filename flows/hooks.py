"""Why: when a run dies in a way that its own ``finally`` does not see, Prefect still calls us.

One hook for cancellation, crash and failure. It may run in a fresh process that knows nothing but
the flow run, so it finds the faults by their label and needs no journal to end them; the journal is
closed afterwards where it can be.
"""

from __future__ import annotations

import logging
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
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope, StopReport
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue

_logger = logging.getLogger(__name__)


async def end_faults_of_flow_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End whatever the flow run left in the cluster, then close its record."""
    del flow
    await _end(flow_run, state)


async def _end(flow_run: FlowRun, state: State[Any] | None) -> StopReport:
    settings = load()
    catalogue = Catalogue(settings.experiments)
    environment = catalogue.platform.environment(flow_run.parameters.get("environment", "staging"))
    time = clock_at_hand(settings)
    report = await shielded(
        end_faults(Scope.of_flow_run(str(flow_run.id)), context=environment.context, clock=time)
    )
    for line in report.lines() if report.outcomes or not report.clean else ():
        _logger.warning("%s", line)
    marked = wanted(settings, catalogue.platform)
    await _close_record(settings.database_url, str(flow_run.id), state, report, time, marked)
    return report


async def end_faults_of_suite(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The same for every run of a suite that has not come to its end."""
    del flow
    await _end_below(flow_run, state)


async def end_what_is_left(flow_run: FlowRun) -> list[StopReport]:
    """What the hooks do, for whoever finds that a flow run, of an experiment or a suite, is dead."""
    if "suite" in flow_run.parameters:
        return await _end_below(flow_run, flow_run.state)
    return [await _end(flow_run, flow_run.state)]


async def _end_below(flow_run: FlowRun, state: State[Any] | None) -> list[StopReport]:
    try:
        async with get_client() as client:
            below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run.id]))
            runs = await client.read_flow_runs(flow_run_filter=below)
    except (httpx.HTTPError, PrefectException) as error:
        _logger.warning(
            "Prefect does not tell which runs the suite had (%s); each has a watchdog of its own", error
        )
        return []
    return [await _end(run, state) for run in runs if run.state is None or not run.state.is_final()]


async def _close_record(
    database_url: str,
    flow_run: str,
    state: State[Any] | None,
    report: StopReport,
    time: Clock,
    marked: Access | None,
) -> None:
    cancelled = state is not None and (state.is_cancelled() or state.is_cancelling())
    verdict = Verdict.STOPPED if cancelled else Verdict.ERROR
    told = (state.name or state.type.value) if state is not None else "no state"
    why = f"the process ended without a verdict ({told})"
    try:
        async with Journal.open(database_url) as journal:
            record = await journal.of_flow_run(flow_run)
            if record is not None:
                await close_cut_off(journal, record, verdict, why, report, time, door="hook", marked=marked)
    except GamedayError as error:
        _logger.warning("The faults are ended; the record could not be closed: %s", error.message)
