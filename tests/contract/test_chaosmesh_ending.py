"""How a fault ends, and how it does not, as with a real Chaos Mesh 2.8."""

from __future__ import annotations

import pytest

from sandbox.chaosmesh.levers import DaemonDown, HangRule
from sandbox.kubernetes import pods
from sandbox.kubernetes.deletion import DeleteOptions
from sandbox.kubernetes.errors import ApiError
from sandbox.kubernetes.resources import PODS
from sandbox.kubernetes.store import copy
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.chaosmesh_fixtures import (
    delay,
    desired,
    failure,
    lower,
    phases,
    selecting,
    stress,
)
from tests.contract.kubernetes_fixtures import CHAOS, NAMESPACE, USER, ClusterInHand, Json

cluster_in_hand = fixtures.cluster_in_hand

FINALIZER = "chaos-mesh/records"


def test_a_delete_recovers_first_and_then_lets_the_object_go(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    cluster_in_hand.delete("NetworkChaos")
    marked = cluster_in_hand.get("NetworkChaos")
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["finalizers"] == [FINALIZER]
    assert len(cluster_in_hand.twin.acting) == 3
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.find("NetworkChaos") is None
    assert cluster_in_hand.twin.acting == {}


def test_pausing_recovers_and_going_on_injects_again(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    pause = {"experiment.chaos-mesh.org/pause": "true"}
    cluster_in_hand.patch("NetworkChaos", {"metadata": {"annotations": pause}})
    cluster_in_hand.pass_time(1)
    assert desired(cluster_in_hand, "NetworkChaos") == "Stop"
    assert cluster_in_hand.conditions("NetworkChaos")["Paused"] == "True"
    assert cluster_in_hand.twin.acting == {}
    cluster_in_hand.patch("NetworkChaos", {"metadata": {"annotations": dict.fromkeys(pause)}})
    cluster_in_hand.pass_time(1)
    counts = {(r["injectedCount"], r["recoveredCount"]) for r in cluster_in_hand.records("NetworkChaos")}
    assert counts == {(2, 1)}
    assert len(cluster_in_hand.twin.acting) == 3


@pytest.mark.parametrize(("kind", "spec"), [("NetworkChaos", delay()), ("StressChaos", stress())])
def test_a_target_that_is_gone_counts_as_recovered(
    cluster_in_hand: ClusterInHand, kind: str, spec: Json
) -> None:
    cluster_in_hand.create(kind, spec)
    cluster_in_hand.pass_time(1)
    for pod in cluster_in_hand.pods("api-gateway"):
        cluster_in_hand.cluster.deleter.delete(PODS, *pods.key_of(pod), DeleteOptions(grace=0))
    cluster_in_hand.delete(kind)
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.find(kind) is None


def test_a_dead_daemon_leaves_the_object_on_its_finalizer(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    cluster_in_hand.levers.set_daemon(DaemonDown(node="node-1"))
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.pass_time(60)
    on_dead_node = {
        f"{NAMESPACE}/{pod['metadata']['name']}"
        for pod in cluster_in_hand.pods("api-gateway")
        if pod["spec"]["nodeName"] == "node-1"
    }
    stuck = {r["id"]: r for r in cluster_in_hand.records("NetworkChaos") if r["phase"] != "Not Injected"}
    assert set(stuck) == on_dead_node
    last = next(iter(stuck.values()))["events"][-1]
    assert (last["type"], last["operation"]) == ("Failed", "Recover")
    assert "connection refused" in last["message"]
    cluster_in_hand.levers.set_daemon(DaemonDown(node="node-1", down=False))
    cluster_in_hand.pass_time(120)
    assert cluster_in_hand.find("NetworkChaos") is None


def test_a_daemon_whose_pod_is_away_is_a_dead_daemon(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    daemons = [
        p for p in cluster_in_hand.store.all(PODS, CHAOS) if p["metadata"]["name"].startswith("chaos-daemon")
    ]
    for pod in daemons:
        cluster_in_hand.cluster.deleter.delete(PODS, *pods.key_of(pod), DeleteOptions(grace=0))
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.pass_time(0.5)
    assert phases(cluster_in_hand, "NetworkChaos") & {"Injected", "Injected/Wait"}
    cluster_in_hand.pass_time(60)
    assert cluster_in_hand.find("NetworkChaos") is None


def test_an_object_can_be_made_to_hang_on_its_finalizer(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.levers.hang(HangRule(name="stuck"))
    for name in ("stuck", "free"):
        cluster_in_hand.create("NetworkChaos", delay(), name)
    cluster_in_hand.pass_time(1)
    for name in ("stuck", "free"):
        cluster_in_hand.delete("NetworkChaos", name)
    cluster_in_hand.pass_time(30)
    assert cluster_in_hand.find("NetworkChaos", "free") is None
    records = cluster_in_hand.records("NetworkChaos", "stuck")
    assert {record["phase"] for record in records} == {"Injected"}
    assert {event["type"] for event in records[0]["events"]} >= {"Failed"}
    cluster_in_hand.levers.hang(HangRule(name="stuck", release=True))
    cluster_in_hand.pass_time(120)
    assert cluster_in_hand.find("NetworkChaos", "stuck") is None


def test_forcing_the_finalizer_off_does_not_work_while_recovery_errs(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.levers.hang(HangRule())
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    forced = {"chaos-mesh.chaos-mesh.org/cleanFinalizer": "forced"}
    cluster_in_hand.patch("NetworkChaos", {"metadata": {"annotations": forced}})
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.pass_time(60)
    assert cluster_in_hand.find("NetworkChaos") is not None


def test_patching_the_finalizers_away_lets_the_object_go_unrecovered(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.levers.hang(HangRule())
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.patch("NetworkChaos", {"metadata": {"finalizers": None}})
    assert cluster_in_hand.find("NetworkChaos") is None
    assert len(cluster_in_hand.twin.acting) == 3


def test_a_stress_whose_cancel_fails_stays_injected_without_event_or_retry(
    cluster_in_hand: ClusterInHand,
) -> None:
    cluster_in_hand.create("StressChaos", stress())
    cluster_in_hand.pass_time(1)
    cluster_in_hand.levers.hang(HangRule(kind="StressChaos"))
    cluster_in_hand.delete("StressChaos")
    cluster_in_hand.pass_time(5)
    cluster_in_hand.levers.hang(HangRule(kind="StressChaos", release=True))
    cluster_in_hand.pass_time(3600)
    records = cluster_in_hand.records("StressChaos")
    assert {record["phase"] for record in records} == {"Injected"}
    assert {event["type"] for record in records for event in record["events"]} == {"Succeeded"}


def test_any_change_of_metadata_starts_a_new_pass(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("StressChaos", stress())
    cluster_in_hand.pass_time(1)
    cluster_in_hand.levers.hang(HangRule(kind="StressChaos"))
    cluster_in_hand.delete("StressChaos")
    cluster_in_hand.pass_time(5)
    cluster_in_hand.levers.hang(HangRule(kind="StressChaos", release=True))
    cluster_in_hand.patch("StressChaos", {"metadata": {"annotations": {"touched": "now"}}})
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.find("StressChaos") is None


def test_with_the_controller_down_a_delete_is_accepted_and_nothing_recovers(
    cluster_in_hand: ClusterInHand,
) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    lower(cluster_in_hand, down=True)
    cluster_in_hand.delete("NetworkChaos")
    cluster_in_hand.pass_time(600)
    assert phases(cluster_in_hand, "NetworkChaos") == {"Injected"}
    lower(cluster_in_hand, down=False)
    cluster_in_hand.pass_time(5)
    assert cluster_in_hand.find("NetworkChaos") is None


def test_with_the_controller_down_its_webhook_refuses_every_write(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", delay())
    cluster_in_hand.pass_time(1)
    lower(cluster_in_hand, down=True)
    refusals = [cluster_in_hand.refusal("NetworkChaos", delay(), name="other")]
    for patch in ({"metadata": {"annotations": {"a": "b"}}}, {"metadata": {"finalizers": None}}):
        with pytest.raises(ApiError) as caught:
            cluster_in_hand.patch("NetworkChaos", patch)
        refusals.append(caught.value)
    assert {refusal.code for refusal in refusals} == {500}
    assert all("failed calling webhook" in refusal.message for refusal in refusals)


def test_a_controller_that_is_down_shows_it_in_its_pods(cluster_in_hand: ClusterInHand) -> None:
    def ready_managers() -> int:
        found = cluster_in_hand.store.all(PODS, CHAOS)
        return sum(pods.is_ready(p) for p in found if "controller-manager" in p["metadata"]["name"])

    lower(cluster_in_hand, down=True)
    assert ready_managers() == 0
    lower(cluster_in_hand, down=False)
    cluster_in_hand.pass_time(10)
    assert ready_managers() == 3


def test_recovery_is_serial_within_a_kind_and_parallel_across_kinds(cluster_in_hand: ClusterInHand) -> None:
    for kind, spec in (
        ("TimeChaos", selecting("redis", timeOffset="1m")),
        ("DNSChaos", selecting("redis", action="error")),
    ):
        for name in ("a", "b"):
            cluster_in_hand.create(kind, spec, name)
    cluster_in_hand.pass_time(1)
    cluster_in_hand.levers.call_seconds = 60
    for kind in ("TimeChaos", "DNSChaos"):
        for name in ("a", "b"):
            cluster_in_hand.delete(kind, name)

    def left(kind: str) -> int:
        return cluster_in_hand.store.count(cluster_in_hand.resource(kind))

    cluster_in_hand.pass_time(62)
    assert (left("TimeChaos"), left("DNSChaos")) == (1, 1)
    cluster_in_hand.pass_time(60)
    assert (left("TimeChaos"), left("DNSChaos")) == (0, 0)


def test_the_controller_rewrites_the_whole_object_so_that_stale_writes_conflict(
    cluster_in_hand: ClusterInHand,
) -> None:
    made = copy(cluster_in_hand.create("NetworkChaos", delay()))
    cluster_in_hand.pass_time(1)
    resource = cluster_in_hand.resource("NetworkChaos")
    with pytest.raises(ApiError) as caught:
        cluster_in_hand.api.update(resource, CHAOS, "fault", made, USER)
    assert caught.value.code == 409


def test_a_thousand_objects_of_four_kinds_end_within_seconds(cluster_in_hand: ClusterInHand) -> None:
    specs = {
        "NetworkChaos": delay(mode="one"),
        "StressChaos": stress(),
        "TimeChaos": selecting("redis", timeOffset="1m"),
        "PodChaos": failure(mode="one"),
    }
    for kind, spec in specs.items():
        for number in range(250):
            cluster_in_hand.create(kind, spec, f"many-{number}")
    cluster_in_hand.pass_time(10)
    for kind in specs:
        cluster_in_hand.cluster.deleter.delete_collection(
            cluster_in_hand.resource(kind), CHAOS, labels=None, test=None, options=DeleteOptions()
        )
    cluster_in_hand.pass_time(10)
    assert [cluster_in_hand.store.count(cluster_in_hand.resource(kind)) for kind in specs] == [0, 0, 0, 0]
    assert cluster_in_hand.twin.acting == {}
