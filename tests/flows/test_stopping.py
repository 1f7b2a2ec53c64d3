"""Whoever stops a run or a suite has stopped it, at whatever moment: nothing is injected afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_async
from prefect.states import Scheduled

from flows.emergency_stop import emergency_stop
from flows.run_experiment import run_experiment
from flows.run_suite import run_suite
from gameday.cli.main import run as gameday
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import ExitCode
from gameday.journal.audit import Action, Audit, Entry
from gameday.journal.store import Event, FaultRecord, Journal, Verdict
from gameday.safety.lease import run_lease
from gameday.settings import load
from gameday.spec.kinds import FLOW_RUN
from tests.flows.conftest import live_faults
from tests.flows.moments import acting, injected, record_of, settling
from tests.suites import small_catalogue

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

WORDS = ("--by", "ann", "--reason", "checkout is down")
SAID = "Stopped by ann: checkout is down"
PARAMETERS = {"experiment": "basic-pod-failure", "environment": "staging", "duration": "3m"}


async def carried_out() -> State[Any]:
    state: State[Any] = await run_experiment(**PARAMETERS, return_state=True)
    return state


async def suite_carried_out() -> State[Any]:
    state: State[Any] = await run_suite("both", "staging", return_state=True)
    return state


async def faults() -> list[FaultRecord]:
    """Every fault of the newest run."""
    async with Journal.open(load().database_url) as journal:
        return await journal.faults((await journal.latest(1))[0].run)


async def stops(run: str) -> list[Entry]:
    async with Journal.open(load().database_url) as journal:
        trail = await Audit(journal).latest(200)
    return [one for one in trail if one.action == Action.STOP and one.run == run]


async def stopped_in_prefect(flow_run: str) -> State[Any]:
    """Start what the button in Prefect starts."""
    state: State[Any] = await emergency_stop(
        "checkout is down", by="ann", flow_run=flow_run, return_state=True
    )
    return state


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue with the suite ``both``."""
    small_catalogue(tmp_path, on_failure="goOn")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))


@pytest.mark.usefixtures("sandbox")
async def test_a_flow_run_that_is_stopped_in_prefect_while_it_settles_injects_nothing_more() -> None:
    async def stop(run: str) -> tuple[State[Any], Verdict | None]:
        stopped = await stopped_in_prefect(str((await record_of(run)).flow_run))
        return stopped, (await record_of(run)).verdict

    state, (stopped, verdict) = await acting(
        carried_out, settling, lambda event: asyncio.run(stop(event.run))
    )
    assert stopped.name == "Stopped", stopped.message
    assert verdict is None, "the record of a run that lives is its own to close"
    assert (state.name, state.message) == ("Stopped", SAID)
    assert [one.stage for one in await faults()] == ["kill-api-gateway"]
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
    (entry, *_) = await stops(record.run)
    assert (entry.by, entry.detail["reason"]) == ("ann", "checkout is down")
    assert record.verdict is Verdict.STOPPED


@pytest.mark.usefixtures("sandbox", "suite")
async def test_a_suite_that_is_stopped_in_prefect_between_two_runs_begins_no_other() -> None:
    async def stop(suite: str) -> State[Any]:
        async with Cluster.connect(clock=SystemClock()) as cluster:
            lease = await cluster.lease("chaos-engineering", run_lease(suite))
        return await stopped_in_prefect(lease.labels[FLOW_RUN])

    state, stopped = await acting(
        suite_carried_out,
        lambda event: event.message.startswith("Letting the platform settle"),
        lambda event: asyncio.run(stop(event.run)),
    )
    assert stopped.name == "Stopped", stopped.message
    assert state.name == "Stopped"
    assert "not tried: second" in (state.message or "")


async def once_more(flow_run: FlowRun) -> State[Any]:
    """Have Prefect execute ``flow_run`` again."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run.id, Scheduled(), force=True)
        again = await client.read_flow_run(flow_run.id)
    state: Any = await run_flow_async(run_experiment, again, PARAMETERS, return_type="state")
    assert isinstance(state, State)
    return state


@pytest.mark.usefixtures("sandbox")
async def test_a_run_that_prefect_executes_again_while_it_lives_injects_nothing_more() -> None:
    async with get_client() as client:
        flow_run = await client.create_flow_run(run_experiment, parameters=PARAMETERS, state=Scheduled())

    async def first() -> State[Any]:
        state: Any = await run_flow_async(run_experiment, flow_run, PARAMETERS, return_type="state")
        assert isinstance(state, State)
        return state

    _, again = await acting(first, settling, lambda event: asyncio.run(once_more(flow_run)))
    assert "executed the run again" in (again.message or "")
    assert [one.stage for one in await faults()] == ["kill-api-gateway"]


@pytest.mark.usefixtures("sandbox", "suite")
async def test_a_suite_is_stopped_by_its_id_with_what_its_run_has_injected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(event: Event) -> tuple[int, int]:
        suite = str(asyncio.run(record_of(event.run)).suite)
        code = gameday(["stop", suite, *WORDS])
        return code, len(asyncio.run(live_faults()))

    state, (code, left) = await acting(suite_carried_out, injected, stop)
    assert (code, left) == (ExitCode.HELD, 0)
    told = capsys.readouterr().out
    assert "1 of 1 chaos objects ended" in told
    assert state.name == "Stopped"
    assert (state.message or "").startswith(f"first stopped ({SAID})")
    assert "not tried: second" in (state.message or "")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("before", ["Pre-experiment", "Health before", "The API server accepts"])
async def test_a_run_that_is_stopped_before_it_holds_its_services_injects_nothing(
    before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state, code = await acting(
        carried_out,
        lambda event: event.message.startswith(before),
        lambda event: gameday(["stop", event.run, *WORDS]),
    )
    assert code == ExitCode.HELD
    assert "Called off: run " in capsys.readouterr().out
    assert (state.name, state.message) == ("Stopped", f"The run was called off: {SAID}")
    assert await faults() == []
