"""Why: ending faults must itself not be ended: not by a cancellation, not by a second Ctrl-C.

Neither ``asyncio.shield`` (its waiter is cancelled at once, and the process may be gone before the
rest is done) nor a signal handler alone is enough. What SIGKILL does, nobody here can help.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_HELD = (signal.SIGINT, signal.SIGTERM)


async def shielded(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await ``coroutine`` to its end, however often this task is cancelled or the process signalled.

    Raises what the coroutine raises. A cancellation, SIGINT or SIGTERM that came meanwhile is raised
    afterwards, once, as ``CancelledError``: have the coroutine store what must not be lost with it.
    Signals are held in the main thread only; other threads do not get any.
    """
    task = asyncio.create_task(coroutine, name="shielded")
    interruption = ""
    with _held_signals() as signals:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                interruption = str(error) or "cancelled"
    if signals:
        interruption = signal.Signals(signals[0]).name
    if interruption and (task.cancelled() or task.exception() is None):
        raise asyncio.CancelledError(f"{interruption} came while faults were being ended")
    return task.result()


@contextmanager
def _held_signals() -> Iterator[list[int]]:
    """While open, collect SIGINT and SIGTERM instead of acting on them."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    # An event loop's own handlers are called by way of this descriptor, whatever signal.signal says.
    wakeup = signal.set_wakeup_fd(-1)
    # None: a handler that was not set from Python and could not be put back.
    before = {number: signal.getsignal(number) for number in _HELD}
    held = {number: handler for number, handler in before.items() if handler is not None}
    try:
        for number in held:
            signal.signal(number, remember)
        yield came
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
