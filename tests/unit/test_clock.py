"""What a run may rely on when it asks for the time and lets it pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from gameday.clock import Clock, RemoteClock, SystemClock
from gameday.errors import UnreachableError
from sandbox.process.launch import Sandbox, launch_temporary

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock(shared_sandbox: Sandbox) -> RemoteClock:
    return RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"])


@pytest.fixture(scope="module")
def fast_sandbox() -> Iterator[Sandbox]:
    with launch_temporary(mode="live", speed=50, history=timedelta(0)) as sandbox:
        yield sandbox


def server_time(sandbox: Sandbox) -> datetime:
    response = httpx.get(sandbox.env["GAMEDAY_CLOCK_URL"], trust_env=False)
    return datetime.fromisoformat(response.json()["now"])


async def test_the_system_clock_tells_utc_and_sleeps() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(timedelta(milliseconds=5))
    assert before.tzinfo is UTC
    assert clock.now() - before >= timedelta(milliseconds=5)


async def test_real_time_goes_on_evenly_where_the_machines_clock_is_set_back() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    machine = [noon]
    clock = SystemClock(lambda: machine[-1])
    deadline = clock.now() + timedelta(minutes=1)
    machine.append(noon - timedelta(hours=1))
    first, second = clock.now(), clock.now()
    assert noon <= first <= second < deadline, "neither back nor away"


async def test_real_time_follows_a_machine_whose_clock_is_set_forward_or_that_slept() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    machine = [noon]
    clock = SystemClock(lambda: machine[-1])
    machine.append(noon + timedelta(hours=1))
    assert clock.now() == noon + timedelta(hours=1)


async def test_a_rehearsal_passes_forty_five_minutes_exactly(
    clock: RemoteClock, shared_sandbox: Sandbox
) -> None:
    before = clock.now()
    await clock.sleep(45 * MINUTE)
    assert clock.now() - before == 45 * MINUTE
    assert server_time(shared_sandbox) == clock.now()


async def test_a_rehearsal_stands_still_while_nobody_sleeps(
    clock: RemoteClock, shared_sandbox: Sandbox
) -> None:
    before = server_time(shared_sandbox)
    await asyncio.sleep(0.05)
    assert server_time(shared_sandbox) == before == clock.now()


async def test_no_time_passes_in_a_sleep_of_nothing_or_less(clock: RemoteClock) -> None:
    before = clock.now()
    await clock.sleep(timedelta(0))
    await clock.sleep(-MINUTE)
    assert clock.now() == before


async def test_beats_come_at_their_exact_times_within_a_long_sleep(clock: RemoteClock) -> None:
    start = clock.now()
    beats: list[timedelta] = []

    async def beat() -> None:
        beats.append(clock.now() - start)

    async with clock.every(10 * SECOND, beat):
        await clock.sleep(35 * SECOND)
    await clock.sleep(MINUTE)
    assert beats == [10 * SECOND, 20 * SECOND, 30 * SECOND]


async def test_two_beats_keep_their_own_rhythm(clock: RemoteClock) -> None:
    start = clock.now()
    beats: list[tuple[str, timedelta]] = []

    async def left() -> None:
        beats.append(("left", clock.now() - start))

    async def right() -> None:
        beats.append(("right", clock.now() - start))

    async with clock.every(4 * SECOND, left), clock.every(6 * SECOND, right):
        await clock.sleep(12 * SECOND)
    assert beats == [
        ("left", 4 * SECOND),
        ("right", 6 * SECOND),
        ("left", 8 * SECOND),
        ("left", 12 * SECOND),
        ("right", 12 * SECOND),
    ]


async def test_a_beat_comes_with_whoever_wakes_shortly_before_it_and_never_late(clock: RemoteClock) -> None:
    """Time moves no oftener than somebody wakes: moving it costs more than a beat."""
    start = clock.now()
    beats: list[timedelta] = []

    async def beat() -> None:
        beats.append(clock.now() - start)

    await clock.sleep(2 * SECOND)
    async with clock.every(10 * SECOND, beat):
        await clock.sleep(3 * SECOND)
        for _ in range(6):
            await clock.sleep(5 * SECOND)
    assert beats == [10 * SECOND, 20 * SECOND, 30 * SECOND]


async def test_a_beat_may_itself_sleep(clock: RemoteClock) -> None:
    start = clock.now()

    async def beat() -> None:
        await clock.sleep(2 * SECOND)

    async with clock.every(10 * SECOND, beat):
        await clock.sleep(11 * SECOND)
    assert clock.now() - start == 12 * SECOND


@pytest.mark.parametrize("kind", ["system", "rehearsal", "live"])
async def test_an_error_of_a_beat_ends_the_beating_and_is_raised_at_the_end(
    kind: str, shared_sandbox: Sandbox, fast_sandbox: Sandbox
) -> None:
    clocks: dict[str, Clock] = {
        "system": SystemClock(),
        "rehearsal": RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"]),
        "live": RemoteClock(fast_sandbox.env["GAMEDAY_CLOCK_URL"]),
    }
    clock, beats = clocks[kind], 0
    beaten = asyncio.Event()

    async def beat() -> None:
        nonlocal beats
        beats += 1
        beaten.set()
        raise ValueError("the lease is lost")

    async def sleep_through_it() -> None:
        async with clock.every(timedelta(milliseconds=5), beat):
            await clock.sleep(timedelta(milliseconds=20))
            await beaten.wait()
            await clock.sleep(timedelta(milliseconds=20))

    with pytest.raises(ValueError, match="the lease is lost"):
        await sleep_through_it()
    assert beats == 1


async def test_several_may_sleep_at_once_and_wake_in_the_order_of_their_times(clock: RemoteClock) -> None:
    start = clock.now()
    woken: list[tuple[int, timedelta]] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds * SECOND)
        woken.append((seconds, clock.now() - start))

    await asyncio.gather(sleeper(30), sleeper(5), sleeper(20))
    assert woken == [(seconds, seconds * SECOND) for seconds in (5, 20, 30)]


async def test_a_sleeper_that_is_cancelled_does_not_drag_the_world_on(
    clock: RemoteClock, shared_sandbox: Sandbox
) -> None:
    before = clock.now()
    sleeping = asyncio.create_task(clock.sleep(timedelta(days=30)))
    while server_time(shared_sandbox) == before:  # noqa: ASYNC110 - nobody tells when another process is under way
        await asyncio.sleep(0)
    sleeping.cancel()
    await asyncio.wait({sleeping})
    # The server notices at the next turn of its loop; from then on nothing moves.
    stopped = server_time(shared_sandbox)
    while stopped != (stopped := server_time(shared_sandbox)):
        pass
    assert stopped - before < timedelta(days=30)
    await clock.sleep(MINUTE)
    assert clock.now() == stopped + MINUTE


async def test_a_sleeper_that_is_cancelled_when_its_time_has_come_does_not_stop_time(
    clock: RemoteClock,
) -> None:
    before, short = clock.now(), asyncio.ensure_future(clock.sleep(SECOND))

    async def give_up() -> None:
        short.cancel()

    async with clock.every(SECOND, give_up):
        await clock.sleep(5 * SECOND)
    with pytest.raises(asyncio.CancelledError):
        await short
    assert clock.now() - before == 5 * SECOND


async def test_two_processes_that_sleep_share_the_time(shared_sandbox: Sandbox) -> None:
    url = shared_sandbox.env["GAMEDAY_CLOCK_URL"]
    one, other = RemoteClock(url), RemoteClock(url)
    start = one.now()
    await asyncio.gather(one.sleep(60 * SECOND), other.sleep(30 * SECOND))
    assert one.now() == start + 60 * SECOND
    assert start + 30 * SECOND <= other.now() <= start + 60 * SECOND


async def test_live_time_passes_by_itself_times_the_speed(fast_sandbox: Sandbox) -> None:
    clock = RemoteClock(fast_sandbox.env["GAMEDAY_CLOCK_URL"])
    before, real = clock.now(), SystemClock().now()
    await clock.sleep(5 * SECOND)
    passed, really = clock.now() - before, SystemClock().now() - real
    assert passed >= 5 * SECOND
    assert passed > 10 * really


async def test_live_beats_come_by_themselves(fast_sandbox: Sandbox) -> None:
    clock = RemoteClock(fast_sandbox.env["GAMEDAY_CLOCK_URL"])
    beaten = asyncio.Event()

    async def beat() -> None:
        beaten.set()

    async with clock.every(SECOND, beat):
        await beaten.wait()


async def test_a_clock_that_does_not_answer_is_told_with_its_address() -> None:
    with pytest.raises(UnreachableError, match=r"http://127.0.0.1:9/clock does not answer") as caught:
        RemoteClock("http://127.0.0.1:9/clock")
    assert "gameday sandbox status" in caught.value.hint


async def test_something_else_that_answers_there_is_no_clock(shared_sandbox: Sandbox) -> None:
    with pytest.raises(UnreachableError, match="does not answer as a clock does"):
        RemoteClock(f"{shared_sandbox.url}/control/info")


async def test_a_rehearsal_whose_sandbox_went_away_says_so(sandbox: Sandbox) -> None:
    clock = RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"])
    sandbox.stop()
    with pytest.raises(UnreachableError, match="stopped answering"):
        await clock.sleep(SECOND)


def test_a_clock_goes_on_from_one_event_loop_to_the_next(shared_sandbox: Sandbox) -> None:
    clock = RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"])
    before = clock.now()
    for _ in range(3):
        asyncio.run(clock.sleep(SECOND))
    assert clock.now() == before + 3 * SECOND


async def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    """Servers hang up on clients that ask nothing for a while."""
    reading = b'{"now":"2026-11-23T10:00:00Z","mode":"rehearsal"}'
    connections = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(reading), reading))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        clock = await asyncio.to_thread(RemoteClock, f"http://127.0.0.1:{port}/clock")
        for _ in range(3):
            await clock.look()
    assert connections == 4


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0\r\n\r\n"])
async def test_a_clock_that_answers_nonsense_later_is_told_with_its_address(answer: bytes) -> None:
    reading = b'{"now":"2026-11-23T10:00:00Z","mode":"rehearsal"}'
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(reading), reading), answer]

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        clock = await asyncio.to_thread(RemoteClock, f"http://127.0.0.1:{port}/clock")
        with pytest.raises(UnreachableError, match=f"http://127.0.0.1:{port}/clock stopped answering"):
            await clock.look()
