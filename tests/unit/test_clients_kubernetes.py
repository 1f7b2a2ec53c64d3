"""What gameday sees of a cluster, and how it speaks to one that is not well."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import ConfigMap
from gameday.clock import RemoteClock
from gameday.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    OutsideError,
    RejectedError,
    UnreachableError,
)
from sandbox.process.launch import Sandbox, launch_temporary

STAGING = "pyairtable-staging"
CHAOS = "chaos-engineering"


@pytest.fixture(scope="module")
def own_sandbox() -> Iterator[Sandbox]:
    with launch_temporary(history=timedelta(0)) as sandbox:
        yield sandbox


@pytest.fixture
def levers(own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    for name, value in own_sandbox.env.items():
        monkeypatch.setenv(name, value)
    with httpx.Client(base_url=f"{own_sandbox.url}/control/kubernetes", trust_env=False) as client:
        yield client
        client.delete("/").raise_for_status()


@pytest.fixture
def clock(own_sandbox: Sandbox) -> RemoteClock:
    return RemoteClock(own_sandbox.env["GAMEDAY_CLOCK_URL"])


@pytest.fixture
async def cluster(levers: httpx.Client, clock: RemoteClock) -> AsyncIterator[Cluster]:
    del levers
    async with Cluster.connect("pyairtable-staging", clock=clock) as connected:
        yield connected


def pull(levers: httpx.Client, lever: str, **how: Any) -> None:
    levers.post(f"/{lever}", json=how).raise_for_status()


def calls(levers: httpx.Client) -> Counter[str]:
    by_verb = levers.get("/calls").raise_for_status().json()["calls"]
    return Counter({verb: sum(resources.values()) for verb, resources in by_verb.items()})


async def test_the_pods_of_a_service_are_seen_with_what_a_plan_needs(cluster: Cluster) -> None:
    pods = await cluster.pods(STAGING, {"app": "api-gateway"})
    assert len(pods) == 3
    for pod in pods:
        assert (pod.phase, pod.ready, pod.deleting, pod.host_network) == ("Running", True, None, False)
        assert pod.node
        assert pod.ip
        assert pod.started_at is not None
        assert pod.labels["tier"] == "backend"
        assert pod.containers == ("api-gateway",)
        assert pod.owner.startswith("ReplicaSet/api-gateway-")


async def test_pods_of_all_namespaces_can_be_asked_for_at_once(cluster: Cluster) -> None:
    assert {STAGING, CHAOS} <= {pod.namespace for pod in await cluster.pods()}


async def test_workloads_tell_how_many_pods_they_want_and_have(cluster: Cluster) -> None:
    deployments = {one.name: one for one in await cluster.deployments(STAGING)}
    assert (deployments["api-gateway"].desired, deployments["api-gateway"].ready) == (3, 3)
    assert deployments["api-gateway"].whole
    (postgres,) = await cluster.statefulsets(STAGING)
    assert (postgres.name, postgres.ready) == ("postgres", 1)
    (daemon,) = await cluster.daemonsets(CHAOS)
    assert daemon.whole


async def test_services_tell_how_many_addresses_take_their_traffic(cluster: Cluster) -> None:
    endpoints = await cluster.endpoints(STAGING)
    assert (endpoints["api-gateway"].ready, endpoints["api-gateway"].not_ready) == (3, 0)
    assert endpoints["postgres"].ready == 1


async def test_a_pod_that_is_deleted_is_replaced_and_the_service_shows_it(
    cluster: Cluster, clock: RemoteClock
) -> None:
    before = await cluster.pods(STAGING, "app=redis")
    assert await cluster.delete_pod(STAGING, before[0].name, uid=before[0].uid)
    await clock.sleep(timedelta(seconds=1))
    assert (await cluster.endpoints(STAGING))["redis"].ready == 0
    assert [one.whole for one in await cluster.deployments(STAGING, "app=redis")] == [False]
    await clock.sleep(timedelta(minutes=2))
    (after,) = await cluster.pods(STAGING, "app=redis")
    assert after.ready
    assert after.uid != before[0].uid


async def test_only_the_very_pod_that_was_meant_is_deleted(cluster: Cluster) -> None:
    (pod,) = await cluster.pods(STAGING, "app=postgres")
    assert not await cluster.delete_pod(STAGING, pod.name, uid="of-one-that-had-the-name-before")
    assert not await cluster.delete_pod(STAGING, "no-such-pod")
    assert (await cluster.pod(STAGING, pod.name)).deleting is None


async def test_what_happened_to_a_pod_is_told_by_its_events(cluster: Cluster, clock: RemoteClock) -> None:
    since = clock.now()
    pod = (await cluster.pods(STAGING, "app=auth-service"))[0]
    await cluster.delete_pod(STAGING, pod.name)
    await clock.sleep(timedelta(minutes=1))
    told = await cluster.events(STAGING, kind="Pod", name=pod.name, since=since)
    assert {event.reason for event in told} == {"Killing"}
    assert await cluster.events(STAGING, name=pod.name, since=clock.now()) == []


async def test_a_service_is_asked_for_its_health_through_the_api_server(cluster: Cluster) -> None:
    answer = await cluster.ask_service(STAGING, "api-gateway", 8080, "/health")
    assert answer.healthy, answer


async def test_a_service_with_nothing_behind_it_is_not_healthy_but_no_error(
    cluster: Cluster, clock: RemoteClock
) -> None:
    for pod in await cluster.pods(STAGING, "app=automation-services"):
        await cluster.delete_pod(STAGING, pod.name)
    await clock.sleep(timedelta(seconds=1))
    answer = await cluster.ask_service(STAGING, "automation-services", 8002)
    assert (answer.status, answer.healthy) == (0, False)
    assert "no endpoints" in answer.body
    await clock.sleep(timedelta(minutes=2))
    assert (await cluster.ask_service(STAGING, "automation-services", 8002)).healthy


async def test_a_service_that_does_not_exist_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(NotFoundError):
        await cluster.ask_service(STAGING, "no-such-service", 80)


async def test_a_config_map_is_written_only_by_who_saw_it_last(cluster: Cluster) -> None:
    made = await cluster.write_config_map(ConfigMap("gameday-test", CHAOS, {"engaged": "false"}))
    mine = await cluster.write_config_map(
        ConfigMap(made.name, CHAOS, {"engaged": "true"}, made.resource_version)
    )
    assert (await cluster.config_map(CHAOS, "gameday-test")).data == {"engaged": "true"}
    with pytest.raises(ConflictError):
        await cluster.write_config_map(made)
    with pytest.raises(ConflictError):
        await cluster.write_config_map(ConfigMap(mine.name, CHAOS, {}))


async def test_it_can_be_asked_beforehand_what_is_allowed(cluster: Cluster, levers: httpx.Client) -> None:
    pull(levers, "forbid", verbs=["create"], resources=["networkchaos"])
    denied = await cluster.may("create", "networkchaos", group="chaos-mesh.org", namespace=CHAOS)
    granted = await cluster.may("create", "podchaos", group="chaos-mesh.org", namespace=CHAOS)
    assert (denied.allowed, granted.allowed) == (False, True)


async def test_the_kinds_of_a_group_are_known_and_a_missing_group_has_none(cluster: Cluster) -> None:
    kinds = await cluster.kinds_served("chaos-mesh.org/v1alpha1")
    assert {"PodChaos", "NetworkChaos", "Schedule", "Workflow"} <= kinds
    assert await cluster.kinds_served("litmuschaos.io/v1alpha1") == frozenset()


async def test_namespaces_are_seen(cluster: Cluster) -> None:
    assert {STAGING, CHAOS, "kube-system"} <= {one.name for one in await cluster.namespaces()}
    assert (await cluster.namespace(STAGING)).phase == "Active"


async def test_a_refusal_says_what_is_not_allowed_and_which_role_would_help(
    cluster: Cluster, levers: httpx.Client
) -> None:
    pull(levers, "forbid", verbs=["list"], resources=["pods"])
    before = calls(levers)
    with pytest.raises(NotAllowedError, match=f"list pods in {STAGING}") as caught:
        await cluster.pods(STAGING)
    assert "'list' on 'pods'" in caught.value.hint
    assert calls(levers) - before == Counter(list=1), "what is refused is not asked again"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, NotAllowedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, RejectedError),
        (500, UnreachableError),
        (503, UnreachableError),
    ],
)
async def test_every_failure_is_one_of_gamedays_errors_in_the_servers_words(
    cluster: Cluster, levers: httpx.Client, status: int, error: type[OutsideError]
) -> None:
    pull(levers, "fail", path="/version|/pods", status=status, message="the reason why")
    with pytest.raises(error, match="the reason why"):
        await cluster.pod(STAGING, "any")


async def test_a_read_that_fails_is_tried_again_a_few_times(cluster: Cluster, levers: httpx.Client) -> None:
    tries = cluster.api.limits.attempts
    pull(levers, "fail", path="/pods", status=503, next=tries - 1)
    assert await cluster.pods(STAGING)
    pull(levers, "fail", path="/pods", status=503, next=tries)
    with pytest.raises(UnreachableError):
        await cluster.pods(STAGING)


async def test_a_long_list_is_read_page_by_page(cluster: Cluster, levers: httpx.Client) -> None:
    one = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "many", "namespace": "default"},
        "data": {},
    }
    pull(levers, "objects", object=one, count=1200)
    before = calls(levers)
    items = await cluster.api.items("/api/v1/namespaces/default/configmaps", doing="list")
    assert len({item["metadata"]["name"] for item in items}) >= 1200
    assert (calls(levers) - before)["list"] == 3


async def test_an_answer_that_is_no_list_is_not_taken_for_an_empty_one(
    cluster: Cluster,
    own_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: RemoteClock,
) -> None:
    # As behind a proxy that answers everything, with 200 and a page of its own.
    text = Path(own_sandbox.env["KUBECONFIG"]).read_text("utf-8")
    path = tmp_path / "kubeconfig"
    path.write_text(
        text.replace(f"{own_sandbox.url}/kubernetes", f"{own_sandbox.url}/control/info?"), "utf-8"
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    async with Cluster.connect(clock=clock, check=False) as stranger:
        with pytest.raises(UnreachableError, match="did not answer with a list"):
            await stranger.pods(STAGING)
    assert await cluster.pods(STAGING)
