"""One run at a time hits a service, and a run that dies is noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.errors import RefusedError, StoppedError
from gameday.safety.lease import (
    DURATION,
    MARGIN,
    RENEW_EVERY,
    TARGET_DURATION,
    RunLeases,
    Target,
    run_lease,
    target_lease,
)
from sandbox.process.launch import Sandbox

CHAOS = "chaos-engineering"
GATEWAY = Target("pyairtable-staging", "api-gateway")
AUTH = Target("pyairtable-staging", "auth-service")


@pytest.fixture
def clock(shared_sandbox: Sandbox) -> RemoteClock:
    return RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"])


@pytest.fixture
async def cluster(clock: RemoteClock) -> AsyncIterator[Cluster]:
    async with Cluster.connect(clock=clock) as connected:
        yield connected
        for lease in await connected.leases(CHAOS):
            await connected.delete_lease(lease)


def leases(cluster: Cluster, run: str, *targets: Target) -> RunLeases:
    return RunLeases(cluster, run, targets, namespace=CHAOS, clock=cluster.api.clock, flow_run=f"flow-{run}")


async def names(cluster: Cluster) -> set[str]:
    return {lease.name for lease in await cluster.leases(CHAOS)}


async def test_a_run_shows_that_it_lives_and_what_it_hits(cluster: Cluster) -> None:
    assert await leases(cluster, "run-a", GATEWAY).acquire() == ()
    lease = await cluster.lease(CHAOS, target_lease(GATEWAY))
    assert (lease.holder, lease.duration) == ("run-a", TARGET_DURATION)
    assert (await cluster.lease(CHAOS, run_lease("run-a"))).duration == timedelta(seconds=30)
    assert await names(cluster) == {run_lease("run-a"), target_lease(GATEWAY)}
    assert [one.name for one in await cluster.leases(CHAOS, {"gameday/flow-run": "flow-run-a"})]


async def test_two_runs_never_hit_the_same_service(cluster: Cluster) -> None:
    await leases(cluster, "run-a", AUTH).acquire()
    with pytest.raises(RefusedError) as caught:
        await leases(cluster, "run-b", GATEWAY, AUTH).acquire()
    assert "run-a" in caught.value.reasons[0]
    assert "auth-service" in caught.value.message
    assert await names(cluster) == {run_lease("run-a"), target_lease(AUTH)}, "nothing was kept of run-b"


async def test_runs_that_hit_different_services_go_on_side_by_side(cluster: Cluster) -> None:
    await leases(cluster, "run-a", AUTH).acquire()
    await leases(cluster, "run-b", GATEWAY).acquire()
    assert len(await names(cluster)) == 4


async def test_a_run_that_renews_keeps_its_services_for_as_long_as_it_takes(
    cluster: Cluster, clock: RemoteClock
) -> None:
    held = leases(cluster, "run-a", GATEWAY)
    await held.acquire()
    async with clock.every(RENEW_EVERY, held.keep):
        await clock.sleep(timedelta(minutes=5))
    assert held.lost == ""
    with pytest.raises(RefusedError):
        await leases(cluster, "run-b", GATEWAY).acquire()


async def test_what_a_dead_run_held_is_taken_over_and_that_is_recorded(
    cluster: Cluster, clock: RemoteClock
) -> None:
    await leases(cluster, "run-dead", GATEWAY).acquire()
    died = (await cluster.lease(CHAOS, target_lease(GATEWAY))).renewed
    await clock.sleep(DURATION + timedelta(seconds=1))
    (takeover,) = await leases(cluster, "run-b", GATEWAY).acquire()
    assert (takeover.name, takeover.previous, takeover.seen_at) == (target_lease(GATEWAY), "run-dead", died)
    lease = await cluster.lease(CHAOS, target_lease(GATEWAY))
    assert (lease.holder, lease.transitions) == ("run-b", 1)


async def test_the_leases_of_services_cost_a_third_of_the_run_s_own(
    cluster: Cluster, clock: RemoteClock
) -> None:
    held = leases(cluster, "run-a", GATEWAY)
    await held.acquire()
    versions: dict[str, set[str]] = {run_lease("run-a"): set(), target_lease(GATEWAY): set()}

    async def keep() -> None:
        await held.keep()
        for name, seen in versions.items():
            seen.add((await cluster.lease(CHAOS, name)).resource_version)

    async with clock.every(RENEW_EVERY, keep):
        await clock.sleep(9 * RENEW_EVERY)
    assert [len(seen) for seen in versions.values()] == [9, 4], "one of the four is its beginning"


async def test_a_service_whose_run_has_just_begun_is_not_taken_from_it(cluster: Cluster) -> None:
    first = leases(cluster, "run-a", GATEWAY)
    await first.acquire()
    await cluster.delete_lease(await cluster.lease(CHAOS, run_lease("run-a")))
    with pytest.raises(RefusedError):
        await leases(cluster, "run-b", GATEWAY).acquire()


async def test_a_run_that_did_not_renew_in_time_has_lost_its_leases_for_good(
    cluster: Cluster, clock: RemoteClock
) -> None:
    held = leases(cluster, "run-a", GATEWAY)
    await held.acquire()
    await clock.sleep(DURATION + timedelta(seconds=1))
    await held.renew()
    await held.renew()
    assert "not renewed since" in held.lost
    with pytest.raises(RefusedError, match="lost its leases before it broke anything"):
        held.must_be_held()


async def test_a_run_whose_leases_were_taken_away_was_called_off(cluster: Cluster) -> None:
    held = leases(cluster, "run-a", GATEWAY)
    await held.acquire()
    held.must_be_held()
    await cluster.delete_lease(await cluster.lease(CHAOS, run_lease("run-a")))
    await held.renew()
    with pytest.raises(StoppedError):
        held.must_be_held()


async def test_a_lease_taken_by_force_is_lost_at_the_next_beat(cluster: Cluster) -> None:
    held = leases(cluster, "run-a", GATEWAY)
    await held.acquire()
    lease = await cluster.lease(CHAOS, target_lease(GATEWAY))
    await cluster.delete_lease(lease)
    await leases(cluster, "run-b", GATEWAY).acquire()
    await held.renew()
    assert "taken over by run-b" in held.lost


async def test_a_lease_that_somebody_deleted_is_lost(cluster: Cluster) -> None:
    held = leases(cluster, "run-a")
    await held.acquire()
    await cluster.delete_lease(await cluster.lease(CHAOS, run_lease("run-a")))
    await held.renew()
    assert held.lost == "`gameday stop` called it off (its leases were taken away)"


async def test_the_next_run_may_begin_at_once_after_a_release(cluster: Cluster) -> None:
    first = leases(cluster, "run-a", GATEWAY)
    await first.acquire()
    assert await first.release() == ()
    assert await names(cluster) == set()
    assert await leases(cluster, "run-b", GATEWAY).acquire() == ()


async def test_releasing_leaves_alone_what_belongs_to_another_by_now(
    cluster: Cluster, clock: RemoteClock
) -> None:
    first = leases(cluster, "run-a", GATEWAY)
    await first.acquire()
    await clock.sleep(DURATION + timedelta(seconds=1))
    await leases(cluster, "run-b", GATEWAY).acquire()
    assert await first.release() == ()
    assert (await cluster.lease(CHAOS, target_lease(GATEWAY))).holder == "run-b"


async def test_taking_up_its_own_leases_again_is_no_takeover(cluster: Cluster) -> None:
    await leases(cluster, "run-a", GATEWAY).acquire()
    assert await leases(cluster, "run-a", GATEWAY).acquire() == ()
    assert (await cluster.lease(CHAOS, target_lease(GATEWAY))).transitions == 0


async def test_a_run_gives_up_before_others_may_take_its_leases(cluster: Cluster, clock: RemoteClock) -> None:
    held = leases(cluster, "run-a", GATEWAY)
    await held.acquire()
    await clock.sleep(DURATION - MARGIN)
    assert held.why_lost() == ""
    await clock.sleep(timedelta(seconds=1))
    assert "not renewed since" in held.why_lost()
    with pytest.raises(RefusedError):
        await leases(cluster, "run-b", GATEWAY).acquire()


@pytest.mark.parametrize(("failures", "lost"), [(1, False), (None, True)])
async def test_a_renewal_that_fails_is_tried_again_before_the_leases_are_lost(
    sandbox: Sandbox, failures: int | None, lost: bool
) -> None:
    clock = RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"])
    async with Cluster.connect(clock=clock) as cluster:
        held = leases(cluster, "run-a")
        await held.acquire()
        rule = {"method": "PUT", "path": "leases", "next": failures}
        httpx.post(f"{sandbox.url}/control/kubernetes/fail", json=rule, trust_env=False).raise_for_status()
        async with clock.every(RENEW_EVERY, held.keep):
            await clock.sleep(DURATION - MARGIN + timedelta(seconds=1))
        assert bool(held.why_lost()) is lost


async def test_what_a_hanging_api_server_does_not_take_back_is_left_to_lapse(
    sandbox: Sandbox,
) -> None:
    clock = RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"])
    async with Cluster.connect(clock=clock) as cluster:
        held = leases(cluster, "run-a", GATEWAY)
        await held.acquire()
        rule = {"method": "DELETE", "path": "leases"}
        httpx.post(f"{sandbox.url}/control/kubernetes/stall", json=rule, trust_env=False).raise_for_status()
        left = await held.release()
        httpx.post(f"{sandbox.url}/control/kubernetes/release", json={}, trust_env=False)
    assert {why.partition(":")[0] for why in left} == {run_lease("run-a"), target_lease(GATEWAY)}
