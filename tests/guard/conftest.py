"""Why: a guard is tested against a sandbox process, through the clients that production uses.

One sandbox serves a module: each test finds it with every lever put back and leaves no object
behind. The guard runs inside the test, turning quickly; the time of faults and Leases is the
sandbox's, which only the tests (and emergency stops) move.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.mirror import Timing
from gameday.clients.prometheus import Prometheus
from gameday.clients.slack import messenger
from gameday.clock import RemoteClock, SystemClock
from gameday.guard.guard import Guard, Pace
from gameday.guard.leader import Term
from gameday.safety import lever
from gameday.safety.emergency import stop
from gameday.safety.stop_report import Scope
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox, launch_temporary
from tests.flows.conftest import until

CHAOS = "chaos-engineering"
STAGING = "pyairtable-staging"
SECOND = timedelta(seconds=1)

BRISK = Pace(
    turn=timedelta(milliseconds=200),
    least=timedelta(milliseconds=10),
    lever=timedelta(milliseconds=200),
    watches=Timing(
        check=timedelta(milliseconds=400),
        settle=timedelta(milliseconds=200),
        longest_pause=timedelta(milliseconds=300),
    ),
    term=Term(every=timedelta(milliseconds=200)),
)

StartGuard = Callable[..., Awaitable[Guard]]


class Levers:
    """Everything of the sandbox that can be made to go wrong, and what it has kept."""

    def __init__(self, url: str) -> None:
        """Pull the levers of the sandbox at ``url``."""
        self.client = httpx.Client(base_url=f"{url}/control", trust_env=False, timeout=30)

    def pull(self, lever: str, **how: Any) -> None:
        """One of Kubernetes or Chaos Mesh."""
        self.client.post(f"/kubernetes/{lever}", json=how).raise_for_status()

    def mend(self) -> None:
        """Put every one back."""
        for part in ("kubernetes/", "prometheus/", "slack/fault"):
            self.client.delete(f"/{part}").raise_for_status()

    def prometheus(self, mode: str) -> None:
        """What is wrong with Prometheus."""
        self.client.put("/prometheus/", json={"mode": mode}).raise_for_status()

    def queries(self) -> int:
        """How often Prometheus was asked."""
        return int(self.client.get("/prometheus/").json()["queries"]["total"])

    def calls(self, verb: str) -> int:
        """How often the API server was asked to ``verb`` anything."""
        found = self.client.get("/kubernetes/calls").json()["calls"]
        return sum(found.get(verb, {}).values())

    def said(self) -> str:
        """Everything that Slack was told."""
        return "\n".join(
            f"#{one['channel_name'].lstrip('#')} {one['text']}"
            for one in self.client.get("/slack/messages").json()
        )


@pytest.fixture(scope="module")
def guarded_sandbox() -> Iterator[Sandbox]:
    with launch_temporary(history=timedelta(minutes=2)) as sandbox:
        yield sandbox


@pytest.fixture
def levers(guarded_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Levers]:
    """The levers of the sandbox, all put back before and after the test; the environment points at it."""
    for name, value in guarded_sandbox.env.items():
        monkeypatch.setenv(name, value)
    levers = Levers(guarded_sandbox.url)
    levers.mend()
    levers.client.delete("/slack/messages")
    yield levers
    levers.mend()
    levers.client.close()


@pytest.fixture
def clock(levers: Levers) -> RemoteClock:
    settings = load()
    assert settings.clock_url
    return RemoteClock(settings.clock_url)


@pytest.fixture
async def cluster(levers: Levers, clock: RemoteClock) -> AsyncIterator[Cluster]:
    """The sandbox's cluster; nothing of the test is left in it afterwards."""
    async with Cluster.connect(clock=clock) as connected:
        yield connected
        levers.mend()
        await stop(ChaosMesh(connected.api), Scope.everything(), clock=clock, force=True)
        await lever.release(connected, CHAOS, by="test", reason="it is over", source="test", clock=clock)
        for lease in await connected.leases(CHAOS):
            await connected.delete_lease(lease)
        # The next test finds the platform well.
        await clock.sleep(timedelta(minutes=2))


@pytest.fixture
def chaos(cluster: Cluster) -> ChaosMesh:
    return ChaosMesh(cluster.api)


@pytest.fixture
async def start_guard(levers: Levers) -> AsyncIterator[StartGuard]:
    """Start guards in this process; they end with the test."""
    running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []
    async with AsyncExitStack() as stack:

        async def start(experiments: Path | None = None, **how: Any) -> Guard:
            settings = load()
            assert settings.clock_url
            assert settings.prometheus_url
            time = RemoteClock(settings.clock_url)
            catalogue = Catalogue(experiments)
            connected = await stack.enter_async_context(
                Cluster.connect(clock=SystemClock(), check=False, call_timeout=SECOND)
            )
            prometheus = await stack.enter_async_context(Prometheus(settings.prometheus_url, clock=time))
            guard = Guard(
                connected,
                prometheus,
                messenger(settings, print),
                catalogue,
                catalogue.platform.environment("staging"),
                clock=time,
                **{"pace": BRISK, **how},
            )
            stopping = asyncio.Event()
            task = asyncio.create_task(guard.run(stopping))
            running.append((stopping, task))
            return guard

        yield start
        for stopping, _ in running:
            stopping.set()
        for _, task in running:
            await task


async def ready(guard: Guard) -> None:
    """Wait until the guard leads (or observes) and sees everything."""

    async def is_ready() -> bool:
        return guard.acts and guard.ready().well

    await until(is_ready, "a guard that is ready")


async def left(chaos: ChaosMesh) -> set[str]:
    """The names of what is live."""
    return {state.ref.name for state in (await chaos.live()).objects}


async def gone(chaos: ChaosMesh, *names: str) -> None:
    """Wait until the objects are gone."""

    async def are_gone() -> bool:
        return not await left(chaos) & set(names)

    await until(are_gone, f"{', '.join(names)} gone")


async def told(levers: Levers, *words: str) -> None:
    """Wait until Slack has heard all of ``words``."""

    async def heard() -> bool:
        return all(word in levers.said() for word in words)

    try:
        await until(heard, f"Slack hearing {words}", within=timedelta(seconds=20))
    except BaseException:
        print(levers.said())
        raise


def metric(guard: Guard, name: str, **labels: str) -> float:
    """The value of one of the guard's metrics; 0 where it has none yet."""
    guard.exposition()
    return guard.metrics.registry.get_sample_value(name, labels) or 0.0


async def turns(guard: Guard, count: int = 3) -> None:
    """Wait until the guard has looked at everything ``count`` times more."""
    for _ in range(count):
        before: datetime = guard.turned_at

        async def later(before: datetime = before) -> bool:
            return guard.turned_at > before

        await until(later, "a turn of the guard")
