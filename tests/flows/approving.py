"""Why: whoever tests approvals answers for people, by the command or by Prefect's form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import OrchestrationResult

from flows.run_experiment import run_experiment
from gameday.cli.main import run as gameday
from gameday.journal.approvals import Approvals, Dossier
from gameday.journal.store import Event, Journal, RunRecord
from gameday.run.approval import Door
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tasks.listening import answering, listening
from tests.flows.conftest import until

ASKER = "the platform team"


async def dossier(run: str) -> Dossier:
    """What was asked and answered about a run."""
    async with Journal.open(load().database_url) as journal:
        found = await Approvals(journal).of_subject(run)
    assert found is not None
    return found


async def recorded() -> tuple[RunRecord, list[str]]:
    """The newest run, and what it told about its approval."""
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        events = await journal.events(record.run)
    return record, [event.message for event in events if event.kind == "approval"]


async def command(*words: str) -> int:
    """Call ``gameday`` as from another terminal."""
    return await asyncio.to_thread(gameday, list(words))


Act = Callable[[str], Awaitable[Any]]


async def while_waiting(
    *acts: Act, door: Door | None = None, **arguments: Any
) -> tuple[State[Any], list[Any]]:
    """Carry a run out; each time it begins to wait, do the next of ``acts`` with its id."""
    left, tasks = list(acts), []

    def listen(event: Event) -> None:
        if event.kind == "approval" and "request" in event.data and left:
            tasks.append(asyncio.ensure_future(left.pop(0)(event.run)))

    with listening(listen), answering(door):
        state: State[Any] = await run_experiment(
            "basic-pod-failure",
            "staging",
            return_state=True,
            **{"duration": "60s", "requested_by": ASKER, **arguments},
        )
    assert not left, "it never waited"
    return state, await asyncio.gather(*tasks)


async def paused(run: str) -> UUID:
    """The flow run of ``run``, once Prefect shows it as paused."""
    async with Journal.open(load().database_url) as journal:
        record = await journal.find(run)
    assert record is not None
    flow_run = UUID(record.flow_run)

    async def is_paused() -> bool:
        async with get_client() as client:
            state = (await client.read_flow_run(flow_run)).state
        return state is not None and state.is_paused()

    await until(is_paused, "a paused flow run")
    return flow_run


async def fill_in(run: str, **answers: Any) -> OrchestrationResult[Any]:
    """Fill the form of the paused flow run in, as the UI does; what is to be confirmed is confirmed."""
    flow_run = await paused(run)
    items = {item.key: True for item in (await dossier(run)).request.to_confirm}
    async with get_client() as client:
        return await client.resume_flow_run(flow_run, {"decision": "approve", **items, **answers})


def approving(name: str, *more: str) -> Act:
    """Approve by the command."""
    return lambda run: command("approve", run, "--by", name, "--confirm-checklist", *more)


def filling_in(**answers: Any) -> Act:
    """Approve by the form."""
    return lambda run: fill_in(run, **answers)


def told(sandbox: Sandbox) -> str:
    """What was posted in the sandbox's Slack."""
    answer = httpx.get(f"{sandbox.url}/control/slack/messages", trust_env=False).json()
    return "\n".join(message["text"] for message in answer)
