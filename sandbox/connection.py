"""Why: who waits on behalf of a client must stop when the client has gone.

Starlette lets a handler run on after its client disconnected: a killed run would go on sleeping, a
stalled call would stay open for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request


async def while_connected(request: Request, work: Coroutine[Any, Any, None]) -> bool:
    """Await ``work``; cancel it where the client of ``request`` disconnects first.

    Returns whether ``work`` was done. The request's body must have been read. Raises what ``work``
    raises.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        return working.done()
    finally:
        working.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
