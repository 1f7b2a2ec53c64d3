"""What the plan shows is, to the letter, what is sent to Chaos Mesh."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from gameday.plan.objects import chaos_object, in_words, resolved
from gameday.spec.catalogue import Catalogue
from gameday.spec.faults import Fault
from gameday.spec.selecting import Selector

CATALOGUE = Catalogue()
STAGING = CATALOGUE.platform.environment("staging")
FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
RUN = "20261123t101530-basic-pod-failure-7f3a"


def body(duration: timedelta = timedelta(seconds=90), **fault: Any) -> dict[str, Any]:
    experiment = CATALOGUE.experiment("basic-pod-failure")
    return chaos_object(
        FAULT.validate_python(fault),
        name=f"{RUN}-s1f1",
        run=RUN,
        experiment=experiment,
        stage=experiment.stages[0],
        duration=duration,
        platform=CATALOGUE.platform,
        environment=STAGING,
    )


KILL: dict[str, Any] = {
    "kind": "PodChaos",
    "target": "api-gateway",
    "spec": {"action": "pod-kill", "mode": "one"},
}


def test_an_object_is_complete_and_nothing_is_added_to_what_was_declared() -> None:
    assert body(**KILL) == {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "PodChaos",
        "metadata": {
            "name": f"{RUN}-s1f1",
            "namespace": "chaos-engineering",
            "labels": {
                "gameday/run": RUN,
                "gameday/experiment": "basic-pod-failure",
                "gameday/stage": "kill-api-gateway",
                "app.kubernetes.io/managed-by": "gameday",
            },
        },
        "spec": {
            "action": "pod-kill",
            "mode": "one",
            "selector": {
                "namespaces": ["pyairtable-staging"],
                "labelSelectors": {"app": "api-gateway", "tier": "backend"},
            },
            "duration": "1m30s",
        },
    }


OTHERS: list[dict[str, Any]] = [
    KILL,
    {"kind": "KernelChaos", "target": "redis", "spec": {"mode": "all", "failKernRequest": {"failtype": 0}}},
    {"kind": "AWSChaos", "spec": {"action": "ec2-stop", "awsRegion": "us-east-2"}},
    {"kind": "TimeChaos", "target": "redis", "spec": {"mode": "one", "timeOffset": "-10m"}},
]


@pytest.mark.parametrize("fault", OTHERS, ids=lambda fault: fault["kind"])
def test_every_object_carries_its_duration_and_its_run(fault: dict[str, Any]) -> None:
    made = body(**fault)
    assert made["spec"]["duration"] == "1m30s"
    assert made["metadata"]["labels"]["gameday/run"] == RUN
    assert made["metadata"]["namespace"] == "chaos-engineering"


def test_a_duration_in_the_fields_of_another_kind_never_outlasts_the_stage() -> None:
    made = body(kind="KernelChaos", target="redis", spec={"mode": "all", "failKernRequest": {}})
    assert made["spec"]["duration"] == "1m30s"
    made = body(kind="AWSChaos", spec={"action": "ec2-stop", "duration": "99h"})
    assert made["spec"]["duration"] == "1m30s"


@pytest.mark.parametrize(
    ("target", "namespaces"),
    [
        ("redis", ["pyairtable-staging"]),
        ({"labelSelectors": {"app": "x"}}, ["pyairtable-staging"]),
        ({"labelSelectors": {"app": "x"}, "namespaces": ["other"]}, ["other"]),
    ],
)
def test_where_no_namespace_is_named_the_environments_is_meant(target: Any, namespaces: list[str]) -> None:
    made = body(kind="PodChaos", target=target, spec={"action": "pod-kill", "mode": "one"})
    assert made["spec"]["selector"]["namespaces"] == namespaces


def test_pods_that_are_named_need_no_namespaces() -> None:
    selector = Selector.model_validate({"pods": {"ns": ["redis-0"]}})
    assert resolved(selector, CATALOGUE.platform, STAGING) == selector


def test_both_ends_of_a_network_fault_are_filled_in() -> None:
    spec = {"action": "partition", "mode": "all", "target": {"mode": "all", "selector": "redis"}}
    made = body(kind="NetworkChaos", target="auth-service", spec=spec)["spec"]
    assert made["selector"]["labelSelectors"]["app"] == "auth-service"
    assert made["target"] == {
        "mode": "all",
        "selector": {
            "namespaces": ["pyairtable-staging"],
            "labelSelectors": {"app": "redis", "tier": "cache"},
        },
    }


PEER = {"mode": "all", "selector": "redis"}


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("PodChaos", {"action": "pod-failure", "mode": "one"}, "pod-failure"),
        (
            "NetworkChaos",
            {"action": "delay", "mode": "one", "delay": {"latency": "500ms", "jitter": "100ms"}},
            "delay 500ms ±100ms",
        ),
        ("NetworkChaos", {"action": "loss", "mode": "one", "loss": {"loss": "15"}}, "loss 15 %"),
        (
            "NetworkChaos",
            {"action": "partition", "mode": "all", "direction": "both", "target": PEER},
            "partition both redis",
        ),
        (
            "StressChaos",
            {"mode": "one", "stressors": {"cpu": {"workers": 2}, "memory": {"workers": 1, "size": "1GB"}}},
            "cpu 2 x 100 % and memory 1 x 1GB",
        ),
        ("IOChaos", {"action": "latency", "mode": "one", "volumePath": "/d", "delay": "1s"}, "latency 1s"),
        ("TimeChaos", {"mode": "one", "timeOffset": "-5m"}, "by -5m"),
        (
            "HTTPChaos",
            {"mode": "one", "target": "Response", "port": 80, "delay": "2s"},
            "delay of responses on port 80 2s",
        ),
    ],
)
def test_a_fault_is_told_in_a_few_words(kind: str, spec: dict[str, Any], words: str) -> None:
    fault = FAULT.validate_python({"kind": kind, "target": "auth-service", "spec": spec})
    assert in_words(fault) == words
