"""Why: work beside a run must neither hide what ends the whole run nor take the time of other runs.

What must end the run must not die unheard with a task that nobody awaits: a signal can be turned into an
exception wherever the interpreter happens to be (Prefect does so with SIGTERM), and that may be a beat, a
message or a picture of the progress. And sums and drawings take the interpreter for a second or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

_ONE: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="one at a time")


async def one_at_a_time(work: Callable[[], T]) -> T:
    """What ``work``, sums or drawings, gives: in a thread, once all such work before it is done.

    Ten runs of one process that end together would else leave its event loop a tenth of the
    interpreter: samples of the runs beside them come late, records are not kept in time.
    """
    return await asyncio.get_running_loop().run_in_executor(_ONE, work)


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
