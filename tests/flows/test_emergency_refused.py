"""A stop ends what it may and what answers, and says what it could not see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.safety.emergency import stop
from gameday.safety.stop_report import Ending, Scope
from sandbox.process.launch import Sandbox
from tests.flows import emergency_fixtures as fixtures
from tests.flows.emergency_fixtures import (
    CHAOS,
    SECOND,
    SPECS,
    Stop,
    fault,
    inject,
    left,
    mend,
    outcome,
    pull,
    schedule,
)

broken_sandbox = fixtures.broken_sandbox
levers = fixtures.levers
clock = fixtures.clock
cluster = fixtures.cluster
chaos = fixtures.chaos
end = fixtures.end


async def test_a_kind_that_may_not_be_deleted_does_not_keep_the_others_from_ending(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "kept"), fault("StressChaos", "ends"))
    pull(levers, "forbid", verbs=["delete", "deletecollection"], resources=["networkchaos"])
    report = await end(within=5 * SECOND)
    assert outcome(report, "ends").ending is Ending.ENDED
    assert outcome(report, "kept").ending is Ending.STUCK
    assert "cannot delete resource" in outcome(report, "kept").why
    assert await left(chaos) == {f"NetworkChaos {CHAOS}/kept"}


async def test_without_the_right_to_delete_collections_objects_are_deleted_one_by_one(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "one"), fault("NetworkChaos", "two"))
    pull(levers, "forbid", verbs=["deletecollection"], resources=["*"])
    report = await end()
    assert report.clean
    assert await left(chaos) == set()


async def test_a_kind_that_may_not_be_listed_is_reported_as_unknown_not_as_gone(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "hidden"), fault("StressChaos", "ends"))
    pull(levers, "forbid", verbs=["list"], resources=["networkchaos"])
    report = await end()
    assert outcome(report, "ends").ending is Ending.ENDED
    assert "cannot list resource" in report.unseen["NetworkChaos"]
    assert not report.clean
    assert any("kubectl get networkchaos -A" in task for task in report.todo)
    assert report.seconds < 30, "what stays refused is not waited for"


async def test_a_hidden_kind_is_deleted_blindly_where_runs_keep_their_objects(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client, clock: RemoteClock
) -> None:
    await inject(chaos, fault("NetworkChaos", "hidden"))
    pull(levers, "forbid", verbs=["list"], resources=["networkchaos"])
    report = await end(Scope.of_run("run-a", CHAOS))
    assert "NetworkChaos" in report.unseen
    mend(levers)
    await clock.sleep(5 * SECOND)
    assert await left(chaos) == set()


async def test_rights_in_the_chaos_namespace_alone_are_enough_for_a_run(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "ours"))
    pull(levers, "forbid", verbs=["list"], namespace="")
    report = await end(Scope.of_run("run-a", CHAOS))
    assert report.clean
    assert outcome(report, "ours").ending is Ending.ENDED
    mend(levers)
    assert await left(chaos) == set()


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_stop_survives_an_api_server_that_fails_every_third_call(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client, status: int
) -> None:
    await inject(
        chaos, schedule("often", every="2s"), *(fault(kind, f"some-{kind.lower()}") for kind in SPECS)
    )
    pull(levers, "fail", share=1 / 3, status=status)
    report = await end()
    mend(levers)
    assert await left(chaos) == set()
    assert report.clean, report.lines()


async def test_a_kind_whose_calls_hang_does_not_keep_the_others_from_ending(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "hidden"), fault("StressChaos", "ends"))
    pull(levers, "stall", path="networkchaos")
    report = await end(within=SECOND)
    assert outcome(report, "ends").ending is Ending.ENDED
    assert "did not answer in time" in report.unseen["NetworkChaos"]
    assert not report.clean


async def test_a_cluster_that_lacks_some_kinds_is_no_obstacle(
    start_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = start_sandbox(history=timedelta(0))
    monkeypatch.setenv("KUBECONFIG", old.env["KUBECONFIG"])
    clock = RemoteClock(old.env["GAMEDAY_CLOCK_URL"])
    async with Cluster.connect(clock=clock) as cluster:
        definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/blockchaos.chaos-mesh.org"
        await cluster.api.delete(definition, doing="delete a definition")
        chaos = ChaosMesh(cluster.api)
        await inject(chaos, fault("NetworkChaos", "ends"))
        assert (await chaos.live()).missing == {"BlockChaos"}
        report = await stop(chaos, Scope.everything(), clock=clock)
        assert report.clean
        assert await left(chaos) == set()
