"""Whatever Grafana does, the client says it in one of our errors, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from gameday.clients.grafana import Access, Annotation, Grafana, fitting
from gameday.errors import NotAllowedError, NotFoundError, OutsideError, RejectedError, UnreachableError
from tests.grafana import TOKEN, VIEWER, GrafanaServer, serving

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

AT = datetime(2026, 11, 23, 10, 15, 0, 250_000, tzinfo=UTC)
MARK = Annotation(AT, "PodChaos", ("chaos", "run:1"))


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with serving() as grafana:
        yield grafana


def at(server: GrafanaServer, token: str = TOKEN) -> Access:
    return Access(server.url, token, timedelta(seconds=5))


async def test_an_annotation_is_written_found_by_its_tags_and_ended(server: GrafanaServer) -> None:
    async with Grafana.connect(at(server)) as grafana:
        number = await grafana.annotate(MARK)
        await grafana.annotate(Annotation(AT, "another run's", ("chaos", "run:2")))
        (found,) = await grafana.annotations("chaos", "run:1")
        assert (found.id, found.time, found.end) == (number, AT, None)
        await grafana.end_annotation(number, AT + timedelta(minutes=2))
        (found,) = await grafana.annotations("run:1")
    assert found == Annotation(AT, "PodChaos", ("chaos", "run:1"), AT + timedelta(minutes=2), number)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, UnreachableError),
        (400, RejectedError),
        (401, NotAllowedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (500, UnreachableError),
    ],
)
async def test_what_it_refuses_is_told_apart(
    server: GrafanaServer, status: int, expected: type[OutsideError]
) -> None:
    server.status = status
    async with Grafana.connect(at(server)) as grafana:
        for asking in (grafana.annotate(MARK), grafana.end_annotation(1, AT), grafana.annotations("chaos")):
            with pytest.raises(expected) as caught:
                await asking
            assert TOKEN not in str(caught.value)


async def test_an_answer_that_never_comes_is_given_up(server: GrafanaServer) -> None:
    server.mute = True
    async with Grafana.connect(Access(server.url, TOKEN, timedelta(milliseconds=100))) as grafana:
        with pytest.raises(UnreachableError, match=r"no answer within 0\.1 s"):
            await grafana.annotate(MARK)


@asynccontextmanager
async def speaking(speak: Speak) -> AsyncIterator[Access]:
    """Something that is no Grafana."""
    over = asyncio.Event()

    async def until_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await speak(reader, writer)
        writer.close()
        over.set()

    async with await asyncio.start_server(until_over, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield Access(f"http://127.0.0.1:{port}", TOKEN, timedelta(milliseconds=200))
        await over.wait()


async def test_an_answer_that_comes_a_byte_at_a_time_is_given_up_too() -> None:
    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with speaking(dribble) as where, Grafana.connect(where) as grafana:
        with pytest.raises(UnreachableError, match="no answer within"):
            await grafana.annotations("chaos")


@pytest.mark.parametrize("answer", [b"", b"<html>Sign in</html>", b"[1]", b"null", b'{"id": "one"}', b"\xff"])
async def test_an_answer_that_is_not_grafanas_is_no_annotation(answer: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + answer)

    async with speaking(other) as where, Grafana.connect(where) as grafana:
        for asking in (grafana.annotate(MARK), grafana.annotations("chaos")):
            with pytest.raises(UnreachableError):
                await asking


@pytest.mark.parametrize("url", ["http://grafana:port", "grafana", "http://127.0.0.1:1"])
async def test_an_address_at_which_there_is_no_grafana_is_told(url: str) -> None:
    with pytest.raises(UnreachableError, match="Grafana"):
        async with Grafana.connect(Access(url, TOKEN, timedelta(seconds=5))) as grafana:
            await grafana.annotate(MARK)


async def test_whether_the_token_may_annotate_is_asked_without_writing(server: GrafanaServer) -> None:
    async with Grafana.connect(at(server)) as grafana:
        assert await grafana.may_annotate()
        # Viewers may annotate dashboards that they edit; ours belong to none.
        server.permissions = VIEWER
        assert not await grafana.may_annotate()
        server.permissions = None
        with pytest.raises(NotFoundError):
            await grafana.may_annotate()
    assert server.changes == []


async def test_of_many_tags_as_many_are_written_as_grafana_takes(server: GrafanaServer) -> None:
    tags = ("chaos", *(f"service:a-service-with-a-long-name-{number:03}" for number in range(40)))
    async with Grafana.connect(at(server)) as grafana:
        await grafana.annotate(Annotation(AT, "text", tags))
    (kept,) = (one["tags"] for one in server.annotations)
    assert kept == list(tags[: len(kept)])
    assert len(kept) > 10
    assert fitting(["chaos", "chaos"]) == ["chaos"]
