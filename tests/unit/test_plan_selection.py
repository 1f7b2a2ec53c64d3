"""People see which pods a fault can touch, chosen from as Chaos Mesh would choose."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.clients.types import Pod
from gameday.plan.selection import at_most, matching, mode_words, namespaces_of, planned, shares, unresolved
from gameday.spec.catalogue import Catalogue
from gameday.spec.selecting import ModeSpec, Selector

PLATFORM = Catalogue().platform
HOME = "pyairtable-staging"


def pod(name: str, app: str = "redis", **changes: Any) -> Pod:
    values: dict[str, Any] = {
        "name": name,
        "namespace": HOME,
        "uid": f"uid-{name}",
        "phase": "Running",
        "ready": True,
        "restarts": 0,
        "node": "node-1",
        "ip": "10.0.0.1",
        "labels": {"app": app, "tier": "cache" if app == "redis" else "backend"},
        "annotations": {},
        "containers": (app,),
        "deleting": None,
        "started_at": None,
        "host_network": False,
        "owner": f"ReplicaSet/{app}",
    }
    return Pod(**values | changes)


PODS = [
    pod("redis-0"),
    pod("auth-0", "auth-service"),
    pod("auth-1", "auth-service", node="node-2", annotations={"sidecar": "yes"}),
    pod("auth-2", "auth-service", phase="Pending", ready=False, ip="10.0.0.9"),
    pod("other-0", "auth-service", namespace="elsewhere"),
    pod("bare", "auth-service", labels={}),
]


def selected(**selector: Any) -> list[str]:
    made = Selector.model_validate({"namespaces": [HOME], **selector})
    return [one.name for one in matching(made, PODS)]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"labelSelectors": {"app": "auth-service"}}, ["auth-0", "auth-1", "auth-2"]),
        ({"labelSelectors": {"app": "auth-service", "tier": "cache"}}, []),
        ({"annotationSelectors": {"sidecar": "yes"}}, ["auth-1"]),
        ({"nodes": ["node-2"]}, ["auth-1"]),
        ({"fieldSelectors": {"status.podIP": "10.0.0.9"}}, ["auth-2"]),
        ({"fieldSelectors": {"metadata.name": "bare"}}, ["bare"]),
        ({"labelSelectors": {"app": "auth-service"}, "podPhaseSelectors": ["Pending"]}, ["auth-2"]),
        ({"expressionSelectors": [{"key": "app", "operator": "In", "values": ["redis", "x"]}]}, ["redis-0"]),
        (
            {"expressionSelectors": [{"key": "app", "operator": "NotIn", "values": ["auth-service"]}]},
            ["redis-0", "bare"],
        ),
        ({"expressionSelectors": [{"key": "app", "operator": "DoesNotExist"}]}, ["bare"]),
        ({"expressionSelectors": [{"key": "app", "operator": "Exists"}], "nodes": ["node-2"]}, ["auth-1"]),
        (
            {"labelSelectors": {"app": "auth-service"}, "namespaces": ["elsewhere", HOME]},
            ["auth-0", "auth-1", "auth-2", "other-0"],
        ),
    ],
)
def test_a_selector_chooses_as_chaos_mesh_does(selector: dict[str, Any], names: list[str]) -> None:
    assert selected(**selector) == names


def test_where_pods_are_named_nothing_else_counts() -> None:
    named = {"pods": {"elsewhere": ["other-0"], HOME: ["redis-0", "gone"]}, "labelSelectors": {"app": "x"}}
    assert selected(**named) == ["redis-0", "other-0"]
    selector = Selector.model_validate({"namespaces": ["a"], **named})
    assert set(namespaces_of(selector)) == {"elsewhere", HOME}
    assert unresolved(selector) == []


def test_what_cannot_be_judged_from_pods_alone_is_named() -> None:
    fields = {"spec.serviceAccountName": "x", "status.phase": "Running"}
    selector = Selector.model_validate({"nodeSelectors": {"zone": "a"}, "fieldSelectors": fields})
    assert unresolved(selector) == ["fieldSelectors spec.serviceAccountName", "nodeSelectors"]


@pytest.mark.parametrize(
    ("mode", "value", "count", "most", "words"),
    [
        ("one", None, 3, 1, "one"),
        ("one", None, 0, 0, "one"),
        ("all", None, 3, 3, "all"),
        ("fixed", "2", 3, 2, "fixed 2"),
        ("fixed", "5", 3, 3, "fixed 5"),
        ("fixed-percent", "50", 3, 2, "50 %"),
        ("fixed-percent", "1", 3, 1, "1 %"),
        ("fixed-percent", "100", 3, 3, "100 %"),
        ("random-max-percent", "50", 3, 2, "up to 50 %"),
        ("fixed-percent", "50", 0, 0, "50 %"),
    ],
)
def test_a_mode_hits_so_many_at_most(mode: str, value: str | None, count: int, most: int, words: str) -> None:
    made = ModeSpec.model_validate({"mode": mode, "value": value})
    assert at_most(made, count) == most
    assert mode_words(made) == words


def test_the_share_of_each_service_is_told() -> None:
    everything = planned(PODS, PLATFORM)
    hit = planned([one for one in PODS if one.labels], PLATFORM)
    found = {share.service: (share.hit, share.of) for share in shares(hit, 2, everything)}
    assert found == {"redis": (1, 1), "auth-service": (2, 4)}


def test_pods_are_shown_with_their_service_and_readiness_by_name() -> None:
    shown = planned(PODS, PLATFORM)
    assert [(one.name, one.service, one.ready) for one in shown] == [
        ("other-0", "auth-service", True),
        ("auth-0", "auth-service", True),
        ("auth-1", "auth-service", True),
        ("auth-2", "auth-service", False),
        ("bare", "", True),
        ("redis-0", "redis", True),
    ]
