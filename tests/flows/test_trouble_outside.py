"""Whatever fails around a run while it injects or stops, no fault stays and the journal says what was.

The run is in this process; what is around it is made to fail by the sandbox's own levers.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_async
from prefect.states import Running, Scheduled

from flows.run_experiment import run_experiment
from gameday.clock import SystemClock
from gameday.journal.store import Event, Journal, RunRecord, Verdict
from gameday.settings import load
from gameday.spec.catalogue import default_directory
from gameday.spec.kinds import API_VERSION, FLOW_RUN, RUN
from sandbox.process.launch import Sandbox
from tasks.listening import listening
from tests.conftest import StartSandbox
from tests.flows.conftest import chaos_mesh, live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def carried_out(listen: Callable[[Event], None], **arguments: Any) -> State[Any]:
    with listening(listen):
        state: State[Any] = await run_experiment(
            "basic-pod-failure", "staging", return_state=True, **{"duration": "90s", **arguments}
        )
    return state


def pull(sandbox: Sandbox, lever: str, **body: Any) -> None:
    """Make the sandbox's cluster misbehave."""
    answer = httpx.post(f"{sandbox.url}/control/kubernetes/{lever}", json=body, trust_env=False)
    answer.raise_for_status()


async def recorded() -> tuple[RunRecord, list[Event]]:
    """The newest run of the journal, with its events."""
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        return record, await journal.events(record.run)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A catalogue whose basic-pod-failure is over after ten seconds."""
    catalogue = shutil.copytree(default_directory(), tmp_path / "experiments")
    path = catalogue / "basic-pod-failure.yaml"
    text = path.read_text(encoding="utf-8")
    head, _, stages = text.partition("stages:\n")
    first = re.split(r"(?m)^  - name: ", stages)[1]
    first = re.sub(r"duration: \S+", "duration: 10s", re.sub(r"settle: \S+", "settle: 0s", first))
    path.write_text(f"{head}stages:\n  - name: {first}recovery: {{timeout: 5m, stableFor: 5s}}\n")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(catalogue))


TROUBLE: dict[str, tuple[str, dict[str, Any]]] = {
    "refuses": ("fail", {"status": 403}),
    "answers 500": ("fail", {"status": 500}),
    "stalls": ("stall", {"seconds": 3.0}),
}


def fault(name: str, **labels: str) -> dict[str, Any]:
    """A fault that nobody planned."""
    selected = {"namespaces": ["pyairtable-staging"], "labelSelectors": {"app": "api-gateway"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "PodChaos",
        "metadata": {"name": name, "namespace": "chaos-engineering", "labels": labels},
        "spec": {"action": "pod-failure", "mode": "one", "duration": "10m", "selector": selected},
    }


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_an_api_server_that_fails_during_the_injection_leaves_no_fault(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setenv("GAMEDAY_KUBERNETES_TIMEOUT", "1s")
    lever, body = TROUBLE[trouble]
    late: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "stage":
            pull(sandbox, lever, method="POST", path="podchaos$", **body)
        if event.kind == "warning" and "is not known; watching" in event.message:
            # It had been at work on it: the fault comes after all.
            httpx.delete(f"{sandbox.url}/control/kubernetes/", trust_env=False).raise_for_status()
            late.append(f"{event.run}-s1f1")
            path = f"apis/{API_VERSION}/namespaces/chaos-engineering/podchaos"
            answer = httpx.post(
                f"{sandbox.url}/kubernetes/{path}",
                json=fault(late[0], **{RUN: event.run}),
                trust_env=False,
            )
            answer.raise_for_status()

    state = await carried_out(listen)
    assert state.name == "Error"
    assert await live_faults() == []
    record, events = await recorded()
    assert record.verdict is Verdict.ERROR
    assert "Kubernetes" in (record.summary or "")
    assert not [event for event in events if event.kind == "injected"]
    assert len(late) == (trouble != "refuses"), "an answer that says no is an answer"


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_an_api_server_that_fails_half_of_the_stop_only_delays_it(
    sandbox: Sandbox, trouble: str
) -> None:
    lever, body = TROUBLE[trouble]
    running: asyncio.Task[State[Any]] | None = None

    def listen(event: Event) -> None:
        if event.kind == "injected":
            pull(sandbox, lever, method="DELETE", path="podchaos", next=3, **body)
            assert running is not None
            running.cancel()

    running = asyncio.ensure_future(carried_out(listen))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await live_faults() == []
    record, events = await recorded()
    assert record.verdict is Verdict.STOPPED
    told = [event.message for event in events if event.kind == "stop"]
    assert "1 of 1 chaos objects ended" in told[0]
    if trouble == "refuses":  # the others succeed when they are tried again at once
        assert any("then succeeded" in line for line in told), "what failed on the way is said"


async def test_a_run_whose_leases_cannot_be_renewed_is_aborted_and_was_stopped_by_nobody(
    sandbox: Sandbox,
) -> None:
    def listen(event: Event) -> None:
        if event.kind == "injected":
            pull(sandbox, "fail", method="PUT", path="leases", status=500)

    state = await carried_out(listen, duration=None)
    assert state.name == "Aborted"
    assert "not renewed since" in (state.message or "")
    assert await live_faults() == []


async def test_a_daemon_that_dies_under_a_fault_is_named_with_what_a_person_must_do(
    sandbox: Sandbox,
) -> None:
    nodes = httpx.get(f"{sandbox.url}/kubernetes/api/v1/nodes", trust_env=False).json()

    def listen(event: Event) -> None:
        if event.kind == "injected":
            for node in nodes["items"]:
                pull(sandbox, "daemon", node=node["metadata"]["name"], down=True)

    with listening(listen):
        state: State[Any] = await run_experiment(
            "network-resilience", "staging", duration="3m", return_state=True
        )
    assert state.name == "Error"
    (left,) = await live_faults()
    record, events = await recorded()
    assert record.verdict is Verdict.ERROR
    told = "\n".join(event.message for event in events if event.kind in {"stop", "warning"})
    assert f"{left.ref} is still there" in told
    assert "connection refused" in told
    assert f"kubectl -n {left.ref.namespace} describe" in told
    assert f"gameday stop {record.run} --force" in told
    async with Journal.open(load().database_url) as journal:
        (fault,) = await journal.faults(record.run)
    assert fault.ended_at is None
    assert "unproved" in fault.proof


@pytest.mark.parametrize("kind", ["unavailable", "stalling"])
async def test_a_slack_that_is_gone_delays_nothing_and_is_on_record(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("GAMEDAY_SLACK_TIMEOUT", "1s")

    def listen(event: Event) -> None:
        if event.kind == "phase" and event.message == "Execution":
            fault = {"kind": kind}
            httpx.put(f"{sandbox.url}/control/slack/fault", json=fault, trust_env=False).raise_for_status()

    state = await carried_out(listen)
    assert state.name == "Held"
    assert await live_faults() == []
    _, events = await recorded()
    assert any("could not be sent" in event.message for event in events if event.kind == "warning")


async def test_a_prometheus_that_is_gone_aborts_the_run(sandbox: Sandbox) -> None:
    def listen(event: Event) -> None:
        if event.kind == "injected":
            gone = {"mode": "gone"}
            httpx.put(f"{sandbox.url}/control/prometheus/", json=gone, trust_env=False).raise_for_status()

    state = await carried_out(listen, duration=None)
    assert state.name == "Aborted"
    assert "no data" in (state.message or "")
    assert await live_faults() == []


async def test_of_two_runs_on_the_same_service_at_once_one_is_refused(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In real time: the first is still at its first stage when the second begins.
    for name, value in start_sandbox(mode="live", history=timedelta(minutes=6)).env.items():
        monkeypatch.setenv(name, value)
    in_it = asyncio.Event()
    first = asyncio.ensure_future(
        carried_out(lambda event: in_it.set() if event.kind == "injected" else None, duration=None)
    )
    await in_it.wait()
    second = await carried_out(lambda _: None)
    assert second.name == "Refused"
    assert len(await live_faults()) == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        runs = await journal.latest(2)
        assert [len(await journal.faults(run.run)) for run in runs] == [0, 1]


async def test_a_clock_that_is_set_back_while_a_fault_is_in_makes_no_stage_longer(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    for name, value in start_sandbox(mode="live").env.items():
        monkeypatch.setenv(name, value)
    # As in production, where nobody serves a clock: the run reads that of its machine.
    monkeypatch.delenv("GAMEDAY_CLOCK_URL")
    set_back = timedelta(0)
    monkeypatch.setattr(
        "flows.run_experiment.clock", lambda _: SystemClock(lambda: datetime.now(UTC) - set_back)
    )

    def listen(event: Event) -> None:
        nonlocal set_back
        if event.kind == "injected":
            set_back = timedelta(hours=1)

    state = await carried_out(listen, duration=None)
    assert set_back, "the clock was set back"
    assert state.name == "Held"
    assert await live_faults() == []
    record, events = await recorded()
    moments = [event.at for event in events]
    assert moments == sorted(moments)
    assert record.ended_at is not None
    assert record.ended_at - record.started_at < timedelta(minutes=30)


async def _flow_run(first_execution: State[Any]) -> FlowRun:
    """A flow run that Prefect executed once already, as far as it knows."""
    async with get_client() as client:
        flow_run = await client.create_flow_run(
            run_experiment, parameters={"experiment": "basic-pod-failure"}, state=Scheduled()
        )
        await client.set_flow_run_state(flow_run.id, first_execution, force=True)
        await client.set_flow_run_state(flow_run.id, Scheduled(), force=True)
        return await client.read_flow_run(flow_run.id)


@pytest.mark.parametrize("journal_survived", [True, False])
async def test_a_run_that_prefect_executes_again_injects_nothing_and_ends_what_was_left(
    sandbox: Sandbox, journal_survived: bool
) -> None:
    flow_run = await _flow_run(Running())
    labels = {RUN: "20261123t101530-first", FLOW_RUN: str(flow_run.id)}
    async with chaos_mesh() as chaos:
        await chaos.create(fault("left", **labels))
    if journal_survived:
        async with Journal.open(load().database_url) as journal:
            await journal.begin(
                RunRecord(
                    labels[RUN],
                    "basic-pod-failure",
                    "staging",
                    "platform-team",
                    "weekly",
                    datetime.now(UTC),
                    flow_run=str(flow_run.id),
                )
            )
    state: Any = await run_flow_async(
        run_experiment, flow_run, {"experiment": "basic-pod-failure"}, return_type="state"
    )
    assert state.name == "Error"
    assert "executed the run again" in state.message
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        runs = await journal.latest()
    assert [run.verdict for run in runs] == [Verdict.ERROR] * journal_survived, "no run was begun"
