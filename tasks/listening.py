"""Why: whoever starts a run in their own process can follow it event by event.

The command does, for its live lines, and answers what the run asks. A run that a worker executes has
no such listeners.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gameday.run.approval import Door
from gameday.run.context import Listener

_listeners: list[Listener] = []
_doors: list[Door] = []


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


@contextmanager
def answering(door: Door | None) -> Iterator[None]:
    """Ask at ``door``, too, where a run that begins meanwhile in this process needs somebody's answer."""
    before = len(_doors)
    _doors.extend([door] if door is not None else [])
    try:
        yield
    finally:
        del _doors[before:]


def doors() -> tuple[Door, ...]:
    """Where to ask in this process."""
    return tuple(_doors)
