"""What a run promises from its first look to its verdict, on the sandbox, through the real clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from flows.run_experiment import run_experiment
from gameday.analysis.model import AlertSeen, Analysis
from gameday.journal.actions import Actions
from gameday.journal.kinds import EVENTS, EventKind
from gameday.journal.results import Results
from gameday.journal.store import Event, Journal, RunRecord, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tasks.listening import listening
from tests.flows.conftest import chaos_mesh, live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def carried_out(name: str = "basic-pod-failure", **arguments: Any) -> State[Any]:
    """Run an experiment to its end."""
    state: State[Any] = await run_experiment(name, "staging", return_state=True, **arguments)
    return state


async def recorded() -> tuple[RunRecord, list[Event]]:
    """The newest run of the journal, with its events."""
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        return record, await journal.events(record.run)


def told(sandbox: Sandbox) -> list[str]:
    """What was posted in the sandbox's Slack."""
    answer = httpx.get(f"{sandbox.url}/control/slack/messages", trust_env=False).json()
    return [message["text"] for message in answer]


async def test_a_platform_that_absorbs_the_loss_of_pods_is_held_and_nothing_is_left(
    sandbox: Sandbox,
) -> None:
    state = await carried_out(duration="3m", requested_by="platform-team", reason="weekly")
    assert state.name == "Held", state.message
    assert await live_faults() == []
    record, events = await recorded()
    assert record.verdict is Verdict.HELD
    assert (record.requested_by, record.reason) == ("platform-team", "weekly")
    async with Journal.open(load().database_url) as journal:
        faults = await journal.faults(record.run)
        seen = await journal.observations(record.run)
    assert [fault.stage for fault in faults] == [
        "kill-api-gateway",
        "kill-auth-service",
        "kill-platform-services",
    ]
    for fault, service in zip(faults, ("api-gateway", "auth-service", "platform-services"), strict=True):
        assert fault.injected_at is not None
        assert fault.ended_at is not None
        assert len(fault.pods) == 1
        assert service in fault.pods[0]
    assert {one.signal for one in seen} >= {"availability", "errors", "p95"}
    assert [event.message for event in events if event.kind == "phase"] == [
        "Pre-experiment",
        "Execution",
        "Post-experiment",
    ]
    alerts = [AlertSeen.model_validate(event.data) for event in events if event.kind == "alert"]
    fired = [one for one in alerts if one.fired_at is not None]
    assert [(one.alert, one.stage, one.services) for one in fired] == [
        ("ReplicaMissing", "kill-api-gateway", ("api-gateway",))
    ], "of the others no alert is expected: they are replaced before a scrape sees that they are missing"
    for event in events:
        known = EVENTS[cast("EventKind", event.kind)]
        assert set(event.data) <= set(known.data), f"{event.kind}: docs/reference/events.md lacks a key"
    assert record.report is not None
    report = Path(record.report).with_suffix(".md").read_text(encoding="utf-8")
    assert "# basic-pod-failure on staging (sandbox): held" in report
    assert "Alert ReplicaMissing of api-gateway fired" in report
    assert any(record.run in text for text in told(sandbox))
    async with Journal.open(load().database_url) as journal:
        analysis = Analysis.model_validate(await Results(journal).analysis(record.run))
        items = await Actions(journal).items()
    assert [window.name for window in analysis.windows][:4] == ["before", "during", "after", faults[0].stage]
    compared = {(one.signal, one.service) for one in analysis.effects}
    assert compared >= {("p95", "api-gateway"), ("disk", "redis")}
    assert analysis.missing == ()
    # Nothing broke, and what was expected to be noticed was: there is nothing that nobody could mend.
    assert analysis.findings == ()
    assert items == []
    assert [event.message for event in events if event.kind == "warning" and "fire" in event.message] == []


async def test_the_run_is_a_readable_timeline_in_prefect(sandbox: Sandbox) -> None:
    state = await carried_out(duration="90s")
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    async with get_client() as client:
        flow_run = await client.read_flow_run(flow_run_id)
        from prefect.client.schemas.filters import (
            FlowRunFilter,
            FlowRunFilterParentFlowRunId,
            TaskRunFilter,
        )
        from prefect.client.schemas.sorting import FlowRunSort

        children = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id])
            ),
            sort=FlowRunSort.START_TIME_ASC,
        )
        tasks = await client.read_task_runs(
            flow_run_filter=FlowRunFilter(id={"any_": [one.id for one in children]}),
            task_run_filter=TaskRunFilter(),
        )
        artifacts = await client.read_artifacts()
    assert flow_run.name == "basic-pod-failure on staging"
    assert flow_run.state is not None
    assert flow_run.state.name == "Held"
    assert [one.name.split()[0] for one in children] == ["before", "execute", "after"]
    names = {one.name for one in tasks}
    assert {"inject kill-auth-service", "monitor kill-auth-service", "end kill-auth-service"} <= names
    record, _ = await recorded()
    own = {one.key: one for one in artifacts if record.run in (one.description or "")}
    assert {"run-report", "run-progress", "run-watch"} <= set(own)
    # On the run's own page, not on that of its middle part; and at the end it tells the end.
    assert {one.flow_run_id for one in own.values()} == {flow_run_id}
    assert "it is over. **Held: " in str(own["run-watch"].data)
    assert "## Injected now\n\nNothing." in str(own["run-watch"].data)


async def test_a_dry_run_asks_everything_and_touches_nothing(sandbox: Sandbox) -> None:
    heard: list[Event] = []
    with listening(heard.append):
        state = await carried_out(dry_run=True)
    assert state.is_completed()
    assert state.name == "Dry run"
    assert any("dry run" in event.message for event in heard if event.kind == "check")
    assert not {"injected", "stage", "verdict", "report"} & {event.kind for event in heard}
    assert told(sandbox) == []
    assert await live_faults() == []


async def test_a_dry_run_is_no_run_in_the_record(sandbox: Sandbox) -> None:
    await carried_out(dry_run=True)
    async with Journal.open(load().database_url) as journal:
        assert await journal.latest() == []
    assert not list(load().reports_dir.glob("*"))


async def test_a_dry_run_that_is_refused_says_so_and_is_not_in_the_record_either(sandbox: Sandbox) -> None:
    mode = {"mode": "empty"}
    httpx.put(f"{sandbox.url}/control/prometheus/", json=mode, trust_env=False).raise_for_status()
    state = await carried_out(dry_run=True)
    assert state.name == "Refused"
    async with Journal.open(load().database_url) as journal:
        assert await journal.latest() == []


async def test_a_blind_prometheus_refuses_a_run_before_anything_is_touched(
    sandbox: Sandbox,
) -> None:
    mode = {"mode": "empty"}
    httpx.put(f"{sandbox.url}/control/prometheus/", json=mode, trust_env=False).raise_for_status()
    state = await carried_out()
    assert state.name == "Refused"
    assert "unknown" in (state.message or "") or "no target" in (state.message or "")
    _, events = await recorded()
    assert not [event for event in events if event.kind in {"stage", "injected"}]


async def when_a_fault_is_in(act: Callable[[], Awaitable[None]], **arguments: Any) -> State[Any]:
    """Carry a run out and call ``act`` once, when its first fault is in."""
    done = asyncio.Event()
    tasks = []

    def listen(event: Event) -> None:
        if event.kind == "injected" and not done.is_set():
            done.set()
            tasks.append(asyncio.ensure_future(act()))

    with listening(listen):
        state = await carried_out(**arguments)
    await asyncio.gather(*tasks)
    assert done.is_set(), "no fault was ever in"
    return state


async def test_a_run_that_cannot_see_any_more_is_aborted_after_the_grace_period(sandbox: Sandbox) -> None:
    async def blind() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.put(f"{sandbox.url}/control/prometheus/", json={"mode": "stale"})
            answer.raise_for_status()

    state = await when_a_fault_is_in(blind)
    assert state.name == "Aborted"
    assert "no data" in (state.message or "")
    assert "stale" in (state.message or "")
    assert await live_faults() == []


async def test_a_fault_that_somebody_ends_by_hand_stops_the_run(sandbox: Sandbox) -> None:
    from gameday.cli.main import run as gameday

    async def stop() -> None:
        words = ["stop", "--all", "--by", "ann", "--reason", "checkout is down"]
        assert await asyncio.to_thread(gameday, words) == 0

    state = await when_a_fault_is_in(stop)
    assert state.name == "Stopped", state.message
    assert state.message == "Stopped by ann: checkout is down"
    assert await live_faults() == []


async def test_a_fault_that_somebody_deletes_by_hand_is_told_from_a_stop(sandbox: Sandbox) -> None:
    async def delete() -> None:
        async with chaos_mesh() as chaos:
            for fault in (await chaos.live()).objects:
                await chaos.delete(fault.ref)

    state = await when_a_fault_is_in(delete)
    assert state.name == "Stopped", state.message
    assert "was ended by somebody else" in (state.message or "")


async def test_each_stage_tells_how_its_service_came_back_counted_from_the_kill(sandbox: Sandbox) -> None:
    await carried_out()
    record, events = await recorded()
    rows = [row for event in events if event.kind == "recovered" for row in event.data["services"]]
    hit = [row for row in rows if row["hitBy"]]
    assert [(row["stage"], row["service"]) for row in hit] == [
        ("kill-api-gateway", "api-gateway"),
        ("kill-auth-service", "auth-service"),
        ("kill-platform-services", "platform-services"),
    ]
    for row in hit:
        assert row["hitBy"] == ["PodChaos pod-kill"]
        assert row["since"] == "the kill"
        assert 0 < row["replacedS"] <= row["tookS"] < 60, row
    assert record.report is not None
    report = Path(record.report).with_suffix(".md").read_text(encoding="utf-8")
    words = f"{hit[1]['replacedS']:.0f}s after the kill"
    assert f"| kill-auth-service | auth-service | PodChaos pod-kill | {words} |" in report


async def test_a_recovery_that_cannot_be_seen_is_given_up_after_the_grace(sandbox: Sandbox) -> None:
    async def blind() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.put(f"{sandbox.url}/control/prometheus/", json={"mode": "empty"})
            answer.raise_for_status()

    state = await when_a_fault_is_in(blind)
    assert state.name == "Aborted"
    assert "the recovery could not be seen" in (state.message or "")
    _, events = await recorded()
    (began,) = [event.at for event in events if event.message == "Post-experiment"]
    (given_up,) = [event.at for event in events if event.kind == "recovery"]
    assert timedelta(seconds=30) <= given_up - began <= timedelta(seconds=40)
    (told_of_it,) = [event.message for event in events if event.kind == "analysis"]
    assert told_of_it.startswith("Analysis: nothing could be worked out")
