"""Why: everything in the sandbox happens on one time line, so that a seed decides a whole run.

The API server's controllers, the kubelet's start-up delays, the Chaos Mesh controller, the twin of
the platform and Prometheus's scrapes are all events of one SimPy environment. This module owns it
and the wish for randomness. It leaves to others when time moves: a rehearsal's client (see
``sandbox.clock``) or the wall clock.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import simpy


class Scheduled:
    """A call that waits for its time; ``cancel()`` takes it back."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Take the call back. Nothing happens if it has already been made."""
        self.cancelled = True


class World:
    """One simulated universe: its time, its event queue and its sources of chance."""

    def __init__(self, *, seed: int, epoch: datetime) -> None:
        """Begin at ``epoch`` (timezone-aware), which is ``env.now == 0``."""
        self.env = simpy.Environment()
        self.seed = seed
        self.epoch = epoch.astimezone(UTC)

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the epoch."""
        return float(self.env.now)

    def now(self) -> datetime:
        """The virtual time, in UTC."""
        return self.epoch + timedelta(seconds=self.elapsed)

    def at(self, moment: datetime) -> float:
        """The elapsed seconds at which ``moment`` is reached; negative where it is before the epoch."""
        return (moment - self.epoch).total_seconds()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Scheduled:
        """Call ``callback`` after ``delay`` virtual seconds; calls due together keep their order."""
        scheduled = Scheduled()
        event = self.env.timeout(max(0.0, delay))

        def fire(_: simpy.Event) -> None:
            if not scheduled.cancelled:
                callback()

        assert event.callbacks is not None
        event.callbacks.append(fire)
        return scheduled

    def every(self, interval: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` at each multiple of ``interval`` virtual seconds from now on."""

        def again() -> None:
            callback()
            self.call_later(interval, again)

        self.call_later(interval, again)

    def advance_to(self, elapsed: float) -> None:
        """Let everything happen that is due until ``elapsed``, that moment included."""
        env = self.env
        while env.peek() <= elapsed:
            env.step()
        if elapsed > env.now:
            env.run(until=elapsed)

    def settle(self) -> None:
        """Let everything happen that is due now, without moving time."""
        self.advance_to(self.elapsed)

    def random(self, name: str) -> random.Random:
        """A source of chance of its own for ``name``: another part's draws never disturb it."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - a simulation, not a secret
