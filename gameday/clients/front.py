"""Why: what users meet is asked as they ask, over HTTP, and nowhere but at the platform's front door.

One client for probes and load: it goes to the address that the environment declares, follows no
redirect, and says what was answered and how long that took by the injected clock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

import httpx

from gameday.clients.loopback import is_loopback
from gameday.clients.times import parsed
from gameday.clock import ANSWERED_AT, Clock, is_rehearsal, speed_of
from gameday.redaction import redacted, secret
from gameday.settings import Settings
from gameday.spec.base import format_duration
from gameday.spec.platform import Environment
from gameday.spec.probes import LONGEST_TIMEOUT, HttpRequest

_MOST_OF_BODY: Final = 64 * 1024
_CONNECTIONS: Final = 100
_FIRST_STEP: Final = timedelta(milliseconds=10)
_LONGEST_STEP: Final = timedelta(milliseconds=500)
# A rehearsed answer that has been given is on its way for so long at most, in real seconds.
_ON_ITS_WAY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    body: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came back, and why.

    ``asked`` where the platform was asked: then it failed. ``late`` where it may still have answered
    later than anybody waited.
    """

    why: str
    asked: bool = True
    late: bool = False


def front_url(settings: Settings, environment: Environment) -> str | None:
    """Where users come in. A variable goes before the declaration: a rehearsal stays in the sandbox."""
    return settings.platform_url or environment.url


class FrontDoor:
    """The address at which users come in. Its methods never raise for what the platform does."""

    def __init__(self, url: str | None, *, clock: Clock) -> None:
        """Ask at ``url``; where that is None, every question is answered with ``NoAnswer``."""
        self.url = (url or "").rstrip("/")
        self._clock = clock
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=bool(url) and not is_loopback(self.url),
            timeout=LONGEST_TIMEOUT.total_seconds(),
            # No limit: who waits for a connection would make a closed loop of an open one.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_CONNECTIONS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.aclose()

    async def ask(self, wanted: HttpRequest) -> Answer | NoAnswer:
        """Send the request and wait for its answer; in a rehearsal, let time pass until it comes."""
        request = self.request(wanted)
        if isinstance(request, NoAnswer):
            return request
        began = self._clock.now()
        sent = asyncio.Event() if is_rehearsal(self._clock) else None
        sending = asyncio.create_task(self.send(request, began, sent), name=f"request {wanted}")
        try:
            if sent is not None:
                await self._let_time_pass(sending, sent, began + wanted.timeout)
            else:
                seconds = wanted.timeout.total_seconds() / speed_of(self._clock)
                await asyncio.wait({sending}, timeout=seconds)
            if sending.done():
                return await sending
            return NoAnswer(f"no answer within {format_duration(wanted.timeout)}", late=True)
        finally:
            sending.cancel()

    async def _let_time_pass(
        self, sending: asyncio.Task[Any], sent: asyncio.Event, deadline: datetime
    ) -> None:
        leaving = asyncio.create_task(sent.wait())
        try:
            await asyncio.wait(
                {leaving, sending},
                timeout=LONGEST_TIMEOUT.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            leaving.cancel()
        step = _FIRST_STEP
        while not sending.done() and (left := deadline - self._clock.now()) > timedelta(0):
            await self._clock.sleep(min(step, left))
            step = min(2 * step, _LONGEST_STEP)
            await asyncio.sleep(0)
        await asyncio.wait({sending}, timeout=_ON_ITS_WAY_S)

    def request(self, wanted: HttpRequest) -> httpx.Request | NoAnswer:
        """The request as it would be sent, or why it cannot be."""
        if not self.url:
            return NoAnswer("no url is declared for this environment in platform.yaml", asked=False)
        headers = {}
        for name, variable in wanted.headers.items():
            if not (value := os.environ.get(variable)):
                return NoAnswer(f"the variable {variable} is not set", asked=False)
            headers[name] = secret(value)
        if wanted.body:
            headers["Content-Type"] = "application/json"
        try:
            return self._client.build_request(
                wanted.method, self.url + wanted.path, headers=headers, content=wanted.body or None
            )
        except (httpx.InvalidURL, ValueError) as error:
            return NoAnswer(redacted(f"the request cannot be made: {error}"), asked=False)

    async def send(
        self, request: httpx.Request, began: datetime, sent: asyncio.Event | None = None
    ) -> Answer | NoAnswer:
        """Send it once and read the answer; ``sent`` is set once all of it has left this process."""

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            assert sent is not None
            if event == "http11.send_request_body.complete":
                sent.set()

        if sent is not None:
            request.extensions["trace"] = trace
        try:
            response = await self._client.send(request, stream=True)
            try:
                body = await _beginning(response)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            return NoAnswer(redacted(f"{type(error).__name__}: {error}"))
        return Answer(response.status_code, body, self._took(response, began))

    def _took(self, response: httpx.Response, began: datetime) -> timedelta:
        """In a rehearsal the answer says when it was given: it was on its way while time stood still."""
        at = parsed(response.headers.get(ANSWERED_AT)) if is_rehearsal(self._clock) else None
        return max((at or self._clock.now()) - began, timedelta(0))


async def _beginning(response: httpx.Response) -> str:
    found = b""
    async for part in response.aiter_bytes():
        found += part
        if len(found) >= _MOST_OF_BODY:
            break
    return found[:_MOST_OF_BODY].decode(response.charset_encoding or "utf-8", errors="replace")
