"""Why: whoever follows a channel sees a suite as one thing, not as runs that happen to follow one another.

One message for a suite, edited as its runs end; each run has a thread of its own. That it cannot be
sent holds nothing up and is told once. What is said of a run is for ``notices``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gameday.clients.slack import Message, Messenger, Thread, attempt
from gameday.journal.store import Verdict
from gameday.run.notices import mark
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

    async def begins(self) -> None:
        """Say what is to come."""
        message = self._head("starts")
        delivery = await attempt(self._messenger.open_thread(self._channel, message))
        self._thread = delivery.thread
        if delivery.ok:
            await self._tell(
                "message", message.for_terminal(), channel=self._channel, by=self._messenger.name
            )
        else:
            told = f"A message could not be sent: {delivery.why}"
            await self._tell("warning", f"{told}. {delivery.hint}" if delivery.hint else told)

    async def goes_on(self) -> None:
        """Say how far it has come."""
        await self._edit(f"{len(self._going.outcomes)} of {len(self._parts)} done")

    async def ends(self) -> None:
        """Give the verdict."""
        verdict = self._going.verdict
        await self._edit(f"{mark(verdict)} {verdict.value}")
        if self._thread is not None and verdict is not Verdict.HELD:
            why = "; ".join(self._going.reasons)
            await attempt(self._messenger.reply(self._thread, Message(f"{mark(verdict)} {why}")))

    async def _edit(self, state: str) -> None:
        if self._thread is not None:
            await attempt(self._messenger.update(self._thread, self._head(state)))

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
