"""Why: the parts of the sandbox meet here, so that each can be built and tested without the others.

Kubernetes and the Chaos Mesh controller decide which pods exist and which faults act on them; the
twin decides what that does to requests; Prometheus scrapes both. The words they exchange stand
here, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PodRef:
    """One pod, and the service of platform.yaml that it belongs to ("" where it belongs to none)."""

    namespace: str
    name: str
    service: str
    container: str = ""
    ip: str = ""


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault on one pod, as the Chaos Mesh daemon would carry it out.

    ``spec`` is the chaos object's own spec. ``peers`` are the pods of the other side of a
    NetworkChaos with a target: ``pod`` is a source where ``side`` is "." and one of the targets
    where it is ".Target". ``peers`` is None where the fault concerns all traffic of the pod.
    """

    id: str
    kind: str
    spec: Mapping[str, Any]
    pod: PodRef
    side: str = "."
    peers: tuple[PodRef, ...] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series, as an exporter would expose it."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """What Prometheus scrapes once per interval: ``up`` gets ``labels`` and says whether it worked."""

    job: str
    instance: str
    labels: Mapping[str, str] = field(default_factory=dict)
    healthy: bool = True
    samples: Sequence[Sample] = ()


class Scrapeable(Protocol):
    """Something with metrics."""

    def scrape(self) -> Iterable[ScrapeTarget]:
        """The targets of this moment; one that is gone is simply no longer among them."""
        ...


class Platform(Scrapeable, Protocol):
    """What the cluster tells the twin, and what it may ask of it. Every call is synchronous."""

    def pod_started(self, pod: PodRef) -> None:
        """The pod's containers run; it is not ready yet and gets no traffic."""

    def pod_ready(self, pod: PodRef) -> None:
        """The pod gets traffic from now on."""

    def pod_unready(self, pod: PodRef) -> None:
        """The pod gets no new traffic, but lives."""

    def pod_gone(self, pod: PodRef) -> None:
        """The pod ended: what it was answering fails."""

    def pod_crashed(self, pod: PodRef) -> None:
        """The pod's containers ended: nothing answers until ``pod_started``, and the pod stays."""

    def inject(self, injection: Injection) -> None:
        """The fault acts from now on."""

    def recover(self, injection_id: str) -> None:
        """The fault ends. Nothing happens where it is not known."""

    def health(self, pod: PodRef) -> int:
        """The HTTP status that the pod's health path would answer; 0 where nothing answers."""
        ...

    def on_container_death(self, callback: Callable[[PodRef, str], None]) -> None:
        """Have ``callback(pod, reason)`` called when a container dies by itself (``OOMKilled``)."""
