"""Why: reports link to Grafana, so somebody must be able to ask whether it is there.

Its HTTP API, read only; Grafana has no client of its own for Python.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from gameday.clients.failures import shortened
from gameday.errors import NotAllowedError, NotFoundError, UnreachableError

SYSTEM: Final = "Grafana"


class Grafana:
    """One Grafana. All methods raise an ``OutsideError`` where they fail."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """Speak through ``client``; ``connect`` is the usual way in."""
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, *, token: str = "", call_timeout: timedelta = timedelta(seconds=5)
    ) -> AsyncIterator[Self]:
        """Grafana at ``url``; ``token`` is a service account's. Each call takes at most ``call_timeout``."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(
            base_url=url.rstrip("/"), headers=headers, timeout=call_timeout.total_seconds()
        ) as client:
            yield cls(client)

    async def version(self) -> str:
        """Its version, such as ``12.1.0``."""
        return str((await self._get("/api/health", "ask for its health")).get("version", "unknown version"))

    async def dashboard_title(self, uid: str) -> str:
        """The title of the dashboard ``uid``. Raises ``NotFoundError``."""
        answer = await self._get(f"/api/dashboards/uid/{quote(uid)}", f"read the dashboard {uid}")
        return str((answer.get("dashboard") or {}).get("title", uid))

    async def _get(self, path: str, doing: str) -> dict[str, Any]:
        try:
            answer = await self._client.get(path)
            content = answer.json() if answer.is_success else {}
        except (httpx.HTTPError, ValueError) as error:
            raise UnreachableError(
                SYSTEM,
                f"could not {doing}: {shortened(str(error) or type(error).__name__, 200)}",
                hint=f"Is {self._client.base_url} its address? `grafana.url` of platform.yaml names it.",
            ) from error
        if answer.status_code in {401, 403}:
            raise NotAllowedError(
                SYSTEM,
                f"could not {doing}: it answered {answer.status_code}",
                hint="Set GAMEDAY_GRAFANA_TOKEN to a service account's token that may read dashboards.",
            )
        if answer.status_code == 404:
            raise NotFoundError(SYSTEM, f"could not {doing}: there is no such thing")
        if not answer.is_success or not isinstance(content, dict):
            raise UnreachableError(SYSTEM, f"could not {doing}: it answered {answer.status_code}")
        return content
