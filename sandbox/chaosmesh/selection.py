"""Why: which pods a fault touches is decided once, by the selector, the mode and chance.

The rules are those of Chaos Mesh's ``pkg/selector``: ``pods`` overrules everything else, a missing
namespace means the object's own, percentages round up, and ``random-max-percent`` may choose none.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from sandbox.chaosmesh.kinds import INJECT, FaultKind
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import NAMESPACES, NODES, PODS
from sandbox.kubernetes.selectors import from_object


class NothingSelectedError(Exception):
    """The selector found no target."""


def _named(api: Api, named: dict[str, list[str]]) -> Iterator[Obj]:
    for namespace, names in named.items():
        for name in names:
            pod = api.store.get(PODS, namespace, name)
            if pod is not None:
                yield pod


def _field(pod: Obj, path: str) -> str:
    value: Any = pod
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _nodes(api: Api, selector: Obj) -> set[str] | None:
    """The names of the nodes that the selector allows; None where it does not care."""
    names, labels = selector.get("nodes"), selector.get("nodeSelectors")
    if not names and not labels:
        return None
    chosen = set(names or ())
    if labels:
        chosen |= {
            node["metadata"]["name"]
            for node in api.store.all(NODES)
            if labels.items() <= (node["metadata"].get("labels") or {}).items()
        }
    return chosen


def candidates(api: Api, selector: Obj, namespace: str, *, filter_namespaces: bool) -> list[Obj]:
    """Every pod that the selector means, by name; ``namespace`` is the chaos object's own."""
    if selector.get("pods"):
        found = list(_named(api, selector["pods"]))
    else:
        found = [
            pod
            for name in selector.get("namespaces") or (namespace,)
            for pod in api.store.all(PODS, name)
            if _suits(pod, selector)
        ]
        nodes = _nodes(api, selector)
        if nodes is not None:
            found = [pod for pod in found if pod["spec"].get("nodeName") in nodes]
    if filter_namespaces:
        found = [pod for pod in found if _is_enabled(api, pod["metadata"]["namespace"])]
    return sorted(found, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _is_enabled(api: Api, namespace: str) -> bool:
    space = api.store.get(NAMESPACES, "", namespace)
    return space is not None and (space["metadata"].get("annotations") or {}).get(INJECT) == "enabled"


def _suits(pod: Obj, selector: Obj) -> bool:
    metadata = pod["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    phases = selector.get("podPhaseSelectors")
    return (
        (selector.get("labelSelectors") or {}).items() <= labels.items()
        and (selector.get("annotationSelectors") or {}).items() <= annotations.items()
        and from_object({"matchExpressions": selector.get("expressionSelectors") or ()})(labels)
        and all(_field(pod, path) == value for path, value in (selector.get("fieldSelectors") or {}).items())
        and (not phases or (pod.get("status") or {}).get("phase") in phases)
    )


def choose(pods: list[Obj], mode: str, value: str, chance: random.Random) -> list[Obj]:
    """The targets among ``pods``. Raises ``NothingSelectedError`` where there are none to choose from."""
    if not pods:
        raise NothingSelectedError("no pod is selected")
    match mode:
        case "all":
            return pods
        case "one":
            number = 1
        case "fixed":
            number = min(int(value), len(pods))
        case "fixed-percent":
            number = math.ceil(len(pods) * float(value) / 100)
        case _:
            number = len(pods) * chance.randint(0, int(value)) // 100
    chosen = chance.sample(range(len(pods)), number)
    return [pods[index] for index in sorted(chosen)]


def ids(kind: FaultKind, spec: Obj, pod: Obj) -> list[str]:
    """The ids of the records that ``pod`` gets: itself, or its containers (the first by default)."""
    base = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    in_containers = kind.target == "container" or spec.get("action") == "container-kill"
    if not in_containers:
        return [base]
    known = [container["name"] for container in pod["spec"]["containers"]]
    wanted = spec.get("containerNames") or known[:1]
    return [f"{base}/{name}" for name in wanted if name in known]
