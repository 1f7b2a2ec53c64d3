"""The load of a run keeps its rate whatever the platform does, counts what it lost, and ends with the run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gameday.clients.front import FrontDoor
from gameday.clock import RemoteClock
from gameday.errors import RefusedError
from gameday.journal.engine import make_engine
from gameday.journal.store import Event, Journal
from gameday.monitor.load import LoadResults, quantile
from gameday.run.context import Requested, Run, Session
from gameday.run.load import LoadRun
from gameday.safety.occasion import load as judged
from gameday.spec.load import Load
from gameday.spec.platform import Environment
from sandbox.process.launch import Sandbox
from tests.unit.test_report import CATALOGUE, NOT_NEEDED, plan

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def of(**changes: Any) -> Load:
    values = {"path": "/api/v1/records", "requestsPerSecond": 20, **changes}
    return Load.model_validate(values)


@asynccontextmanager
async def loaded(
    url: str | None, clock: RemoteClock, load: Load
) -> AsyncIterator[tuple[LoadRun, list[Event]]]:
    """A run that has this load."""
    told: list[Event] = []
    async with FrontDoor(url, clock=clock) as front:
        known = {"clock": clock, "front": front, "journal": Journal(make_engine("sqlite+aiosqlite://"))}
        session = Session(**{**dict.fromkeys(NOT_NEEDED), **known})  # type: ignore[arg-type] # it needs no more
        planned = plan(load=load.model_dump(mode="json", by_alias=True))
        yield LoadRun(Run(planned, session, Requested("me", "why"), [told.append], dry=True)), told


def asked(sandbox: Sandbox) -> int:
    """How many requests have come to the front door."""
    info = httpx.get(f"{sandbox.url}/control/info", trust_env=False).json()
    return int(info["requests"].get("platform", 0))


async def test_it_keeps_its_rate_and_nothing_is_sent_after_its_end(sandbox: Sandbox) -> None:
    clock = RemoteClock(f"{sandbox.url}/control/clock")
    async with loaded(f"{sandbox.url}/platform", clock, of()) as (load, told):
        async with load.kept():
            await load.begin()
            await clock.sleep(10 * SECOND)
            results, now = load.results, clock.now()
            assert results.lately("rate", now) == pytest.approx(20, rel=0.05)
            assert results.lately("success", now) == 1
            p50, p99 = results.lately("p50", now), results.lately("p99", now)
            assert p50 is not None
            assert p99 is not None
            assert 0.002 < p50 < p99 < 1, "as long as it takes in the twin, not on this machine"
        sent = asked(sandbox)
        assert sent == results.totals.sent == 200
        await clock.sleep(5 * SECOND)
        assert asked(sandbox) == sent
        senders = [task for task in asyncio.all_tasks() if task.get_name().startswith("load ")]
        assert all(task.cancelling() for task in senders), "what was under way is given up"
    begins, ends = told
    assert begins.message.startswith("Load begins: 20 requests/s of GET /api/v1/records")
    assert ends.message.startswith("Load ended: 200 sent, ")
    assert (ends.data["dropped"], ends.data["late"], ends.data["unanswered"]) == (0, 0, 0)


async def test_what_cannot_be_sent_is_dropped_and_counted_and_never_sent_later(sandbox: Sandbox) -> None:
    clock = RemoteClock(f"{sandbox.url}/control/clock")
    async with loaded(f"{sandbox.url}/platform", clock, of(inFlight=1, timeout="1ms")) as (load, told):
        with pytest.raises(ZeroDivisionError):
            await _interrupted_after(load, clock, 5 * SECOND)
        totals = load.results.totals
        assert totals.dropped >= 50, "of two that are due at once, one waits"
        assert totals.sent + totals.dropped == 100
        share = load.results.lately("success", clock.now())
        assert share is not None
        assert share <= 0.5, "what was dropped was not answered well"
        assert load.results.ended, "whatever ends the run"
    assert told[-1].kind == "warning"
    assert "requests were dropped" in told[-1].message


async def _interrupted_after(load: LoadRun, clock: RemoteClock, lasts: timedelta) -> None:
    async with load.kept():
        await load.begin()
        await clock.sleep(lasts)
        raise ZeroDivisionError


async def test_where_nobody_declared_where_users_come_in_the_run_is_refused(shared_sandbox: Sandbox) -> None:
    clock = RemoteClock(f"{shared_sandbox.url}/control/clock")
    async with loaded(None, clock, of()) as (load, told):
        with pytest.raises(RefusedError) as caught:
            await load.begin()
        assert "no url is declared" in caught.value.reasons[0]
        await load.end()
    assert told == []


def test_lately_is_ten_seconds_and_what_never_came_is_infinitely_late() -> None:
    results = LoadResults(began=AT)
    for number in range(10):
        results.sent(AT + number * SECOND, late=False)
        results.answered(AT + number * SECOND, timedelta(milliseconds=10 * number), good=number > 0)
    now = AT + 9 * SECOND
    assert results.lately("success", now) == 0.9
    assert results.lately("p50", now) == 0.04
    results.unanswered(now)
    assert results.lately("p99", now) == math.inf
    results.dropped(now)
    assert results.lately("dropped", now) == 1
    assert results.lately("success", now) == 9 / 12
    assert results.lately("success", AT + 60 * SECOND) is None
    assert results.lately("rate", AT + 60 * SECOND) == 0
    assert str(results.totals).startswith("10 sent, 9 answered well, 1 otherwise, 1 not, ")


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([3, 1, math.inf], 0.95) == math.inf
    assert quantile([7], 0.5) == 7


def environment(name: str, load: Load | None = None) -> Environment:
    known = {"name": name, "namespace": "n", "channel": "#c", "url": "https://example.com"}
    return Environment.model_validate({**known, "load": load})


@pytest.mark.parametrize(
    ("where", "rate", "limit"),
    [
        (environment("staging"), 50, None),
        (environment("staging"), 51, "50 requests/s"),
        (environment("staging", of(requestsPerSecond=80)), 80, "50 requests/s"),
        (environment("production"), 1, "none: no rule names it, and it declares none"),
        (environment("production", of(requestsPerSecond=5)), 5, None),
        (environment("production", of(requestsPerSecond=5)), 6, "5 requests/s"),
    ],
)
def test_how_much_a_run_may_send_is_the_guardrails_to_say(
    where: Environment, rate: float, limit: str | None
) -> None:
    found = list(judged(CATALOGUE.guardrails, where, of(requestsPerSecond=rate)))
    assert [one.limit for one in found] == ([limit] if limit else [])
    assert all(one.refuses for one in found)
