"""Why: the rest of gameday sees a cluster in few, small, immutable words, not in an SDK's models.

Each class reads itself from the API server's JSON, tolerating what is missing there. Times are
timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from gameday.clients.times import parsed, written

_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. ``owner`` is ``Kind/name`` of its controller, "" where nothing would replace it.

    ``limits`` are those of each container's resources, as the API server writes them.
    """

    name: str
    namespace: str
    uid: str
    phase: str
    ready: bool
    restarts: int
    node: str
    ip: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    containers: tuple[str, ...]
    deleting: datetime | None
    started_at: datetime | None
    host_network: bool
    owner: str
    ready_since: datetime | None = None
    limits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, item: _Json) -> Self:
        """Read a pod of the API server."""
        meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
        containers = status.get("containerStatuses") or ()
        return cls(
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            uid=meta.get("uid", ""),
            phase=status.get("phase", "Unknown"),
            ready=_condition(status, "Ready"),
            restarts=sum(int(one.get("restartCount", 0)) for one in containers),
            node=spec.get("nodeName", ""),
            ip=status.get("podIP", ""),
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
            containers=tuple(one["name"] for one in spec.get("containers") or ()),
            deleting=parsed(meta.get("deletionTimestamp")),
            started_at=parsed(status.get("startTime")),
            host_network=bool(spec.get("hostNetwork", False)),
            owner=controller_of(meta),
            ready_since=_true_since(status, "Ready"),
            limits={
                one["name"]: (one.get("resources") or {}).get("limits") or {}
                for one in spec.get("containers") or ()
            },
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet: how many pods are wanted, and how many there are."""

    kind: str
    name: str
    namespace: str
    desired: int
    ready: int
    available: int
    updated: int
    labels: Mapping[str, str]
    match_labels: Mapping[str, str]
    total: int = 0
    generation: int = 0
    observed_generation: int = 0
    paused: bool = False
    images: tuple[str, ...] = ()  # of its pods' containers

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def whole(self) -> bool:
        """Whether every pod that is wanted is ready."""
        return self.ready >= self.desired

    @property
    def rolled_out(self) -> bool:
        """Whether the controller has seen the newest template, and every pod is of it and available."""
        seen = self.observed_generation >= self.generation
        return seen and self.total <= self.updated and min(self.updated, self.available) >= self.desired

    @classmethod
    def read(cls, kind: str, item: _Json) -> Self:
        """Read a workload of the API server."""
        meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
        ready = status.get("readyReplicas", status.get("numberReady", 0)) or 0
        pod = (spec.get("template") or {}).get("spec") or {}
        return cls(
            kind=kind,
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            desired=int(spec.get("replicas", status.get("desiredNumberScheduled", 1))),
            ready=int(ready),
            available=int(status.get("availableReplicas", status.get("numberAvailable", ready)) or 0),
            updated=int(status.get("updatedReplicas", status.get("updatedNumberScheduled", ready)) or 0),
            labels=meta.get("labels") or {},
            match_labels=(spec.get("selector") or {}).get("matchLabels") or {},
            total=int(status.get("replicas", status.get("currentNumberScheduled", 0)) or 0),
            generation=int(meta.get("generation", 0)),
            observed_generation=int(status.get("observedGeneration", 0)),
            paused=bool(spec.get("paused", False)),
            images=tuple(one.get("image", "") for one in pod.get("containers") or ()),
        )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How many addresses stand behind a service, and how many of them take traffic."""

    service: str
    namespace: str
    ready: int
    not_ready: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the cluster told about one of its objects."""

    namespace: str
    kind: str
    name: str
    type: str
    reason: str
    message: str
    count: int
    at: datetime | None

    @classmethod
    def read(cls, item: _Json) -> Self:
        """Read a core/v1 event of the API server."""
        about = item.get("involvedObject") or {}
        at = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
        return cls(
            namespace=about.get("namespace") or item["metadata"].get("namespace", ""),
            kind=about.get("kind", ""),
            name=about.get("name", ""),
            type=item.get("type", "Normal"),
            reason=item.get("reason", ""),
            message=item.get("message", ""),
            count=int(item.get("count") or 1),
            at=parsed(at),
        )


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a service answered through the API server's proxy; ``status`` 0: nothing stood behind it."""

    status: int
    body: str

    @property
    def healthy(self) -> bool:
        """Whether it answered with a 2xx status."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap; write it back with its ``resource_version`` to notice that somebody was faster."""

    name: str
    namespace: str
    data: Mapping[str, str]
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, item: _Json) -> Self:
        """Read a ConfigMap of the API server."""
        meta = item["metadata"]
        return cls(
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            data=item.get("data") or {},
            resource_version=meta.get("resourceVersion", ""),
            labels=meta.get("labels") or {},
        )

    def body(self) -> dict[str, Any]:
        """The object as the API server wants it."""
        meta = _meta(self.name, self.namespace, self.labels, self.resource_version)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(self.data)}


@dataclass(frozen=True, slots=True)
class Lease:
    """A coordination.k8s.io/v1 Lease."""

    name: str
    namespace: str
    holder: str
    duration: timedelta
    acquired: datetime | None
    renewed: datetime | None
    transitions: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def lapsed(self, now: datetime) -> bool:
        """Whether nobody holds it any more at ``now``."""
        return not self.holder or self.renewed is None or now > self.renewed + self.duration

    @classmethod
    def read(cls, item: _Json) -> Self:
        """Read a Lease of the API server."""
        meta, spec = item["metadata"], item.get("spec") or {}
        return cls(
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            holder=spec.get("holderIdentity") or "",
            duration=timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0)),
            acquired=parsed(spec.get("acquireTime")),
            renewed=parsed(spec.get("renewTime")),
            transitions=int(spec.get("leaseTransitions") or 0),
            resource_version=meta.get("resourceVersion", ""),
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
        )

    def body(self) -> dict[str, Any]:
        """The object as the API server wants it."""
        meta = _meta(self.name, self.namespace, self.labels, self.resource_version)
        if self.annotations:
            meta["annotations"] = dict(self.annotations)
        spec: dict[str, Any] = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": max(1, int(self.duration.total_seconds())),
            "leaseTransitions": self.transitions,
        }
        if self.acquired:
            spec["acquireTime"] = written(self.acquired)
        if self.renewed:
            spec["renewTime"] = written(self.renewed)
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


@dataclass(frozen=True, slots=True)
class Access:
    """The answer to: may I do that? ``reason`` is the API server's, often empty."""

    verb: str
    resource: str
    namespace: str
    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace."""

    name: str
    phase: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @classmethod
    def read(cls, item: _Json) -> Self:
        """Read a namespace of the API server."""
        meta = item["metadata"]
        return cls(
            name=meta["name"],
            phase=(item.get("status") or {}).get("phase", "Active"),
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
        )


def _condition(status: _Json, wanted: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(one.get("type") == wanted and one.get("status") == "True" for one in conditions)


def _true_since(status: _Json, wanted: str) -> datetime | None:
    conditions = status.get("conditions") or ()
    held = (one for one in conditions if one.get("type") == wanted and one.get("status") == "True")
    return next((parsed(one.get("lastTransitionTime")) for one in held), None)


def controller_of(meta: _Json) -> str:
    """``Kind/name`` of what controls the object with this metadata, "" where nothing does."""
    owners = meta.get("ownerReferences") or ()
    return next((f"{one['kind']}/{one['name']}" for one in owners if one.get("controller")), "")


def _meta(name: str, namespace: str, labels: Mapping[str, str], version: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        meta["labels"] = dict(labels)
    if version:
        meta["resourceVersion"] = version
    return meta
