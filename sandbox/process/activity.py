"""Why: a sandbox that nobody uses any more must end by itself, so somebody has to notice.

Counts requests by part (the benchmarks read that) and knows when the last one was. Whether that is
too long ago is decided here too; what follows is left to the server.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from starlette.types import ASGIApp, Receive, Scope, Send


class Activity:
    """An ASGI layer that watches requests go by."""

    def __init__(self, app: ASGIApp) -> None:
        """Watch the requests to ``app``."""
        self._app = app
        self._open = 0
        self._last = time.monotonic()
        self._released_at: float | None = None
        self.requests: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, then pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.requests[scope["path"].lstrip("/").partition("/")[0]] += 1
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1
            self._last = time.monotonic()

    def released(self) -> None:
        """The one who held this sandbox has gone."""
        self._released_at = time.monotonic()

    @property
    def is_released(self) -> bool:
        """Whether the holder has gone."""
        return self._released_at is not None

    def quiet_for(self, limit: timedelta) -> bool:
        """Whether there has been no request, nor an open one, for ``limit`` of real time.

        Counts from the moment the holder went, where that was later.
        """
        if self._open:
            return False
        since = max(self._last, self._released_at or 0.0)
        return time.monotonic() - since >= limit.total_seconds()
