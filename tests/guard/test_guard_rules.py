"""The guard ends what must not go on, whoever began it, and leaves alone all that may."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.guard.guard import Guard
from gameday.safety import lever
from gameday.safety.emergency import stop
from gameday.safety.lease import RunLeases, run_lease
from gameday.safety.stop_report import Scope
from gameday.spec.kinds import EXPERIMENT, STAGE
from tests.flows.conftest import until
from tests.flows.emergency_fixtures import fault, inject, schedule, workflow
from tests.guard.conftest import CHAOS, SECOND, Levers, StartGuard, gone, left, metric, ready, told, turns


def by_hand(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """A fault that is of no run."""
    return fault(kind, name, run="", **spec)


@pytest.fixture
async def guard(start_guard: StartGuard, cluster: Cluster) -> Guard:
    started = await start_guard()
    await ready(started)
    return started


async def alive(cluster: Cluster, clock: RemoteClock, run: str) -> RunLeases:
    """A run that has its Lease."""
    leases = RunLeases(cluster, run, [], namespace=CHAOS, clock=clock)
    await leases.acquire()
    return leases


async def test_what_breaks_no_rule_is_left_alone(
    chaos: ChaosMesh, cluster: Cluster, clock: RemoteClock, guard: Guard
) -> None:
    leases = await alive(cluster, clock, "run-a")
    await inject(chaos, fault("NetworkChaos", "of-a-run"), by_hand("StressChaos", "by-hand"))
    async with clock.every(10 * SECOND, leases.renew):
        await clock.sleep(timedelta(minutes=3))
    await turns(guard)
    assert await left(chaos) == {"of-a-run", "by-hand"}
    assert metric(guard, "gameday_guard_live_objects") == 2
    assert metric(guard, "gameday_guard_runs") == 1


async def test_its_metrics_tell_what_is_in_by_run_and_which_run_died(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, start_guard: StartGuard
) -> None:
    observer = await start_guard(observe=True)
    await ready(observer)
    await alive(cluster, clock, "run-a")
    body = fault("NetworkChaos", "of-a-run", run="run-a", duration="20s")
    body["metadata"]["labels"] |= {EXPERIMENT: "slow", STAGE: "first"}
    await inject(chaos, body, by_hand("StressChaos", "by-hand"))
    await turns(observer)
    of_run = {"run": "run-a", "experiment": "slow", "stage": "first", "kind": "NetworkChaos"}
    assert metric(observer, "gameday_guard_faults", **of_run) == 1
    nobody = {"run": "", "experiment": "", "stage": "", "kind": "StressChaos"}
    assert metric(observer, "gameday_guard_faults", **nobody) == 1
    assert metric(observer, "gameday_guard_lapsed_runs") == 0
    assert metric(observer, "gameday_guard_lever_engaged") == 0

    # Its recovery hangs: it is in although its time is up.
    levers.pull("hang", kind="NetworkChaos")
    await lever.engage(cluster, CHAOS, by="test", reason="a drill", source="test", clock=clock)
    await clock.sleep(timedelta(seconds=60))
    await turns(observer)

    async def known() -> bool:
        return metric(observer, "gameday_guard_lever_engaged") == 1

    await until(known, "the guard knows of the lever")
    assert metric(observer, "gameday_guard_overdue_objects") == 1
    assert metric(observer, "gameday_guard_lapsed_runs") == 1


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (by_hand("NetworkChaos", "bad", duration="31m"), "maxFaultDuration"),
        (by_hand("NetworkChaos", "bad", duration=None), "maxFaultDuration"),
        (by_hand("StressChaos", "bad", stressors={"cpu": {"workers": 64}}), "strength.cpuWorkers"),
        (
            by_hand("PodChaos", "bad", selector={"namespaces": ["pyairtable-staging"]}),
            "selector",
        ),
        (
            by_hand(
                "PodChaos",
                "bad",
                selector={"namespaces": ["kube-system"], "labelSelectors": {"k8s-app": "kube-dns"}},
            ),
            "namespaces.forbidden",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_breaks_the_guardrails_is_ended_and_told(
    chaos: ChaosMesh, levers: Levers, guard: Guard, broken: dict[str, Any], rule: str
) -> None:
    if broken["spec"].get("duration") is None:
        del broken["spec"]["duration"]
    await chaos.create(broken)
    await gone(chaos, "bad")
    await told(levers, "#chaos-staging", f"{broken['kind']} {CHAOS}/bad", rule)
    assert metric(guard, "gameday_guard_stops_total", rule="guardrails", outcome="clean") == 1


async def test_what_was_bad_before_the_guard_began_is_ended_too(
    chaos: ChaosMesh, start_guard: StartGuard
) -> None:
    await inject(chaos, by_hand("NetworkChaos", "bad", duration="5h"), by_hand("TimeChaos", "fine"))
    await start_guard()
    await gone(chaos, "bad")
    assert await left(chaos) == {"fine"}


async def test_a_schedule_is_ended_for_what_it_would_bring_forth(chaos: ChaosMesh, guard: Guard) -> None:
    bad = schedule("bad", run="", every="1h")
    bad["metadata"]["labels"] = {}
    bad["spec"]["timeChaos"]["duration"] = "2h"
    await chaos.create(bad)
    await gone(chaos, "bad")


async def test_the_children_of_a_workflow_have_no_duration_of_their_own_and_need_none(
    chaos: ChaosMesh, cluster: Cluster, clock: RemoteClock, guard: Guard
) -> None:
    await alive(cluster, clock, "run-a")
    await chaos.create(workflow("steps"))
    await clock.sleep(timedelta(seconds=4))
    await turns(guard)
    assert len(await left(chaos)) == 2
    assert metric(guard, "gameday_guard_offences_total", rule="guardrails") == 0


async def test_what_needs_an_approval_is_left_to_the_run_that_checked_it(
    chaos: ChaosMesh, cluster: Cluster, clock: RemoteClock, guard: Guard
) -> None:
    """A protected service of production, where the API server holds production's namespace too."""
    production = {"namespaces": ["pyairtable"], "labelSelectors": {"app": "postgres"}}
    await alive(cluster, clock, "run-a")
    await chaos.create(fault("PodChaos", "approved", selector=production))
    await chaos.create(by_hand("PodChaos", "nobody-asked", selector=production))
    await gone(chaos, "nobody-asked")
    assert await left(chaos) == {"approved"}


async def test_a_fault_that_outlives_its_time_is_ended(
    chaos: ChaosMesh, levers: Levers, clock: RemoteClock, guard: Guard
) -> None:
    faults = [
        by_hand(kind, name, duration="60s")
        for kind, name in (("NetworkChaos", "late"), ("StressChaos", "in-time"))
    ]
    await inject(chaos, *faults)
    levers.pull("hang", kind="NetworkChaos")
    await clock.sleep(timedelta(seconds=80))
    await turns(guard)
    assert metric(guard, "gameday_guard_offences_total", rule="deadline") == 0, "it may take a moment"
    await clock.sleep(timedelta(seconds=20))

    async def noticed() -> bool:
        return metric(guard, "gameday_guard_offences_total", rule="deadline") > 0

    await until(noticed, "the deadline noticed")
    levers.mend()
    await gone(chaos, "late")
    assert await left(chaos) == {"in-time"}, "it has recovered by itself, so it harms nobody"
    await told(levers, "late", "should have been over at")


@pytest.mark.parametrize("released", [False, True], ids=["lapsed", "missing"])
async def test_what_belongs_to_a_run_that_died_is_ended(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, guard: Guard, released: bool
) -> None:
    dead, living = await alive(cluster, clock, "run-a"), await alive(cluster, clock, "run-b")
    await inject(
        chaos,
        fault("NetworkChaos", "orphan-1", run="run-a"),
        fault("StressChaos", "orphan-2", run="run-a"),
        fault("StressChaos", "kept", run="run-b"),
    )
    if released:
        await dead.release()
    async with clock.every(10 * SECOND, living.renew):
        await clock.sleep(25 * SECOND)
        await turns(guard)
        if not released:
            assert await left(chaos) == {"orphan-1", "orphan-2", "kept"}, "the Lease is still good"
        await clock.sleep(8 * SECOND)
        await turns(guard)
        await clock.sleep(4 * SECOND)
        await gone(chaos, "orphan-1", "orphan-2")
    assert await left(chaos) == {"kept"}
    await told(levers, "run-a has no Lease" if released else "the Lease of run run-a has lapsed")


async def test_a_run_that_died_is_told_of_until_nothing_of_it_is_left_and_so_is_the_next(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, start_guard: StartGuard
) -> None:
    # One that only looks: what was left is ended by somebody else, at a time that is known.
    observer = await start_guard(observe=True)
    await ready(observer)
    for run in ("run-a", "run-b"):
        await alive(cluster, clock, run)
        await inject(chaos, fault("NetworkChaos", f"of-{run}", run=run))
        await clock.sleep(35 * SECOND)
        await turns(observer)
        assert metric(observer, "gameday_guard_lapsed_runs") == 1, f"{run} left something"
        await stop(chaos, Scope.of_run(run), clock=clock)

        async def over() -> bool:
            return metric(observer, "gameday_guard_lapsed_runs") == 0

        await until(over, f"{run} no longer counted")
        lease = await cluster.lease(CHAOS, run_lease(run))
        assert lease.lapsed(clock.now()), "by it `gameday status` knows that the run was cut off"
    levers.pull("fail", path="networkchaos")
    levers.pull("watches/drop", abrupt=True)

    async def blind() -> bool:
        return not observer.view.synced

    await until(blind, "a guard that does not see everything")
    await turns(observer)
    assert metric(observer, "gameday_guard_lapsed_runs") == 0, "what was seen to be over stays so"


async def test_an_object_that_claims_a_run_nobody_knows_gets_no_more_than_a_grace(
    chaos: ChaosMesh, clock: RemoteClock, guard: Guard
) -> None:
    await inject(chaos, fault("NetworkChaos", "nobodys", run="run-x"))
    await clock.sleep(20 * SECOND)
    await turns(guard)
    assert await left(chaos) == {"nobodys"}
    await clock.sleep(15 * SECOND)
    await gone(chaos, "nobodys")


async def test_a_run_whose_clock_is_ahead_is_missed_all_the_same(
    chaos: ChaosMesh, cluster: Cluster, clock: RemoteClock, guard: Guard
) -> None:
    await alive(cluster, clock, "run-a")
    lease = await cluster.lease(CHAOS, run_lease("run-a"))
    await cluster.update_lease(replace(lease, renewed=clock.now() + timedelta(hours=5)))
    await inject(chaos, fault("NetworkChaos", "orphan"))
    await turns(guard)
    await clock.sleep(32 * SECOND)
    await gone(chaos, "orphan")


async def test_what_begins_while_everything_is_halted_is_ended(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, guard: Guard
) -> None:
    await inject(chaos, by_hand("StressChaos", "before"))
    await clock.sleep(2 * SECOND)
    await lever.engage(cluster, CHAOS, by="somebody", reason="enough", source="test", clock=clock)
    await chaos.create(by_hand("NetworkChaos", "after"))
    await gone(chaos, "after")
    assert "before" in await left(chaos), "whoever halts ends what there is; the guard only what is new"
    await told(levers, "halted")


async def test_an_object_that_hangs_is_named_and_the_lever_engaged(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, clock: RemoteClock, guard: Guard
) -> None:
    await inject(chaos, fault("StressChaos", "ends"), fault("NetworkChaos", "hangs"))
    levers.pull("hang", kind="NetworkChaos")
    await clock.sleep(40 * SECOND)

    async def engaged() -> bool:
        return (await lever.read(cluster, CHAOS)).engaged

    await until(engaged, "the lever engaged", within=timedelta(seconds=90))
    state = await lever.read(cluster, CHAOS)
    assert (state.by, state.source) == ("guard", "guard")
    assert "hangs" in state.reason
    await told(levers, "engaged the safety lever", "--force")
    assert metric(guard, "gameday_guard_stops_total", rule="lease", outcome="unproved") == 1


async def test_a_deletion_that_gets_nowhere_is_taken_up(
    chaos: ChaosMesh, levers: Levers, clock: RemoteClock, guard: Guard
) -> None:
    await inject(chaos, by_hand("StressChaos", "stuck"))
    levers.pull("hang", kind="StressChaos")
    await chaos.delete(next(iter((await chaos.live()).objects)).ref)
    await clock.sleep(timedelta(seconds=80))
    await turns(guard)
    assert metric(guard, "gameday_guard_offences_total", rule="hanging") == 0, "whoever told it may succeed"
    await clock.sleep(timedelta(seconds=15))

    async def noticed() -> bool:
        return metric(guard, "gameday_guard_offences_total", rule="hanging") > 0

    await until(noticed, "the deletion noticed")
    levers.mend()
    await gone(chaos, "stuck")
    await told(levers, "was told to end")


async def test_an_observer_tells_and_touches_nothing(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, start_guard: StartGuard
) -> None:
    observer = await start_guard(observe=True)
    await ready(observer)
    await chaos.create(by_hand("NetworkChaos", "bad", duration="2h"))
    await told(levers, "observing", "would end", "bad")
    await turns(observer)
    assert await left(chaos) == {"bad"}
    assert not (await lever.read(cluster, CHAOS)).engaged
    assert metric(observer, "gameday_guard_leader") == 0
    assert levers.said().count("would end") == 1, "it says so once, not every second"
