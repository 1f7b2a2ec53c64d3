"""Why: the load of a run begins and ends with it, and keeps its rate whatever the platform does.

An open loop by the injected clock: at each beat everything that is due is sent, and nobody waits for
answers. It never outlives the run: it lives in a context that every end of a run leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Final

from gameday.background import background
from gameday.clients.front import Answer, FrontDoor, NoAnswer
from gameday.clock import is_rehearsal
from gameday.errors import RefusedError
from gameday.monitor.load import LoadResults
from gameday.run.context import Run
from gameday.spec.load import Load

KIND: Final = "load"
"""The kind of the events that tell of the load; the last has its totals."""

_SHORTEST_BEAT: Final = timedelta(milliseconds=20)
# In a rehearsal each beat is a call of the clock's server.
_SHORTEST_REHEARSED: Final = timedelta(milliseconds=100)
# Later than this behind its time, a request counts as late.
_LATE: Final = timedelta(milliseconds=250)
# How long a request takes to leave this process, in real seconds, before time may move on.
_LEAVING_S: Final = 1.0


@dataclass
class LoadRun:
    """The load of one run, where it has any."""

    run: Run
    results: LoadResults = field(default_factory=LoadResults)
    _beating: AsyncExitStack = field(default_factory=AsyncExitStack)
    _waiting: dict[asyncio.Task[None], datetime] = field(default_factory=dict)
    _due: int = 0  # how many should have been sent so far
    _told: bool = False

    @property
    def wanted(self) -> Load | None:
        """What the plan says."""
        return self.run.plan.load

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Whatever ends what is done meanwhile ends the load, too."""
        try:
            yield
        finally:
            await self.end()

    async def begin(self) -> None:
        """Send from now on. Raises ``RefusedError`` where the first request already cannot be made."""
        load, front = self.wanted, self.run.session.front
        if load is None or self.results.began is not None:
            return
        request = front.request(load) if front is not None else NoAnswer("nobody can send it")
        if isinstance(request, NoAnswer) or front is None:
            why = request.why if isinstance(request, NoAnswer) else ""
            raise RefusedError("The load cannot be sent", (f"{load}: {why}",))
        self.results.began = self.run.now()
        await self.run.tell(KIND, f"Load begins: {load}, for {load.in_flight} answers it waits at most")
        clock = self.run.session.clock
        shortest = _SHORTEST_REHEARSED if is_rehearsal(clock) else _SHORTEST_BEAT
        sender = _Sender(self, load, front)
        await self._beating.enter_async_context(clock.every(max(load.interval, shortest), sender.beat))

    async def stop(self) -> None:
        """Send nothing more and wait for no answer."""
        self.results.ended = True
        try:
            await self._beating.aclose()
        finally:
            for task in list(self._waiting):
                task.cancel()

    async def end(self) -> None:
        """Stop it, and say what it was."""
        if self.results.began is None or self._told:
            return
        self._told = True
        await self.stop()
        totals = self.results.totals
        counts = {name: value for name, value in asdict(totals).items() if name != "latencies"}
        await self.run.tell(KIND, f"Load ended: {totals}", **counts)
        if totals.dropped or totals.late:
            words = f"{totals.dropped} requests were dropped, {totals.late} were sent late"
            await self.run.tell("warning", f"The load was not what was declared: {words}")


@dataclass
class _Sender:
    """Sends what is due."""

    owner: LoadRun
    load: Load
    front: FrontDoor

    async def beat(self) -> None:
        owner, now = self.owner, self.owner.run.now()
        began = owner.results.began
        if owner.results.ended or began is None:
            return
        self._give_up(now)
        # In a rehearsal time stands until all have left.
        leaving: list[asyncio.Event] | None = [] if is_rehearsal(owner.run.session.clock) else None
        due = int((now - began) / self.load.interval + 1e-6)
        for number in range(owner._due + 1, due + 1):
            if len(owner._waiting) >= self.load.in_flight:
                owner.results.dropped(now)
                continue
            late = now - (began + number * self.load.interval) > _LATE
            owner.results.sent(now, late=late)
            sent = asyncio.Event() if leaving is not None else None
            if leaving is not None and sent is not None:
                leaving.append(sent)
            self._send(now, sent)
        owner._due = due
        if leaving:
            await _left(leaving)

    def _give_up(self, now: datetime) -> None:
        """Let go of those that nobody waits for any longer."""
        for task, since in list(self.owner._waiting.items()):
            if now - since >= self.load.timeout and not task.done():
                task.cancel()
                self.owner._waiting.pop(task)
                self.owner.results.unanswered(now)

    def _send(self, now: datetime, sent: asyncio.Event | None) -> None:
        task = background(self._one(now, sent), name=f"load {self.load}")
        self.owner._waiting[task] = now
        task.add_done_callback(lambda done: self.owner._waiting.pop(done, None))

    async def _one(self, began: datetime, sent: asyncio.Event | None) -> None:
        request = self.front.request(self.load)
        try:
            if not isinstance(request, NoAnswer):
                answer: Answer | NoAnswer = await self.front.send(request, began, sent)
            else:
                answer = request
        finally:
            if sent is not None:
                sent.set()
        if isinstance(answer, Answer):
            good = self.load.good(answer.status, answer.body)
            self.owner.results.answered(began + answer.took, answer.took, good=good)
        else:
            self.owner.results.unanswered(self.owner.run.now())


async def _left(leaving: Iterable[asyncio.Event]) -> None:
    """Wait until these have left this process: only then may a rehearsal's time move on."""
    waits = [asyncio.create_task(one.wait()) for one in leaving]
    _, pending = await asyncio.wait(waits, timeout=_LEAVING_S)
    for one in pending:
        one.cancel()
