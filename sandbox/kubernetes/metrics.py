"""Why: what kube-state-metrics would expose of this cluster, for the sandbox's Prometheus to scrape.

A restart counter begins at 0 with its pod: a series that is born during a fault would be invisible
to ``rate()``. Request metrics are the twin's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import DEPLOYMENTS, PODS, STATEFUL_SETS
from sandbox.kubernetes.store import Change
from sandbox.wiring import Sample, ScrapeTarget

JOB: Final = "kube-state-metrics"
INSTANCE: Final = "kube-state-metrics.monitoring.svc:8080"
_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


class StateMetrics:
    """The series of kube-state-metrics that experiments ask for."""

    def __init__(self, api: Api, service_of: Callable[[Obj], str]) -> None:
        """Tell of the workloads of ``api``."""
        self._store = api.store
        self._service_of = service_of
        self._target: ScrapeTarget | None = None
        api.store.listen(self._on_change, PODS, DEPLOYMENTS, STATEFUL_SETS)

    def _on_change(self, _: Change) -> None:
        self._target = None

    def scrape(self) -> Iterable[ScrapeTarget]:
        """One target with all series, made anew where something changed."""
        if self._target is None:
            samples = [
                sample
                for resource, series in (
                    (PODS, self._pod),
                    (DEPLOYMENTS, self._deployment),
                    (STATEFUL_SETS, self._stateful_set),
                )
                for obj in self._store.all(resource)
                for sample in series(obj)
            ]
            self._target = ScrapeTarget(job=JOB, instance=INSTANCE, samples=tuple(samples))
        return (self._target,)

    def _labels(self, obj: Obj, kind: str) -> dict[str, str]:
        metadata = obj["metadata"]
        labels = {"namespace": metadata["namespace"], kind: metadata["name"]}
        service = self._service_of(obj)
        return {**labels, "service": service} if service else labels

    def _pod(self, pod: Obj) -> Iterator[Sample]:
        labels = self._labels(pod, "pod")
        for container in pod["spec"]["containers"]:
            yield Sample(
                "kube_pod_container_status_restarts_total",
                {**labels, "container": container["name"]},
                pods.restarts(pod, container["name"]),
            )
            if reason := pods.last_end(pod, container["name"]):
                yield Sample(
                    "kube_pod_container_status_last_terminated_reason",
                    {**labels, "container": container["name"], "reason": reason},
                    1.0,
                )
        ready = pods.is_ready(pod)
        for condition, value in (("true", ready), ("false", not ready), ("unknown", False)):
            yield Sample("kube_pod_status_ready", {**labels, "condition": condition}, float(value))
        current = (pod.get("status") or {}).get("phase")
        for phase in _PHASES:
            yield Sample("kube_pod_status_phase", {**labels, "phase": phase}, float(phase == current))

    def _deployment(self, deployment: Obj) -> Iterator[Sample]:
        labels = self._labels(deployment, "deployment")
        status = deployment.get("status") or {}
        yield Sample("kube_deployment_spec_replicas", labels, deployment["spec"].get("replicas", 1))
        yield Sample("kube_deployment_status_replicas", labels, status.get("replicas", 0))
        yield Sample("kube_deployment_status_replicas_available", labels, status.get("availableReplicas", 0))

    def _stateful_set(self, owner: Obj) -> Iterator[Sample]:
        labels = self._labels(owner, "statefulset")
        status = owner.get("status") or {}
        yield Sample("kube_statefulset_replicas", labels, owner["spec"].get("replicas", 1))
        yield Sample("kube_statefulset_status_replicas_ready", labels, status.get("readyReplicas", 0))
