"""However a run dies, no fault is left: each way to die is died here, in a process of its own.

The sandbox runs live in these tests: the faults would stay in for a minute if nobody ended them.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from gameday.errors import ExitCode
from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.conftest import StartSandbox
from tests.flows.conftest import Process, a_fault_is_in, live_faults, until

StartProcess = Callable[..., Process]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

GAMEDAY = (sys.executable, "-m", "gameday.cli.main")


@pytest.fixture
def live_sandbox(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox in real time, old enough for a baseline; the environment points at it."""
    sandbox = start_sandbox(mode="live", history=timedelta(minutes=6))
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    return sandbox


async def verdict() -> Verdict | None:
    """The verdict of the newest run."""
    async with Journal.open(load().database_url) as journal:
        return (await journal.latest(1))[0].verdict


@pytest.mark.usefixtures("live_sandbox")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_faults_and_says_so(start_process: StartProcess, number: int) -> None:
    run = start_process(*GAMEDAY, "run", "basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=run)
    run.signal(number)
    code = await run.ended()
    assert await live_faults() == [], run.output
    assert code == ExitCode.STOPPED, run.output
    assert "1 of 1 chaos objects ended" in run.output
    assert "Stopped" in run.output
    assert "Traceback" not in run.output
    assert await verdict() is Verdict.STOPPED


@pytest.mark.usefixtures("live_sandbox")
async def test_a_second_signal_does_not_cut_the_stop_short(start_process: StartProcess) -> None:
    run = start_process(*GAMEDAY, "run", "basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=run)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        run.signal(number)
    await run.ended()
    assert await live_faults() == [], run.output
    assert "Traceback" not in run.output


async def test_ctrl_c_in_a_terminal_reaches_every_process_and_the_run_still_ends_well(
    live_sandbox: Sandbox, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    run = start_process(*GAMEDAY, "run", "basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=run)
    run.signal_group(signal.SIGINT)
    code = await run.ended()
    assert await live_faults() == [], run.output
    assert code == ExitCode.STOPPED, run.output
    assert "Interrupted" in run.output
    assert "error:" not in run.output
    assert await verdict() is Verdict.STOPPED


async def _created_by_api(deployment: str) -> FlowRun:
    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        return await client.create_flow_run_from_deployment(
            found.id, parameters={"experiment": "basic-pod-failure", "environment": "staging"}
        )


async def _cancelled(flow_run: FlowRun) -> None:
    async with get_client() as client:
        await client.set_flow_run_state(flow_run.id, Cancelling())

    async def state_name() -> str:
        async with get_client() as client:
            state = (await client.read_flow_run(flow_run.id)).state
        return (state.name or "final") if state is not None and state.is_final() else ""

    await until(state_name, "a final state")
    async with get_client() as client:
        state = (await client.read_flow_run(flow_run.id)).state
    assert state is not None
    assert state.is_cancelled(), state


@pytest.mark.usefixtures("live_sandbox")
async def test_a_run_that_was_started_by_hand_ends_where_it_is_cancelled_in_prefect(
    start_process: StartProcess,
) -> None:
    run = start_process(*GAMEDAY, "run", "basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=run)
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
    async with get_client() as client:
        flow_run = await client.read_flow_run(UUID(record.flow_run))
    await _cancelled(flow_run)
    assert await run.ended() == ExitCode.STOPPED, run.output
    assert "Stopped by Prefect: the flow run was cancelled there" in run.output
    assert await live_faults() == []
    assert await verdict() is Verdict.STOPPED


@pytest.mark.usefixtures("live_sandbox")
async def test_a_run_under_serve_that_is_cancelled_in_prefect_leaves_nothing(
    start_process: StartProcess,
) -> None:
    script = "from flows.run_experiment import run_experiment; run_experiment.serve(name='served')"
    serving = start_process(sys.executable, "-c", script)

    async def deployed() -> Any:
        async with get_client() as client:
            return [one for one in await client.read_deployments() if one.name == "served"]

    await until(deployed, "the deployment")
    flow_run = await _created_by_api("run-experiment/served")
    await until(a_fault_is_in, "a fault that is in", process=serving)
    await _cancelled(flow_run)
    assert await live_faults() == [], serving.output
    assert await verdict() is Verdict.STOPPED


@pytest.mark.usefixtures("live_sandbox")
async def test_a_run_under_a_process_worker_that_is_cancelled_in_prefect_leaves_nothing(
    worker: Process,
) -> None:
    flow_run = await _created_by_api("run-experiment/basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=worker)
    await _cancelled(flow_run)
    assert await live_faults() == [], worker.output
    assert await verdict() is Verdict.STOPPED
