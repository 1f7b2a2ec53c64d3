"""A run whose Prefect server dies ends its faults first and mourns later, whichever phase it is in."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest

from gameday.journal.store import Event, Journal, RunRecord, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.flows.conftest import Process, live_faults, until

StartProcess = Callable[..., Process]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

SEVERED = (sys.executable, "-m", "tests.flows.severed")


async def latest() -> tuple[RunRecord, list[Event]] | None:
    """The newest run and its events, if there is one yet."""
    async with Journal.open(load().database_url) as journal:
        records = await journal.latest(1)
        return (records[0], await journal.events(records[0].run)) if records else None


async def concluded() -> tuple[RunRecord, list[Event]] | None:
    """The newest run and its events, once it has a verdict."""
    found = await latest()
    return found if found is not None and found[0].verdict is not None else None


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("phase", "stages"), [("Pre-experiment", 0), ("Execution", 3), ("Post-experiment", 3)]
)
async def test_a_run_that_loses_prefect_leaves_no_fault_and_says_so(
    start_process: StartProcess, phase: str, stages: int
) -> None:
    # As often as it would ask again, it would wait: over a minute for each call. Once or twice it must:
    # a server that is there may be busy.
    run = start_process(*SEVERED, phase, PREFECT_CLIENT_MAX_RETRIES="2")
    record, events = await until(concluded, "a verdict", process=run)
    assert await live_faults() == []
    # Stages that had begun in it go on: tasks need no server. A phase cannot begin without.
    assert len([event for event in events if event.kind == "ended"]) == stages
    if phase == "Post-experiment":
        # The verdict was drawn before the first call that needs the server: the phase's end.
        assert record.verdict is Verdict.HELD, (record.summary, [event.message for event in events][-12:])
    else:
        assert record.verdict is Verdict.ERROR
        assert "Prefect's server does not answer any more" in (record.summary or "")


async def test_an_abort_does_not_wait_for_a_prefect_server_that_is_gone(
    sandbox: Sandbox, start_process: StartProcess
) -> None:
    run = start_process(*SEVERED, "Execution", sandbox.url)

    async def stopped() -> bool:
        found = await latest()
        return found is not None and any(event.kind == "stop" for event in found[1])

    await until(stopped, "the emergency stop", process=run)
    assert await live_faults() == []
    # Prefect is still being asked again and again to take note of the end of the execution.
    assert await concluded() is None
    run.signal(signal.SIGKILL)
    record, _ = await until(concluded, "a verdict by the watchdog")
    assert record.verdict is Verdict.ERROR
