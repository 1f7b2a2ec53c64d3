"""Why: the twin is driven by calls and read by queries; tests of it want to say both in one line.

``Rig`` is the platform of the catalogue, all pods ready and scraped, without a cluster around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from gameday.spec.loader import parse, read
from gameday.spec.platform import Platform
from sandbox.prometheus.promql.engine import Engine, VectorResult
from sandbox.prometheus.server import Prometheus
from sandbox.twin.platform import Twin
from sandbox.wiring import Injection, PodRef, Scrapeable
from sandbox.world import World

NAMESPACE = "pyairtable-staging"
CATALOGUE = Path(__file__).parents[2] / "experiments" / "platform.yaml"


@cache
def declared() -> Platform:
    """The platform of the catalogue."""
    return parse(read(CATALOGUE), Platform)


class Rig:
    """A platform that has run for half a minute."""

    def __init__(
        self, *, seed: int = 1, platform: Platform | None = None, also: Iterable[Scrapeable] = ()
    ) -> None:
        """Prometheus scrapes ``also`` beside the platform."""
        self.platform = platform or declared()
        self.world = World(seed=seed, epoch=datetime(2026, 11, 23, 10, tzinfo=UTC))
        self.twin = Twin(self.world, self.platform, namespace=NAMESPACE)
        self.prometheus = Prometheus(self.world, [self.twin, *also], scrape_interval_s=5)
        self.engine = Engine(self.prometheus.storage)
        self.deaths: list[tuple[str, str]] = []
        self.twin.on_container_death(lambda pod, reason: self.deaths.append((pod.name, reason)))
        self.pods: dict[str, PodRef] = {}
        for service in self.platform.services:
            for index in range(service.replicas):
                self.start(service.name, index)
        self.wait(30)

    def start(self, service: str, index: int) -> PodRef:
        """Start a pod and make it ready."""
        name = f"{service}-{index}"
        pod = PodRef(NAMESPACE, name, service, service, f"10.0.0.{len(self.pods) + 1}")
        self.pods[name] = pod
        self.twin.pod_started(pod)
        self.twin.pod_ready(pod)
        return pod

    def of(self, *services: str) -> list[PodRef]:
        """The pods of these services."""
        return [pod for pod in self.pods.values() if pod.service in services]

    def wait(self, seconds: float) -> None:
        """Let virtual seconds pass."""
        self.world.advance_to(self.world.elapsed + seconds)

    def inject(
        self,
        kind: str,
        spec: dict[str, Any],
        pods: Iterable[PodRef],
        *,
        peers: Iterable[PodRef] | None = None,
        side: str = ".",
    ) -> None:
        """Inject one fault, called ``fault``, on ``pods``."""
        others = None if peers is None else tuple(peers)
        for pod in pods:
            self.twin.inject(Injection("fault", kind, spec, pod, side, others))

    def recover(self) -> None:
        """End it."""
        self.twin.recover("fault")

    def ask(self, query: str) -> dict[str, float]:
        """What ``query`` answers now, by service, pod or status, whichever it keeps."""
        result = self.engine.instant(query, self.prometheus.now_ms())
        assert isinstance(result, VectorResult)
        order = ("service", "pod", "callee", "status")
        return {
            " ".join(labels.get(name) for name in order if labels.get(name)): value
            for labels, value in result.elements
        }

    def value(self, query: str) -> float:
        """The one number that ``query`` answers; 0 where it answers nothing."""
        found = self.ask(query)
        assert len(found) <= 1
        return next(iter(found.values()), 0.0)

    def p95(self, service: str) -> float:
        """The P95 of the answers of ``service`` in the last half minute, in seconds."""
        rates = f'rate(http_request_duration_seconds_bucket{{service="{service}"}}[30s])'
        return self.value(f"histogram_quantile(0.95, sum by (le) ({rates}))")

    def errors(self, service: str) -> float:
        """The 5xx answers of ``service`` per second in the last half minute."""
        return self.value(f'sum(rate(http_requests_total{{service="{service}",status=~"5.."}}[30s]))')

    def users(self, status: str) -> float:
        """The answers with a status that matches, per second, that users got in the last half minute."""
        return self.value(f'sum(rate(nginx_ingress_controller_requests{{status=~"{status}"}}[30s]))')

    def digest(self) -> str:
        """A digest of every sample so far."""
        found = hashlib.sha256()
        for series in self.prometheus.storage.all():
            found.update(repr(series.labels).encode())
            found.update(series.times.tobytes())
            found.update(series.values.tobytes())
        return found.hexdigest()
