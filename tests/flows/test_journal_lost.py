"""A journal on another machine comes and goes; no run breaks anything that it cannot account for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.run_experiment import run_experiment
from gameday.journal.store import Event, Journal, Verdict
from gameday.settings import load
from tasks.listening import listening
from tests.databases import PostgreSQL, new_database, postgresql
from tests.flows.conftest import live_faults

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.postgresql,
    pytest.mark.usefixtures("in_prefect", "sandbox"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgreSQL]:
    """A PostgreSQL that has the journal."""
    with postgresql() as running:
        monkeypatch.setenv("GAMEDAY_DATABASE_URL", new_database(running.address))
        yield running


async def carried_out(act: Callable[[], None]) -> State[Any]:
    """Carry a run out, and ``act`` when the first fault is in."""
    acted: list[Event] = []

    def hear(event: Event) -> None:
        if event.kind == "injected" and not acted:
            acted.append(event)
            act()

    with listening(hear):
        state: State[Any] = await run_experiment(
            "basic-pod-failure", "staging", duration="90s", return_state=True
        )
    assert acted
    return state


async def test_a_run_whose_journal_goes_away_is_aborted_and_ends_its_faults(server: PostgreSQL) -> None:
    state = await carried_out(server.stop)
    assert state.name == "Aborted"
    assert "journal" in (state.message or "")
    assert await live_faults() == []
    await asyncio.to_thread(server.start)
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
        kinds = [event.kind for event in await journal.events(record.run)]
    assert "stage" in kinds, "what was written before is kept"


async def test_a_database_that_is_restarted_between_two_writes_costs_nothing(server: PostgreSQL) -> None:
    def restart() -> None:
        server.stop()
        server.start()

    state = await carried_out(restart)
    assert state.name == "Held", state.message
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
        events = await journal.events(record.run)
        assert record.verdict is Verdict.HELD
        assert [event.message for event in events if "journal" in event.message.lower()] == []
        assert {event.kind for event in events} >= {"injected", "recovered", "verdict", "report"}
