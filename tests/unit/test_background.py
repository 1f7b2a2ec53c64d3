"""What runs do in threads beside the event loop that they share."""

from __future__ import annotations

import asyncio
import threading

from gameday.background import one_at_a_time


async def test_sums_of_runs_that_end_together_take_turns() -> None:
    told: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        go_on.wait()
        told.append("first is done")
        return "first"

    def second() -> str:
        told.append("second begins")
        return "second"

    both = asyncio.gather(one_at_a_time(first), one_at_a_time(second))
    await asyncio.to_thread(begun.wait)
    go_on.set()
    assert list(await both) == ["first", "second"]
    assert told == ["first is done", "second begins"]
