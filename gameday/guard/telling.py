"""Why: people must hear what the guard did, and a message must never keep it from doing it.

Messages wait in a short queue for a task of their own. What cannot be delivered is logged, counted
and let go of; where the queue is full, the newest is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gameday.clients.slack import Message, Messenger, attempt
from gameday.guard.metrics import Metrics

_log: Final = logging.getLogger(__name__)
_LONGEST_QUEUE: Final = 100
_MOST_LINES: Final = 12


Record = Callable[[str, Sequence[str]], Awaitable[str]]
"""Writes down a title and its lines; answers why that could not be done, "" where it was."""


class Teller:
    """Tells one channel, and has written down what it tells where there is somewhere to."""

    def __init__(
        self, messenger: Messenger, channel: str, metrics: Metrics, record: Record | None = None
    ) -> None:
        """Say nothing yet."""
        self._record = record
        self._messenger = messenger
        self._channel = channel
        self._metrics = metrics
        self._waiting: asyncio.Queue[tuple[str, Sequence[str]]] = asyncio.Queue(_LONGEST_QUEUE)

    def tell(self, title: str, lines: Sequence[str]) -> None:
        """Have a message sent when that is possible; returns at once."""
        _log.warning("%s: %s", title, "; ".join(_shown(lines)))
        try:
            self._waiting.put_nowait((title, lines))
        except asyncio.QueueFull:
            self._metrics.messages.labels("dropped").inc()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        while True:
            title, lines = await self._waiting.get()
            await asyncio.gather(self._send(title, lines), self._write(title, lines))
            self._waiting.task_done()

    async def _write(self, title: str, lines: Sequence[str]) -> None:
        if self._record is not None and (why := await self._record(title, lines)):
            _log.warning("this could not be written down: %s: %s", title, why)

    async def _send(self, title: str, lines: Sequence[str]) -> None:
        message = Message("\n".join(_shown(lines)), title)
        delivery = await attempt(self._messenger.open_thread(self._channel, message))
        self._metrics.messages.labels("sent" if delivery.ok else "failed").inc()
        if not delivery.ok:
            _log.warning("a message could not be delivered: %s %s", delivery.why, delivery.hint)

    async def finish(self, seconds: float) -> None:
        """Let what waits be sent, for ``seconds`` of real time at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        except TimeoutError:
            _log.warning("%s messages were not sent before the end", self._waiting.qsize())


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {more} more"] if more > 0 else [])]
