"""The safety lever and the audit trail, seen from a run: it stops, it does not start, it is accounted for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import State

from flows.run_experiment import run_experiment
from flows.sweep_orphans import sweep_orphans
from gameday.cli.main import run as command
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import ExitCode
from gameday.journal.audit import Audit, Entry
from gameday.journal.store import Event, Journal, Verdict
from gameday.safety import lever
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tasks.listening import listening
from tests.flows.conftest import live_faults

NAMESPACE = "chaos-engineering"

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def carried_out(**arguments: Any) -> State[Any]:
    state: State[Any] = await run_experiment(
        "basic-pod-failure", "staging", duration="90s", return_state=True, **arguments
    )
    return state


async def when(told: str, act: Callable[[], Awaitable[Any]]) -> State[Any]:
    """Carry a run out and ``act`` once it tells an event of that kind."""
    acting: list[asyncio.Task[Any]] = []

    def hear(event: Event) -> None:
        if event.kind == told and not acting:
            acting.append(asyncio.ensure_future(act()))

    with listening(hear):
        state = await carried_out()
    assert acting
    await acting[0]
    return state


async def engage(by: str = "ann") -> None:
    clock = SystemClock()
    async with Cluster.connect(clock=clock) as cluster:
        await lever.engage(
            cluster, NAMESPACE, by=by, reason="checkout is down", source="command", clock=clock
        )


async def halt() -> None:
    code = await asyncio.to_thread(
        command, ["halt", "--reason", "checkout is down", "--by", "ann", "--no-incident"]
    )
    assert code == ExitCode.HELD


async def trail() -> list[Entry]:
    async with Journal.open(load().database_url) as journal:
        return await Audit(journal).latest(200)


async def verdict() -> tuple[Verdict | None, str]:
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
    return record.verdict, record.summary or ""


@pytest.mark.usefixtures("sandbox")
async def test_a_run_refuses_to_start_while_everything_is_halted_and_names_who_did_it() -> None:
    await engage()
    state = await carried_out()
    assert state.name == "Refused"
    assert "the safety lever is engaged" in (state.message or "")
    assert "by ann: checkout is down" in (state.message or "")
    assert [one.action for one in await trail()] == ["run-requested", "run-refused"]


async def test_a_run_refuses_to_start_where_the_lever_cannot_be_read(sandbox: Sandbox) -> None:
    import httpx

    rule = {"resources": ["configmaps"], "verbs": ["get"]}
    httpx.post(f"{sandbox.url}/control/kubernetes/forbid", json=rule, trust_env=False).raise_for_status()
    assert (await carried_out()).name == "Refused"
    assert not await live_faults()


@pytest.mark.usefixtures("sandbox")
async def test_a_run_that_is_under_way_stops_by_itself_when_the_lever_is_engaged() -> None:
    state = await when("injected", engage)
    assert state.name == "Stopped"
    found, why = await verdict()
    assert found is Verdict.STOPPED
    assert "the safety lever is engaged" in why
    assert "by ann: checkout is down" in why
    assert not await live_faults()


@pytest.mark.usefixtures("sandbox")
async def test_a_halt_ends_a_run_and_its_verdict_names_who_halted() -> None:
    state = await when("injected", halt)
    assert state.name == "Stopped"
    assert "by ann: checkout is down" in (await verdict())[1]
    assert not await live_faults()
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
        faults = await journal.faults(record.run)
    assert [one.name for one in faults if one.injected_at and one.ended_at is None] == []


@pytest.mark.usefixtures("sandbox")
async def test_a_lever_engaged_just_before_the_first_fault_keeps_it_from_going_in() -> None:
    state = await when("baseline", engage)
    assert state.name in {"Refused", "Stopped"}
    assert "by ann: checkout is down" in (await verdict())[1]
    assert "fault-injected" not in [one.action for one in await trail()]


@pytest.mark.usefixtures("sandbox")
async def test_everything_that_a_run_does_is_in_the_audit_trail() -> None:
    await carried_out(requested_by="ann", reason="a rehearsal")
    entries = await trail()
    actions = [one.action for one in entries]
    assert actions[:2] == ["run-requested", "run-started"]
    assert actions[-1] == "run-ended"
    assert actions.count("fault-injected") == actions.count("fault-ended") == 3
    assert {one.by for one in entries} == {"ann"}
    assert {one.source for one in entries} == {"flow"}
    assert entries[0].detail["reason"] == "a rehearsal"
    assert entries[-1].detail["verdict"] == "held"
    async with Journal.open(load().database_url) as journal:
        assert (await Audit(journal).verify()).whole


@pytest.mark.usefixtures("sandbox")
async def test_a_run_that_cannot_be_accounted_for_does_not_start(isolated: Path) -> None:
    async with Journal.open(load().database_url):
        pass
    with closing(sqlite3.connect(isolated / "journal.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    state = await carried_out()
    assert state.is_failed()
    assert "disk full" in (state.message or "")
    assert not await live_faults()
    async with Journal.open(load().database_url) as journal:
        assert await journal.latest(1) == []


@pytest.mark.usefixtures("sandbox")
async def test_the_lever_is_seen_in_prefect(prefect_env: dict[str, str]) -> None:
    await halt()
    artifact = await shown()
    assert "HALTED" in (artifact.description or "")
    assert "checkout is down" in str(artifact.data)
    resumed = ["resume", "--by", "ben", "--reason", "it is back"]
    assert await asyncio.to_thread(command, resumed) == ExitCode.HELD
    artifact = await shown()
    assert "not engaged" in (artifact.description or "")
    assert "ben" in str(artifact.data)


@pytest.mark.usefixtures("sandbox", "prefect_env")
async def test_a_lever_that_nobody_engaged_from_prefects_side_is_shown_by_the_next_sweep_once() -> None:
    await engage("the guard")
    await sweep_orphans("staging", return_state=True)
    artifact = await shown()
    assert artifact.description == "staging: HALTED, nothing new starts"
    assert "the guard" in str(artifact.data)
    await sweep_orphans("staging", return_state=True)
    assert (await shown()).latest_id == artifact.latest_id


async def shown() -> Any:
    async with get_client() as client:
        wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=["safety-lever"]))
        (newest,) = await client.read_latest_artifacts(artifact_filter=wanted)
    return newest
