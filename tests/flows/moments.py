"""Why: what a stop is worth shows at the moments at which nobody would press the button.

Acts on a run at a moment that it tells of, from outside its process as it were: in a thread of its own,
while the run, and with it the time of a rehearsal, stands still.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from prefect.client.schemas.objects import State

from gameday.journal.store import Event, Journal, RunRecord
from gameday.settings import load
from tasks.listening import listening

T = TypeVar("T")


async def acting(
    carry_out: Callable[[], Awaitable[State[Any]]], moment: Callable[[Event], bool], act: Callable[[Event], T]
) -> tuple[State[Any], T]:
    """Carry something out and ``act`` once, at the first event that is the ``moment``."""
    acts: list[Future[T]] = []
    outside = copy_context()

    def hear(event: Event) -> None:
        if not acts and moment(event):
            acts.append(pool.submit(outside.run, act, event))
            wait(acts)

    with ThreadPoolExecutor(1) as pool, listening(hear):
        state = await carry_out()
    assert acts, "the moment never came"
    return state, acts[0].result()


def injected(event: Event) -> bool:
    """A fault is proved in."""
    return event.kind == "injected"


def settling(event: Event) -> bool:
    """Nothing is in, and more is to come."""
    return event.kind == "sample" and str(event.data["stage"]).startswith("after ")


async def record_of(run: str) -> RunRecord:
    """What the journal has of ``run``."""
    async with Journal.open(load().database_url) as journal:
        record = await journal.find(run)
    assert record is not None
    return record
