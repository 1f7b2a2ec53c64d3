"""Why: the guard lives in real time, but faults and Leases live in the cluster's.

Both are the same, save in the sandbox, whose rehearsals move time as others sleep. The guard only
asks what time it is there; it never moves it by waiting. (An emergency stop does, as everywhere.)
"""

from __future__ import annotations

from datetime import datetime

from gameday.clock import Clock, RemoteClock
from gameday.errors import UnreachableError


class Moments:
    """The cluster's time. It never goes back, or a breach would seem to begin anew."""

    def __init__(self, clock: Clock) -> None:
        """Read ``clock``."""
        self.clock = clock
        self._latest = clock.now()

    async def now(self) -> datetime:
        """What time it is, as far as that can be known."""
        if isinstance(self.clock, RemoteClock):
            try:
                await self.clock.look()
            except UnreachableError:
                # The sandbox is gone, and its cluster with it: the watches say so.
                return self._latest
        self._latest = max(self._latest, self.clock.now())
        return self._latest
