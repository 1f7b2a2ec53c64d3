"""A run that is killed, or hangs, can end nothing itself: its watchdog does, and closes its record.

Each way to go is gone here by processes of their own, on a sandbox in real time. No guard watches,
and the faults would stay in for a minute and more if nobody ended them.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled

from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.journal.store import Event, FaultRecord, Journal, RunRecord, Verdict
from gameday.safety.lease import run_lease
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.conftest import StartSandbox
from tests.flows.conftest import Process, a_fault_is_in, live_faults, until, watchdogs
from tests.grafana import GrafanaServer

StartProcess = Callable[..., Process]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

GAMEDAY = (sys.executable, "-m", "gameday.cli.main")
BY_WATCHDOG = "the run's process ended without a verdict; its watchdog ended what was left of it"


def _pointed_at(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    return sandbox


@pytest.fixture
def live_sandbox(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox in real time, old enough for a baseline; the environment points at it."""
    return _pointed_at(start_sandbox(mode="live", history=timedelta(minutes=6)), monkeypatch)


@pytest.fixture
def fast_sandbox(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The same, where ten seconds pass in one: a Lease lapses after three."""
    return _pointed_at(start_sandbox(mode="live", speed=10, history=timedelta(minutes=6)), monkeypatch)


async def closed() -> tuple[RunRecord, list[Event], list[FaultRecord]] | None:
    """The newest run, once it has a verdict, with its events and faults."""
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        if record.verdict is None:
            return None
        return record, await journal.events(record.run), await journal.faults(record.run)


async def nothing_is_left() -> bool:
    return not await live_faults()


async def leases_of_runs() -> list[str]:
    async with Cluster.connect(clock=SystemClock()) as cluster:
        return [one.holder for one in await cluster.leases("chaos-engineering") if one.holder]


async def by_its_watchdog() -> None:
    """Wait until the watchdog has ended the newest run's only fault and closed its record."""
    await until(nothing_is_left, "the faults ended")
    record, events, (fault,) = await until(closed, "a verdict in the journal")
    assert record.verdict is Verdict.ERROR
    assert record.summary == BY_WATCHDOG
    assert fault.ended_at is not None
    assert "emergency stop" in fault.proof
    assert events[-1].kind == "verdict"
    assert any("1 of 1 chaos objects ended" in event.message for event in events if event.kind == "stop")


@pytest.mark.usefixtures("live_sandbox")
@pytest.mark.parametrize("whole_group", [False, True], ids=["the process", "its whole group"])
async def test_what_a_killed_run_leaves_is_ended_by_its_watchdog(
    start_process: StartProcess, grafana: GrafanaServer, whole_group: bool
) -> None:
    async def marked() -> bool:
        return bool(grafana.annotations)

    async def mark_has_ended() -> bool:
        (mark,) = grafana.annotations
        return bool(mark["timeEnd"] > mark["time"])

    run = start_process(*GAMEDAY, "run", "basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=run)
    await until(marked, "a fault that dashboards show", process=run)
    assert not await mark_has_ended()
    (run.signal_group if whole_group else run.signal)(signal.SIGKILL)
    assert await run.ended() == -signal.SIGKILL
    await by_its_watchdog()
    await until(mark_has_ended, "the fault ended on dashboards")
    # The services are free again: the next run need not wait until the Leases have lapsed.
    assert await leases_of_runs() == []


async def test_a_watchdog_of_a_run_that_ended_well_is_gone_and_leaves_no_trace(
    fast_sandbox: Sandbox, start_process: StartProcess, isolated: Path
) -> None:
    run = start_process(*GAMEDAY, "run", "basic-pod-failure", "-d", "1m")
    await until(a_fault_is_in, "a fault that is in", process=run)
    (pid,) = watchdogs(isolated).values()
    # What ends a terminal, a service or a group of processes does not end it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    # Live, a slow machine may show users errors for longer than the hypothesis allows: a verdict either way.
    assert await run.ended() in {0, 1}, run.output

    async def gone() -> bool:
        return not watchdogs(isolated)

    await until(gone, "the watchdog ended")
    assert list((isolated / "watchdogs").iterdir()) == []


async def test_a_run_that_hangs_is_stopped_and_cannot_go_on_when_it_wakes(
    fast_sandbox: Sandbox, start_process: StartProcess
) -> None:
    run = start_process(*GAMEDAY, "run", "basic-pod-failure", "-d", "12m")
    await until(a_fault_is_in, "a fault that is in", process=run)
    run.signal(signal.SIGSTOP)
    try:
        await until(nothing_is_left, "the faults ended")
        record, _, _ = await until(closed, "a verdict in the journal")
        assert record.verdict is Verdict.ERROR
        assert "the run hung" in (record.summary or "")
        assert run_lease(record.run) not in await leases_of_runs()
    finally:
        run.signal(signal.SIGCONT)
    await run.ended()
    assert await live_faults() == []
    record, _, faults = await until(closed, "a verdict in the journal")
    assert "the run hung" in (record.summary or ""), "the first verdict stands"
    assert len(faults) == 1, "it injected nothing more"
    assert "Traceback" not in run.output


@pytest.mark.usefixtures("fast_sandbox")
async def test_where_the_watchdog_is_killed_too_the_guard_ends_the_faults(
    start_process: StartProcess, isolated: Path
) -> None:
    guard = start_process(*GAMEDAY, "guard", "--env", "staging", "--listen", "127.0.0.1:0")
    run = start_process(*GAMEDAY, "run", "basic-pod-failure", "-d", "12m")
    await until(a_fault_is_in, "a fault that is in", process=run)
    (watchdog,) = watchdogs(isolated).values()
    os.kill(watchdog, signal.SIGKILL)
    run.signal(signal.SIGKILL)
    await run.ended()
    await until(nothing_is_left, "the faults ended", process=guard)
    # The guard keeps no journal: the next look closes the record.
    status = start_process(*GAMEDAY, "status")
    assert await status.ended() == 0, status.output
    record, _, _ = await until(closed, "a verdict in the journal")
    assert record.verdict is Verdict.ERROR


async def started_by_api(deployment: str) -> FlowRun:
    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        return await client.create_flow_run_from_deployment(
            found.id, parameters={"experiment": "basic-pod-failure", "environment": "staging"}
        )


async def forget(flow_run: FlowRun) -> None:
    """Prefect holds it for running, for ever: a deployment that runs one at a time would be stuck."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run.id, Cancelled(), force=True)


@pytest.fixture
async def serving(start_process: StartProcess, live_sandbox: Sandbox) -> Process:
    """A runner that serves the flow."""
    script = "from flows.run_experiment import run_experiment; run_experiment.serve(name='served')"
    process = start_process(sys.executable, "-c", script)

    async def deployed() -> Any:
        async with get_client() as client:
            return [one for one in await client.read_deployments() if one.name == "served"]

    await until(deployed, "the deployment", process=process)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_run_whose_runner_ends_goes_on_and_can_still_be_stopped(
    serving: Process, start_process: StartProcess, number: int
) -> None:
    flow_run = await started_by_api("run-experiment/served")
    await until(a_fault_is_in, "a fault that is in", process=serving)
    serving.signal(number)
    if number == signal.SIGKILL:
        await serving.ended()
    assert await live_faults()
    assert await closed() is None
    stop = start_process(*GAMEDAY, "stop", "--all")
    assert await stop.ended() == 0, stop.output
    record, _, _ = await until(closed, "a verdict in the journal")
    assert record.verdict is Verdict.STOPPED
    assert await live_faults() == []
    await forget(flow_run)


@pytest.mark.usefixtures("live_sandbox")
async def test_a_worker_that_is_told_to_end_kills_its_run_and_the_watchdog_ends_the_faults(
    worker: Process,
) -> None:
    flow_run = await started_by_api("run-experiment/basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=worker)
    worker.signal(signal.SIGTERM)
    await by_its_watchdog()
    await forget(flow_run)


@pytest.mark.usefixtures("live_sandbox")
async def test_a_run_whose_worker_was_killed_ends_itself(worker: Process) -> None:
    flow_run = await started_by_api("run-experiment/basic-pod-failure")
    await until(a_fault_is_in, "a fault that is in", process=worker)
    worker.signal(signal.SIGKILL)
    await until(nothing_is_left, "the faults ended")
    record, _, _ = await until(closed, "a verdict in the journal")
    assert record.verdict is Verdict.STOPPED
    await forget(flow_run)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
async def test_a_run_whose_disk_is_full_is_aborted_and_its_watchdog_closes_the_record(
    fast_sandbox: Sandbox, start_process: StartProcess
) -> None:
    run = start_process(*GAMEDAY, "run", "basic-pod-failure", "-d", "12m")
    await until(a_fault_is_in, "a fault that is in", process=run)
    # From now on the process can write to no file any more.
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (0, 0))
    await until(nothing_is_left, "the faults ended")
    await run.ended()
    record, _, _ = await until(closed, "a verdict in the journal")
    assert record.summary == BY_WATCHDOG
    assert "Traceback" not in run.output
