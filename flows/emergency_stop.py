"""Why: people who live in the Prefect UI stop a run there, and Prefect itself does where one died.

A door to the emergency stop, like ``gameday stop``. An automation starts it for each run that crashed
or was cancelled, whose own ``finally`` and hook may never have run.
"""

# No postponed annotations here, as in ``run_experiment``.

from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed
from pydantic import Field

from flows.hooks import end_what_is_left
from gameday.clock import Clock
from gameday.errors import UsageError
from gameday.journal.audit import Action, Audit
from gameday.journal.store import Journal, JournalError
from gameday.run.ending import end_faults
from gameday.safety.called_off import Caller
from gameday.safety.shield import shielded
from gameday.safety.stop_report import Scope, StopReport
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue
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
    if flow_run:
        reports = await _of_flow_run(flow_run)
    else:
        scope = Scope.everything() if everything else Scope.of_run(one_line(run))
        reports = [await _stopped(scope, environment, one_line(by), one_line(reason))]
    lines = [line for report in reports for line in report.lines()]
    for line in lines:
        get_run_logger().warning("%s", line)
    message = " ".join(lines) or "there was nothing to end"
    if all(report.clean for report in reports):
        return Completed(name="Stopped", message=message)
    return Failed(name="Unproved", message=message)


async def _of_flow_run(flow_run: str) -> list[StopReport]:
    try:
        async with get_client() as client:
            found = await client.read_flow_run(UUID(flow_run))
    except (ValueError, ObjectNotFound):
        raise UsageError(f"Prefect knows no flow run {flow_run!r}") from None
    return await end_what_is_left(found)


async def _stopped(scope: Scope, environment: str, by: str, reason: str) -> StopReport:
    settings = load()
    where = Catalogue(settings.experiments).platform.environment(environment)
    time = clock_at_hand(settings)
    who = by or f"deployment {runtime.deployment.name or 'emergency-stop'}"
    stopping = end_faults(scope, context=where.context, clock=time, call_off=True, caller=Caller(who, reason))
    report = await shielded(stopping)
    await _account(settings.database_url, time, who, reason, report)
    return report


async def _account(database_url: str, time: Clock, by: str, reason: str, report: StopReport) -> None:
    run = next(iter(report.scope.labels.values()), "")
    detail = {"reason": reason, **report.gist()}
    try:
        async with Journal.open(database_url) as journal:
            why = await Audit(journal).attempt(
                Action.STOP, by=by, source="flow", at=time.now(), run=run, detail=detail
            )
    except JournalError as error:
        why = error.message
    if why:
        get_run_logger().warning("The audit trail does not have this: %s", why)
