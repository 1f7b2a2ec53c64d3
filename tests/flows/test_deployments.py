"""What prefect.yaml declares is what Prefect deploys, and each of it can be started."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow_async
from prefect.flows import load_flow_from_flow_run

from deployments.prefect.apply import KUBERNETES, PROCESSES, SAFETY
from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.flows.conftest import Process, live_faults, until
from tests.prefect_file import declared

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.usefixtures("in_prefect"),
    # Prefect's client of a flow run that a test begins leaves its transports to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <function _SelectorTransport:pytest.PytestUnraisableExceptionWarning"
    ),
]

BY_HAND = {"reason": "a rehearsal", "requested_by": "ann"}
# Beside what is deployed with each: nothing is broken that need not be.
GIVEN: dict[str, dict[str, Any]] = {
    "by-hand": {**BY_HAND, "experiment": "basic-pod-failure", "dry_run": True},
    "emergency-stop": {"reason": "a rehearsal", "run": "20261123t101530-nobody-0000"},
}
ENDS = {
    "announce-scheduled": "Completed",
    "weekly-summary": "Completed",
    "emergency-stop": "Stopped",
    "health-check": "Well",
    "quarterly-review": "Completed",
    "sweep-orphans": "Clean",
    "tell-team": "Told",
}


async def started(name: str, flow: str, **parameters: Any) -> FlowRun:
    """Start what is deployed under ``name``."""
    async with get_client() as client:
        found = await client.read_deployment_by_name(f"{flow}/{name}")
        return await client.create_flow_run_from_deployment(found.id, parameters=parameters)


async def carried_out(flow_run: FlowRun) -> State[Any]:
    """Do what a worker's process does, in this one: a new process for each would cost seconds."""
    flow = await load_flow_from_flow_run(flow_run, ignore_storage=True)
    state = await run_flow_async(flow, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
    assert isinstance(state, State)
    return state


@pytest.mark.usefixtures("deployed", "sandbox")
async def test_each_deployment_can_be_started() -> None:
    flow_run = None
    for one in declared().deployments:
        given = GIVEN.get(one.name, {"dry_run": True} if one.breaks else {})
        if one.name == "tell-team":
            assert flow_run is not None
            given = {"flow_run": str(flow_run.id), "what": "is late"}
        flow_run = await started(one.name, one.flow.name, **{**one.parameters, **given})
        state = await carried_out(flow_run)
        assert state.name == ENDS.get(one.name, "Dry run"), f"{one.name}: {state.message}"
    gc.collect()


async def test_a_run_is_started_by_hand_and_a_worker_brings_it_to_its_verdict(
    sandbox: Sandbox, worker: Process
) -> None:
    flow_run = await started(
        "by-hand",
        "run-by-hand",
        **BY_HAND,
        experiment="basic-pod-failure",
        environment="staging",
        duration="90s",
    )

    async def final_state() -> str:
        async with get_client() as client:
            state = (await client.read_flow_run(flow_run.id)).state
        return (state.name or "final") if state is not None and state.is_final() else ""

    assert await until(final_state, "a verdict", process=worker) == "Held", worker.output
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        record = await journal.of_flow_run(str(flow_run.id))
    assert record is not None
    assert (record.verdict, record.requested_by) == (Verdict.HELD, "ann")


@pytest.mark.usefixtures("deployed")
async def test_prefect_keeps_every_schedule_with_its_timezone() -> None:
    async with get_client() as client:
        for one in declared().deployments:
            found = await client.read_deployment_by_name(f"{one.flow.name}/{one.name}")
            kept = {schedule.slug: schedule.schedule for schedule in found.schedules}
            assert set(kept) == {schedule.slug for schedule in one.schedules}
            assert all(getattr(schedule, "timezone", None) == "UTC" for schedule in kept.values())
            assert (found.tags, found.description) == (one.tags, one.description)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("pool", [PROCESSES, KUBERNETES])
async def test_a_stop_goes_before_experiments_that_wait_for_a_free_place(pool: str) -> None:
    async with get_client() as client:
        first = await client.read_work_queue_by_name(SAFETY, pool)
        others = await client.read_work_queue_by_name("default", pool)
    assert first.priority == 1
    assert others.priority is not None
    assert others.priority > 1


@pytest.mark.usefixtures("deployed", "sandbox")
async def test_of_a_run_that_was_late_nobody_is_told_once_it_has_begun() -> None:
    run = await started("by-hand", "run-by-hand", **BY_HAND, experiment="basic-pod-failure", dry_run=True)
    given = {"flow_run": str(run.id), "what": "has not begun", "only_unbegun": True}
    told = await carried_out(await started("tell-team", "tell-team", **given))
    assert told.name == "Told"
    assert "basic-pod-failure on staging has not begun" in str(told.message)
    await carried_out(run)
    assert (await carried_out(await started("tell-team", "tell-team", **given))).name == "No need"
    gc.collect()


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    "wrong",
    [
        {"experiment": "basic-pod-failur"},
        {"environment": "stagin"},
        {"reason": ""},
        {"reason": "   "},
        {"duration": "ten minutes"},
        {"dry_run": "perhaps"},
    ],
    ids=str,
)
async def test_a_form_that_is_filled_in_wrongly_starts_nothing(wrong: dict[str, Any]) -> None:
    right = {**BY_HAND, "experiment": "basic-pod-failure", "environment": "staging", "duration": "5m"}
    with pytest.raises(PrefectHTTPStatusError) as refused:
        await started("by-hand", "run-by-hand", **{**right, **wrong})
    assert refused.value.response.status_code in {409, 422}
