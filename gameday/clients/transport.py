"""Why: every call to the API server goes through one place, with a timeout and a bounded retry.

It uses the official client's ``ApiClient`` for the connection, TLS and credentials, and plain JSON
instead of the client's generated models: a list of a thousand objects is read in milliseconds, and
a server newer than the models cannot break a stop. What the JSON means is for its callers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import aiohttp
from kubernetes.aio.client import ApiClient
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gameday.clients.failures import SYSTEM, from_answer, from_connection
from gameday.clock import Clock
from gameday.errors import ConflictError, UnreachableError

Json = dict[str, Any]
T = TypeVar("T")

MERGE_PATCH: Final = "application/merge-patch+json"
_JSON: Final = "application/json"
# Only names and labels: a tenth of the bytes. A server that does not know it sends whole objects.
METADATA_ONLY: Final = f"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{_JSON}"

_PAGE = 500
_CONNECT_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take, and how often a safe one is tried."""

    timeout: timedelta = timedelta(seconds=8)
    attempts: int = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sent, whatever its status."""

    status: int
    body: bytes
    content_type: str

    def json(self) -> Json:
        """The body as a JSON object; an empty one where it is something else."""
        try:
            loaded = json.loads(self.body)
        except ValueError:
            return {}
        return loaded if isinstance(loaded, dict) else {}


Reauthenticate = Callable[[], Awaitable[None]]


class Api:
    """One API server, as one identity."""

    def __init__(
        self,
        client: ApiClient,
        *,
        clock: Clock,
        limits: Limits | None = None,
        reauthenticate: Reauthenticate | None = None,
    ) -> None:
        """Talk through ``client``; ``reauthenticate`` is awaited once where credentials are refused."""
        self._client = client
        self._reauthenticate = reauthenticate
        self.clock = clock
        self.limits = limits or Limits()

    @property
    def host(self) -> str:
        """The address of the API server."""
        return str(self._client.configuration.host)

    def within(self, *, timeout: timedelta | None = None, attempts: int | None = None) -> Api:
        """The same server with other limits, over the same connections."""
        limits = replace(
            self.limits, timeout=timeout or self.limits.timeout, attempts=attempts or self.limits.attempts
        )
        return Api(self._client, clock=self.clock, limits=limits, reauthenticate=self._reauthenticate)

    async def get(self, path: str, *, doing: str, query: Mapping[str, str] | None = None) -> Json:
        """Read ``path``."""
        return await self._repeated(lambda: self.once("GET", path, query=query, doing=doing))

    async def ask(self, path: str, body: Json, *, doing: str, query: Mapping[str, str] | None = None) -> Json:
        """POST something that changes nothing, such as an access review or a dry run."""
        return await self._repeated(lambda: self.once("POST", path, body=body, query=query, doing=doing))

    async def post(self, path: str, body: Json, *, doing: str) -> Json:
        """POST once: whether it may be repeated only the caller knows."""
        return await self.once("POST", path, body=body, doing=doing)

    async def put(self, path: str, body: Json, *, doing: str) -> Json:
        """Replace an object. Repeated, because its resourceVersion lets it succeed once at most.

        A repetition of a call that had succeeded unseen meets a ``ConflictError``.
        """
        return await self._repeated(lambda: self.once("PUT", path, body=body, doing=doing))

    async def patch(self, path: str, body: Json, *, doing: str) -> Json:
        """Merge ``body`` into an object. Setting the same value twice is setting it."""
        return await self._repeated(lambda: self.once("PATCH", path, body=body, doing=doing))

    async def delete(
        self, path: str, *, doing: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """Delete one object or a collection; asking twice is harmless."""
        return await self._repeated(
            lambda: self.once("DELETE", path, body=body or {}, query=query, doing=doing)
        )

    async def items(
        self,
        path: str,
        *,
        doing: str,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> list[Json]:
        """Every object of a collection."""
        found, _ = await self.listing(
            path, _itself, doing=doing, labels=labels, fields=fields, metadata_only=metadata_only
        )
        return found

    async def listing(
        self,
        path: str,
        read: Callable[[Json], T],
        *,
        doing: str,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> tuple[list[T], str]:
        """What ``read`` makes of every object, and the resourceVersion from which a watch goes on.

        Whole objects are held for one page at most.
        """
        query = {"limit": str(_PAGE)} | selecting(labels, fields)
        accept = METADATA_ONLY if metadata_only else _JSON
        try:
            return await self._pages(path, read, dict(query), accept, doing)
        except ConflictError:  # 410: the pages grew older than the server remembers
            del query["limit"]
            return await self._pages(path, read, query, accept, doing)

    async def _pages(
        self, path: str, read: Callable[[Json], T], query: dict[str, str], accept: str, doing: str
    ) -> tuple[list[T], str]:
        found: list[T] = []
        while True:
            page = await self._page(path, dict(query), accept, doing)
            found.extend(read(item) for item in page["items"])
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def _page(self, path: str, query: Mapping[str, str], accept: str, doing: str) -> Json:
        page = await self._repeated(lambda: self.once("GET", path, query=query, accept=accept, doing=doing))
        if not isinstance(page.get("items"), list):
            # An empty list is good news in a stop: it must not come from a stranger.
            raise UnreachableError(SYSTEM, f"could not {doing}: {self.host} did not answer with a list.")
        return page

    async def once(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> Json:
        """One call. Raises an ``OutsideError`` for anything but a success; ``doing`` is named in it."""
        answer = await self.raw(method, path, doing=doing, body=body, query=query, accept=accept)
        if answer.status == 401 and self._reauthenticate is not None:
            await self._reauthenticate()
            answer = await self.raw(method, path, doing=doing, body=body, query=query, accept=accept)
        if not 200 <= answer.status < 300:
            raise from_answer(answer.status, answer.body, doing=doing)
        content = answer.json()
        if not content:
            raise UnreachableError(SYSTEM, f"could not {doing}: {self.host} is not an API server.")
        return content

    async def raw(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> Answer:
        """One call, whatever the status of its answer. Raises ``UnreachableError`` without an answer."""
        seconds = self.limits.timeout.total_seconds()
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=seconds * _CONNECT_SHARE)
        try:
            response = await self._begin(method, path, body, query, accept, limits)
            data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise from_connection(error, host=self.host, doing=doing, seconds=seconds) from error
        return Answer(response.status, data, response.headers.get("Content-Type", ""))

    async def _begin(
        self,
        method: str,
        path: str,
        body: Json | None,
        query: Mapping[str, str] | None,
        accept: str,
        limits: aiohttp.ClientTimeout,
    ) -> Any:
        """The beginning of an answer, as the SDK wraps it; its body is still to be read."""
        content = MERGE_PATCH if method == "PATCH" else _JSON
        method, url, headers, payload, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(method, url, headers, payload, _request_timeout=limits)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], doing: str, lasts: timedelta
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on, for ``lasts`` at most, while the context is open.

        It must begin within the time of any call. Raises an ``OutsideError`` where it does not, and
        where the connection breaks.
        """
        seconds = self.limits.timeout.total_seconds()
        limits = aiohttp.ClientTimeout(total=lasts.total_seconds(), sock_connect=seconds * _CONNECT_SHARE)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._begin("GET", path, None, query, _JSON, limits)
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if response.status == 401 and self._reauthenticate is not None:
                    await self._reauthenticate()
                if response.status != 200:
                    raise from_answer(response.status, await response.read(), doing=doing)
                yield aiter(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise from_connection(error, host=self.host, doing=doing, seconds=seconds) from error

    async def _repeated(self, call: Callable[[], Awaitable[Json]]) -> Json:
        if self.limits.attempts == 1:
            return await call()

        async def tried() -> Json:
            return await call()

        return await self.retrying()(tried)

    def retrying(self, attempts: int | None = None) -> AsyncRetrying:
        """Try again, with jitter, where nothing or a server's error was answered."""
        return AsyncRetrying(
            retry=retry_if_exception_type(UnreachableError),
            stop=stop_after_attempt(attempts or self.limits.attempts),
            wait=wait_random_exponential(multiplier=0.1, max=2.0),
            sleep=self._sleep,
            reraise=True,
        )

    async def _sleep(self, seconds: float) -> None:
        await self.clock.sleep(timedelta(seconds=seconds))


def selecting(labels: str, fields: str) -> dict[str, str]:
    """The query that chooses objects by label and by field, in the API server's own syntax."""
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in chosen.items() if value}


def _itself(item: Json) -> Json:
    return item
