"""Why: whoever probes the platform from outside, or loads it, does so over HTTP, as its users do.

The ingress of the twin as an HTTP server: a request goes through the twin like any user's and is
answered when the twin answers it. It never moves time. Says when that was, by the sandbox's clock:
in a rehearsal nobody else can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gameday.clock import ANSWERED_AT
from sandbox.connection import while_connected
from sandbox.twin.kernel import Outcome
from sandbox.twin.load import Load, status_of
from sandbox.world import World

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Front:
    """The way in for everybody outside."""

    def __init__(self, world: World, load: Load, *, health: str | None, healthy: Callable[[], int]) -> None:
        """Let requests in through ``load``; ``healthy`` is what the path ``health`` answers now."""
        self._world = world
        self._load = load
        self._health = health
        self._healthy = healthy

    def app(self) -> Starlette:
        """It as an application."""
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=_METHODS)])

    async def _serve(self, request: Request) -> Response:
        path = f"/{request.path_params['path']}"
        method = "GET" if request.method == "HEAD" else request.method
        await request.body()
        if method == "GET" and path == self._health:
            return self._answer(self._healthy())
        answered: asyncio.Future[tuple[Outcome, str]] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result((outcome, self._world.now().isoformat()))

        if not self._load.visit(method, path, settle):
            return self._answer(404)
        if not await while_connected(request, _come(answered)):
            return Response(status_code=499)
        outcome, at = answered.result()
        return self._answer(status_of(outcome), at)

    def _answer(self, status: int, at: str = "") -> Response:
        headers = {ANSWERED_AT: at or self._world.now().isoformat()}
        return JSONResponse({"service": self._load.entry.name, "status": status}, status, headers)


async def _come(answered: asyncio.Future[tuple[Outcome, str]]) -> None:
    await answered
