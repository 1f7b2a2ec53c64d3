"""Why: what must end the whole run must not die unheard with a task that nobody awaits.

A signal can be turned into an exception wherever the interpreter happens to be (Prefect does so with
SIGTERM), and that may be a beat, a message or a picture of the progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def background(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    """Do ``work`` beside everything else.

    An exception that is no ``Exception`` goes to the event loop's exception handler at once; any
    other waits to be asked for, as with every task.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_hand_on)
    return task


def _hand_on(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        words = f"{task.get_name()} was ended by {type(error).__name__}"
        task.get_loop().call_exception_handler({"message": words, "exception": error, "task": task})
