"""Why: whoever starts a run in their own process can follow it event by event.

The command does, for its live lines. A run that a worker executes has no such listeners.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gameday.run.context import Listener

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with every event of every run that begins meanwhile in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def listeners() -> tuple[Listener, ...]:
    """Who listens now."""
    return tuple(_listeners)
