"""Why: waiting is injected, so that 45 minutes can be rehearsed in seconds and tests never sleep.

Everything under ``gameday``, ``tasks`` and ``flows`` asks a ``Clock`` for the time and for sleep.
``SystemClock`` is real time. ``RemoteClock`` follows a clock that somebody else serves over HTTP:
in rehearsal that clock jumps ahead whenever its client sleeps. Who serves it is not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gameday.background import background
from gameday.errors import UnreachableError

if TYPE_CHECKING:
    import httpx

Beat = Callable[[], Awaitable[None]]

# The clock's server advances a simulation before it answers, which can take a while for long sleeps.
_ANSWER_TIMEOUT_S = 120.0
_READ_TIMEOUT_S = 5.0

_NEVER = datetime.max.replace(tzinfo=UTC)
_in_beat: ContextVar[bool] = ContextVar("in_beat", default=False)


class Clock(Protocol):
    """Time, for whoever must read it or let it pass."""

    def now(self) -> datetime:
        """The time, timezone-aware, in UTC."""
        ...

    async def sleep(self, delay: timedelta) -> None:
        """Let ``delay`` pass; a negative one counts as none."""
        ...

    def every(self, interval: timedelta, beat: Beat) -> AbstractAsyncContextManager[None]:
        """While the returned context is open, await ``beat`` about every ``interval``.

        ``beat`` handles its own errors: one that escapes ends the beating and is raised on exit.
        """
        ...


@asynccontextmanager
async def _beating(clock: Clock, interval: timedelta, beat: Beat) -> AsyncIterator[None]:
    async def forever() -> None:
        while True:
            await clock.sleep(interval)
            await beat()

    task = background(forever(), name="beat")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()):
            raise error


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """The time of this machine, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, delay: timedelta) -> None:
        """Sleep in real time."""
        await asyncio.sleep(max(0.0, delay.total_seconds()))

    def every(self, interval: timedelta, beat: Beat) -> AbstractAsyncContextManager[None]:
        """Beat from a task of its own, so that a slow step elsewhere does not delay it."""
        return _beating(self, interval, beat)


class ClockReading(BaseModel):
    """What the server of a remote clock answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    now: AwareDatetime
    mode: Literal["rehearsal", "live"]
    speed: float = Field(default=1.0, gt=0)


class RemoteClock:
    """A clock served over HTTP: ``GET <url>`` reads it, ``POST <url>/sleep {"until": …}`` waits.

    In ``rehearsal`` mode nothing moves but by somebody's sleep, so beats are taken at their exact
    virtual time from within ``sleep``; in ``live`` mode they run by themselves as in real time.
    Several may sleep at once: they wake in the order of their times. In rehearsal, what one does on
    waking races with the time that the others still sleep; what must happen on time is a beat.
    """

    def __init__(self, url: str) -> None:
        """Read the clock at ``url`` once. Raises ``UnreachableError`` where nothing answers."""
        import httpx  # noqa: PLC0415 - costs 0.1 s, which commands in real time need not pay

        self._client: httpx.AsyncClient | None = None
        self._url = url.rstrip("/")
        try:
            response = httpx.get(self._url, timeout=_READ_TIMEOUT_S, trust_env=False, verify=False)  # noqa: S501 - as below
            response.raise_for_status()
            self._take(response)
        except (httpx.HTTPError, httpx.InvalidURL, ValidationError) as error:
            raise UnreachableError(
                "clock",
                f"{self._url} does not answer as a clock does ({_words(error)}).",
                hint="Is the sandbox still up? `gameday sandbox status` tells; or unset GAMEDAY_CLOCK_URL.",
            ) from error
        self._moving = asyncio.Lock()
        self._stale = False
        self._wakes: list[datetime] = []
        self._beats: list[_RehearsedBeat] = []

    @property
    def rehearsal(self) -> bool:
        """Whether time moves only by sleeping."""
        return self._reading.mode == "rehearsal"

    def now(self) -> datetime:
        """The time last heard of; in live mode plus what has passed since, times the speed."""
        if self.rehearsal:
            return self._reading.now
        passed = (time.monotonic() - self._read_at) * self._reading.speed
        return self._reading.now + timedelta(seconds=passed)

    async def sleep(self, delay: timedelta) -> None:
        """Wait until the clock has moved on by ``delay``, taking due beats on the way.

        Raises ``UnreachableError`` where a rehearsal's clock stops answering.
        """
        if not self.rehearsal:
            await self._wait_live(self.now() + delay)
            return
        if self._stale:
            await self._refresh()
        until = self.now() + delay
        if _in_beat.get():
            # The beat is part of somebody's sleep, who holds the lock and waits for it.
            await self._move(until)
        else:
            await self._wait_rehearsing(until)

    async def _wait_rehearsing(self, until: datetime) -> None:
        self._wakes.append(until)
        try:
            # Whoever is about to sleep as well shall be known before time moves.
            await asyncio.sleep(0)
            while self.now() < until:
                async with self._moving:
                    if self.now() < until:
                        await self._step()
        finally:
            self._wakes.remove(until)

    async def _step(self) -> None:
        """Move to the next moment at which anybody wakes or beats, and take the beats due then."""
        await self._move(min([*self._wakes, *(beat.due for beat in self._beats)]))
        for beat in sorted(self._beats, key=lambda beat: beat.due):
            if beat.due <= self.now():
                await self._take_beat(beat)

    async def _take_beat(self, beat: _RehearsedBeat) -> None:
        token = _in_beat.set(True)
        try:
            await beat.beat()
        except Exception as error:
            beat.error = error
            beat.due = _NEVER
        else:
            # Missed beats are not made up for: somebody else may have moved time on by many.
            while beat.due <= self.now():
                beat.due += beat.interval
        finally:
            _in_beat.reset(token)

    async def _wait_live(self, until: datetime) -> None:
        left_s = (until - self.now()).total_seconds() / self._reading.speed
        await asyncio.sleep(max(0.0, left_s))

    async def _move(self, until: datetime) -> None:
        if until > self.now():
            # Given up half-way, time has moved on by nobody knows how much.
            self._stale = True
            await self._ask("POST", f"{self._url}/sleep", {"until": until.isoformat()})
            self._stale = False

    async def _refresh(self) -> None:
        await self._ask("GET", self._url)
        self._stale = False

    async def _ask(self, method: str, url: str, content: dict[str, str] | None = None) -> None:
        import httpx  # noqa: PLC0415 - as above

        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=_ANSWER_TIMEOUT_S,
                trust_env=False,
                verify=False,  # noqa: S501 - plain HTTP on loopback; building a TLS context costs 20 ms
                # No connection is kept: there is nothing to close, in whichever event loop it is used.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        try:
            response = await self._client.request(method, url, json=content)
            response.raise_for_status()
            self._take(response)
        except (httpx.HTTPError, ValidationError) as error:
            raise UnreachableError("clock", f"{self._url} stopped answering ({_words(error)}).") from error

    def _take(self, response: httpx.Response) -> None:
        self._reading = ClockReading.model_validate_json(response.content)
        self._read_at = time.monotonic()

    def every(self, interval: timedelta, beat: Beat) -> AbstractAsyncContextManager[None]:
        """Beat at exact virtual times in rehearsal, by itself in live mode."""
        if self.rehearsal:
            return self._rehearsed(interval, beat)
        return _beating(self, interval, beat)

    @asynccontextmanager
    async def _rehearsed(self, interval: timedelta, beat: Beat) -> AsyncIterator[None]:
        entry = _RehearsedBeat(interval, beat, self.now() + interval)
        self._beats.append(entry)
        try:
            yield
        finally:
            self._beats.remove(entry)
            if entry.error is not None:
                raise entry.error


class _RehearsedBeat:
    __slots__ = ("beat", "due", "error", "interval")

    def __init__(self, interval: timedelta, beat: Beat, due: datetime) -> None:
        self.interval = interval
        self.beat = beat
        self.due = due
        self.error: Exception | None = None


def _words(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
