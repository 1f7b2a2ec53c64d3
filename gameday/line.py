"""Why: a rehearsal asks its clock hundreds of times; a connection each time costs more than the answer.

HTTP/1.1 over plain sockets, which belong to no event loop: a line can be used from one
``asyncio.run`` to the next, and closes by itself when nobody has it any more. For whoever answers on
this machine; it knows neither TLS nor proxies. What is asked and answered is for others.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import weakref
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

import h11

_CHUNK: Final = 1 << 16
_DEFAULT_PORT: Final = 80


class LineError(Exception):
    """No answer, or none that says that it worked."""


class Line:
    """A server that is asked often, over connections that are kept."""

    def __init__(self, url: str) -> None:
        """Connect to nobody yet. Raises ``LineError`` for an address that is not plain HTTP."""
        parts = urlsplit(url)
        try:
            port = parts.port or _DEFAULT_PORT
        except ValueError as error:
            raise LineError(str(error)) from None
        if parts.scheme != "http" or not parts.hostname:
            raise LineError("only http://HOST:PORT/PATH is understood")
        self.url = url
        self._host, self._port, self._path = parts.hostname, port, parts.path
        self._headers: Final = (("Host", parts.netloc), ("Content-Type", "application/json"))
        self._idle: list[_Connection] = []
        weakref.finalize(self, _close, self._idle)

    def read_now(self, timeout_s: float) -> bytes:
        """Read the address itself, in a connection of its own, waiting for it. Raises ``LineError``."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        with closing(connection):
            try:
                connection.request("GET", self._path or "/")
                answer = connection.getresponse()
                return _content(answer.status, answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise LineError(_words(error)) from error

    async def ask(self, method: str, path: str = "", content: bytes = b"", *, timeout_s: float) -> bytes:
        """Ask for ``path`` below the address; answers with the body. Raises ``LineError``.

        Asked once more where a connection that was kept turns out to be dead, so whatever is asked must
        bear being asked twice. A caller that is cancelled hangs up, which the other side notices.
        """
        head = h11.Request(
            method=method,
            target=f"{self._path}{path}" or "/",
            headers=[*self._headers, ("Content-Length", str(len(content)))],
        )
        try:
            async with asyncio.timeout(timeout_s):
                while self._idle:
                    try:
                        return await self._asked(self._idle.pop(), head, content)
                    except (OSError, h11.ProtocolError):
                        continue
                return await self._asked(await _Connection.to(self._host, self._port), head, content)
        except (OSError, h11.ProtocolError) as error:
            raise LineError(_words(error)) from error

    async def _asked(self, connection: _Connection, head: h11.Request, content: bytes) -> bytes:
        try:
            status, body = await connection.exchange(head, content)
        except BaseException:
            connection.close()
            raise
        if connection.reusable():
            self._idle.append(connection)
        else:
            connection.close()
        return _content(status, body)


class _Connection:
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._protocol = h11.Connection(h11.CLIENT)

    @classmethod
    async def to(cls, host: str, port: int) -> _Connection:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, number, _, address = found[0]
        connecting = socket.socket(family, kind, number)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(connecting, address)
        except BaseException:
            connecting.close()
            raise
        return cls(connecting)

    async def exchange(self, head: h11.Request, content: bytes) -> tuple[int, bytes]:
        """Send a request and read its answer: the status and the body."""
        loop, protocol = asyncio.get_running_loop(), self._protocol
        parts = [protocol.send(event) for event in (head, h11.Data(content), h11.EndOfMessage())]
        await loop.sock_sendall(self._socket, b"".join(part for part in parts if part))
        status, body = 0, bytearray()
        while not isinstance(event := protocol.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                protocol.receive_data(await loop.sock_recv(self._socket, _CHUNK))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the connection was closed instead of an answer")
        return status, bytes(body)

    def reusable(self) -> bool:
        """Whether it can take another request, and is ready for it."""
        if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
            return False
        self._protocol.start_next_cycle()
        return True

    def close(self) -> None:
        self._socket.close()


def _close(connections: list[_Connection]) -> None:
    for connection in connections:
        connection.close()


def _content(status: int, body: bytes) -> bytes:
    if status != http.client.OK:
        raise LineError(f"HTTP status {status}")
    return body


def _words(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
