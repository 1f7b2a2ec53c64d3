"""Why: waiting is injected, so that 45 minutes can be rehearsed in seconds and tests never sleep.

Everything under ``gameday``, ``tasks`` and ``flows`` asks a ``Clock`` for the time and for sleep.
``SystemClock`` is real time. ``RemoteClock`` follows a clock that somebody else serves over HTTP:
in rehearsal that clock jumps ahead whenever its client sleeps. Who serves it is not known here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gameday.background import background
from gameday.errors import UnreachableError
from gameday.line import Line, LineError

ANSWERED_AT = "gameday-answered-at"
"""The header by which whoever serves a clock says when, by that clock, something else was answered."""

Beat = Callable[[], Awaitable[None]]

# The clock's server advances a simulation before it answers, which can take a while for long sleeps.
_ANSWER_TIMEOUT_S = 120.0
_READ_TIMEOUT_S = 5.0
# How much longer than wanted a rest may take where somebody else's clock is asked, in real seconds.
_CLOCK_PATIENCE_S = 2.0

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


def _wall() -> datetime:
    return datetime.now(UTC)


class SystemClock:
    """Real time, which never goes back.

    Where somebody sets this machine's clock back, it goes on evenly from where it was: no deadline
    moves away, no stage grows longer. It follows a clock that is set forward, and one that slept.
    """

    def __init__(self, wall: Callable[[], datetime] = _wall) -> None:
        """Read the time from ``wall``: this machine's clock."""
        self._wall = wall
        self._last, self._last_at = wall(), time.monotonic()

    def now(self) -> datetime:
        """The time of this machine, in UTC."""
        at = time.monotonic()
        evenly = self._last + timedelta(seconds=at - self._last_at)
        self._last, self._last_at = max(self._wall(), evenly), at
        return self._last

    async def sleep(self, delay: timedelta) -> None:
        """Sleep in real time."""
        await asyncio.sleep(max(0.0, delay.total_seconds()))

    def every(self, interval: timedelta, beat: Beat) -> AbstractAsyncContextManager[None]:
        """Beat from a task of its own, so that a slow step elsewhere does not delay it."""
        return _beating(self, interval, beat)


class SteadyClock(SystemClock):
    """Real time that goes on evenly: whoever sets this machine's clock does not move it.

    For what must be given up in time, such as a leadership.
    """

    def __init__(self) -> None:
        """Agree with this machine's clock now."""
        self._began = datetime.now(UTC)
        self._began_at = time.monotonic()

    def now(self) -> datetime:
        """The time that it was at first, and what has passed since."""
        return self._began + timedelta(seconds=time.monotonic() - self._began_at)


class ClockReading(BaseModel):
    """What the server of a remote clock answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    now: AwareDatetime
    mode: Literal["rehearsal", "live"]
    speed: float = Field(default=1.0, gt=0)


class RemoteClock:
    """A clock served over HTTP: ``GET <url>`` reads it, ``POST <url>/sleep {"until": …}`` waits.

    In ``rehearsal`` mode nothing moves but by somebody's sleep, so beats are taken from within
    ``sleep``: at their exact virtual time, or where somebody wakes less than half an interval before it.
    In ``live`` mode they run by themselves as in real time.
    Several may sleep at once: they wake in the order of their times. In rehearsal, what one does on
    waking races with the time that the others still sleep; what must happen on time is a beat.
    """

    def __init__(self, url: str) -> None:
        """Read the clock at ``url`` once. Raises ``UnreachableError`` where nothing answers."""
        self._url = url.rstrip("/")
        try:
            self._line = Line(self._url)
            self._take(self._line.read_now(_READ_TIMEOUT_S))
        except (LineError, ValidationError) as error:
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

    @property
    def speed(self) -> float:
        """How many of its seconds pass in a real one; 1 in rehearsal, where only sleeping counts."""
        return 1.0 if self.rehearsal else self._reading.speed

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
        """Move to the next moment at which anybody wakes or beats, and take the beats due then.

        Where somebody wakes, the beats of soon after are taken too: moving twice costs twice.
        """
        # One that was given up stands among them until its task runs again: it must not stop time.
        wake = min(wake for wake in self._wakes if wake > self.now())
        await self._move(min([wake, *(beat.due for beat in self._beats)]))
        for beat in sorted(self._beats, key=lambda beat: beat.due):
            now = self.now()
            if beat.due <= now or (wake <= now and beat.due - now < beat.interval / 2):
                beat.due = min(beat.due, now)
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
            await self._ask("POST", "/sleep", json.dumps({"until": until.isoformat()}).encode())
            self._stale = False

    async def look(self) -> None:
        """Hear how far others have moved time in a rehearsal, and move nothing.

        Raises ``UnreachableError``.
        """
        if self.rehearsal and not self._moving.locked():
            await self._refresh()

    async def _refresh(self) -> None:
        await self._ask("GET")
        self._stale = False

    async def _ask(self, method: str, path: str = "", content: bytes = b"") -> None:
        try:
            self._take(await self._line.ask(method, path, content, timeout_s=_ANSWER_TIMEOUT_S))
        except (LineError, ValidationError) as error:
            raise UnreachableError("clock", f"{self._url} stopped answering ({_words(error)}).") from error

    def _take(self, answer: bytes) -> None:
        self._reading = ClockReading.model_validate_json(answer)
        self._read_at = time.monotonic()

    def every(self, interval: timedelta, beat: Beat) -> AbstractAsyncContextManager[None]:
        """Beat never later than after ``interval`` in rehearsal, by itself in live mode."""
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


class Deadline:
    """A time limit by a clock and, should that one not move, by this machine's as well."""

    def __init__(self, clock: Clock, within: timedelta) -> None:
        """Let it pass ``within`` from now, by whichever clock is faster."""
        self._clock = clock
        self._until = clock.now() + within
        self.until_real = asyncio.get_running_loop().time() + within.total_seconds()

    @property
    def passed(self) -> bool:
        """Whether time is up by either clock."""
        return self._clock.now() >= self._until or self.real_passed

    @property
    def real_passed(self) -> bool:
        """Whether time is up by this machine's clock."""
        return asyncio.get_running_loop().time() >= self.until_real

    async def rest(self, delay: float) -> None:
        """Sleep ``delay`` seconds by the clock; by this machine's where that one is gone, or stands."""
        try:
            async with asyncio.timeout(delay + _CLOCK_PATIENCE_S):
                await self._clock.sleep(timedelta(seconds=delay))
        except (UnreachableError, TimeoutError):
            await asyncio.sleep(delay)


def for_people(clock: Clock) -> Clock:
    """The clock by which people are waited for: a rehearsal's stands still until they have answered."""
    return SystemClock() if is_rehearsal(clock) else clock


def is_rehearsal(clock: Clock) -> bool:
    """Whether time moves only by sleeping."""
    return isinstance(clock, RemoteClock) and clock.rehearsal


def speed_of(clock: Clock) -> float:
    """How many of its seconds pass in a real one, where time passes by itself."""
    return clock.speed if isinstance(clock, RemoteClock) else 1.0


class _RehearsedBeat:
    __slots__ = ("beat", "due", "error", "interval")

    def __init__(self, interval: timedelta, beat: Beat, due: datetime) -> None:
        self.interval = interval
        self.beat = beat
        self.due = due
        self.error: Exception | None = None


def _words(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
