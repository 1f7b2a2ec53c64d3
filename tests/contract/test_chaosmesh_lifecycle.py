"""The life of a chaos object until its time is up, as a real Chaos Mesh 2.8 lives it."""

from __future__ import annotations

import pytest

from sandbox.chaosmesh.levers import BrokenInjection
from sandbox.kubernetes import pods
from sandbox.kubernetes.store import Change
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.chaosmesh_fixtures import (
    delay,
    desired,
    events,
    failure,
    phases,
    ready,
    selecting,
    stress,
)
from tests.contract.kubernetes_fixtures import NAMESPACE, ClusterInHand, Json

cluster_in_hand = fixtures.cluster_in_hand

FINALIZER = "chaos-mesh/records"


def test_every_record_is_injected_within_a_second(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    records = cluster_in_hand.records("NetworkChaos")
    assert desired(cluster_in_hand, "NetworkChaos") == "Run"
    assert [(record["phase"], record["injectedCount"], record["recoveredCount"]) for record in records] == [
        ("Injected", 1, 0)
    ] * 3
    assert all(record["selectorKey"] == "." for record in records)
    assert len(cluster_in_hand.twin.acting) == 3


def test_a_record_is_named_by_namespace_and_pod_or_also_by_container(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.create("StressChaos", stress())
    cluster_in_hand.pass_time(1)
    names = [f"{NAMESPACE}/{pod['metadata']['name']}" for pod in cluster_in_hand.pods("api-gateway")]
    assert sorted(r["id"] for r in cluster_in_hand.records("NetworkChaos")) == sorted(names)
    contained = sorted(f"{name}/api-gateway" for name in names)
    assert sorted(r["id"] for r in cluster_in_hand.records("StressChaos")) == contained


def test_a_record_tells_of_its_injection_as_an_event(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    (event,) = cluster_in_hand.records("NetworkChaos")[0]["events"]
    assert (event["type"], event["operation"]) == ("Succeeded", "Apply")
    assert event["timestamp"].startswith("2026-11-23T10:15:3")


def test_the_finalizer_is_there_before_anything_is_injected(cluster_in_hand: ClusterInHand) -> None:
    seen: list[tuple[bool, bool]] = []

    def look(change: Change) -> None:
        experiment = change.object.get("status", {}).get("experiment", {})
        injected = any(r["phase"] != "Not Injected" for r in experiment.get("containerRecords", []))
        seen.append((FINALIZER in change.object["metadata"].get("finalizers", ()), injected))

    cluster_in_hand.store.listen(look, cluster_in_hand.resource("TimeChaos"))
    cluster_in_hand.create("TimeChaos", selecting("redis", timeOffset="-10m"))
    cluster_in_hand.pass_time(1)
    assert (True, True) in seen
    assert (False, True) not in seen


def test_conditions_are_one_pass_behind_the_records(cluster_in_hand: ClusterInHand) -> None:
    behind: list[bool] = []

    def look(change: Change) -> None:
        status = change.object.get("status", {})
        records = status.get("experiment", {}).get("containerRecords", [])
        told = {c["type"]: c["status"] for c in status.get("conditions", [])}
        if records and all(r["phase"] == "Injected" for r in records):
            behind.append(told["Selected"] == "False" or told["AllInjected"] == "False")

    cluster_in_hand.store.listen(look, cluster_in_hand.resource("TimeChaos"))
    cluster_in_hand.create("TimeChaos", selecting("redis", timeOffset="-10m"))
    cluster_in_hand.pass_time(1)
    assert behind[0] is True
    assert behind[-1] is False


def test_all_recovered_is_true_before_injection(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.cluster.chaos_mesh.levers.break_injection(BrokenInjection(kind="NetworkChaos"))
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.conditions("NetworkChaos") == {
        "Selected": "True",
        "AllInjected": "False",
        "AllRecovered": "True",
        "Paused": "False",
    }


def test_conditions_come_in_random_order() -> None:
    orders = set()
    for seed in range(8):
        hand = ClusterInHand(seed=seed)
        hand.create("TimeChaos", selecting("redis", timeOffset="-10m"))
        hand.pass_time(1)
        orders.add(tuple(entry["type"] for entry in hand.get("TimeChaos")["status"]["conditions"]))
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("NetworkChaos", delay("redis")),
        ("IOChaos", selecting("redis", action="latency", delay="10ms", volumePath="/data")),
        ("HTTPChaos", selecting("redis", target="Request", port=80, abort=True)),
    ],
)
def test_network_io_and_http_faults_pass_through_a_phase_of_waiting(
    cluster_in_hand: ClusterInHand, kind: str, spec: Json
) -> None:
    seen: list[str] = []

    def look(change: Change) -> None:
        experiment = change.object.get("status", {}).get("experiment", {})
        for record in experiment.get("containerRecords", []):
            if record["phase"] not in seen[-1:]:
                seen.append(record["phase"])

    cluster_in_hand.store.listen(look, cluster_in_hand.resource(kind))
    cluster_in_hand.create(kind, spec)
    cluster_in_hand.pass_time(1)
    cluster_in_hand.delete(kind)
    cluster_in_hand.pass_time(1)
    assert seen[:3] == ["Not Injected/Wait", "Injected", "Injected/Wait"]
    assert cluster_in_hand.find(kind) is None


def test_the_controller_tells_its_story_in_events(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("TimeChaos", selecting("redis", timeOffset="-10m"))
    cluster_in_hand.pass_time(1)
    cluster_in_hand.delete("TimeChaos")
    cluster_in_hand.pass_time(1)
    pod = cluster_in_hand.pods("redis")[0]["metadata"]["name"]
    assert events(cluster_in_hand, "Applied") == [f"Successfully apply chaos for {NAMESPACE}/{pod}/redis"]
    assert events(cluster_in_hand, "Recovered") == [f"Successfully recover chaos for {NAMESPACE}/{pod}/redis"]
    for reason in ("FinalizerInited", "Started", "Updated", "Deleted", "FinalizerRemoved"):
        assert events(cluster_in_hand, reason)


def test_an_injection_that_fails_is_noted_and_tried_again(cluster_in_hand: ClusterInHand) -> None:
    levers = cluster_in_hand.cluster.chaos_mesh.levers
    levers.break_injection(BrokenInjection(kind="TimeChaos", message="no such container"))
    cluster_in_hand.create("TimeChaos", selecting("redis", timeOffset="-10m"))
    cluster_in_hand.pass_time(1)
    (record,) = cluster_in_hand.records("TimeChaos")
    assert (record["phase"], record["injectedCount"]) == ("Not Injected", 0)
    assert {(e["type"], e["operation"], e["message"]) for e in record["events"]} == {
        ("Failed", "Apply", "no such container")
    }
    assert events(cluster_in_hand, "Failed") == ["Failed to apply chaos: no such container"]
    levers.break_injection(BrokenInjection(kind="TimeChaos", release=True))
    cluster_in_hand.pass_time(5)
    assert phases(cluster_in_hand, "TimeChaos") == {"Injected"}


def test_the_duration_counts_from_creation_and_the_object_stays(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.levers.call_seconds = 10
    cluster_in_hand.create("TimeChaos", selecting("redis", timeOffset="1m", duration="30s"))
    cluster_in_hand.pass_time(25)
    assert phases(cluster_in_hand, "TimeChaos") == {"Injected"}
    cluster_in_hand.pass_time(4.5)
    assert phases(cluster_in_hand, "TimeChaos") == {"Injected"}
    cluster_in_hand.levers.call_seconds = None
    cluster_in_hand.pass_time(1)
    (record,) = cluster_in_hand.records("TimeChaos")
    assert (record["phase"], record["recoveredCount"]) == ("Not Injected", 1)
    assert desired(cluster_in_hand, "TimeChaos") == "Stop"
    assert events(cluster_in_hand, "TimeUp")
    assert cluster_in_hand.twin.acting == {}
    cluster_in_hand.pass_time(3600)
    assert cluster_in_hand.find("TimeChaos") is not None


def test_a_duration_of_a_time_fault_that_cannot_be_read_never_ends(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("TimeChaos", selecting("redis", timeOffset="1m", duration="five minutes"))
    cluster_in_hand.pass_time(7200)
    assert phases(cluster_in_hand, "TimeChaos") == {"Injected"}


def test_a_pod_kill_happens_once_and_its_object_stays_until_deleted(cluster_in_hand: ClusterInHand) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster_in_hand.pods("api-gateway")}
    spec = selecting("api-gateway", "one", action="pod-kill", duration="10s")
    cluster_in_hand.create("PodChaos", spec)
    cluster_in_hand.pass_time(1)
    assert ready(cluster_in_hand, "api-gateway") == 2
    cluster_in_hand.pass_time(60)
    assert ready(cluster_in_hand, "api-gateway") == 3
    assert len(before & {pod["metadata"]["uid"] for pod in cluster_in_hand.pods("api-gateway")}) == 2
    assert desired(cluster_in_hand, "PodChaos") == "Run"
    assert phases(cluster_in_hand, "PodChaos") == {"Injected"}
    cluster_in_hand.patch(
        "PodChaos", {"metadata": {"annotations": {"experiment.chaos-mesh.org/pause": "true"}}}
    )
    cluster_in_hand.pass_time(5)
    assert desired(cluster_in_hand, "PodChaos") == "Run"
    cluster_in_hand.delete("PodChaos")
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.find("PodChaos") is None


def test_a_container_kill_restarts_the_container_in_its_pod(cluster_in_hand: ClusterInHand) -> None:
    spec = selecting("redis", "one", action="container-kill", containerNames=["redis"])
    uid = cluster_in_hand.pods("redis")[0]["metadata"]["uid"]
    cluster_in_hand.create("PodChaos", spec)
    cluster_in_hand.pass_time(20)
    (pod,) = cluster_in_hand.pods("redis")
    assert pod["metadata"]["uid"] == uid
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    assert pods.is_ready(pod)
    assert [record["phase"] for record in cluster_in_hand.records("PodChaos")] == ["Injected"]


def test_a_pod_failure_keeps_its_pods_from_being_ready_until_it_is_recovered(
    cluster_in_hand: ClusterInHand,
) -> None:
    cluster_in_hand.create("PodChaos", failure(duration="1m"))
    cluster_in_hand.pass_time(30)
    assert ready(cluster_in_hand, "auth-service") == 0
    assert len(cluster_in_hand.pods("auth-service")) == 3
    assert not [ref for ref in cluster_in_hand.twin.ready if ref.service == "auth-service"]
    cluster_in_hand.pass_time(31)
    assert phases(cluster_in_hand, "PodChaos") == {"Not Injected"}
    cluster_in_hand.pass_time(15)
    assert ready(cluster_in_hand, "auth-service") == 3
