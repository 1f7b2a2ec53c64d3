"""The step at which people decide. It comes before the first fault, and nothing of it comes after."""

from __future__ import annotations

from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client

from gameday.run.approval import Gate, changes, wanted
from gameday.run.checklist import checklist
from tasks.active import ActiveRun, active
from tasks.approval_form import ApprovalForm
from tasks.listening import doors
from tasks.preparation import own_leases


@task(name="approval", task_run_name="approval of {run}", cache_policy=NO_CACHE)
async def wait_for_people(run: str) -> bool:
    """Wait for whoever must agree; answers whether anybody had to."""
    current = active(run)
    if wanted(current.run.plan, current.run.session.environment)[0] == "nothing":
        return False
    if current.gate is None:
        current.gate = await _gate(current)
    items = await checklist(current.run, current.checks)
    current.run.leases = leases = current.run.leases or own_leases(current.run)
    await leases.announce()
    return await current.gate.passed(items)


async def _gate(current: ActiveRun) -> Gate:
    flow_run = current.run.requested.flow_run
    form = [ApprovalForm(flow_run)] if flow_run else []
    return Gate(current.run, current.announcer, [*doors(), *form], not await _by_schedule(flow_run))


async def _by_schedule(flow_run: str | None) -> bool:
    if flow_run is None:
        return False
    async with get_client() as client:
        found = await client.read_flow_run(UUID(flow_run))
        # One of a suite is begun by the suite: whether a schedule did is that one's to say.
        while found.parent_task_run_id is not None:
            above = (await client.read_task_run(found.parent_task_run_id)).flow_run_id
            if above is None:
                break
            found = await client.read_flow_run(above)
        return found.auto_scheduled


@task(name="look-again", task_run_name="look again at the plan of {run}", cache_policy=NO_CACHE)
async def look_again(run: str) -> bool:
    """Make the plan anew after people took their time; answers whether it is another than they saw."""
    current = active(run)
    before = current.run.plan
    assert current.plan_again is not None
    await current.run.replan(await current.plan_again())
    changed = changes(before, current.run.plan)
    if changed:
        await current.run.tell(
            "approval", f"The approval does not count any more, the plan has changed: {changed}"
        )
    return bool(changed)
