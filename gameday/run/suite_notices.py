"""Why: whoever follows a channel sees a suite as one thing, not as runs that happen to follow one another.

One message for a suite, edited as its runs end; each run has a thread of its own. It holds nothing up,
and that it cannot be sent is told once. What is said of a run is for ``notices``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from gameday.clients.slack import Message, Messenger, Thread, attempt
from gameday.journal.store import Verdict
from gameday.run.notices import mark
from gameday.run.outbox import Outbox
from gameday.run.suite import Outcome, SuiteRun
from gameday.spec.base import format_duration
from gameday.spec.suite import Part, takes

Tell = Callable[..., Awaitable[None]]


class SuiteNotices:
    """Tells an environment's channel of one suite."""

    def __init__(
        self, going: SuiteRun, parts: Sequence[Part], messenger: Messenger, channel: str, tell: Tell
    ) -> None:
        """Speak of ``going`` in ``channel``; ``tell`` lets whoever listens to the suite know."""
        self._going = going
        self._parts = parts
        self._messenger = messenger
        self._channel = channel
        self._tell = tell
        self._thread: Thread | None = None
        self._outbox: Outbox | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Send what is said meanwhile, and wait a little at the end for the last of it."""
        async with Outbox.open("suite notices", partial(self._tell, "warning")) as self._outbox:
            yield

    def begins(self) -> None:
        """Say what is to come. Returns at once, as all of these."""
        self._put(partial(self._begin, self._head("starts")))

    async def _begin(self, message: Message) -> None:
        delivery = await attempt(self._messenger.open_thread(self._channel, message))
        self._thread = delivery.thread
        if delivery.ok:
            await self._tell(
                "message", message.for_terminal(), channel=self._channel, by=self._messenger.name
            )
        else:
            told = f"A message could not be sent: {delivery.why}"
            await self._tell("warning", f"{told}. {delivery.hint}" if delivery.hint else told)

    def goes_on(self) -> None:
        """Say how far it has come."""
        self._put(partial(self._edit, self._head(f"{len(self._going.outcomes)} of {len(self._parts)} done")))

    def ends(self) -> None:
        """Give the verdict."""
        verdict = self._going.verdict
        self._put(partial(self._edit, self._head(f"{mark(verdict)} {verdict.value}")))
        if verdict is not Verdict.HELD:
            why = "; ".join(self._going.reasons)
            self._put(partial(self._reply, Message(f"{mark(verdict)} {why}")))

    def _put(self, send: Callable[[], Awaitable[None]]) -> None:
        if self._outbox is not None:
            self._outbox.put(send)

    async def _edit(self, head: Message) -> None:
        if self._thread is not None:
            await attempt(self._messenger.update(self._thread, head))

    async def _reply(self, message: Message) -> None:
        if self._thread is not None:
            await attempt(self._messenger.reply(self._thread, message))

    def _head(self, state: str) -> Message:
        going = self._going
        return Message(
            "\n".join([going.suite.title, *map(_line, going.table)]),
            title=f"{going.suite.name} on {going.environment}: {state}",
            fields={
                "Suite": going.id,
                "Takes": f"{format_duration(takes(self._parts))} of faults in all",
                "Requested by": f"{going.requested_by} ({going.reason})",
                "Stop it": f"gameday stop {going.id}",
            },
        )


def _line(one: Outcome) -> str:
    return f"{mark(one.verdict)} {one.experiment}: {one.words}" if one.verdict else f"· {one.experiment}"
