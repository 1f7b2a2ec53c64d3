"""Which pods a chaos object touches, as a real Chaos Mesh 2.8 chooses them."""

from __future__ import annotations

import pytest

from sandbox.chaosmesh.installation import ChaosMeshOptions
from sandbox.kubernetes import pods
from sandbox.kubernetes.deletion import DeleteOptions
from sandbox.kubernetes.resources import PODS
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.chaosmesh_fixtures import delay, events, phases, ready, selecting, stress
from tests.contract.kubernetes_fixtures import CHAOS, NAMESPACE, USER, ClusterInHand, Json

cluster_in_hand = fixtures.cluster_in_hand


def test_nothing_selected_is_a_failed_event_and_no_quick_retry(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay("nobody"))
    cluster_in_hand.pass_time(10)
    assert cluster_in_hand.conditions("NetworkChaos")["Selected"] == "False"
    assert cluster_in_hand.records("NetworkChaos") == []
    assert events(cluster_in_hand, "Failed") == ["Failed to select targets: no pod is selected"]
    revision = cluster_in_hand.get("NetworkChaos")["metadata"]["resourceVersion"]
    cluster_in_hand.pass_time(60)
    assert cluster_in_hand.get("NetworkChaos")["metadata"]["resourceVersion"] == revision


def test_an_object_that_selected_nothing_can_be_deleted(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay("nobody"))
    cluster_in_hand.pass_time(1)
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.find("NetworkChaos") is None


@pytest.mark.parametrize(
    ("mode", "value", "number"),
    [("one", None, 1), ("all", None, 3), ("fixed", "2", 2), ("fixed", "9", 3), ("fixed-percent", "34", 2)],
)
def test_the_mode_says_how_many_are_chosen(
    cluster_in_hand: ClusterInHand, mode: str, value: str | None, number: int
) -> None:
    more = {} if value is None else {"value": value}
    cluster_in_hand.create("NetworkChaos", delay(mode=mode, **more))
    cluster_in_hand.pass_time(1)
    assert len(cluster_in_hand.records("NetworkChaos")) == number


def test_random_max_percent_can_choose_nothing_and_never_more_than_its_share() -> None:
    numbers = set()
    for seed in range(12):
        hand = ClusterInHand(seed=seed)
        hand.create("NetworkChaos", delay(mode="random-max-percent", value="70"))
        hand.pass_time(1)
        numbers.add(len(hand.records("NetworkChaos")))
    assert numbers == {0, 1, 2}


def test_the_same_seed_chooses_the_same_target() -> None:
    def chosen(seed: int) -> str:
        hand = ClusterInHand(seed=seed)
        hand.create("NetworkChaos", delay(mode="one"))
        hand.pass_time(1)
        return str(hand.records("NetworkChaos")[0]["id"])

    assert chosen(5) == chosen(5)


def test_where_pods_are_named_every_other_selector_is_ignored(cluster_in_hand: ClusterInHand) -> None:
    name = cluster_in_hand.pods("redis")[0]["metadata"]["name"]
    selector = {
        "pods": {NAMESPACE: [name, "none"]},
        "labelSelectors": {"app": "postgres"},
        "namespaces": ["x"],
    }
    cluster_in_hand.create("TimeChaos", {"mode": "all", "selector": selector, "timeOffset": "1m"})
    cluster_in_hand.pass_time(1)
    assert [record["id"] for record in cluster_in_hand.records("TimeChaos")] == [f"{NAMESPACE}/{name}/redis"]


def test_no_namespace_means_the_objects_own(cluster_in_hand: ClusterInHand) -> None:
    spec = {"mode": "all", "selector": {"labelSelectors": {"app.kubernetes.io/name": "chaos-mesh"}}}
    made = cluster_in_hand.create("TimeChaos", {**spec, "timeOffset": "1m"})
    assert made["spec"]["selector"]["namespaces"] == [CHAOS]
    cluster_in_hand.pass_time(1)
    assert {record["id"].split("/")[0] for record in cluster_in_hand.records("TimeChaos")} == {CHAOS}


@pytest.mark.parametrize(
    ("selector", "number"),
    [
        ({"expressionSelectors": [{"key": "app", "operator": "In", "values": ["redis", "postgres"]}]}, 2),
        ({"fieldSelectors": {"metadata.name": "postgres-0"}}, 1),
        ({"nodes": ["node-1"], "labelSelectors": {"app": "api-gateway"}}, 1),
        (
            {"nodeSelectors": {"kubernetes.io/hostname": "node-1"}, "labelSelectors": {"app": "api-gateway"}},
            1,
        ),
        ({"podPhaseSelectors": ["Pending"]}, 0),
        ({"annotationSelectors": {"none": "x"}}, 0),
    ],
)
def test_every_field_of_the_selector_narrows(
    cluster_in_hand: ClusterInHand, selector: Json, number: int
) -> None:
    spec = {"mode": "all", "selector": {"namespaces": [NAMESPACE], **selector}, "timeOffset": "1m"}
    cluster_in_hand.create("TimeChaos", spec)
    cluster_in_hand.pass_time(1)
    assert len(cluster_in_hand.records("TimeChaos")) == number


def test_targets_are_chosen_once(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    before = {record["id"] for record in cluster_in_hand.records("NetworkChaos")}
    victim = cluster_in_hand.pods("api-gateway")[0]
    cluster_in_hand.cluster.deleter.delete(PODS, *pods.key_of(victim), DeleteOptions(grace=0))
    cluster_in_hand.pass_time(30)
    assert ready(cluster_in_hand, "api-gateway") == 3
    assert {record["id"] for record in cluster_in_hand.records("NetworkChaos")} == before


def test_container_names_choose_containers(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("StressChaos", stress(containerNames=["api-gateway", "none"]), "known")
    cluster_in_hand.create("StressChaos", stress(containerNames=["none"]), "unknown")
    cluster_in_hand.pass_time(1)
    assert len(cluster_in_hand.records("StressChaos", "known")) == 3
    assert events(cluster_in_hand, "Failed", "unknown") == [
        "Failed to select targets: no target has been selected"
    ]


def test_a_namespace_that_is_not_enabled_looks_like_no_pod_selected() -> None:
    hand = ClusterInHand(options=ChaosMeshOptions(filter_namespaces=True))
    hand.create("NetworkChaos", delay())
    hand.pass_time(1)
    assert events(hand, "Failed") == ["Failed to select targets: no pod is selected"]


def test_a_network_fault_with_a_target_has_records_for_both_sides(cluster_in_hand: ClusterInHand) -> None:
    target = selecting("platform-services")
    spec = selecting("auth-service", action="partition", direction="to", target=target)
    cluster_in_hand.create("NetworkChaos", spec)
    cluster_in_hand.pass_time(1)
    sides = [record["selectorKey"] for record in cluster_in_hand.records("NetworkChaos")]
    assert sorted(sides) == ["."] * 3 + [".Target"] * 3
    acting = cluster_in_hand.twin.acting.values()
    met = {(i.side, i.pod.service, frozenset(peer.service for peer in i.peers or ())) for i in acting}
    assert met == {
        (".", "auth-service", frozenset({"platform-services"})),
        (".Target", "platform-services", frozenset({"auth-service"})),
    }
    assert {len(injection.peers or ()) for injection in acting} == {3}


def test_a_network_fault_without_a_target_concerns_all_traffic(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay("redis"), "all")
    cluster_in_hand.create("NetworkChaos", delay("redis", externalTargets=["example.com"]), "outside")
    cluster_in_hand.pass_time(1)
    peers = {"externalTargets" in i.spec: i.peers for i in cluster_in_hand.twin.acting.values()}
    assert peers == {False: None, True: ()}


def test_host_network_pods_are_refused_for_network_faults_and_the_object_sticks(
    cluster_in_hand: ClusterInHand,
) -> None:
    containers = [{"name": "main", "image": "pause:1"}]
    body = {
        "kind": "Pod",
        "metadata": {"name": "host", "labels": {"app": "host"}},
        "spec": {"hostNetwork": True, "containers": containers},
    }
    cluster_in_hand.api.create(PODS, NAMESPACE, body, USER)
    cluster_in_hand.pass_time(15)
    cluster_in_hand.create("NetworkChaos", delay("host"))
    cluster_in_hand.pass_time(1)
    assert phases(cluster_in_hand, "NetworkChaos") == {"Not Injected/Wait"}
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.pass_time(10)
    assert cluster_in_hand.find("NetworkChaos") is not None
