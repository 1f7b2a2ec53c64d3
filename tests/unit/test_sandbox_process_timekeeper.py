"""How time passes in the sandbox, without a process around it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from sandbox.process.timekeeper import SLICE, Timekeeper
from sandbox.world import World

EPOCH = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return World(seed=1, epoch=EPOCH)


async def test_the_event_loop_gets_its_turn_at_least_once_a_virtual_second(world: World) -> None:
    keeper = Timekeeper(world, "rehearsal")
    seen: list[float] = []

    async def onlooker() -> None:
        while True:
            seen.append(world.elapsed)
            await asyncio.sleep(0)

    watching = asyncio.create_task(onlooker())
    await keeper.sleep_until(EPOCH + timedelta(seconds=20))
    watching.cancel()
    assert max(after - before for before, after in pairwise(seen)) <= SLICE


async def test_what_is_due_happens_before_the_sleeper_wakes(world: World) -> None:
    keeper = Timekeeper(world, "rehearsal")
    happened: list[float] = []
    world.call_later(10.0, lambda: happened.append(world.elapsed))
    await keeper.sleep_until(EPOCH + timedelta(seconds=10))
    assert happened == [10.0]


async def test_everyone_who_sleeps_hears_that_the_world_broke(world: World) -> None:
    keeper = Timekeeper(world, "rehearsal")

    def breaks() -> None:
        raise RuntimeError("the twin has a bug")

    world.call_later(3.0, breaks)
    sleepers = [keeper.sleep_until(EPOCH + timedelta(seconds=seconds)) for seconds in (5, 60)]
    answers = await asyncio.gather(*sleepers, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["the twin has a bug"] * 2


async def test_a_world_that_fell_behind_catches_up_and_lets_others_work(world: World) -> None:
    keeper = Timekeeper(world, "live", speed=1000)
    following = asyncio.create_task(keeper.follow_wall_clock())
    await keeper.sleep_until(EPOCH + timedelta(seconds=100))
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert world.elapsed >= 100


async def test_a_cancelled_sleeper_lets_time_stand_still(world: World) -> None:
    keeper = Timekeeper(world, "rehearsal")
    sleeping = asyncio.create_task(keeper.sleep_until(EPOCH + timedelta(days=1)))
    while world.elapsed < 5:  # noqa: ASYNC110 - nobody announces virtual seconds
        await asyncio.sleep(0)
    sleeping.cancel()
    with suppress(asyncio.CancelledError):
        await sleeping
    stopped = world.elapsed
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.elapsed <= stopped + SLICE
