"""Why: the record of a run must be whole and in order although its journal fails, or hangs, for a while.

Writes one after the other. What cannot be written is kept and tried again with whatever comes next;
nobody waits long for it once that has begun. What is written, and what a loss means, is for others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gameday.background import background
from gameday.journal.store import JournalError

Write = Callable[[], Awaitable[object]]

# In real time, whatever the run's clock: it is a real database that is waited for.
_PATIENCE_S: Final = 5.0
_PATIENCE_AFTER_A_LOSS_S: Final = 0.25
_PATIENCE_AT_THE_END_S: Final = 5.0


class Record:
    """What a run writes down, in the order in which it was asked to."""

    def __init__(self, on_loss: Callable[[str], None]) -> None:
        """Call ``on_loss`` with the reason when something cannot be written in time, the first time."""
        self.lost = ""
        self._on_loss = on_loss
        self._waiting: deque[Write] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._failure: JournalError | None = None

    async def write(self, write: Write) -> None:
        """Have it written, after all that came before; done when this returns, unless ``lost`` says why not.

        ``write`` may be called again where it fails. Raises what it raises, but for ``JournalError``.
        """
        self.later(write)
        await self._catch_up(_PATIENCE_AFTER_A_LOSS_S if self.lost else _PATIENCE_S)

    def later(self, write: Write) -> None:
        """The same, with whatever is written next."""
        self._waiting.append(write)

    async def close(self) -> None:
        """Try a last time, and for longer, to write what is still to be written."""
        if self._waiting:
            await self._catch_up(_PATIENCE_AT_THE_END_S)

    async def _catch_up(self, patience_s: float) -> None:
        if self._writer is None or self._writer.done():
            self._writer = background(self._write_all(), name="record")
        # A task of its own: it comes to its end although the caller is cancelled, or has no patience.
        writer = self._writer
        done, _ = await asyncio.wait({writer}, timeout=patience_s)
        if not done:
            self._lose(f"The journal did not answer within {patience_s:g} s.")
            return
        writer.result()
        if self._failure is not None:
            self._lose(self._failure.message)

    async def _write_all(self) -> None:
        self._failure = None
        while self._waiting:
            write = self._waiting.popleft()
            try:
                await write()
            except JournalError as error:
                self._waiting.appendleft(write)
                self._failure = error
                return

    def _lose(self, why: str) -> None:
        if not self.lost:
            self.lost = why
            self._on_loss(why)
