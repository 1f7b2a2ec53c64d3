"""Why: the command carries a run out in its own process, and reads how it ended without Prefect.

The same flow as everywhere. Only how a person's Ctrl-C or SIGTERM comes back differs.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, Final

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.exceptions import TerminationSignal
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.run_experiment import INTERRUPTIONS, run_experiment
from flows.run_suite import run_suite
from flows.temporary_server import temporary_server
from gameday.errors import UnreachableError
from gameday.journal.store import Event
from gameday.run.approval import Door
from tasks.listening import answering, listening

_LAST_WORDS_S: Final = 5.0


async def _check_server() -> None:
    """Tell at once that the server which the settings name does not answer."""
    url = PREFECT_API_URL.value()
    if url is None:
        return
    async with get_client() as client:
        failure = await client.api_healthcheck()
    if failure is not None:
        raise UnreachableError(
            "Prefect",
            f"the API at {url} does not answer ({failure}).",
            hint="Start it: `prefect server start`. Or unset PREFECT_API_URL: one is started for the run.",
        )


def carry_out(listener: Callable[[Event], None], door: Door | None = None, **parameters: Any) -> bool:
    """Run an experiment here, or a suite, telling ``listener`` each event. Answers whether it came to an end.

    Which one the ``parameters`` of its flow say. ``door`` is asked, too, where somebody must agree.

    False where a person interrupted it: its faults are ended by then. Raises what kept the run from
    beginning.
    """
    heard: list[str] = []
    flow: Flow[..., Coroutine[Any, Any, State[Any]]] = run_suite if "suite" in parameters else run_experiment

    def hear(event: Event) -> None:
        heard.append(event.run)
        listener(event)

    async def carried() -> None:
        await _check_server()
        state: State[Any] = await flow(**parameters, return_state=True)
        if not heard and state.is_failed():
            # It failed before there was a run that could have told anything: raise what it met.
            await state.aresult()

    try:
        with _terminable() as done, listening(hear), answering(door), _server():
            try:
                asyncio.run(carried())
            finally:
                done()
    except INTERRUPTIONS:
        return False
    return True


@contextmanager
def _terminable() -> Iterator[Callable[[], None]]:
    """Have SIGTERM interrupt what is done meanwhile, once, and never kill the process.

    Gives what is to be called once there is nothing more to interrupt. Prefect has a handler of its own
    while a flow runs. When the flow ends it sends the signal again to whoever had it before: by default
    that would be the end of the process, its verdict not yet said.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    over = False

    def finish() -> None:
        nonlocal over
        over = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        if not over:
            finish()
            raise TerminationSignal(signal=number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield finish
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _server() -> Iterator[None]:
    """The server that the settings name, or one for this run alone."""
    with ExitStack() as stack:
        if PREFECT_API_URL.value() is None:
            url = stack.enter_context(temporary_server())
            stack.enter_context(temporary_settings({PREFECT_API_URL: url}))
        try:
            yield
        finally:
            # What Prefect still has to send would otherwise be tried for a minute after the server is gone.
            for worker in (APILogWorker, EventsWorker):
                worker.drain_all(timeout=_LAST_WORDS_S)
