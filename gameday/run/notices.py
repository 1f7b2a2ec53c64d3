"""Why: people follow a run in one thread, and no message ever holds up what keeps them safe.

Decides what is said when, and sends it from a queue of its own: a slow Slack delays nothing. A
message that could not be sent is recorded. Only the first one, where the environment requires that
people are told, can refuse a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gameday.background import background
from gameday.clients.slack import Delivery, Message, Terminal, attempt
from gameday.errors import RefusedError
from gameday.journal.store import Verdict
from gameday.run.context import Run
from gameday.spec.base import format_duration

# How long the end of a run waits for messages that are still on their way.
_LAST_CALL_S: Final = 20.0

_HINT: Final = (
    "Is Slack reachable from here? GAMEDAY_SLACK_TOKEN or GAMEDAY_SLACK_WEBHOOK_URL must be set and good; "
    "`mustNotify` of the environment in platform.yaml says whether anybody must be told."
)

_MARKS: Final = {
    Verdict.HELD: "✓",
    Verdict.DISPROVED: "✗",
    Verdict.ABORTED: "!",
    Verdict.STOPPED: "■",
    Verdict.REFUSED: "⊘",
    Verdict.ERROR: "!",
}


def mark(verdict: Verdict) -> str:
    """The one status mark of a line about this verdict."""
    return _MARKS[verdict]


class Announcer:
    """Sends a run's messages in order, in the background."""

    def __init__(self, run: Run) -> None:
        """Speak for ``run``; ``Announcer.open`` is the way in."""
        self._run = run
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def open(cls, run: Run) -> AsyncIterator[Announcer]:
        """Send what is said meanwhile, and wait a little at the end for the last of it."""
        announcer = cls(run)
        worker = background(announcer._work(), name="announcer")
        try:
            yield announcer
        finally:
            announcer._queue.put_nowait(None)
            await asyncio.wait({worker}, timeout=_LAST_CALL_S)
            worker.cancel()

    async def announce(self) -> None:
        """Open the thread. Raises ``RefusedError`` where people must be told and cannot be."""
        environment, messenger = self._run.session.environment, self._run.session.messenger
        message = self._head("starts")
        delivery = await attempt(messenger.open_thread(environment.channel, message))
        self._run.thread = delivery.thread
        if delivery.ok:
            await self._told(message)
        else:
            await self._untold(message, delivery)
        unheard = delivery.why or ("there is only the terminal" if isinstance(messenger, Terminal) else "")
        if environment.must_notify and unheard:
            raise RefusedError(
                f"{environment.name} requires that {environment.channel} is told, and it could not be",
                (f"{environment.channel} could not be told, and {environment.name} requires it: {unheard}",),
                hint=delivery.hint or _HINT,
            )

    def say(self, text: str, **fields: str) -> None:
        """Have ``text`` sent into the thread. Returns at once."""
        self._queue.put_nowait(Message(text, fields=fields))

    async def _work(self) -> None:
        while (message := await self._queue.get()) is not None:
            await self._send(message)

    async def _send(self, message: Message) -> None:
        thread = self._run.thread
        if thread is None:
            return
        delivery = await attempt(self._run.session.messenger.reply(thread, message))
        if delivery.ok:
            await self._told(message)
        else:
            await self._untold(message, delivery)

    async def close_thread(self, verdict: Verdict, reasons: tuple[str, ...]) -> None:
        """Give the verdict in the thread and in its head."""
        text = "; ".join(reasons) or "Every signal stayed within its limits."
        self.say(f"{mark(verdict)} {verdict.value.capitalize()}: {text}")
        if self._run.thread is not None:
            head = self._head(f"{mark(verdict)} {verdict.value}")
            delivery = await attempt(self._run.session.messenger.update(self._run.thread, head))
            if not delivery.ok:
                await self._untold(head, delivery)

    def _head(self, state: str) -> Message:
        plan, asked = self._run.plan, self._run.requested
        return Message(
            plan.hypothesis,
            title=f"{plan.experiment} on {plan.environment}: {state}",
            fields={
                "Run": plan.run,
                "Services": ", ".join(plan.services),
                "Takes": f"{format_duration(plan.duration)}, then recovery up to "
                f"{format_duration(plan.recovery.timeout)}",
                "Requested by": f"{asked.by} ({asked.reason})",
                "Stop it": f"gameday stop {plan.run}",
            },
        )

    async def _told(self, message: Message) -> None:
        channel = self._run.session.environment.channel
        await self._run.tell(
            "message", message.for_terminal(), channel=channel, by=self._run.session.messenger.name
        )

    async def _untold(self, message: Message, delivery: Delivery) -> None:
        self._run.findings.untold.append(delivery.why)
        told = f"A message could not be sent: {delivery.why}"
        if delivery.hint:
            told = f"{told}. {delivery.hint}"
        await self._run.tell("warning", told, text=message.for_terminal())
