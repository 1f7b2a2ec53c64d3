"""Schedules and Workflows make faults by themselves, and end in the order that a stop relies on."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.kubernetes.resources import EVENTS
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import CHAOS, NAMESPACE, ClusterInHand, Json

cluster_in_hand = fixtures.cluster_in_hand

PAUSE = "experiment.chaos-mesh.org/pause"
ABORT = "workflow.chaos-mesh.org/abort"
SELECTOR = {"namespaces": [NAMESPACE], "labelSelectors": {"app": "redis"}}
TIME = {"selector": SELECTOR, "mode": "all", "timeOffset": "1m"}
DNS = {"selector": SELECTOR, "mode": "all", "action": "error"}


def schedule(when: str = "@every 1m", **more: Any) -> Json:
    return {"schedule": when, "type": "TimeChaos", "timeChaos": {**TIME, "duration": "20s"}, **more}


def fault(name: str, kind: str = "TimeChaos", **more: Any) -> Json:
    spec = {"TimeChaos": ("timeChaos", TIME), "DNSChaos": ("dnsChaos", DNS)}[kind]
    return {"name": name, "templateType": kind, spec[0]: spec[1], **more}


def workflow(*templates: Json, entry: str = "") -> Json:
    return {"entry": entry or templates[0]["name"], "templates": list(templates)}


def children(hand: ClusterInHand, kind: str = "TimeChaos") -> list[Json]:
    return list(hand.store.all(hand.resource(kind), CHAOS))


def annotate(hand: ClusterInHand, kind: str, key: str, value: str | None = "true") -> None:
    hand.patch(kind, {"metadata": {"annotations": {key: value}}})


def told(hand: ClusterInHand, reason: str) -> list[str]:
    return [event["message"] for event in hand.store.all(EVENTS, CHAOS) if event["reason"] == reason]


def test_a_schedule_makes_a_child_at_each_time_and_labels_it(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule(historyLimit=9), labels={"gameday/run": "r1"})
    cluster_in_hand.pass_time(59)
    assert children(cluster_in_hand) == []
    cluster_in_hand.pass_time(122)
    made = children(cluster_in_hand)
    assert len(made) == 3
    assert {child["metadata"]["labels"]["managed-by"] for child in made} == {"fault"}
    assert {child["metadata"]["name"].rsplit("-", 1)[0] for child in made} == {"fault"}
    assert made[0]["metadata"]["ownerReferences"][0]["kind"] == "Schedule"


def test_a_cron_expression_is_kept_to_the_minute(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule("*/5 * * * *"))
    cluster_in_hand.pass_time(4 * 60)
    assert children(cluster_in_hand) == []
    cluster_in_hand.pass_time(31)
    (child,) = children(cluster_in_hand)
    assert child["metadata"]["creationTimestamp"] == "2026-11-23T10:20:00Z"


def test_old_children_are_cleared_away_beyond_the_history_limit(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule(historyLimit=1))
    cluster_in_hand.pass_time(605)
    assert len(children(cluster_in_hand)) == 2


def test_a_child_that_still_runs_forbids_the_next_one(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule(timeChaos={**TIME, "duration": "10m"}))
    cluster_in_hand.pass_time(200)
    assert len(children(cluster_in_hand)) == 1
    assert "Forbid spawning new job because" in told(cluster_in_hand, "Forbid")[0]


def test_children_may_overlap_where_the_policy_allows_it(cluster_in_hand: ClusterInHand) -> None:
    spec = schedule(timeChaos={**TIME, "duration": "10m"}, concurrencyPolicy="Allow")
    cluster_in_hand.create("Schedule", spec)
    cluster_in_hand.pass_time(200)
    assert len(children(cluster_in_hand)) == 3


def test_pausing_a_schedule_pauses_its_children_and_makes_no_more(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule(timeChaos={**TIME, "duration": "10m"}))
    cluster_in_hand.pass_time(62)
    assert cluster_in_hand.twin.acting
    annotate(cluster_in_hand, "Schedule", PAUSE)
    cluster_in_hand.pass_time(2)
    assert cluster_in_hand.twin.acting == {}
    (child,) = children(cluster_in_hand)
    assert child["metadata"]["annotations"][PAUSE] == "true"
    cluster_in_hand.pass_time(600)
    assert len(children(cluster_in_hand)) == 1
    annotate(cluster_in_hand, "Schedule", PAUSE, None)
    cluster_in_hand.pass_time(61)
    assert len(children(cluster_in_hand)) == 2


def test_a_deleted_schedule_takes_its_children_along_and_they_recover(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule(timeChaos={**TIME, "duration": "10m"}))
    cluster_in_hand.pass_time(62)
    cluster_in_hand.delete("Schedule")
    cluster_in_hand.pass_time(2)
    assert cluster_in_hand.find("Schedule") is None
    assert children(cluster_in_hand) == []
    assert cluster_in_hand.twin.acting == {}
    cluster_in_hand.pass_time(300)
    assert children(cluster_in_hand) == []


def test_a_child_deleted_alone_comes_again_with_the_next_time(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Schedule", schedule())
    cluster_in_hand.pass_time(62)
    cluster_in_hand.delete("TimeChaos", children(cluster_in_hand)[0]["metadata"]["name"])
    cluster_in_hand.pass_time(2)
    assert children(cluster_in_hand) == []
    cluster_in_hand.pass_time(60)
    assert len(children(cluster_in_hand)) == 1


def test_a_pause_of_a_schedule_does_not_reach_its_workflows(cluster_in_hand: ClusterInHand) -> None:
    spec = {"schedule": "@every 1m", "type": "Workflow", "workflow": workflow(fault("slow", deadline="10m"))}
    cluster_in_hand.create("Schedule", spec)
    cluster_in_hand.pass_time(62)
    annotate(cluster_in_hand, "Schedule", PAUSE)
    cluster_in_hand.pass_time(10)
    assert cluster_in_hand.twin.acting
    assert told(cluster_in_hand, "Unsupported") == ["a workflow schedule fault cannot be paused"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (schedule("not cron"), "spec.schedule"),
        (schedule("@every soon"), "spec.schedule"),
        ({"schedule": "@every 1m", "type": "DNSChaos", "timeChaos": TIME}, "spec.dnsChaos: Required value"),
        (schedule(timeChaos={**TIME, "mode": "fixed", "value": "0"}), "spec.timeChaos.value"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_denied(
    cluster_in_hand: ClusterInHand, spec: Json, complaint: str
) -> None:
    refusal = cluster_in_hand.refusal("Schedule", spec)
    assert refusal.code == 403
    assert complaint in refusal.message


def test_a_serial_workflow_does_one_thing_after_the_other(cluster_in_hand: ClusterInHand) -> None:
    spec = workflow(
        {"name": "all", "templateType": "Serial", "children": ["first", "rest", "second"]},
        fault("first", deadline="30s"),
        {"name": "rest", "templateType": "Suspend", "deadline": "10s"},
        fault("second", "DNSChaos", deadline="30s"),
    )
    cluster_in_hand.create("Workflow", spec)
    cluster_in_hand.pass_time(5)
    kinds = [{i.kind for i in cluster_in_hand.twin.acting.values()}]
    cluster_in_hand.pass_time(30)
    kinds.append({i.kind for i in cluster_in_hand.twin.acting.values()})
    cluster_in_hand.pass_time(10)
    kinds.append({i.kind for i in cluster_in_hand.twin.acting.values()})
    cluster_in_hand.pass_time(40)
    kinds.append({i.kind for i in cluster_in_hand.twin.acting.values()})
    assert kinds == [{"TimeChaos"}, set(), {"DNSChaos"}, set()]
    status = cluster_in_hand.get("Workflow")["status"]
    assert status["endTime"]
    assert {"type": "Accomplished", "status": "True", "reason": ""} in status["conditions"]


def test_a_parallel_workflow_does_everything_at_once(cluster_in_hand: ClusterInHand) -> None:
    spec = workflow(
        {"name": "all", "templateType": "Parallel", "children": ["a", "b"], "deadline": "1m"},
        fault("a"),
        fault("b", "DNSChaos"),
    )
    cluster_in_hand.create("Workflow", spec)
    cluster_in_hand.pass_time(5)
    assert {i.kind for i in cluster_in_hand.twin.acting.values()} == {"TimeChaos", "DNSChaos"}
    cluster_in_hand.pass_time(60)
    assert cluster_in_hand.twin.acting == {}
    assert children(cluster_in_hand) == []


def test_what_a_workflow_makes_is_labelled_with_it_and_its_node(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Workflow", workflow(fault("slow", deadline="1m")), labels={"gameday/run": "r1"})
    cluster_in_hand.pass_time(2)
    (child,) = children(cluster_in_hand)
    (node,) = children(cluster_in_hand, "WorkflowNode")
    assert child["metadata"]["labels"] == {
        "gameday/run": "r1",
        "chaos-mesh.org/workflow": "fault",
        "chaos-mesh.org/controlled-by": node["metadata"]["name"],
    }
    assert node["metadata"]["labels"]["chaos-mesh.org/controlled-by"] == "fault"
    assert node["spec"]["templateName"] == "slow"


def test_aborting_a_workflow_ends_its_faults_and_starts_no_more(cluster_in_hand: ClusterInHand) -> None:
    spec = workflow(
        {"name": "all", "templateType": "Serial", "children": ["first", "second"]},
        fault("first", deadline="10m"),
        fault("second", "DNSChaos", deadline="10m"),
    )
    cluster_in_hand.create("Workflow", spec)
    cluster_in_hand.pass_time(5)
    annotate(cluster_in_hand, "Workflow", ABORT)
    cluster_in_hand.pass_time(5)
    assert cluster_in_hand.twin.acting == {}
    assert children(cluster_in_hand) == []
    cluster_in_hand.pass_time(1200)
    assert children(cluster_in_hand, "DNSChaos") == []
    aborted = [
        condition["status"]
        for node in children(cluster_in_hand, "WorkflowNode")
        for condition in node["status"]["conditions"]
        if condition["type"] == "Aborted"
    ]
    assert aborted == ["True", "True"]


def test_a_deleted_workflow_takes_nodes_and_faults_along(cluster_in_hand: ClusterInHand) -> None:
    cluster_in_hand.create("Workflow", workflow(fault("slow", deadline="10m")))
    cluster_in_hand.pass_time(5)
    cluster_in_hand.delete("Workflow")
    cluster_in_hand.pass_time(5)
    assert cluster_in_hand.twin.acting == {}
    for kind in ("Workflow", "WorkflowNode", "TimeChaos"):
        assert children(cluster_in_hand, kind) == []


def test_a_schedule_within_a_workflow_ends_with_its_node(cluster_in_hand: ClusterInHand) -> None:
    template = {"name": "often", "templateType": "Schedule", "deadline": "150s", "schedule": schedule()}
    cluster_in_hand.create("Workflow", workflow(template))
    cluster_in_hand.pass_time(140)
    assert len(children(cluster_in_hand, "Schedule")) == 1
    assert children(cluster_in_hand)
    cluster_in_hand.pass_time(20)
    assert children(cluster_in_hand, "Schedule") == []
    assert children(cluster_in_hand) == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (workflow(fault("a"), entry="none"), "spec.entry"),
        (
            workflow({"name": "a", "templateType": "Serial", "children": ["none"]}),
            "spec.templates[0].children",
        ),
        (workflow({"name": "a", "templateType": "TimeChaos"}), "spec.templates[0].timeChaos: Required value"),
        (
            workflow({"name": "a", "templateType": "TimeChaos", "timeChaos": {**TIME, "duration": "1m"}}),
            "should not define duration in chaos when using Workflow",
        ),
        (workflow(fault("a", deadline="soon")), "spec.templates[0].deadline"),
    ],
)
def test_a_workflow_that_makes_no_sense_is_denied(
    cluster_in_hand: ClusterInHand, spec: Json, complaint: str
) -> None:
    refusal = cluster_in_hand.refusal("Workflow", spec)
    assert refusal.code == 403
    assert complaint in refusal.message
