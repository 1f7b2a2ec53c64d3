"""Why: a plan and the moment before its injection are judged by the same rules, on the pods there are.

Counts what the faults of each stage can hit together, and asks ``gameday.safety`` what that breaks.
What makes a plan senseless rather than forbidden is ``build``'s to refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod
from gameday.plan.model import Plan, PlannedFault, PlannedPod, PlannedStage
from gameday.plan.selection import at_most, matching, namespaces_of, planned
from gameday.safety.blast import Hit, blast_radius
from gameday.safety.guardrails import Violation, check_object
from gameday.safety.lease import Target
from gameday.safety.occasion import lever, moment, others
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from gameday.spec.platform import Platform
from gameday.spec.selecting import ModeSpec, Selector


def objects(stages: Iterable[PlannedStage], catalogue: Catalogue, environment: str) -> Iterator[Violation]:
    """What the objects of a plan break by themselves, each called by its stage."""
    for stage in stages:
        for number, fault in enumerate(stage.faults, start=1):
            called = stage.name if len(stage.faults) == 1 else f"{stage.name} {number}"
            body = fault.chaos_object
            named = {**body, "metadata": {**body["metadata"], "name": called}}
            hit = {pod.service for pod in (*fault.candidates, *fault.peers)}
            yield from check_object(named, catalogue.guardrails, catalogue.platform, environment, hit)


def watched(experiment: Experiment, services: Iterable[str], guardrails: Guardrails) -> Iterator[Violation]:
    """Whether the steady state speaks of every service that is hit."""
    probes = experiment.steady_state
    if not guardrails.monitoring_required or any(not probe.services for probe in probes):
        return
    for service in services:
        if not any(service in probe.services for probe in probes):
            what = f"probes of the steady state that watch {service}, which is hit"
            yield Violation("monitoringRequired", what, "none", "one at least")


def strangers(stages: Iterable[PlannedStage]) -> Iterator[Violation]:
    """Pods that no rule about a service can speak of: how much of what is hit, what is left, who is asked."""
    for stage in stages:
        pods = [pod for fault in stage.faults for end, _ in _ends(fault) for pod in end]
        unknown = sorted({pod.name for pod in pods if not pod.service})
        if unknown:
            value = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if unknown[5:] else "")
            what = f"stage {stage.name}, pods without a service of platform.yaml that can be hit"
            yield Violation("service", what, value, "none")


def hits(stage: PlannedStage, everything: Sequence[PlannedPod], platform: Platform) -> list[Hit]:
    """For each service, what the faults of ``stage`` can touch of it together at worst."""
    most: dict[str, int] = {}
    reach: dict[str, set[tuple[str, str]]] = {}
    ends = [end for fault in stage.faults for end in _ends(fault)]
    for pods, count in ends:
        for service in {pod.service for pod in pods if pod.service}:
            own = {(pod.namespace, pod.name) for pod in pods if pod.service == service}
            most[service] = most.get(service, 0) + min(count, len(own))
            reach.setdefault(service, set()).update(own)
    declared = {service.name: service.replicas for service in platform.services}
    together = min(len(most), sum(min(count, len(pods)) for pods, count in ends))
    found = [_hit(stage.name, service, most[service], reach[service], everything) for service in sorted(most)]
    return [replace(hit, declared=declared.get(hit.service, 1), services=together) for hit in found]


def _ends(fault: PlannedFault) -> Iterator[tuple[Sequence[PlannedPod], int]]:
    """The pods that Chaos Mesh acts in, and how many of them at most."""
    yield fault.candidates, fault.at_most
    spec = fault.chaos_object["spec"]
    if fault.kind == "NetworkChaos" and spec.get("direction") in {"from", "both"} and spec.get("target"):
        yield fault.peers, _at_most(spec["target"], len(fault.peers))


def _at_most(end: Mapping[str, Any], count: int) -> int:
    return at_most(ModeSpec(mode=end["mode"], value=end.get("value")), count)


def _hit(
    stage: str,
    service: str,
    most: int,
    reach: set[tuple[str, str]],
    everything: Sequence[PlannedPod],
) -> Hit:
    own = [pod for pod in everything if pod.service == service]
    hit = min(most, len(reach))
    ready = [pod for pod in own if pod.ready]
    # Chaos Mesh chooses at random: at worst it chooses those that are ready.
    touched = min(hit, sum((pod.namespace, pod.name) in reach for pod in ready))
    return Hit(stage, service, hit, len(own), len(ready) - touched)


async def before_injection(
    plan: Plan, stage: PlannedStage, catalogue: Catalogue, cluster: Cluster, now: datetime
) -> tuple[Violation, ...]:
    """What is broken if ``stage`` is injected now, on the pods that are there now.

    What was known from the plan and was approved with it is left out. Raises ``OutsideError`` where
    the cluster does not answer.
    """
    platform, guardrails = catalogue.platform, catalogue.guardrails
    pods = await _pods(stage, plan.namespace, cluster)
    there = stage.model_copy(
        update={"faults": tuple(_selected_anew(fault, pods, platform) for fault in stage.faults)}
    )
    found = [
        *objects([there], catalogue, plan.environment),
        *strangers([there]),
        *blast_radius(hits(there, planned(pods, platform), platform), guardrails, plan.environment),
        *moment(guardrails, plan.environment, now, now + stage.duration),
        *await lever(cluster, plan.chaos_namespace),
    ]
    known = {(one.rule, one.what) for one in plan.violations if not one.refuses}
    return tuple(one for one in found if one.refuses or (one.rule, one.what) not in known)


async def beside_others(
    plan: Plan, catalogue: Catalogue, cluster: Cluster, now: datetime
) -> tuple[Violation, ...]:
    """What other runs that go on, or that hit the same services before, break."""
    return await others(
        cluster,
        catalogue.guardrails,
        environment=plan.environment,
        run=plan.run,
        namespace=plan.chaos_namespace,
        targets=[Target(plan.namespace, service) for service in plan.services],
        now=now,
    )


async def _pods(stage: PlannedStage, namespace: str, cluster: Cluster) -> list[Pod]:
    ends = [selector for fault in stage.faults for selector in _selectors(fault)]
    names = sorted({namespace, *(name for selector in ends for name in namespaces_of(selector))})
    return [pod for name in names for pod in await cluster.pods(name) if pod.deleting is None]


def _selectors(fault: PlannedFault) -> list[Selector]:
    spec = fault.chaos_object["spec"]
    ends = [spec, spec.get("target") if fault.kind == "NetworkChaos" else None]
    return [
        Selector.model_validate(end["selector"])
        for end in ends
        if isinstance(end, dict) and isinstance(end.get("selector"), dict)
    ]


def _selected_anew(fault: PlannedFault, pods: Sequence[Pod], platform: Platform) -> PlannedFault:
    ends = _selectors(fault)
    if not ends:
        return fault
    chosen = [planned(matching(selector, pods), platform) for selector in ends]
    return fault.model_copy(
        update={
            "candidates": chosen[0],
            "peers": chosen[1] if len(chosen) > 1 else (),
            "at_most": _at_most(fault.chaos_object["spec"], len(chosen[0])),
        }
    )
