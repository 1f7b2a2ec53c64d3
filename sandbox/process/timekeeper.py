"""Why: somebody must let the world's time pass, and nothing but this does.

In rehearsal, time moves only while a client waits for a later moment; live, it follows the wall
clock times a factor. Either way the world advances in slices of at most a virtual second with a
turn of the event loop between them, so that watches flow and no request starves.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from sandbox.process.options import Mode
from sandbox.world import World

SLICE = 1.0
"""Virtual seconds that pass, at most, between two turns of the event loop."""

_TICK = 0.05
"""Real seconds between two looks at the wall clock; at speed 1 the virtual time lags by no more."""


class Timekeeper:
    """Lets ``world``'s time pass and wakes whoever waits for a moment of it."""

    def __init__(self, world: World, mode: Mode, speed: float = 1.0) -> None:
        """Keep the time of ``world``; ``speed`` is virtual seconds per real one, live only."""
        self.world = world
        self.mode: Mode = mode
        self.speed = speed if mode == "live" else 1.0
        self._sleepers: dict[asyncio.Future[None], float] = {}
        self._mover: asyncio.Task[None] | None = None

    async def sleep_until(self, moment: datetime) -> None:
        """Return when ``moment`` is reached; in rehearsal, make it come.

        Several may sleep at once: each wakes at the slice that reaches its moment. A sleeper that is
        cancelled no longer moves time. Raises what the world raised, if it broke on the way.
        """
        until = self.world.at(moment)
        if until <= self.world.elapsed:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = until
        if self.mode == "rehearsal" and self._mover is None:
            self._mover = asyncio.create_task(self._rehearse(), name="rehearsal")
        try:
            await sleeper
        finally:
            self._sleepers.pop(sleeper, None)

    async def follow_wall_clock(self) -> None:
        """Advance the world with real time times ``speed``, for ever.

        A world that falls behind catches up, slice by slice: its clients reckon the time themselves,
        so none of it may be dropped.
        """
        loop = asyncio.get_running_loop()
        began, elapsed = loop.time(), self.world.elapsed
        while True:
            while (target := elapsed + (loop.time() - began) * self.speed) > self.world.elapsed + SLICE:
                self._advance(self.world.elapsed + SLICE)
                await asyncio.sleep(0)
            self._advance(target)
            await asyncio.sleep(_TICK)

    async def _rehearse(self) -> None:
        try:
            while self._sleepers:
                self._advance(min(*self._sleepers.values(), self.world.elapsed + SLICE))
                await asyncio.sleep(0)
        except Exception as error:  # the world broke: everyone who waits for it must hear
            for sleeper in self._sleepers:
                if not sleeper.done():
                    sleeper.set_exception(error)
        finally:
            self._mover = None

    def _advance(self, elapsed: float) -> None:
        self.world.advance_to(elapsed)
        for sleeper, until in self._sleepers.items():
            if until <= elapsed and not sleeper.done():
                sleeper.set_result(None)
