"""Why: SIGTERM must end the run even where it strikes something that nobody waits for.

Prefect turns SIGTERM into an exception in whatever the main thread is doing. Inside a callback or a
background task of the event loop, that exception would only be logged and the run would go on; here
it cancels the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.exceptions import TerminationSignal


def lies_behind(error: BaseException | None) -> bool:
    """Whether ``error`` was raised while somebody's wish to end the process was being dealt with.

    Where that strikes between two lines of Prefect's engine, the engine trips over what it had not set
    up yet, and raises something of its own.
    """
    while error is not None:
        if isinstance(error, TerminationSignal | KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def heeded() -> Iterator[None]:
    """Cancel the current task where a termination strikes elsewhere in its event loop meanwhile."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), TerminationSignal):
            task.cancel()
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
