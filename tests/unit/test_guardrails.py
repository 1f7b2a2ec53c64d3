"""Every chaos object is held to guardrails.yaml, and told what it breaks and who may allow it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gameday.safety.guardrails import Violation, check_object
from gameday.spec.catalogue import Catalogue
from gameday.spec.guardrails import Guardrails

CATALOGUE = Catalogue()
STAGING, PRODUCTION = "pyairtable-staging", "pyairtable"
LIMITS: dict[str, Any] = {
    "thresholds": [{"signal": "errors", "abortWhen": "> 10"}],
    "namespaces": {"allowed": [STAGING, PRODUCTION], "forbidden": ["kube-system"]},
    "strength": {
        "cpuWorkers": 4,
        "cpuLoad": "80%",
        "memory": "1GiB",
        "latency": "5s",
        "loss": "50%",
        "corrupt": "10%",
        "duplicate": "10%",
        "disk": "50%",
        "timeOffset": "10m",
    },
    "protected": [
        {"service": "postgres", "faults": ["pod-kill"], "environments": ["production"]},
        {"service": "redis", "faults": ["*"], "unless": "never", "environments": ["production"]},
    ],
    "destructive": [{"faults": ["partition", "IOChaos"], "environments": ["production"]}],
    "approvals": {"approvers": ["platform-team"]},
    "admission": {"runLabelIn": [PRODUCTION]},
}


def limits(**changes: Any) -> Guardrails:
    return Guardrails.model_validate({**LIMITS, **changes})


def fault(kind: str = "PodChaos", namespace: str = STAGING, app: str = "api-gateway", **spec: Any) -> Any:
    selector = {"namespaces": [namespace], "labelSelectors": {"app": app}}
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": kind,
        "metadata": {"name": "mine", "namespace": "chaos-engineering", "labels": {"gameday/run": "r"}},
        "spec": {"mode": "one", "selector": selector, "duration": "1m", **spec},
    }


def found(body: Any, guardrails: Guardrails | None = None) -> tuple[Violation, ...]:
    return check_object(body, guardrails or limits(), CATALOGUE.platform)


def rules(body: Any, guardrails: Guardrails | None = None) -> list[str]:
    return [violation.rule for violation in found(body, guardrails)]


def test_an_object_within_all_limits_breaks_nothing() -> None:
    assert found(fault(action="pod-kill")) == ()


@pytest.mark.parametrize("duration", [None, "", "soon", 60, "0s", "31m", "-1m"])
def test_a_fault_without_an_end_in_time_is_refused(duration: Any) -> None:
    (violation,) = found(fault(action="pod-kill", duration=duration))
    assert violation.rule == "maxFaultDuration"
    assert "30m" in violation.limit
    assert violation.refuses


def test_a_refusal_names_the_rule_the_value_and_the_limit() -> None:
    (violation,) = found(
        fault("NetworkChaos", action="delay", delay={"latency": "4900ms", "jitter": "200ms"})
    )
    assert str(violation) == (
        "delay.latency and delay.jitter of NetworkChaos mine: 5s100ms; the limit is 5s (strength.latency)"
    )


STRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "more CPU workers": ("cpuWorkers", fault("StressChaos", stressors={"cpu": {"workers": 5, "load": 50}})),
    "no CPU workers, which are as many as there are processors": (
        "cpuWorkers",
        fault("StressChaos", stressors={"cpu": {"workers": -1, "load": 50}}),
    ),
    "the heap of a JVM, filled": ("memory", fault("JVMChaos", action="stress", memType="heap")),
    "a higher load": ("cpuLoad", fault("StressChaos", stressors={"cpu": {"workers": 1, "load": 81}})),
    "a full load, unsaid": ("cpuLoad", fault("StressChaos", stressors={"cpu": {"workers": 1}})),
    "more memory in all": (
        "memory",
        fault("StressChaos", stressors={"memory": {"workers": 3, "size": "512MB"}}),
    ),
    "a share of the memory": (
        "memory",
        fault("StressChaos", stressors={"memory": {"workers": 1, "size": "9%"}}),
    ),
    "memory unsaid": ("memory", fault("StressChaos", stressors={"memory": {"workers": 1}})),
    "more loss": ("loss", fault("NetworkChaos", action="loss", loss={"loss": "50.5"})),
    "loss in a netem": ("loss", fault("NetworkChaos", action="netem", loss={"loss": "51"})),
    "requests aborted": ("loss", fault("HTTPChaos", target="Request", port=80, abort=True)),
    "slow requests": ("latency", fault("HTTPChaos", target="Request", port=80, delay="6s")),
    "slow files": ("latency", fault("IOChaos", action="latency", delay="6s", percent=10)),
    "a latency that is none": ("latency", fault("IOChaos", action="latency", delay=6, percent=10)),
    "more corruption": ("corrupt", fault("NetworkChaos", action="corrupt", corrupt={"corrupt": "11"})),
    "more duplicates": (
        "duplicate",
        fault("NetworkChaos", action="duplicate", duplicate={"duplicate": "11"}),
    ),
    "all files, unsaid": ("disk", fault("IOChaos", action="fault", errno=28)),
    "a clock too far back": ("timeOffset", fault("TimeChaos", timeOffset="-11m")),
    "slow blocks": ("latency", fault("BlockChaos", action="delay", delay={"latency": "6s"})),
    "a slow JVM": ("latency", fault("JVMChaos", action="latency", latency=5001)),
}


@pytest.mark.parametrize("what", STRONG)
def test_stronger_than_allowed_is_refused(what: str) -> None:
    key, body = STRONG[what]
    assert rules(body) == [f"strength.{key}"]


WITHIN = [
    fault(
        "StressChaos",
        stressors={"cpu": {"workers": 4, "load": 80}, "memory": {"workers": 2, "size": "512MiB"}},
    ),
    fault("NetworkChaos", action="delay", delay={"latency": "4s", "jitter": "1s"}),
    fault("NetworkChaos", action="loss", loss={"loss": "50"}),
    fault("IOChaos", action="fault", errno=28, percent=50),
    fault("TimeChaos", timeOffset="-10m"),
    fault("HTTPChaos", target="Request", port=80, delay="5s"),
    fault("NetworkChaos", action="partition"),
]


@pytest.mark.parametrize("body", WITHIN, ids=lambda body: body["kind"])
def test_as_strong_as_allowed_is_not(body: Any) -> None:
    assert found(body) == ()


@pytest.mark.parametrize(
    "stress",
    [{"stressngStressors": "--cpu 99"}, {"stressors": {"cpu": {"workers": 1, "options": ["--cpu 99"]}}}],
)
def test_what_cannot_be_judged_counts_as_too_strong(stress: dict[str, Any]) -> None:
    assert "strength.cpuWorkers" in rules(fault("StressChaos", **stress))


def test_strength_that_is_not_limited_is_not_judged() -> None:
    for _, body in STRONG.values():
        assert rules(body, limits(strength={})) == []


NOWHERE: dict[str, tuple[str, Any]] = {
    "a forbidden namespace": (
        "namespaces.forbidden",
        {"namespaces": ["kube-system"], "labelSelectors": {"a": "b"}},
    ),
    "one that is not allowed": (
        "namespaces.allowed",
        {"namespaces": ["default"], "labelSelectors": {"a": "b"}},
    ),
    "the object's own, unsaid": ("namespaces.allowed", {"labelSelectors": {"app": "api-gateway"}}),
    "pods by name": ("namespaces.forbidden", {"namespaces": [STAGING], "pods": {"kube-system": ["etcd-0"]}}),
}


@pytest.mark.parametrize("what", NOWHERE)
def test_faults_stay_where_they_may_be(what: str) -> None:
    rule, selector = NOWHERE[what]
    assert rules(fault(action="pod-kill", selector=selector)) == [rule]
    peer = {"mode": "all", "selector": selector}
    assert rules(fault("NetworkChaos", action="partition", target=peer)) == [rule]


@pytest.mark.parametrize(
    "selector", [{"namespaces": [STAGING]}, {"namespaces": [STAGING], "labelSelectors": {}}, None]
)
def test_a_selector_that_means_everybody_is_refused(selector: Any) -> None:
    assert "selector" in rules(fault(action="pod-kill", selector=selector))


def test_a_fault_stays_in_the_cluster_where_somebody_looks_at_it() -> None:
    (violation,) = found(fault(action="pod-failure", remoteCluster="elsewhere"))
    assert violation.refuses
    assert str(violation) == (
        "remoteCluster of PodChaos mine: elsewhere; "
        "the limit is the cluster that the object is in (remoteCluster)"
    )
    nested = fault(action="pod-failure", remoteCluster="elsewhere")["spec"]
    assert rules(workflow({"name": "a", "deadline": "1m", "podChaos": nested})) == ["remoteCluster"]


def test_a_protected_service_needs_an_approval_and_says_of_whom() -> None:
    (violation,) = found(fault(namespace=PRODUCTION, app="postgres", action="pod-kill"))
    assert violation.rule == "protected"
    assert violation.approvers == ("platform-team", "data-team")
    assert not violation.refuses
    assert str(violation).endswith("(protected); platform-team or data-team may approve it")


def test_what_may_never_hit_a_service_cannot_be_approved() -> None:
    (violation,) = found(fault(namespace=PRODUCTION, app="redis", action="pod-failure"))
    assert violation.refuses


def test_protection_holds_in_its_environments_only() -> None:
    assert rules(fault(app="postgres", action="pod-kill")) == []
    body = fault(app="postgres", action="pod-kill")
    assert [one.rule for one in check_object(body, limits(), CATALOGUE.platform, "production")] == [
        "protected"
    ]


@pytest.mark.parametrize(
    ("selector", "hit"),
    [
        ({"labelSelectors": {"tier": "database"}}, True),
        ({"nodes": ["node-1"]}, True),
        ({"annotationSelectors": {"a": "b"}}, True),
        ({"pods": {PRODUCTION: ["postgres-0"]}}, True),
        ({"pods": {PRODUCTION: ["api-gateway-0"]}}, False),
        ({"labelSelectors": {"tier": "backend"}}, False),
        ({"labelSelectors": {"another": "label"}}, True),
        ({"expressionSelectors": [{"key": "app", "operator": "In", "values": ["postgres", "x"]}]}, True),
        ({"expressionSelectors": [{"key": "app", "operator": "In", "values": ["x"]}]}, False),
        ({"expressionSelectors": [{"key": "app", "operator": "NotIn", "values": ["postgres"]}]}, False),
        ({"expressionSelectors": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"expressionSelectors": [{"key": "app", "operator": "Exists"}]}, True),
    ],
)
def test_a_protected_service_is_hit_by_every_selector_that_may_mean_it(selector: Any, hit: bool) -> None:
    body = fault(action="pod-kill", selector={"namespaces": [PRODUCTION], **selector})
    only = limits(protected=LIMITS["protected"][:1])
    assert rules(body, only) == (["protected"] if hit else [])


def test_both_ends_of_a_split_are_hit() -> None:
    guarded = limits(protected=[{"service": "auth-service", "faults": ["partition"]}])
    peer = {"mode": "all", "selector": {"namespaces": [STAGING], "labelSelectors": {"app": "auth-service"}}}
    assert rules(fault("NetworkChaos", action="partition", target=peer), guarded) == ["protected"]


def test_a_netem_is_each_of_its_effects() -> None:
    guarded = limits(destructive=[{"faults": ["loss"]}])
    assert rules(fault("NetworkChaos", action="netem", loss={"loss": "1"}), guarded) == ["destructive"]


def test_a_destructive_fault_needs_an_approval_whatever_it_hits() -> None:
    (violation,) = found(fault("NetworkChaos", PRODUCTION, action="partition"))
    assert (violation.rule, violation.value) == ("destructive", "partition")
    assert violation.approvers == ("platform-team",)


def test_where_runs_only_are_admitted_an_object_needs_the_label_of_one() -> None:
    body = fault(namespace=PRODUCTION, action="pod-kill")
    assert rules(body) == []
    del body["metadata"]["labels"]
    assert rules(body) == ["admission.runLabelIn"]
    assert rules({**fault(action="pod-kill"), "metadata": {"name": "by-hand"}}) == []


def schedule(body: Any) -> dict[str, Any]:
    member = {"PodChaos": "podChaos", "IOChaos": "ioChaos", "StressChaos": "stressChaos"}[body["kind"]]
    spec = {"schedule": "@hourly", "type": body["kind"], member: body["spec"]}
    return {**body, "kind": "Schedule", "spec": spec}


def test_the_fault_inside_a_schedule_is_held_to_the_same_rules() -> None:
    for body in (fault(action="pod-kill"), *(strong for _, strong in STRONG.values())):
        if body["kind"] in {"PodChaos", "IOChaos", "StressChaos"}:
            assert rules(schedule(body)) == rules(body)


def workflow(*templates: Any) -> dict[str, Any]:
    return {**fault(), "kind": "Workflow", "spec": {"entry": "all", "templates": list(templates)}}


def test_the_faults_inside_a_workflow_end_by_their_deadline() -> None:
    spec = copy.deepcopy(fault(action="pod-kill")["spec"])
    del spec["duration"]
    serial = {"name": "all", "templateType": "Serial", "children": ["one"]}
    one = {"name": "one", "templateType": "PodChaos", "podChaos": spec}
    assert rules(workflow(serial, {**one, "deadline": "1m"})) == []
    assert rules(workflow(serial, one)) == ["maxFaultDuration"]
    assert rules(workflow({**one, "deadline": "31m"})) == ["maxFaultDuration"]
    within = schedule(fault(action="pod-kill", duration="31m"))["spec"]
    assert rules(workflow({"name": "s", "templateType": "Schedule", "schedule": within})) == [
        "maxFaultDuration"
    ]


def test_a_workflow_of_a_schedule_is_looked_into() -> None:
    spec = workflow({"name": "one", "templateType": "PodChaos", "podChaos": fault(action="x")["spec"]})[
        "spec"
    ]
    body = {**fault(), "kind": "Schedule", "spec": {"type": "Workflow", "workflow": spec}}
    assert rules(body) == ["maxFaultDuration"]


UNREADABLE: list[Any] = [
    {},
    {"kind": "PodChaos"},
    {"kind": "Deployment", "spec": {}},
    {"kind": "Schedule", "spec": {}},
    {"kind": "Workflow", "spec": {"templates": 3}},
    {"kind": "Workflow", "spec": {"templates": [3]}},
    {"kind": "Workflow", "spec": {"templates": [{"templateType": "PodChaos"}]}},
    {"kind": ["PodChaos"], "spec": {}},
]


@pytest.mark.parametrize("body", UNREADABLE, ids=str)
def test_what_cannot_be_read_is_not_let_through(body: Any) -> None:
    assert any(violation.refuses for violation in found(body))


def test_a_fault_outside_kubernetes_is_held_to_its_duration() -> None:
    body = fault("AWSChaos", action="ec2-stop")
    del body["spec"]["selector"], body["spec"]["mode"]
    assert found(body) == ()
    assert rules({**body, "spec": {**body["spec"], "duration": "31m"}}) == ["maxFaultDuration"]


def test_the_experiments_that_come_along_are_within_the_guardrails_that_come_along() -> None:
    assert CATALOGUE.guardrails.namespaces.allowed
    body = fault("NetworkChaos", action="delay", delay={"latency": "500ms", "jitter": "100ms"})
    assert found(body, CATALOGUE.guardrails) == ()
