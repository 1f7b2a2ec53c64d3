"""Why: people must see the real pods a fault may touch before it touches them.

Reads a selector as Chaos Mesh does, on a list of pods. Chaos Mesh itself chooses at random among
them when the object is created, so these are candidates, and a count says how many at most.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from gameday.clients.types import Pod
from gameday.plan.model import PlannedPod, Share
from gameday.spec.platform import Platform
from gameday.spec.selecting import ExpressionSelector, ModeSpec, Selector

# What the API server can select pods by that also stands in our own view of a pod.
_FIELDS = {
    "metadata.name": lambda pod: pod.name,
    "metadata.namespace": lambda pod: pod.namespace,
    "spec.nodeName": lambda pod: pod.node,
    "status.phase": lambda pod: pod.phase,
    "status.podIP": lambda pod: pod.ip,
}


def namespaces_of(selector: Selector) -> tuple[str, ...]:
    """Every namespace that the selector reaches into."""
    return tuple(selector.pods) if selector.pods else selector.namespaces


def unresolved(selector: Selector) -> list[str]:
    """The parts of a selector that cannot be judged from a list of pods."""
    if selector.pods:
        return []
    unknown = [f"fieldSelectors {name}" for name in selector.field_selectors if name not in _FIELDS]
    return unknown + (["nodeSelectors"] if selector.node_selectors else [])


def matching(selector: Selector, pods: Iterable[Pod]) -> list[Pod]:
    """The pods among ``pods`` that the selector matches. Where it names pods, only names count."""
    if selector.pods:
        return [pod for pod in pods if pod.name in selector.pods.get(pod.namespace, ())]
    return [pod for pod in pods if _matches(selector, pod)]


def _matches(selector: Selector, pod: Pod) -> bool:
    return (
        pod.namespace in selector.namespaces
        and all(pod.labels.get(key) == value for key, value in selector.label_selectors.items())
        and all(pod.annotations.get(key) == value for key, value in selector.annotation_selectors.items())
        and all(_expression_holds(one, pod) for one in selector.expression_selectors)
        and all(
            _FIELDS[name](pod) == value for name, value in selector.field_selectors.items() if name in _FIELDS
        )
        and (not selector.nodes or pod.node in selector.nodes)
        and (not selector.pod_phase_selectors or pod.phase in selector.pod_phase_selectors)
    )


def _expression_holds(expression: ExpressionSelector, pod: Pod) -> bool:
    value = pod.labels.get(expression.key)
    match expression.operator:
        case "In":
            return value in expression.values
        case "NotIn":
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def at_most(mode: ModeSpec, count: int) -> int:
    """How many of ``count`` pods the mode can hit (Chaos Mesh's own rounding: percentages up)."""
    number = float(mode.value or 0)
    match mode.mode:
        case "one":
            return min(1, count)
        case "all":
            return count
        case "fixed":
            return min(int(number), count)
        case _:
            return min(count, math.ceil(count * number / 100))


def mode_words(mode: ModeSpec) -> str:
    """``one``, ``all``, ``fixed 2``, ``30 %``, ``up to 30 %``."""
    match mode.mode:
        case "fixed":
            return f"fixed {mode.value}"
        case "fixed-percent":
            return f"{mode.value} %"
        case "random-max-percent":
            return f"up to {mode.value} %"
        case plain:
            return plain


def planned(pods: Sequence[Pod], platform: Platform) -> tuple[PlannedPod, ...]:
    """The pods as the plan shows them, by name."""
    return tuple(
        PlannedPod(
            namespace=pod.namespace, name=pod.name, service=platform.service_with(pod.labels), ready=pod.ready
        )
        for pod in sorted(pods, key=lambda pod: (pod.namespace, pod.name))
    )


def shares(hit: Sequence[PlannedPod], most: int, everything: Sequence[PlannedPod]) -> tuple[Share, ...]:
    """For each service, how many of its pods can be hit at most, of how many there are."""
    totals = Counter(pod.service for pod in everything)
    return tuple(
        Share(service=service, hit=min(most, count), of=totals[service])
        for service, count in sorted(Counter(pod.service for pod in hit).items())
    )
