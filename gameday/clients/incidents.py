"""Why: whoever manages incidents hears of an emergency stop in the tool that they use, whichever it is.

Posts one JSON document to an address of theirs (``docs/reference/incident-webhook.md``). What stands
in it is for the caller. The address is a secret: it often is all that is asked for there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import aiohttp
from pydantic_core import to_json
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gameday.clients.failures import shortened
from gameday.clients.loopback import is_loopback
from gameday.clock import Clock
from gameday.errors import RejectedError, UnreachableError
from gameday.redaction import redacted_data, secret

SYSTEM: Final = "incident webhook"

_ATTEMPTS: Final = 3


class IncidentWebhook:
    """The address at which incidents are opened."""

    def __init__(self, url: str, *, clock: Clock, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Post to ``url``, with ``timeout`` for each of three attempts."""
        self._url = secret(url)
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def post(self, body: Mapping[str, Any]) -> None:
        """Post ``body``. Repeated, with the same ``id`` in it, where nothing or a 5xx was answered.

        Raises ``UnreachableError`` or ``RejectedError``.
        """
        payload = to_json(redacted_data(body))
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(UnreachableError),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=2.0),
            sleep=self._rest,
            reraise=True,
        )
        async with aiohttp.ClientSession(trust_env=not is_loopback(self._url)) as session:
            await retrying(self._post_once, session, payload)

    async def _post_once(self, session: aiohttp.ClientSession, payload: bytes) -> None:
        try:
            async with session.post(
                self._url,
                data=payload,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                told = shortened((await answer.content.read(500)).decode("utf-8", "replace"), 200)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The error's own words would name the address.
            raise UnreachableError(SYSTEM, f"no answer ({type(error).__name__}).") from error
        if answer.status >= 500 or answer.status == 429:
            raise UnreachableError(SYSTEM, f"it answered {answer.status}: {told}")
        if not 200 <= answer.status < 300:
            raise RejectedError(
                SYSTEM,
                f"it answered {answer.status}: {told}",
                hint="Is GAMEDAY_INCIDENT_WEBHOOK_URL still good?",
            )

    async def _rest(self, seconds: float) -> None:
        await self._clock.sleep(timedelta(seconds=seconds))
