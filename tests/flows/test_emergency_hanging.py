"""What hangs is named with the reason; let go by force, it is never called recovered."""

from __future__ import annotations

from datetime import timedelta

import httpx

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod
from gameday.clock import RemoteClock
from gameday.safety.stop_report import Ending, Proof, StopEvent
from tests.flows import emergency_fixtures as fixtures
from tests.flows.emergency_fixtures import SECOND, STAGING, Stop, fault, inject, left, outcome, pull

broken_sandbox = fixtures.broken_sandbox
levers = fixtures.levers
clock = fixtures.clock
cluster = fixtures.cluster
chaos = fixtures.chaos
end = fixtures.end


async def node_of(cluster: Cluster, chaos: ChaosMesh, name: str) -> str:
    (state,) = [one for one in (await chaos.live()).objects if one.ref.name == name]
    pod = state.selected_pods[0]
    return (await cluster.pod(pod.namespace, pod.name)).node


async def test_an_object_that_hangs_on_a_dead_daemon_is_named_with_the_reason(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "hangs"), fault("PodChaos", "ends"))
    pull(levers, "daemon", node=await node_of(cluster, chaos, "hangs"))
    report = await end(within=10 * SECOND)
    assert outcome(report, "ends").ending is Ending.ENDED
    hanging = outcome(report, "hangs")
    assert (hanging.ending, hanging.proof) == (Ending.STUCK, Proof.UNPROVED)
    assert "connection refused" in hanging.why
    assert not report.clean
    assert any("hangs" in task and "gameday stop" in task and "--force" in task for task in report.todo)


async def pods_of(cluster: Cluster, service: str) -> dict[str, Pod]:
    return {pod.uid: pod for pod in await cluster.pods(STAGING, {"app": service})}


async def test_with_force_the_finalizer_goes_the_targets_are_replaced_and_it_is_called_unproved(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client, clock: RemoteClock
) -> None:
    before = await pods_of(cluster, "api-gateway")
    await inject(
        chaos, fault("NetworkChaos", "hangs", mode="all"), fault("StressChaos", "ends", service="redis")
    )
    pull(levers, "hang", kind="NetworkChaos")
    report = await end(within=10 * SECOND, force=True)
    assert await left(chaos) == set()
    forced = outcome(report, "hangs")
    assert (forced.ending, forced.proof) == (Ending.FORCED, Proof.UNPROVED)
    assert "its finalizer was removed" in forced.why
    assert all(pod.name in forced.why for pod in before.values())
    assert outcome(report, "ends").ending is Ending.ENDED
    assert not report.clean
    assert any("hangs" in task for task in report.todo)
    await clock.sleep(timedelta(minutes=2))
    after = await pods_of(cluster, "api-gateway")
    assert len(after) == len(before)
    assert not after.keys() & before.keys()


async def test_a_fault_outside_pods_is_let_go_but_no_pod_is_harmed_for_it(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client
) -> None:
    before = await pods_of(cluster, "postgres")
    await inject(chaos, fault("BlockChaos", "slow-disk", service="postgres"))
    pull(levers, "hang", kind="BlockChaos")
    report = await end(within=5 * SECOND, force=True)
    assert "nothing undid it" in outcome(report, "slow-disk").why
    assert (await pods_of(cluster, "postgres")).keys() == before.keys()


async def test_a_pod_that_nothing_would_bring_back_is_left_to_a_person(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client, clock: RemoteClock
) -> None:
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare", "namespace": STAGING, "labels": {"app": "bare"}},
        "spec": {"containers": [{"name": "bare", "image": "bare:1"}]},
    }
    await cluster.api.post(f"/api/v1/namespaces/{STAGING}/pods", bare, doing="create a bare pod")
    await clock.sleep(timedelta(seconds=60))
    await inject(chaos, fault("NetworkChaos", "hangs", service="bare"))
    pull(levers, "hang", kind="NetworkChaos")
    report = await end(within=5 * SECOND, force=True)
    assert "belongs to no controller" in outcome(report, "hangs").why
    assert (await cluster.pod(STAGING, "bare")).deleting is None
    await cluster.delete_pod(STAGING, "bare")


async def test_a_stress_whose_cancel_failed_in_silence_gets_another_pass(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("StressChaos", "silent"))
    pull(levers, "hang", kind="StressChaos")

    def revive(event: StopEvent) -> None:
        if "touching" in str(event):
            pull(levers, "hang", kind="StressChaos", release=True)

    report = await end(progress=revive)
    assert outcome(report, "silent").ending is Ending.ENDED
    assert 5 <= report.seconds < 15


async def test_with_the_controller_away_nothing_is_called_recovered(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "left-alone"))
    pull(levers, "controller", down=True)
    report = await end(within=7 * SECOND, force=True)
    stuck = outcome(report, "left-alone")
    assert (stuck.ending, stuck.proof) == (Ending.STUCK, Proof.UNPROVED)
    assert "webhook" in stuck.why
    assert any(call.doing.startswith("touch ") and not call.overcome for call in report.failed_calls)
