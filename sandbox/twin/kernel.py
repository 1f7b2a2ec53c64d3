"""Why: millions of small waits must be cheap, so requests run on the bare events of SimPy.

A ``Task`` runs a generator that yields seconds to sleep or a ``Reply`` to wait for; it is itself
the event that wakes it. ``Kernel`` starts tasks and keeps one timer for each length of timeout
instead of one for each call. What requests do is left to others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final

import simpy
from simpy.events import NORMAL

from sandbox.world import World

Outcome = int
"""An HTTP status, or one of the negative constants below."""

TIMEOUT: Final = -1
RESET: Final = -2
REFUSED: Final = -3
OPEN: Final = -4
REJECTED: Final = -5
GRANTED: Final = 0


class Reply:
    """A value that comes once; whoever came first decides it."""

    __slots__ = ("done", "value", "waiter")

    def __init__(self) -> None:
        self.done = False
        self.value: Outcome = GRANTED
        self.waiter: Task | Callback | None = None

    def resolve(self, value: Outcome) -> None:
        """Settle it with ``value`` and wake who waits. Nothing happens where it is settled already."""
        if self.done:
            return
        self.done = True
        self.value = value
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.step(value)


class Callback:
    """Something that waits for a ``Reply`` without a generator."""

    __slots__ = ()

    def step(self, value: Outcome) -> None:
        """The reply came."""
        raise NotImplementedError


Wait = float | Reply
Process = Generator[Wait, Outcome, None]
Steps = Generator[Wait, Outcome, Outcome]
"""Part of a process that answers an outcome; used with ``yield from``."""


class Task(simpy.Event):
    """A running process."""

    __slots__ = ("generator", "kernel", "over")

    def __init__(self, kernel: Kernel, generator: Process) -> None:
        # Not simpy.Event.__init__: this event is scheduled again and again, each time as succeeded.
        self._ok = True
        self.kernel = kernel
        self.generator = generator
        self.over = False

    def step(self, value: Outcome | None) -> None:
        """Run on with ``value`` until the next wait."""
        if self.over:
            return
        send = self.generator.send
        try:
            wanted = send(value)  # type: ignore[arg-type]  # None starts a generator
            while isinstance(wanted, Reply):
                if not wanted.done:
                    wanted.waiter = self
                    return
                wanted = send(wanted.value)
        except StopIteration:
            self.over = True
            return
        self.callbacks = _WAKE
        self.kernel.schedule(self, NORMAL, wanted)

    def kill(self) -> None:
        """End it where it stands; its ``finally`` clauses run."""
        if not self.over:
            self.over = True
            self.generator.close()


def _wake(task: Task) -> None:
    task.step(GRANTED)


# One list for all: simpy takes it from the event as it fires, and each sleep gives it back.
_WAKE: list[Callable[[Any], None]] = [_wake]


class Timer(simpy.Event):
    """A plain call at a later time."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self._ok = True
        self.action = action
        self.callbacks = _FIRE


def _fire(timer: Timer) -> None:
    timer.action()


_FIRE: list[Callable[[Any], None]] = [_fire]


class _Deadlines:
    """Replies that expire after the same time: the first to be registered is the first to expire."""

    __slots__ = ("after", "armed", "kernel", "waiting")

    def __init__(self, kernel: Kernel, after: float) -> None:
        self.kernel = kernel
        self.after = after
        self.waiting: deque[tuple[float, Reply]] = deque()
        self.armed = False

    def expire(self) -> None:
        waiting, now = self.waiting, self.kernel.env.now
        while waiting and (waiting[0][1].done or waiting[0][0] <= now):
            waiting.popleft()[1].resolve(TIMEOUT)
        self.armed = bool(waiting)
        if waiting:
            self.kernel.later(waiting[0][0] - now, self.expire)


class Kernel:
    """Starts processes and timers on the world's time line."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.env = world.env
        self.schedule = world.env.schedule
        self._deadlines: dict[float, _Deadlines] = {}

    def spawn(self, generator: Process) -> Task:
        """Run ``generator`` now, up to its first wait."""
        task = Task(self, generator)
        task.step(None)
        return task

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Call ``action`` after ``delay`` seconds; it cannot be taken back."""
        self.schedule(Timer(action), NORMAL, delay if delay > 0 else 0.0)

    def expire(self, reply: Reply, after: float) -> None:
        """Settle ``reply`` with ``TIMEOUT`` if nothing else has after ``after`` seconds."""
        deadlines = self._deadlines.get(after)
        if deadlines is None:
            deadlines = self._deadlines[after] = _Deadlines(self, after)
        deadlines.waiting.append((self.env.now + after, reply))
        if not deadlines.armed:
            deadlines.armed = True
            self.later(after, deadlines.expire)
