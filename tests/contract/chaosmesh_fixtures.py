"""Why: the tests of Chaos Mesh's lifecycle speak of the same faults and look at the same things."""

from __future__ import annotations

from typing import Any

from sandbox.chaosmesh.levers import ControllerDown
from sandbox.kubernetes import pods
from sandbox.kubernetes.resources import EVENTS
from tests.contract.kubernetes_fixtures import CHAOS, NAMESPACE, ClusterInHand, Json


def selecting(app: str, mode: str = "all", **more: Any) -> Json:
    """A spec that selects the pods of an app."""
    selector = {"namespaces": [NAMESPACE], "labelSelectors": {"app": app}}
    return {"selector": selector, "mode": mode, **more}


def delay(app: str = "api-gateway", mode: str = "all", **more: Any) -> Json:
    """The spec of a network delay."""
    return selecting(app, mode, action="delay", delay={"latency": "500ms"}, **more)


def failure(app: str = "auth-service", mode: str = "all", **more: Any) -> Json:
    """The spec of a pod-failure."""
    return selecting(app, mode, action="pod-failure", **more)


def stress(app: str = "api-gateway", **more: Any) -> Json:
    """The spec of a CPU stress."""
    return selecting(app, stressors={"cpu": {"workers": 1, "load": 50}}, **more)


def phases(hand: ClusterInHand, kind: str, name: str = "fault") -> set[str]:
    """The phases of an object's records."""
    return {record["phase"] for record in hand.records(kind, name)}


def desired(hand: ClusterInHand, kind: str, name: str = "fault") -> str:
    """The desired phase of an object."""
    return str(hand.get(kind, name)["status"]["experiment"]["desiredPhase"])


def events(hand: ClusterInHand, reason: str, name: str = "fault") -> list[str]:
    """What events of a reason say of an object."""
    found = hand.store.all(EVENTS, CHAOS)
    return [e["message"] for e in found if e["reason"] == reason and e["involvedObject"]["name"] == name]


def ready(hand: ClusterInHand, app: str) -> int:
    """How many pods of an app are ready."""
    return sum(map(pods.is_ready, hand.pods(app)))


def lower(hand: ClusterInHand, *, down: bool) -> None:
    """Take the controller away, or bring it back."""
    hand.cluster.chaos_mesh.set_controller(ControllerDown(down=down))
    hand.world.settle()
