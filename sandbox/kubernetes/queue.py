"""Why: controllers react to changes a little later, once per object however often it changed.

This is the work queue that all of them use: keys, each at most once, handled one after another after
a short virtual delay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from sandbox.kubernetes.api import Api
from sandbox.world import Scheduled

Key = TypeVar("Key")


class WorkQueue(Generic[Key]):
    """Hands each key that was added to a handler, once, ``delay`` virtual seconds later."""

    def __init__(self, api: Api, handle: Callable[[Key], None], *, delay: float) -> None:
        """Call ``handle`` for every key."""
        self._api = api
        self._handle = handle
        self._waiting: dict[Key, Scheduled] = {}
        self.delay = delay

    def add(self, key: Key, *, after: float | None = None) -> None:
        """Have ``key`` handled; nothing happens where it already waits."""
        if key not in self._waiting:
            self._wait(key, self.delay if after is None else after)

    def postpone(self, key: Key, delay: float) -> None:
        """Have ``key`` handled after ``delay``, and not before, whatever it waited for."""
        if (waiting := self._waiting.pop(key, None)) is not None:
            waiting.cancel()
        self._wait(key, delay)

    def wake(self, key: Key, delay: float) -> None:
        """Have ``key`` handled after ``delay`` besides whatever else it waits for."""
        self._api.world.call_later(delay, lambda: self.add(key, after=0.0))

    def _wait(self, key: Key, delay: float) -> None:
        self._waiting[key] = self._api.world.call_later(self._api.delay(delay), lambda: self._run(key))

    def _run(self, key: Key) -> None:
        del self._waiting[key]
        self._handle(key)
