"""Why: people follow a run in one thread, and no message ever holds up what keeps them safe.

Decides what is said when, and sends it from a queue of its own: a slow Slack delays nothing. A
message that could not be sent is recorded. Only the first one, where the environment requires that
people are told, can refuse a run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from gameday.clients.slack import Delivery, Message, Terminal, Thread, attempt
from gameday.errors import RefusedError
from gameday.journal.store import Verdict
from gameday.plan.model import PlannedStage
from gameday.run.context import Run
from gameday.run.observe import Halt
from gameday.run.outbox import Outbox
from gameday.safety.risk import Risk
from gameday.spec.base import format_duration

_Send = Callable[[Thread, Message], Awaitable[None]]

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

    def __init__(self, run: Run, outbox: Outbox) -> None:
        """Speak for ``run``; ``Announcer.open`` is the way in."""
        self._run = run
        self._outbox = outbox
        self._halted = ""
        # What is put into the thread after the verdict.
        self.files: tuple[Path, ...] = ()

    @classmethod
    @asynccontextmanager
    async def open(cls, run: Run) -> AsyncIterator[Announcer]:
        """Send what is said meanwhile, and wait a little at the end for the last of it."""

        async def unsent(why: str) -> None:
            run.findings.untold.append(why)
            await run.tell("warning", f"Slack did not answer: {why}")

        async with Outbox.open("announcer", unsent) as outbox:
            yield cls(run, outbox)

    async def wait(self, gist: str, details: str) -> None:
        """Tell that the run waits for people, and how they answer."""
        if self._run.thread is None:
            environment, messenger = self._run.session.environment, self._run.session.messenger
            message = self._head("waits for approval")
            delivery = await attempt(messenger.open_thread(environment.channel, message))
            self._run.thread = delivery.thread
            await (self._told(message) if delivery.ok else self._untold(message, delivery))
        self.say(f"{gist}\n{details}")

    async def announce(self) -> None:
        """Open the thread, or go on in that which is open.

        Raises ``RefusedError`` where people must be told and cannot be.
        """
        environment, messenger = self._run.session.environment, self._run.session.messenger
        message = self._head("starts")
        if (thread := self._run.thread) is None:
            delivery = await attempt(messenger.open_thread(environment.channel, message))
        else:
            delivery = await attempt(messenger.update(thread, message))
        self._run.thread = delivery.thread or thread
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
        self._enqueue(self._reply, Message(text, fields=fields))

    def _enqueue(self, send: _Send, message: Message) -> None:
        self._outbox.put(partial(self._in_thread, send, message))

    async def _in_thread(self, send: _Send, message: Message) -> None:
        if self._run.thread is not None:
            await send(self._run.thread, message)

    async def _reply(self, thread: Thread, message: Message) -> None:
        delivery = await attempt(self._run.session.messenger.reply(thread, message))
        if delivery.ok:
            await self._told(message)
        else:
            await self._untold(message, delivery)

    async def _change_head(self, thread: Thread, head: Message) -> None:
        delivery = await attempt(self._run.session.messenger.update(thread, head))
        if not delivery.ok:
            await self._untold(head, delivery)

    async def _attach(self, thread: Thread, message: Message) -> None:
        delivery = await attempt(self._run.session.messenger.attach(thread, self.files))
        if not delivery.ok:
            await self._untold(message, delivery)

    def halted(self, halt: Halt, last: PlannedStage | None) -> None:
        """Have it told why the faults were ended early, and whether they are out. Returns at once.

        The verdict comes after the recovery, which may take minutes. ``last`` is the stage that was
        injected last; a step of a gradual one may break without breaking the hypothesis.
        """
        step = last.step if last is not None else None
        beyond = halt.by_signals and step is not None and not step.must_hold
        word = f"broke at {step}" if beyond and halt.verdict is Verdict.DISPROVED else halt.verdict.value
        self._halted = f"{mark(halt.verdict)} {word}"
        faults = "faults ended"
        if last is None:
            faults = "nothing was in"
        elif self._run.findings.left_behind:
            faults = f"not every fault is proved to be over: gameday stop {self._run.id}"
        self.say(f"{mark(halt.verdict)} {word[0].upper()}{word[1:]}: {'; '.join(halt.reasons)}; {faults}")
        self._enqueue(self._change_head, self._head(f"{self._halted}; {faults}"))

    def recovered(self, words: str) -> None:
        """Have it told that the platform is well again, and how soon. Returns at once."""
        self.say(f"Recovered: {words}")
        self._enqueue(self._change_head, self._head(f"{self._halted}; recovered".removeprefix("; ")))

    def close_thread(self, verdict: Verdict, reasons: tuple[str, ...]) -> None:
        """Have the verdict given in the thread and in its head. Returns at once."""
        text = "; ".join(reasons) or "Every signal stayed within its limits."
        self.say(f"{mark(verdict)} {verdict.value.capitalize()}: {text}")
        self._enqueue(self._change_head, self._head(f"{mark(verdict)} {verdict.value}"))
        if self.files:
            names = ", ".join(path.name for path in self.files)
            self._enqueue(self._attach, Message(f"Files: {names}"))

    def _head(self, state: str) -> Message:
        plan, asked = self._run.plan, self._run.requested
        return Message(
            plan.hypothesis,
            title=f"{plan.experiment} on {plan.environment}: {state}",
            fields={
                "Run": plan.run,
                "Services": ", ".join(plan.services),
                "Risk": f"{plan.risk.summary}; {_worst(plan.risk)}",
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


def _worst(risk: Risk) -> str:
    """What counts most, in words."""
    return "; ".join(
        f"{line.factor}: {line.why}"
        for line in risk.lines
        if line.points == max(one.points for one in risk.lines)
    )
