"""What Chaos Mesh's webhook fills in and refuses, also in a dry run."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.chaosmesh.installation import ChaosMeshOptions
from sandbox.kubernetes.bodies import Call
from sandbox.kubernetes.errors import ApiError
from sandbox.kubernetes.levers import ForbidRule
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import CHAOS, NAMESPACE, ClusterInHand, Json

cluster_in_hand = fixtures.cluster_in_hand

SELECTOR = {"namespaces": [NAMESPACE], "labelSelectors": {"app": "api-gateway"}}


def spec(**more: Any) -> Json:
    return {"selector": SELECTOR, "mode": "all", **more}


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (
            "TimeChaos",
            spec(timeOffset="1m", mode="fixed", value="0"),
            "value must be greater than 0 with mode:fixed",
        ),
        ("TimeChaos", spec(timeOffset="1m", mode="fixed"), "parse value field error"),
        ("TimeChaos", spec(timeOffset="1m", mode="fixed-percent", value="0"), "Must be (0,100]"),
        ("TimeChaos", spec(timeOffset="1m", mode="fixed-percent", value="101"), "Must be (0,100]"),
        ("TimeChaos", spec(timeOffset="1m", mode="random-max-percent", value="x"), "parse value field error"),
        ("TimeChaos", spec(timeOffset="soon"), "spec.timeOffset"),
        ("PodChaos", spec(action="pod-failure", duration="soon"), "spec.duration"),
        ("PodChaos", spec(action="container-kill"), "spec.containerNames"),
        ("NetworkChaos", spec(action="delay", delay={"latency": "1s"}, direction="from"), "cannot be used"),
        ("NetworkChaos", spec(action="loss", loss={"loss": "10"}, direction="both"), "cannot be used"),
        ("NetworkChaos", spec(action="delay", delay={"latency": "slow"}), "spec.delay.latency"),
        ("NetworkChaos", spec(action="loss", loss={"loss": "much"}), "spec.loss.loss"),
        ("StressChaos", spec(), "missing stressors"),
        ("StressChaos", spec(stressors={}), "missing stressors"),
        ("StressChaos", spec(stressors={"cpu": {"workers": 0}}), "workers"),
        ("IOChaos", spec(action="fault", volumePath="/data"), "errno 0 is not supported"),
        ("HTTPChaos", spec(target="Request", abort=True), "spec.port"),
        ("HTTPChaos", spec(target="Request", port=-1, abort=True), "spec.port"),
    ],
)
def test_a_fault_that_makes_no_sense_is_denied(
    cluster_in_hand: ClusterInHand, kind: str, body: Json, told: str
) -> None:
    refusal = cluster_in_hand.refusal(kind, body)
    assert refusal.code == 403
    assert refusal.message.startswith(f'admission webhook "v{kind.lower()}.kb.io" denied the request: spec.')
    assert told in refusal.message
    dry = Call(user="gameday", dry_run=True)
    assert cluster_in_hand.refusal(kind, body, call=dry).message == refusal.message


def test_a_partition_may_go_in_both_directions_without_a_target(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", spec(action="partition", direction="both"))


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("PodChaos", spec(action="pod-explode"), 'spec.action: Unsupported value: "pod-explode"'),
        ("NetworkChaos", spec(action="jitter"), "spec.action: Unsupported value"),
        ("PodChaos", {"action": "pod-kill", "mode": "one"}, "spec.selector: Required value"),
        ("TimeChaos", spec(), "spec.timeOffset: Required value"),
        ("PodChaos", spec(action="pod-kill", value=3), "must be of type string"),
        ("StressChaos", spec(stressors={"memory": {"workers": "two"}}), "must be of type integer"),
    ],
)
def test_a_fault_that_breaks_its_definition_is_invalid(
    cluster_in_hand: ClusterInHand, kind: str, body: Json, told: str
) -> None:
    refusal = cluster_in_hand.refusal(kind, body)
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert told in refusal.message


def test_a_stressor_that_there_is_not_is_an_unknown_field(cluster_in_hand: ClusterInHand) -> None:
    refusal = cluster_in_hand.refusal("StressChaos", spec(stressors={"disk": {"workers": 1}}))
    assert refusal.code == 400
    assert 'unknown field "spec.stressors.disk"' in refusal.message


def test_what_is_left_out_is_filled_in(cluster_in_hand: ClusterInHand) -> None:
    body = {"selector": {"labelSelectors": {"app": "x"}}, "mode": "all"}
    network = cluster_in_hand.create("NetworkChaos", {**body, "action": "delay", "delay": {"latency": "1s"}})
    assert network["spec"]["selector"]["namespaces"] == [CHAOS]
    assert network["spec"]["direction"] == "to"
    assert network["spec"]["delay"] == {"latency": "1s", "jitter": "0ms", "correlation": "0"}
    time = cluster_in_hand.create("TimeChaos", {**body, "timeOffset": "1m"})
    assert time["spec"]["clockIds"] == ["CLOCK_REALTIME"]


def test_a_dry_run_shows_what_is_filled_in_and_creates_nothing(cluster_in_hand: ClusterInHand) -> None:
    body = spec(action="delay", delay={"latency": "1s"})
    shown = cluster_in_hand.create("NetworkChaos", body, call=Call(user="gameday", dry_run=True))
    assert shown["spec"]["direction"] == "to"
    cluster_in_hand.pass_time(5)
    assert cluster_in_hand.find("NetworkChaos") is None
    assert cluster_in_hand.twin.acting == {}


def test_the_spec_is_immutable(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", spec(action="delay", delay={"latency": "1s"}, duration="1m"))
    with pytest.raises(ApiError) as caught:
        cluster_in_hand.patch("NetworkChaos", {"spec": {"duration": "2m"}})
    assert caught.value.code == 403
    assert caught.value.message.endswith("denied the request: Cannot update chaos spec")


def test_there_is_no_status_subresource(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("NetworkChaos", spec(action="delay", delay={"latency": "1s"}))
    assert cluster_in_hand.resource("NetworkChaos").subresources == ()
    cluster_in_hand.patch("NetworkChaos", {"status": {"conditions": []}})
    assert cluster_in_hand.get("NetworkChaos")["status"] == {"conditions": []}


def test_all_fourteen_kinds_and_the_orchestration_kinds_are_served(cluster_in_hand: ClusterInHand) -> None:
    served = {r.kind: r.plural for r in cluster_in_hand.api.registry.all() if r.group == "chaos-mesh.org"}
    faults = [kind for kind in served if kind.endswith("Chaos")]
    assert len(faults) == 14
    assert all(served[kind] == kind.lower() for kind in faults)
    others = {kind: plural for kind, plural in served.items() if kind not in faults}
    assert others == {
        "Schedule": "schedules",
        "Workflow": "workflows",
        "WorkflowNode": "workflownodes",
        "StatusCheck": "statuschecks",
    }


OUTSIDE: dict[str, Json] = {
    "AWSChaos": {"action": "ec2-stop", "awsRegion": "eu-west-1", "ec2Instance": "i-1"},
    "AzureChaos": {"action": "vm-stop", "subscriptionID": "s", "resourceGroupName": "g", "vmName": "vm-1"},
    "GCPChaos": {"action": "node-stop", "project": "p", "zone": "z", "instance": "vm-2"},
    "PhysicalMachineChaos": {"action": "stress-cpu", "address": ["10.1.1.1:31767"], "mode": "all"},
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_faults_outside_the_cluster_have_records_too(cluster_in_hand: ClusterInHand, kind: str) -> None:
    cluster_in_hand.create(kind, OUTSIDE[kind])
    cluster_in_hand.pass_time(1)
    (record,) = cluster_in_hand.records(kind)
    assert (record["phase"], record["injectedCount"]) == ("Injected", 1)
    cluster_in_hand.delete(kind)
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.find(kind) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("JVMChaos", spec(action="exception", **{"class": "Main", "method": "run"}, exception="x()")),
        ("KernelChaos", spec(failKernRequest={"callchain": [{"funcname": "f"}], "failtype": 0})),
        ("BlockChaos", spec(action="delay", volumeName="data", delay={"latency": "1s"})),
        ("DNSChaos", spec(action="error", patterns=["example.com"])),
    ],
)
def test_the_remaining_kinds_are_injected_and_recovered(
    cluster_in_hand: ClusterInHand, kind: str, body: Json
) -> None:
    cluster_in_hand.create(kind, body)
    cluster_in_hand.pass_time(1)
    assert {injection.kind for injection in cluster_in_hand.twin.acting.values()} == {kind}
    cluster_in_hand.delete(kind)
    cluster_in_hand.pass_time(1)
    assert cluster_in_hand.twin.acting == {}


def test_in_restricted_mode_the_caller_must_be_allowed_in_every_selected_namespace() -> None:
    hand = ClusterInHand(options=ChaosMeshOptions(restricted=True))
    hand.cluster.levers.forbidding.append(
        ForbidRule(verbs=["create"], resources=["networkchaos"], namespace=NAMESPACE, user="gameday")
    )
    refusal = hand.refusal("NetworkChaos", spec(action="delay", delay={"latency": "1s"}))
    assert refusal.message == (
        f'admission webhook "vauth.kb.io" denied the request: gameday is forbidden on namespace {NAMESPACE}'
    )
    hand.cluster.levers.forbidding.clear()
    hand.create("NetworkChaos", spec(action="delay", delay={"latency": "1s"}))
    hand.cluster.levers.forbidding.append(ForbidRule(verbs=["create"], namespace=NAMESPACE, user="gameday"))
    with pytest.raises(ApiError) as caught:
        hand.patch("NetworkChaos", {"metadata": {"annotations": {"a": "b"}}})
    assert "vauth.kb.io" in caught.value.message
