"""Why: Kubernetes asks whether the guard lives and is ready, and Prometheus what it counts.

``/healthz``: the loop turns. ``/readyz``: it sees everything, or it stands by. ``/metrics``. What
they say is the guard's to know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiohttp import web

from gameday.errors import UsageError

_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"


class Health(NamedTuple):
    """An answer to a probe, and why."""

    well: bool
    why: str


class Listen(NamedTuple):
    """Where the server listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8484

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read ``HOST:PORT``, such as ``0.0.0.0:8484`` or ``[::]:8484``. Raises ``ValueError``."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("expected HOST:PORT, such as 127.0.0.1:8484")
        return cls(host.strip("[]"), int(port))


@asynccontextmanager
async def serving(
    listen: Listen,
    *,
    alive: Callable[[], Health],
    ready: Callable[[], Health],
    metrics: Callable[[], bytes],
) -> AsyncIterator[int]:
    """Answer while the context is open; gives the port. Raises ``UsageError`` where it is taken."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": _EXPOSITION})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposition)]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, listen.host, listen.port).start()
        except OSError as error:
            raise UsageError(
                f"Nothing can listen on {listen.host}:{listen.port}: {error.strerror or error}",
                hint="Name another address with --listen HOST:PORT; port 0 takes a free one.",
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _answer(health: Health) -> web.Response:
    return web.Response(text=f"{health.why}\n", status=200 if health.well else 503)
