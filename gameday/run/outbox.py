"""Why: no message holds up what keeps people safe, so whatever is sent goes through a queue of its own.

Sends one after another, beside everything else; only the end waits, and not long. What is sent, and what
it means that it could not be, is for whoever puts it in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

from gameday.background import background

Send = Callable[[], Awaitable[None]]

# How long the end waits for what is still on its way.
_LAST_CALL_S: Final = 20.0
# And where somebody interrupts.
_HURRIED_S: Final = 3.0


class Outbox:
    """What is still to be sent, in order."""

    def __init__(self) -> None:
        """Nothing yet; ``open`` is the way in."""
        self._queue: asyncio.Queue[Send | None] = asyncio.Queue()
        self._waiting = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, unsent: Callable[[str], Awaitable[None]]) -> AsyncIterator[Self]:
        """Send what is put in meanwhile, and wait a little at the end for the last of it.

        ``unsent`` is told in words what was given up.
        """
        outbox = cls()
        worker = background(outbox._work(), name=name)
        patience_s = _LAST_CALL_S
        try:
            yield outbox
        except BaseException:
            # Somebody wants it to end, now.
            patience_s = _HURRIED_S
            raise
        finally:
            await outbox._close(worker, patience_s)
            if outbox._waiting:
                count = f"{outbox._waiting} message(s)"
                await unsent(f"{count} were not sent within {patience_s:.0f} s of the end")

    def put(self, send: Send) -> None:
        """Have ``send`` called after all that came before. Returns at once."""
        self._waiting += 1
        self._queue.put_nowait(send)

    async def _work(self) -> None:
        while (send := await self._queue.get()) is not None:
            await send()
            self._waiting -= 1

    async def _close(self, worker: asyncio.Task[None], patience_s: float) -> None:
        self._queue.put_nowait(None)
        try:
            await asyncio.wait({worker}, timeout=patience_s)
        finally:
            worker.cancel()
