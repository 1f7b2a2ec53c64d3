"""A run that needs people waits for them, before anything is broken, wherever they answer.

Real Prefect server, sandbox in rehearsal: its time stands still while somebody is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Cancelling

from gameday.cli.confirming import Confirmed, Rehearsed
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import ExitCode
from gameday.journal.approvals import Approvals, Outcome
from gameday.journal.audit import Audit
from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.flows.approving import (
    ASKER,
    approving,
    command,
    dossier,
    fill_in,
    filling_in,
    paused,
    recorded,
    told,
    while_waiting,
)
from tests.flows.conftest import Process, live_faults, until

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect", "sandbox")]


async def test_an_approval_by_the_command_lets_the_run_go_on_and_names_stay_with_it(
    demanding: Callable[..., None], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    demanding("approval")

    async def look_then_approve(run: str) -> int:
        assert await command("status") == ExitCode.HELD
        code: int = await approving("data-team", "--comment", "monday is fine")(run)
        return code

    state, codes = await while_waiting(look_then_approve)
    assert (state.name, codes) == ("Held", [ExitCode.HELD]), state.message
    record, events = await recorded()
    found = await dossier(record.run)
    assert [(one.who, one.comment, one.source) for one in found.answers] == [
        ("data-team", "monday is fine", "command")
    ]
    assert found.closing is not None
    assert found.closing.outcome is Outcome.APPROVED
    assert events[0].startswith("Waits for approval until")
    assert "one person of platform-team or " in events[0]
    assert events[0].endswith("other than the platform team")
    assert events[-1] == "Approved by data-team (monday is fine)"
    assert f"gameday approve {record.run} --plan {found.request.digest[:12]}" in told(sandbox)
    assert "Approved by data-team" in told(sandbox)
    assert f"{record.run}: {events[0]}" in capsys.readouterr().out
    async with Journal.open(load().database_url) as journal:
        trail = [one async for one in Audit(journal).entries()]
    kept = [(one.by, one.detail["what"]) for one in trail if one.action == "approval"]
    assert kept == [(ASKER, "asked"), ("data-team", "approve"), ("data-team", "approved")]


async def test_an_approval_in_the_prefect_ui_is_a_form_with_the_checklist(
    demanding: Callable[..., None],
) -> None:
    demanding("approval")

    async def bad_then_good(run: str) -> list[Any]:
        nameless = await fill_in(run)
        return [nameless, await fill_in(run, name="data-team", comment="seen")]

    state, [[nameless, accepted]] = await while_waiting(bad_then_good)
    assert state.name == "Held", state.message
    assert nameless.status is SetStateStatus.REJECT
    assert accepted.status is SetStateStatus.ACCEPT
    record, _ = await recorded()
    found = await dossier(record.run)
    assert [(one.who, one.source) for one in found.answers] == [("data-team", "prefect")]
    states = {item.key: item.state for item in found.request.checklist}
    assert states["services"] == states["monitoring"] == states["alerts"] == states["rollback"] == "ok"
    assert states["procedures"] == states["available"] == "open"
    assert set(found.answers[0].confirmed) == {item.key for item in found.request.to_confirm}


async def test_what_is_not_confirmed_in_the_form_does_not_count_and_it_is_shown_again(
    demanding: Callable[..., None],
) -> None:
    demanding("approval")

    async def hasty(run: str) -> None:
        await fill_in(run, name="data-team", procedures=False)
        await fill_in(run, name="data-team")

    state, _ = await while_waiting(hasty)
    assert state.name == "Held", state.message
    record, events = await recorded()
    answers = (await dossier(record.run)).answers
    assert answers[0].objection == "not confirmed: The emergency procedures are reviewed"
    assert answers[1].objection == ""
    assert any("does not count: not confirmed" in event for event in events)


@pytest.mark.parametrize("by", ["command", "form"])
async def test_a_rejection_refuses_at_once_and_says_who_and_why(
    demanding: Callable[..., None], by: str
) -> None:
    demanding("approval")
    act = (
        filling_in(name="data-team", decision="reject", comment="an incident")
        if by == "form"
        else lambda run: command("approve", run, "--reject", "--by", "data-team", "--comment", "an incident")
    )
    state, _ = await while_waiting(act)
    assert state.name == "Refused"
    assert "rejected by data-team (an incident)" in (state.message or "")
    assert await live_faults() == []
    record, _ = await recorded()
    closing = (await dossier(record.run)).closing
    assert closing is not None
    assert (closing.outcome, closing.by) == (Outcome.REJECTED, "data-team")


async def test_without_an_answer_in_time_the_run_is_refused(demanding: Callable[..., None]) -> None:
    demanding("approval", waits="1s")
    state, _ = await while_waiting()
    assert state.name == "Refused"
    assert "not approved within 1s; asked: one person of platform-team" in (state.message or "")
    record, _ = await recorded()
    assert record.verdict is Verdict.REFUSED
    closing = (await dossier(record.run)).closing
    assert closing is not None
    assert closing.outcome is Outcome.TIMED_OUT
    assert await command("approve", record.run, "--by", "data-team") == ExitCode.USAGE


async def test_whoever_asks_cannot_approve_however_the_name_is_written(
    demanding: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    demanding("approval")

    async def sly_then_good(run: str) -> list[int]:
        sly = await approving("  The PLATFORM\tteam ")(run)
        return [sly, await approving("data-team")(run)]

    state, [codes] = await while_waiting(sly_then_good)
    assert state.name == "Held", state.message
    assert codes == [ExitCode.REFUSED, ExitCode.HELD]
    assert "somebody else must approve" in capsys.readouterr().err


async def test_two_approvals_need_two_different_people(demanding: Callable[..., None]) -> None:
    demanding("two-approvals")

    async def twice_the_same_then_another(run: str) -> list[int]:
        first = await approving("data-team")(run)
        again = await approving("Data-Team")(run)
        await fill_in(run, name="identity-team")
        return [first, again]

    state, [codes] = await while_waiting(twice_the_same_then_another)
    assert state.name == "Held", state.message
    assert codes == [ExitCode.HELD, ExitCode.REFUSED]
    _, events = await recorded()
    assert any("1 of 2 given, by data-team" in event for event in events)
    assert events[-1] == "Approved by data-team and identity-team"


async def test_two_people_can_both_answer_in_the_form(demanding: Callable[..., None]) -> None:
    demanding("two-approvals")

    async def both(run: str) -> None:
        await fill_in(run, name="data-team")
        await fill_in(run, name="identity-team")

    state, _ = await while_waiting(both)
    assert state.name == "Held", state.message


async def one_pod_more() -> None:
    """Have a pod more that auth-service's selector matches."""
    labels = {"app": "auth-service", "tier": "backend"}
    container = {"name": "auth-service", "image": "auth-service:1"}
    pod = {"metadata": {"name": "one-more", "labels": labels}, "spec": {"containers": [container]}}
    async with Cluster.connect(clock=SystemClock()) as cluster:
        path = "/api/v1/namespaces/pyairtable-staging/pods"
        await cluster.api.post(path, {"apiVersion": "v1", "kind": "Pod", **pod}, doing="create a pod")


async def test_an_approval_binds_the_plan_that_was_seen_and_other_pods_make_it_worthless(
    demanding: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    demanding("approval")

    async def approve_another_plan_then_this_one_while_it_changes(run: str) -> list[int]:
        another = await approving("data-team", "--plan", "0000")(run)
        await one_pod_more()
        return [another, await approving("data-team")(run)]

    async def reject(run: str) -> int:
        return await command("approve", run, "--reject", "--by", "data-team")

    state, [codes, _] = await while_waiting(approve_another_plan_then_this_one_while_it_changes, reject)
    assert codes == [ExitCode.REFUSED, ExitCode.HELD]
    assert "not 0000" in capsys.readouterr().err
    assert state.name == "Refused"
    record, events = await recorded()
    assert any("does not count any more" in event and "new: one-more" in event for event in events)
    async with Journal.open(load().database_url) as journal:
        first, second = [await Approvals(journal).of(f"{record.run}#{number:02}") for number in (1, 2)]
    assert first is not None
    assert second is not None
    assert first.request.digest != second.request.digest
    assert [one.decision.value for one in second.answers] == ["reject"]


async def test_a_checklist_is_confirmed_by_whoever_runs_it(demanding: Callable[..., None]) -> None:
    demanding("checklist")
    state, _ = await while_waiting(door=Confirmed(ASKER))
    assert state.name == "Held", state.message
    _, events = await recorded()
    assert events[-1].startswith("The checklist is confirmed by the platform team")


async def test_a_rehearsal_can_rehearse_the_approval_too(demanding: Callable[..., None]) -> None:
    demanding("two-approvals")
    state, _ = await while_waiting(door=Rehearsed(["data-team", "identity-team"]))
    assert state.name == "Held", state.message


async def test_a_stop_while_it_waits_ends_it_as_stopped(demanding: Callable[..., None]) -> None:
    demanding("approval")
    state, codes = await while_waiting(lambda run: command("stop", run))
    assert (state.name, codes) == ("Stopped", [ExitCode.HELD])
    await nothing_happened()


async def test_a_cancellation_in_prefect_while_it_waits_ends_it_as_stopped(
    demanding: Callable[..., None],
) -> None:
    demanding("approval")

    async def cancel(run: str) -> None:
        flow_run = await paused(run)
        async with get_client() as client:
            await client.set_flow_run_state(flow_run, Cancelling())

    await while_waiting(cancel)
    await nothing_happened()


async def nothing_happened() -> None:
    """Nothing was injected, and the request is closed."""
    record, _ = await recorded()
    assert record.verdict is Verdict.STOPPED
    async with Journal.open(load().database_url) as journal:
        assert await journal.faults(record.run) == []
    closing = (await dossier(record.run)).closing
    assert closing is not None
    assert closing.outcome is Outcome.WITHDRAWN


@pytest.fixture
def checklist_demanded(demanding: Callable[..., None]) -> None:
    """Have staging demand the checklist, before anything reads the catalogue."""
    demanding("checklist")


@pytest.mark.usefixtures("checklist_demanded")
async def test_a_scheduled_run_passes_where_all_that_can_be_checked_is_well(worker: Process) -> None:
    now = SystemClock().now()
    parameters = {"experiment": "basic-pod-failure", "environment": "staging", "duration": "60s"}
    hourly = DeploymentScheduleCreate(
        schedule=IntervalSchedule(interval=timedelta(hours=1), anchor_date=now), parameters=parameters
    )
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("run-experiment/basic-pod-failure")
        (schedule,) = await client.create_deployment_schedules(deployment.id, [hourly])
        window = {"start_time": (now - timedelta(minutes=1)).isoformat(), "end_time": now.isoformat()}
        path = f"/deployments/{deployment.id}/schedule"
        (await client._client.post(path, json=window)).raise_for_status()

    async def ended() -> FlowRun | None:
        async with get_client() as client:
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
            )
        return next((one for one in runs if one.auto_scheduled and one.state and one.state.is_final()), None)

    flow_run = await until(ended, "the end of the scheduled run", process=worker, within=timedelta(minutes=3))
    async with get_client() as client:
        await client.delete_deployment_schedule(deployment.id, schedule.id)
    assert flow_run.state.name == "Held", worker.output
    async with Journal.open(load().database_url) as journal:
        record = await journal.of_flow_run(str(flow_run.id))
        assert record is not None
        assert record.requested_by == "deployment basic-pod-failure"
        events = await journal.events(record.run)
    (asked,) = [event.message for event in events if event.kind == "approval"]
    assert asked.startswith("The checklist is complete as far as nobody is needed; this run is unattended")
