"""Why: people who live in the Prefect UI stop a run there, and Prefect itself does where one died.

A door to the emergency stop, like ``gameday stop``: what is alive is called off. An automation starts it
for each run that crashed or was cancelled, whose own ``finally`` and hook may never have run.
"""

# No postponed annotations here, as in ``run_experiment``.

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed
from pydantic import Field

from flows.hooks import end_flow_run
from gameday.errors import UsageError
from gameday.journal.audit import Action, Audit
from gameday.journal.store import Journal, JournalError
from gameday.run.closing import doubted
from gameday.run.ending import end_faults
from gameday.safety.called_off import Caller
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope, StopReport
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue
from gameday.spec.kinds import RUN
from gameday.typed import one_line

Reason = Annotated[str, Field(min_length=3, description="Why: kept in the audit trail, and told by the run.")]


@flow(name="emergency-stop", flow_run_name="emergency stop", persist_result=False)
async def emergency_stop(
    reason: Reason,
    by: str = "",
    environment: str = "staging",
    run: str = "",
    flow_run: str = "",
    everything: bool = False,
) -> State[Any]:
    """End the faults of one run, or all that there are, now.

    Args:
        reason: Why; kept in the audit trail.
        by: Your name.
        environment: An environment of platform.yaml; its cluster is meant.
        run: The id of a run, as its report and Slack name it. Or:
        flow_run: The id of a flow run in Prefect. Or:
        everything: Every chaos object in the cluster, whoever made it.
    """
    if sum(map(bool, (run, flow_run, everything))) != 1:
        raise UsageError("name a run or a flow run, or choose everything: one of the three")
    who = one_line(by) or f"deployment {runtime.deployment.name or 'emergency-stop'}"
    caller = Caller(who, one_line(reason))
    if flow_run:
        reports = await _of_flow_run(flow_run, caller)
    else:
        reports = [await _stopped(one_line(run), environment, caller)]
    await _account(reports, caller)
    lines = [line for report in reports for line in report.lines()]
    for line in lines:
        get_run_logger().warning("%s", line)
    message = " ".join(lines) or "there was nothing to end"
    if all(report.clean for report in reports):
        return Completed(name="Stopped", message=message)
    return Failed(name="Unproved", message=message)


async def _of_flow_run(flow_run: str, caller: Caller) -> list[StopReport]:
    try:
        async with get_client() as client:
            found = await client.read_flow_run(UUID(flow_run))
    except (ValueError, ObjectNotFound):
        raise UsageError(f"Prefect knows no flow run {flow_run!r}") from None
    return await end_flow_run(found, caller)


async def _stopped(run: str, environment: str, caller: Caller) -> StopReport:
    """Stop one run, or everything where none is named."""
    settings = load()
    platform = Catalogue(settings.experiments).platform
    where = platform.environment(environment)
    scope = Scope.of_run(run, platform.chaos_namespace) if run else Scope.everything()
    stopping = end_faults(
        scope, context=where.context, clock=clock_at_hand(settings), call_off=True, caller=caller
    )
    return await _doubted(await shielded(stopping), run, settings.database_url)


async def _doubted(report: StopReport, run: str, database_url: str) -> StopReport:
    try:
        async with Journal.open(database_url) as journal:
            return doubted(report, await journal.find(run) if run else None)
    except JournalError:
        return report


async def _account(reports: Sequence[StopReport], caller: Caller) -> None:
    settings = load()
    at = clock_at_hand(settings).now()
    try:
        async with Journal.open(settings.database_url) as journal:
            for report in reports:
                detail = {"reason": caller.reason, **report.gist()}
                if why := await Audit(journal).attempt(
                    Action.STOP, by=caller.by, source="flow", at=at, run=_run_of(report), detail=detail
                ):
                    _unaccounted(why)
    except JournalError as error:
        _unaccounted(error.message)


def _run_of(report: StopReport) -> str:
    """The run that was stopped, whatever it was named by; "" where that is not known, or several."""
    if run := report.scope.labels.get(RUN):
        return run
    runs = {*report.called_off, *(one.run for one in report.outcomes if one.run)}
    return runs.pop() if len(runs) == 1 else ""


def _unaccounted(why: str) -> None:
    get_run_logger().warning("The audit trail does not have this: %s", why)
