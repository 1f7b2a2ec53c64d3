"""What comes late, hangs or stalls does not escape the run that made it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import State

from flows.run_experiment import run_experiment
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import SystemClock
from gameday.journal.store import Event, Journal
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tasks.listening import listening
from tests.flows.conftest import live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def carried_out(name: str = "basic-pod-failure", **arguments: Any) -> State[Any]:
    state: State[Any] = await run_experiment(name, "staging", return_state=True, **arguments)
    return state


def pull(sandbox: Sandbox, lever: str, **body: Any) -> None:
    """Make the sandbox's cluster misbehave."""
    answer = httpx.post(f"{sandbox.url}/control/kubernetes/{lever}", json=body, trust_env=False)
    answer.raise_for_status()


async def events() -> list[Event]:
    async with Journal.open(load().database_url) as journal:
        return await journal.events((await journal.latest(1))[0].run)


async def test_a_creation_that_is_cancelled_while_the_api_server_works_on_it_leaves_nothing(
    sandbox: Sandbox,
) -> None:
    running: asyncio.Task[State[Any]] | None = None

    def listen(event: Event) -> None:
        if event.kind == "stage":
            pull(sandbox, "stall", method="POST", path="podchaos$", seconds=1.0, next=1)
            assert running is not None
            asyncio.get_running_loop().call_later(0.5, running.cancel)

    with listening(listen):
        running = asyncio.ensure_future(carried_out())
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        assert (await journal.latest(1))[0].verdict == "stopped"


async def test_a_stage_whose_end_cannot_be_proved_goes_to_the_emergency_stop_at_once(
    sandbox: Sandbox,
) -> None:
    def listen(event: Event) -> None:
        if event.kind == "injected":
            pull(sandbox, "fail", method="DELETE", path="podchaos/", status=503)
        if event.kind == "warning" and "is not proved" in event.message:
            url = f"{sandbox.url}/control/kubernetes/"
            httpx.delete(url, trust_env=False).raise_for_status()

    with listening(listen):
        state = await carried_out(duration="90s")
    assert state.name == "Error"
    assert "whether its faults have ended is not proved" in (state.message or "")
    assert await live_faults() == []
    told = await events()
    ended = [event.at for event in told if event.kind == "warning" and "is not proved" in event.message]
    (began,) = [event.at for event in told if event.kind == "injected"]
    assert ended[0] - began < timedelta(seconds=15 + 15)


async def test_a_slack_that_stalls_holds_up_neither_the_leases_nor_the_end_of_an_interrupted_run(
    sandbox: Sandbox,
) -> None:
    running: asyncio.Task[State[Any]] | None = None
    leases: list[Lease] = []

    def listen(event: Event) -> None:
        if event.kind == "injected":
            url = f"{sandbox.url}/control/slack/fault"
            httpx.put(url, json={"kind": "stalling"}, trust_env=False).raise_for_status()
            assert running is not None
            running.cancel()

    async def look(event: Event) -> None:
        async with Cluster.connect(clock=SystemClock()) as cluster:
            leases.extend(await cluster.leases(""))

    looking: list[asyncio.Task[None]] = []

    def listen_for_the_report(event: Event) -> None:
        if event.kind == "report":
            looking.append(asyncio.ensure_future(look(event)))

    with listening(listen), listening(listen_for_the_report):
        running = asyncio.ensure_future(carried_out())
        with pytest.raises(asyncio.CancelledError):
            await running
    await asyncio.gather(*looking)
    assert looking
    assert [lease.name for lease in leases if lease.holder] == []
    assert any("were not sent within 3 s of the end" in event.message for event in await events())


async def test_nothing_is_injected_beside_a_fault_that_hangs(sandbox: Sandbox) -> None:
    def listen(event: Event) -> None:
        if event.kind == "injected":
            pull(sandbox, "hang", kind="*", namespace="*", name="*")

    with listening(listen):
        state = await carried_out("network-resilience", duration="3m")
    assert state.name == "Error"
    assert "did not end" in (state.message or "")
    told = await events()
    assert len([event for event in told if event.kind == "injected"]) == 1
    assert any("gameday stop" in event.message for event in told if event.kind == "warning")
    assert len(await live_faults()) == 1


@pytest.mark.parametrize("broken", ["refused", "error"])
async def test_a_run_that_did_not_hold_has_a_report_too(sandbox: Sandbox, broken: str) -> None:
    if broken == "refused":
        pull(sandbox, "controller", down=True)
        httpx.put(f"{sandbox.url}/control/prometheus/", json={"mode": "empty"}, trust_env=False)
    else:
        pull(sandbox, "fail", method="POST", path="podchaos$", status=500)
    await carried_out(duration="90s")
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
    assert record.verdict is not None
    assert record.report is not None


async def test_no_stage_is_injected_while_nothing_can_be_seen(sandbox: Sandbox) -> None:
    def listen(event: Event) -> None:
        if event.kind == "sample" and event.data["stage"] == "after kill-api-gateway":
            httpx.put(f"{sandbox.url}/control/prometheus/", json={"mode": "empty"}, trust_env=False)

    with listening(listen):
        state = await carried_out(duration="90s")
    assert state.name == "Aborted"
    assert [event.data["stage"] for event in await events() if event.kind == "stage"] == ["kill-api-gateway"]


async def test_a_recovery_that_nobody_could_see_is_an_error_and_no_verdict_on_the_platform(
    sandbox: Sandbox,
) -> None:
    def listen(event: Event) -> None:
        if event.kind == "phase" and event.message == "Post-experiment":
            httpx.put(f"{sandbox.url}/control/prometheus/", json={"mode": "empty"}, trust_env=False)

    with listening(listen):
        state = await carried_out(duration="90s")
    assert state.name == "Error"
    assert "could not be seen" in (state.message or "")
