"""Why: a watch is a stream that begins at a revision, filters, times out, and can be dropped.

Time-outs of a watch are real time, for its client waits in real time even while a rehearsal's clock
stands. What is watched comes from ``store``; how an object is shown (as itself, or as a Table) from
the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import Predicate, Test
from sandbox.kubernetes.store import Change, Store

DEFAULT_TIMEOUT_S = 1800.0
BOOKMARK_EVERY_S = 60.0

Render = Callable[[Obj], Any]


class Watch:
    """One client's stream of changes, as an ASGI response."""

    status_code = 200

    def __init__(
        self,
        store: Store,
        resource: Resource,
        namespace: str,
        *,
        labels: Predicate | None,
        test: Test | None,
        timeout: float,
        bookmarks: bool,
        render: Render,
    ) -> None:
        """Watch ``resource`` for ``timeout`` real seconds; nothing is told before ``begin``."""
        self.resource = resource
        self._store = store
        self._namespace = namespace
        self._labels = labels
        self._test = test
        self._timeout = timeout
        self._bookmarks = bookmarks
        self._render = render
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._abrupt = False
        self._stop: Callable[[], None] = lambda: None

    def begin(self, revision: int | None, *, initial_end: bool = False) -> None:
        """Tell what happened after ``revision``, or, where it is None, what exists; then follow.

        ``initial_end`` closes the list of what exists with the bookmark of a streaming list.
        A revision that is too old becomes an ERROR event with the 410, as from a real server.
        """
        self._stop = self._store.listen(self._on_change, self.resource)
        if revision is None:
            for obj in self._store.all(self.resource, self._namespace):
                if self._matches(obj):
                    self._put("ADDED", obj)
            if initial_end:
                self._bookmark({"k8s.io/initial-events-end": "true"})
            return
        try:
            for change in self._store.changes_since(self.resource, revision):
                self._on_change(change)
        except ApiError as error:
            self._lines.put_nowait(_line("ERROR", error.status()))
            self.end()

    def end(self, *, abrupt: bool = False) -> None:
        """End the stream: as a server that is done, or as a connection that breaks."""
        self._abrupt = abrupt
        self._stop()
        self._lines.put_nowait(None)

    def mute(self) -> None:
        """Stay open and tell nothing any more: as a connection that something on the way has lost."""
        self._bookmarks = False
        self._stop()

    def _matches(self, obj: Obj) -> bool:
        metadata = obj["metadata"]
        return (
            (not self._namespace or metadata.get("namespace") == self._namespace)
            and (self._labels is None or self._labels(metadata.get("labels") or {}))
            and (self._test is None or self._test(obj))
        )

    def _on_change(self, change: Change) -> None:
        was = change.previous is not None and self._matches(change.previous)
        match change.type, was, change.type != "DELETED" and self._matches(change.object):
            case "DELETED", True, _:
                self._put("DELETED", change.object)
            case _, True, True:
                self._put("MODIFIED", change.object)
            case _, False, True:
                self._put("ADDED", change.object)
            case "MODIFIED", True, False:
                self._put("DELETED", change.object)

    def _put(self, kind: str, obj: Obj) -> None:
        self._lines.put_nowait(_line(kind, self._render(obj)))

    def _bookmark(self, annotations: dict[str, str] | None = None) -> None:
        metadata: Obj = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        self._lines.put_nowait(_line("BOOKMARK", {**kind, "metadata": metadata}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the time is up, the client goes, or somebody ends it."""
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        # Clients take the answer's beginning as the sign that the watch holds.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        sender = asyncio.create_task(self._stream(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sender, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop()
            leaving.cancel()
            sender.cancel()
            await asyncio.gather(sender, leaving, return_exceptions=True)

    async def _stream(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_EVERY_S) if self._bookmarks else left):
                    line = await self._lines.get()
            except TimeoutError:
                if self._bookmarks:
                    self._bookmark()
                    await send({"type": "http.response.body", "body": self._drain(b"")[0], "more_body": True})
                continue
            chunk, ended = (b"", True) if line is None else self._drain(line)
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if ended:
                break
        if not self._abrupt:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _drain(self, chunk: bytes) -> tuple[bytes, bool]:
        """Everything that waits, in one piece, and whether the stream ends after it."""
        while not self._lines.empty():
            line = self._lines.get_nowait()
            if line is None:
                return chunk, True
            chunk += line
        return chunk, False


def _line(kind: str, obj: Any) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
