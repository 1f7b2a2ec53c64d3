"""The cluster's own life, in virtual time: pods come back, become ready, restart, and services follow."""

from __future__ import annotations

import pytest

from sandbox.kubernetes import pods
from sandbox.kubernetes.deletion import DeleteOptions
from sandbox.kubernetes.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
from sandbox.kubernetes.store import copy
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import NAMESPACE, ClusterInHand, Json

cluster_in_hand = fixtures.cluster_in_hand


def kill(hand: ClusterInHand, pod: Json, grace: int = 0) -> None:
    hand.cluster.deleter.delete(PODS, *pods.key_of(pod), DeleteOptions(grace=grace))
    hand.world.settle()


def ready(hand: ClusterInHand, app: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in hand.pods(app) if pods.is_ready(pod)]


def addresses(hand: ClusterInHand, service: str) -> int:
    subsets = hand.api.get(ENDPOINTS, NAMESPACE, service).get("subsets") or []
    return sum(len(subset.get("addresses") or ()) for subset in subsets)


def reasons(hand: ClusterInHand, name: str) -> set[str]:
    return {e["reason"] for e in hand.store.all(EVENTS) if e["involvedObject"]["name"] == name}


def series(hand: ClusterInHand, name: str, **labels: str) -> list[float]:
    (target,) = hand.cluster.scrape()
    return [s.value for s in target.samples if s.name == name and labels.items() <= s.labels.items()]


def test_the_platform_is_up_from_the_first_moment(cluster_in_hand: ClusterInHand) -> None:
    assert cluster_in_hand.world.elapsed == 0
    for service in fixtures.platform_spec().services:
        assert len(ready(cluster_in_hand, service.name)) == service.replicas
        assert addresses(cluster_in_hand, service.name) == service.replicas
    assert cluster_in_hand.store.count(NODES) == 3
    assert list(cluster_in_hand.store.all(EVENTS)) == []


def test_the_twin_knows_every_pod_with_its_service_and_address(cluster_in_hand: ClusterInHand) -> None:
    known = {(ref.service, ref.name) for ref in cluster_in_hand.twin.ready if ref.namespace == NAMESPACE}
    there = {
        (p["metadata"]["labels"]["app"], p["metadata"]["name"])
        for p in cluster_in_hand.store.all(PODS, NAMESPACE)
    }
    assert known == there
    assert all(ref.ip and ref.container == ref.service for ref in cluster_in_hand.twin.ready if ref.service)


def test_a_killed_pod_comes_back_under_another_name_after_a_while(cluster_in_hand: ClusterInHand) -> None:
    before = ready(cluster_in_hand, "api-gateway")
    kill(cluster_in_hand, cluster_in_hand.pods("api-gateway")[0])
    cluster_in_hand.pass_time(0.5)
    assert len(ready(cluster_in_hand, "api-gateway")) == 2
    assert addresses(cluster_in_hand, "api-gateway") == 2
    assert len(cluster_in_hand.pods("api-gateway")) == 3
    cluster_in_hand.pass_time(15)
    after = ready(cluster_in_hand, "api-gateway")
    assert len(after) == 3
    assert len(set(after) - set(before)) == 1
    assert addresses(cluster_in_hand, "api-gateway") == 3


def test_the_twin_hears_of_a_pods_end_and_beginning_in_order(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.twin.started.clear()
    pod = cluster_in_hand.pods("auth-service")[0]
    kill(cluster_in_hand, pod)
    assert [ref.name for ref in cluster_in_hand.twin.gone] == [pod["metadata"]["name"]]
    cluster_in_hand.pass_time(15)
    (started,) = cluster_in_hand.twin.started
    assert started.service == "auth-service"
    assert started in cluster_in_hand.twin.ready


def test_a_pod_of_a_stateful_set_comes_back_under_its_own_name(cluster_in_hand: ClusterInHand) -> None:
    old = cluster_in_hand.pods("postgres")[0]
    kill(cluster_in_hand, old)
    cluster_in_hand.pass_time(15)
    (new,) = cluster_in_hand.pods("postgres")
    assert new["metadata"]["name"] == "postgres-0"
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert pods.is_ready(new)


def test_a_deleted_pod_gets_no_more_traffic_while_it_ends(cluster_in_hand: ClusterInHand) -> None:
    pod = cluster_in_hand.pods("api-gateway")[0]
    kill(cluster_in_hand, pod, grace=30)
    cluster_in_hand.pass_time(0.1)
    assert addresses(cluster_in_hand, "api-gateway") == 2
    assert pod["metadata"]["name"] not in {ref.name for ref in cluster_in_hand.twin.ready}
    assert pod["metadata"]["name"] in {p["metadata"]["name"] for p in cluster_in_hand.pods("api-gateway")}
    cluster_in_hand.pass_time(5)
    assert pod["metadata"]["name"] not in {p["metadata"]["name"] for p in cluster_in_hand.pods("api-gateway")}


def test_a_container_that_dies_restarts_in_place_and_is_counted(cluster_in_hand: ClusterInHand) -> None:
    ref = next(ref for ref in cluster_in_hand.twin.ready if ref.service == "platform-services")
    cluster_in_hand.twin.on_death(ref, "OOMKilled")
    dead = cluster_in_hand.api.get(PODS, ref.namespace, ref.name)
    assert dead["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"
    assert ref in cluster_in_hand.twin.crashed
    assert ref not in cluster_in_hand.twin.gone
    cluster_in_hand.pass_time(15)
    alive = cluster_in_hand.api.get(PODS, ref.namespace, ref.name)
    status = alive["status"]["containerStatuses"][0]
    assert (status["restartCount"], status["ready"]) == (1, True)
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert ref in cluster_in_hand.twin.ready
    assert series(cluster_in_hand, "kube_pod_container_status_restarts_total", pod=ref.name) == [1]


def restart_count(hand: ClusterInHand, namespace: str, name: str) -> int:
    return int(hand.api.get(PODS, namespace, name)["status"]["containerStatuses"][0]["restartCount"])


def test_a_container_that_dies_again_soon_waits_longer(cluster_in_hand: ClusterInHand) -> None:
    ref = next(ref for ref in cluster_in_hand.twin.ready if ref.service == "redis")
    cluster_in_hand.twin.on_death(ref, "Error")
    cluster_in_hand.pass_time(8)
    cluster_in_hand.twin.on_death(ref, "Error")
    cluster_in_hand.pass_time(9)
    assert restart_count(cluster_in_hand, ref.namespace, ref.name) == 1
    cluster_in_hand.pass_time(10)
    assert restart_count(cluster_in_hand, ref.namespace, ref.name) == 2
    assert "BackOff" in reasons(cluster_in_hand, ref.name)


def test_a_deployment_is_scaled_up_and_down(cluster_in_hand: ClusterInHand) -> None:
    for replicas in (5, 1):
        deployment = copy(cluster_in_hand.api.get(DEPLOYMENTS, NAMESPACE, "automation-services"))
        deployment["spec"]["replicas"] = replicas
        cluster_in_hand.api.update(DEPLOYMENTS, NAMESPACE, "automation-services", deployment)
        cluster_in_hand.pass_time(20)
        assert len(ready(cluster_in_hand, "automation-services")) == replicas
        status = cluster_in_hand.api.get(DEPLOYMENTS, NAMESPACE, "automation-services")["status"]
        assert status["availableReplicas"] == replicas
        assert series(
            cluster_in_hand, "kube_deployment_status_replicas_available", deployment="automation-services"
        ) == [replicas]


def test_a_new_image_is_rolled_out_without_losing_capacity(cluster_in_hand: ClusterInHand) -> None:
    deployment = copy(cluster_in_hand.api.get(DEPLOYMENTS, NAMESPACE, "api-gateway"))
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "pyairtable/api-gateway:2.0"
    cluster_in_hand.api.update(DEPLOYMENTS, NAMESPACE, "api-gateway", deployment)
    least = 3
    for _ in range(120):
        cluster_in_hand.pass_time(0.5)
        least = min(least, len(ready(cluster_in_hand, "api-gateway")))
    assert least >= 3
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster_in_hand.pods("api-gateway")}
    assert images == {"pyairtable/api-gateway:2.0"}
    sets = [
        s
        for s in cluster_in_hand.store.all(REPLICA_SETS, NAMESPACE)
        if s["metadata"]["labels"]["app"] == "api-gateway"
    ]
    assert sorted(s["spec"]["replicas"] for s in sets) == [0, 3]


def test_deleting_a_deployment_takes_its_pods_along(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.cluster.deleter.delete(DEPLOYMENTS, NAMESPACE, "redis")
    cluster_in_hand.pass_time(10)
    assert cluster_in_hand.pods("redis") == []
    assert addresses(cluster_in_hand, "redis") == 0


def test_a_stateful_set_is_scaled_one_pod_after_another(cluster_in_hand: ClusterInHand) -> None:
    owner = copy(cluster_in_hand.api.get(STATEFUL_SETS, NAMESPACE, "postgres"))
    owner["spec"]["replicas"] = 3
    cluster_in_hand.api.update(STATEFUL_SETS, NAMESPACE, "postgres", owner)
    cluster_in_hand.pass_time(1)
    assert {pod["metadata"]["name"] for pod in cluster_in_hand.pods("postgres")} == {
        "postgres-0",
        "postgres-1",
    }
    cluster_in_hand.pass_time(25)
    assert ready(cluster_in_hand, "postgres") == ["postgres-0", "postgres-1", "postgres-2"]


def test_a_pod_tells_its_story_in_events(cluster_in_hand: ClusterInHand) -> None:
    kill(cluster_in_hand, cluster_in_hand.pods("redis")[0], grace=30)
    cluster_in_hand.pass_time(20)
    (pod,) = cluster_in_hand.pods("redis")
    assert reasons(cluster_in_hand, pod["metadata"]["name"]) == {"Scheduled", "Pulled", "Created", "Started"}
    assert "Killing" in {event["reason"] for event in cluster_in_hand.store.all(EVENTS)}


def test_the_restart_counter_of_a_new_pod_begins_at_zero_at_once(cluster_in_hand: ClusterInHand) -> None:
    kill(cluster_in_hand, cluster_in_hand.pods("redis")[0])
    cluster_in_hand.pass_time(0.05)
    (pod,) = cluster_in_hand.pods("redis")
    name = pod["metadata"]["name"]
    restarts = series(cluster_in_hand, "kube_pod_container_status_restarts_total", pod=name, service="redis")
    assert restarts == [0]
    assert series(cluster_in_hand, "kube_pod_status_phase", pod=name, phase="Pending") == [1]
    assert series(cluster_in_hand, "kube_pod_status_ready", pod=name, condition="true") == [0]


def test_endpoint_slices_tell_of_ready_and_ending_pods(cluster_in_hand: ClusterInHand) -> None:
    kill(cluster_in_hand, cluster_in_hand.pods("api-gateway")[0], grace=30)
    cluster_in_hand.pass_time(0.1)
    (found,) = [
        s
        for s in cluster_in_hand.store.all(ENDPOINT_SLICES, NAMESPACE)
        if s["metadata"]["labels"]["kubernetes.io/service-name"] == "api-gateway"
    ]
    states = sorted((e["conditions"]["ready"], e["conditions"]["terminating"]) for e in found["endpoints"])
    assert states == [(False, True), (True, False), (True, False)]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_names_and_times(seed: int) -> None:
    def story() -> list[str]:
        hand = ClusterInHand(seed=seed)
        kill(hand, hand.pods("api-gateway")[0])
        hand.pass_time(30)
        return [f"{pod['metadata']['name']} {pod['status']}" for pod in hand.pods("api-gateway")]

    assert story() == story()


def test_another_seed_gives_other_names() -> None:
    names = [{pod["metadata"]["name"] for pod in ClusterInHand(seed=seed).pods("redis")} for seed in (1, 2)]
    assert names[0] != names[1]
