"""While a fault is live the guard looks at the platform, and what it cannot see it does not trust."""

from __future__ import annotations

import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.guard.guard import Guard
from gameday.safety import lever
from gameday.safety.lease import RunLeases
from gameday.spec.catalogue import GUARDRAILS_FILE, default_directory
from tests.flows.conftest import until
from tests.flows.emergency_fixtures import fault, inject
from tests.guard.conftest import CHAOS, SECOND, Levers, StartGuard, gone, left, metric, ready, told, turns


@pytest.fixture
async def guard(start_guard: StartGuard, cluster: Cluster) -> Guard:
    started = await start_guard()
    await ready(started)
    return started


async def looks(guard: Guard, clock: RemoteClock, chaos: ChaosMesh, count: int = 1) -> None:
    """Let the guard look at the platform ``count`` times, five seconds apart, while a fault is live."""
    for _ in range(count):

        async def looked(before: datetime | None = guard.sampled_at) -> bool:
            return guard.sampled_at not in {None, before} or not await left(chaos)

        await clock.sleep(5 * SECOND)
        await until(looked, "a look at the platform")


async def test_nothing_is_asked_of_prometheus_while_nothing_is_live(levers: Levers, guard: Guard) -> None:
    before = levers.queries()
    await turns(guard, 5)
    assert levers.queries() == before


@pytest.mark.parametrize("mode", ["failing", "empty", "stale"])
async def test_faults_end_when_nothing_could_be_seen_for_longer_than_the_grace(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, guard: Guard, mode: str
) -> None:
    await inject(chaos, fault("NetworkChaos", "unseen", run=""))
    await looks(guard, clock, chaos)
    levers.prometheus(mode)
    await looks(guard, clock, chaos, 3)
    assert await left(chaos) == {"unseen"}, "a short gap is no reason"
    await looks(guard, clock, chaos, 10)
    await gone(chaos, "unseen")
    await told(levers, "no data for", "by the rule blind")
    assert not (await lever.read(cluster, CHAOS)).engaged
    assert metric(guard, "gameday_guard_stops_total", rule="blind", outcome="clean") == 1


async def test_everything_ends_where_a_service_is_past_a_threshold(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, guard: Guard
) -> None:
    await inject(
        chaos,
        fault("PodChaos", "too-much", run="", mode="all"),
        fault("TimeChaos", "harmless", run="", service="redis"),
    )
    await clock.sleep(timedelta(seconds=15))
    await gone(chaos, "too-much", "harmless")
    await told(levers, "availability", "api-gateway", "by the rule threshold")
    assert not (await lever.read(cluster, CHAOS)).engaged, "one service is not the platform"


async def test_a_living_run_gets_its_turn_to_abort_by_itself(
    chaos: ChaosMesh, cluster: Cluster, clock: RemoteClock, guard: Guard
) -> None:
    leases = RunLeases(cluster, "run-a", [], namespace=CHAOS, clock=clock)
    await leases.acquire()
    # A service of three replicas: smaller ones have a while before they break the limit.
    await inject(chaos, fault("PodChaos", "of-a-run", mode="all", service="api-gateway"))
    await looks(guard, clock, chaos)

    async def broken() -> bool:
        # It lives: on a busy machine a look can take longer than its Lease lasts.
        await leases.renew()
        await looks(guard, clock, chaos)
        return metric(guard, "gameday_guard_thresholds_broken") > 0

    await until(broken, "a broken threshold")
    await turns(guard)
    assert await left(chaos) == {"of-a-run"}
    await leases.renew()
    await clock.sleep(10 * SECOND)
    await gone(chaos, "of-a-run")


async def test_a_broken_platform_engages_the_lever(
    chaos: ChaosMesh,
    cluster: Cluster,
    levers: Levers,
    clock: RemoteClock,
    start_guard: StartGuard,
    tmp_path: Path,
) -> None:
    experiments = shutil.copytree(default_directory(), tmp_path / "experiments")
    limits = experiments / GUARDRAILS_FILE
    # The threshold of one service would end everything before that of the platform is broken for long enough.
    limits.write_text(re.sub(r'.*abortWhen: "< 60%".*\n', "", limits.read_text(encoding="utf-8")))
    guard = await start_guard(experiments=experiments)
    await ready(guard)
    services = ("api-gateway", "auth-service", "platform-services", "automation-services")
    await inject(
        chaos, *(fault("PodChaos", f"all-{name}", run="", mode="all", service=name) for name in services)
    )

    async def engaged() -> bool:
        await looks(guard, clock, chaos)
        return (await lever.read(cluster, CHAOS)).engaged

    await until(engaged, "the lever engaged")
    assert "of the platform" in (await lever.read(cluster, CHAOS)).reason
    await told(levers, "engaged the safety lever")


async def test_an_observer_only_tells_of_what_is_broken(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, start_guard: StartGuard
) -> None:
    observer = await start_guard(observe=True)
    await ready(observer)
    await inject(chaos, fault("NetworkChaos", "unseen", run=""))
    await looks(observer, clock, chaos)
    levers.prometheus("gone")
    await looks(observer, clock, chaos, 9)
    await told(levers, "would end", "no data for")
    assert await left(chaos) == {"unseen"}
