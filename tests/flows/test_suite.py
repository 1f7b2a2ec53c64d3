"""A suite runs its experiments one after another, each as it would run alone, and ends as it says."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Running

from flows.hooks import end_faults_of_suite
from flows.run_experiment import run_experiment
from flows.run_suite import run_suite
from gameday.journal.history import History, RunRow, Wanted
from gameday.journal.store import Event, Journal, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tasks.listening import listening
from tasks.suite import wait_until_well
from tests.conftest import StartSandbox
from tests.flows.conftest import Process, a_fault_is_in, chaos_mesh, live_faults, until
from tests.flows.emergency_fixtures import fault
from tests.suites import small_catalogue

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

GAMEDAY = (sys.executable, "-m", "gameday.cli.main")


@pytest.fixture
def catalogue(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the catalogue in force lies; a test fills it."""
    directory = tmp_path_factory.mktemp("catalogue")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(directory))
    return directory


async def carried_out(hear: Callable[[Event], None] = lambda event: None) -> State[Any]:
    """Run the suite to its end."""
    with listening(hear):
        state: State[Any] = await run_suite("both", "staging", reason="release", return_state=True)
    return state


async def recorded(suite: str = "") -> list[RunRow]:
    """The runs in the journal, the oldest first."""
    async with Journal.open(load().database_url) as journal:
        return await History(journal).rows(Wanted(suite=suite))


def posts(sandbox: Sandbox) -> list[str]:
    """What stands in the sandbox's Slack, in the order in which it was begun."""
    answer = httpx.get(f"{sandbox.url}/control/slack/messages", trust_env=False).json()
    return [message["text"] for message in answer]


def report() -> str:
    """The suite's report."""
    (path,) = load().reports_dir.glob("*-both-*.md")
    return path.read_text(encoding="utf-8")


async def test_a_suite_holds_where_each_run_held_and_every_run_is_a_whole_one(
    sandbox: Sandbox, catalogue: Path
) -> None:
    small_catalogue(catalogue)
    heard: list[Event] = []
    state = await carried_out(heard.append)
    assert state.name == "Held", state.message
    outcome = await state.aresult()
    rows = await recorded(outcome["suite"])
    assert [(row.experiment, row.verdict) for row in rows] == [
        ("first", Verdict.HELD),
        ("second", Verdict.HELD),
    ]
    assert [row.run for row in rows] == [one["run"] for one in outcome["experiments"]]
    assert {row.reason for row in rows} == {"release"}
    assert rows[1].started_at - (rows[0].ended_at or rows[1].started_at) >= timedelta(seconds=15)
    assert all((load().reports_dir / f"{row.run}.md").is_file() for row in rows)
    assert "# both on staging: held" in report()
    assert f"| second | held | [{rows[1].run}]({rows[1].run}.md) |" in report()
    assert [event.message for event in heard if event.kind == "suite"][1:] == [
        "Experiment 1 of 2: first",
        "Experiment 2 of 2: second",
    ]
    async with get_client() as client:
        artifacts = await client.read_artifacts()
    assert [one.key for one in artifacts if outcome["suite"] in (one.description or "")] == ["suite-report"]
    first, *_ = posts(sandbox)
    assert "both on staging: ✓ held" in first, "one message, edited as the suite goes on"
    assert "✓ first: held\n✓ second: held" in first
    assert await live_faults() == []


async def test_a_slack_that_stalls_holds_up_no_suite(
    sandbox: Sandbox, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_catalogue(catalogue)
    monkeypatch.setenv("GAMEDAY_SLACK_TIMEOUT", "1s")
    heard: list[Event] = []

    # Not before: staging wants a run to be announced, and refuses it otherwise.
    def stall_in_the_last_run(event: Event) -> None:
        heard.append(event)
        if event.kind == "injected" and "-second-" in event.run:
            url = f"{sandbox.url}/control/slack/fault"
            httpx.put(url, json={"kind": "stalling"}, trust_env=False).raise_for_status()

    state = await carried_out(stall_in_the_last_run)
    assert state.name == "Held", state.message
    assert [row.verdict for row in await recorded()] == [Verdict.HELD, Verdict.HELD]
    assert any("could not be sent: Slack" in one.message for one in heard if one.kind == "warning")
    assert "# both on staging: held" in report()
    assert await live_faults() == []


@pytest.mark.parametrize(("on_failure", "tried"), [("stop", ["first"]), ("goOn", ["first", "second"])])
async def test_after_one_that_is_disproved_the_suite_does_as_it_says_and_is_disproved(
    sandbox: Sandbox, catalogue: Path, on_failure: str, tried: list[str]
) -> None:
    small_catalogue(catalogue, on_failure=on_failure, fails=True)
    state = await carried_out()
    assert state.name == "Disproved", state.message
    rows = await recorded()
    assert [row.experiment for row in rows] == tried
    assert [row.verdict for row in rows] == [Verdict.DISPROVED, Verdict.HELD][: len(tried)]
    assert (state.message or "").startswith("first disproved (NobodyHasThisAlert")
    assert ("not tried: second" in (state.message or "")) == (on_failure == "stop")
    assert ("| second | not tried | - | - |" in report()) == (on_failure == "stop")
    said = posts(sandbox)
    assert "both on staging: ✗ disproved" in said[0]
    assert ("· second" in said[0]) == (on_failure == "stop")
    assert said[-1].startswith("✗ first disproved")


async def test_a_platform_that_is_not_well_in_between_ends_the_suite(
    sandbox: Sandbox, catalogue: Path
) -> None:
    small_catalogue(catalogue, on_failure="goOn")

    def blind(event: Event) -> None:
        if event.message.startswith("Letting the platform settle"):
            mode = {"mode": "empty"}
            httpx.put(f"{sandbox.url}/control/prometheus/", json=mode, trust_env=False).raise_for_status()

    state = await carried_out(blind)
    assert state.name == "Aborted", state.message
    assert (state.message or "").startswith("the platform was not well 20s after first: Prometheus")
    assert [row.verdict for row in await recorded()] == [Verdict.HELD]


async def test_a_suite_that_is_cancelled_between_two_runs_starts_nothing_more(
    sandbox: Sandbox, catalogue: Path
) -> None:
    small_catalogue(catalogue, on_failure="goOn")
    heard: list[Event] = []

    def cancel(event: Event) -> None:
        heard.append(event)
        if event.message.startswith("Letting the platform settle"):
            carrying.cancel()

    carrying = asyncio.ensure_future(carried_out(cancel))
    with pytest.raises(asyncio.CancelledError):
        await carrying
    assert [row.verdict for row in await recorded()] == [Verdict.HELD]
    (last,) = [event for event in heard if event.kind == "verdict" and "experiments" in event.data]
    assert last.data["verdict"] == "stopped"
    assert last.data["reasons"] == ["cancelled, or the process was told to end", "not tried: second"]
    assert "# both on staging: stopped" in report()


async def test_prefects_hook_ends_the_faults_of_a_run_below_the_suite_that_has_not_ended(
    sandbox: Sandbox, catalogue: Path
) -> None:
    small_catalogue(catalogue)
    async with get_client() as client:
        suite = await client.create_flow_run(run_suite, parameters={"suite": "both"}, state=Running())
        step = await client.create_task_run(wait_until_well, flow_run_id=suite.id, dynamic_key="first")
        run = await client.create_flow_run(
            run_experiment,
            parameters={"experiment": "first", "environment": "staging"},
            parent_task_run_id=step.id,
            state=Running(),
        )
    left = fault("NetworkChaos", "left")
    left["metadata"]["labels"]["gameday/flow-run"] = str(run.id)
    async with chaos_mesh() as chaos:
        await chaos.create(left)
    assert len(await live_faults()) == 1
    await end_faults_of_suite(run_suite, suite, Cancelled())
    assert await live_faults() == []


async def test_what_a_killed_suite_leaves_is_ended_by_the_watchdog_of_its_run(
    start_sandbox: StartSandbox,
    catalogue: Path,
    start_process: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_catalogue(catalogue)
    for name, value in start_sandbox(mode="live", speed=5, history=timedelta(minutes=6)).env.items():
        monkeypatch.setenv(name, value)
    suite = start_process(*GAMEDAY, "run", "both", "-d", "4m")
    await until(a_fault_is_in, "a fault that is in", process=suite)
    suite.signal(signal.SIGKILL)
    assert await suite.ended() == -signal.SIGKILL

    async def closed() -> list[RunRow]:
        return [row for row in await recorded() if row.verdict is not None]

    (row,) = await until(closed, "a verdict in the journal")
    assert row.verdict is Verdict.ERROR
    assert row.suite is not None
    assert "its watchdog ended what was left" in row.summary
    assert await live_faults() == []
