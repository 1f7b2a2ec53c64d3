"""A run in a process of its own that loses its Prefect server at a moment of the test's choice.

``python -m tests.flows.severed PHASE [SANDBOX]``: between the run and the server that the environment
names stands a relay, which is cut when PHASE begins. The run cannot tell that from a server that was
killed. With SANDBOX, the address of one, its Prometheus goes blind once a fault is in.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from gameday.journal.store import Event

T = TypeVar("T")


class Relay:
    """A server on 127.0.0.1 that hands everything on to another one, until it is cut."""

    def __init__(self, port: int) -> None:
        """Hand on to ``port``."""
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        threading.Thread(target=self._loop.run_forever, name="relay", daemon=True).start()
        self._server = self._on_loop(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, behind_writer}
        await asyncio.gather(_pour(reader, behind_writer), _pour(behind_reader, writer))

    def cut(self) -> None:
        """Refuse whoever comes, and break off whoever is there."""
        self._on_loop(self._cut())

    async def _cut(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


async def _carried_out(duration: str) -> None:
    from flows.run_experiment import run_experiment

    await run_experiment("basic-pod-failure", "staging", duration=duration, return_state=True)


def main(phase: str, sandbox: str = "") -> None:
    """Carry the run out; what it told and how it ended is in the journal."""
    relay = Relay(urlsplit(os.environ["PREFECT_API_URL"]).port or 0)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{relay.port}/api"
    from tasks.listening import listening  # by way of Prefect it reads the environment

    duration = "6m" if sandbox else "90s"  # long enough to be blind in

    def listen(event: Event) -> None:
        if event.kind == "phase" and event.message == phase:
            relay.cut()
        if event.kind == "injected" and sandbox:
            httpx.put(f"{sandbox}/control/prometheus/", json={"mode": "empty"}, trust_env=False)

    with listening(listen):
        asyncio.run(_carried_out(duration))


if __name__ == "__main__":
    main(*sys.argv[1:])
