"""What the twin knows of a failure pattern, every second, from its own counters and states.

No signal and no query takes part. In fifteen seconds somewhere after the injection, and nowhere before it:

- connection pool exhaustion: in ten of them a pod's pool is full while somebody waits for a connection.
- resource exhaustion: a container is killed for want of memory, or for ten of them holds 95 % of its limit,
  or uses 95 % of its CPU over all of them, or in ten of them has no free worker while requests wait.
- cascading failure: a service that no fault acts on answers a tenth or more with 5xx, at least five, and its
  own calls that failed, or were not made for an open breaker or a full bulkhead, are at least half as many.
- thundering herd: in thirty seconds a service is sent 1.6 times the calls that it usually is for so many
  users, and more than chance would send it (six deviations); a short burst counts by how much it brings.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Final

from sandbox.twin.httppods import HttpPod
from sandbox.twin.platform import Twin
from sandbox.twin.servers import Exchange, Server, Service
from sandbox.twin.transport import Transport
from sandbox.wiring import PodRef
from sandbox.world import World

_WINDOW: Final = 15
_OF_IT: Final = 10
_NEARLY_ALL: Final = 0.95
_FAILING, _FAILURES = 0.1, 5
_HERD_WINDOW, _HERD, _DEVIATIONS = 30, 1.6, 6


class _Counting(Transport):
    """Carries exchanges, and counts them by the service that they go to."""

    __slots__ = ("sent",)

    def __init__(self, twin: Twin) -> None:
        super().__init__(twin._kernel, twin._chance)
        self.sent: dict[str, int] = defaultdict(int)

    def send(self, caller: Server | None, service: Service, exchange: Exchange) -> None:
        """Count it, and send it."""
        self.sent[service.name] += 1
        super().send(caller, service, exchange)


class Truth:
    """Watches a twin from now on."""

    def __init__(self, world: World, twin: Twin, hit: tuple[str, ...]) -> None:
        self.load = 1.0
        self._twin = twin
        self._hit = hit
        self._before: dict[str, set[str]] = {}
        self._found: dict[str, set[str]] = defaultdict(set)
        self._last: dict[tuple[Server, str], float] = {}
        self._recent: dict[tuple[object, str], deque[float]] = {}
        self._usual: dict[str, float] = {}
        self._sent: dict[str, int] = defaultdict(int)
        self._seconds = 0
        self._counting = _Counting(twin)
        twin.on_container_death(self._died)
        self._tap()
        world.every(1.0, self._look)

    def injected(self) -> None:
        """The baseline is over."""
        self._before, self._found = self._found, defaultdict(set)
        self._usual = {name: count / self._seconds for name, count in self._counting.sent.items()}

    def label(self) -> Mapping[str, tuple[str, ...]]:
        """Each pattern that there was since the injection and not before it, with its services."""
        return {
            name: tuple(sorted(new))
            for name, services in self._found.items()
            if (new := services - self._before.get(name, set()))
        }

    def _tap(self) -> None:
        for server in self._twin._servers.values():
            if isinstance(server, HttpPod):
                for edge in server.edges.values():
                    edge.transport = self._counting

    def _died(self, pod: PodRef, reason: str) -> None:
        if reason == "OOMKilled":
            self._found["resource-exhaustion"].add(pod.service)

    def _grown(self, server: Server, name: str, value: float) -> float:
        """By how much a pod's counter has grown since the last look."""
        grown = value - self._last.get((server, name), 0.0)
        self._last[server, name] = value
        return grown

    def _sum(self, key: object, name: str, value: float, window: int = _WINDOW) -> float:
        """The sum of the last seconds, this one included."""
        recent = self._recent.setdefault((key, name), deque(maxlen=window))
        recent.append(value)
        return sum(recent)

    def _look(self) -> None:
        self._seconds += 1
        self._tap()
        answers: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for server in list(self._twin._servers.values()):
            self._resources(server)
            if isinstance(server, HttpPod):
                self._pool(server)
                for index, value in enumerate(self._answered(server)):
                    answers[server.service.name][index] += value
        for service, (total, failed, because) in answers.items():
            self._cascade(service, total, failed, because)
        for service, sent in self._counting.sent.items():
            self._herd(service, sent)

    def _resources(self, server: Server) -> None:
        spec = server.service.spec
        full = server.alive and server.working_set_mib >= _NEARLY_ALL * spec.memory_limit_mib
        cpu = self._grown(server, "cpu", server.total_cpu_seconds)
        used_up = self._sum(server, "memory", full) >= _OF_IT
        used_up |= self._sum(server, "cpu", cpu) >= _NEARLY_ALL * spec.cpus * _WINDOW
        if isinstance(server, HttpPod):
            used_up |= self._sum(server, "workers", server.queued > 0) >= _OF_IT
        if used_up:
            self._found["resource-exhaustion"].add(server.service.name)

    def _pool(self, pod: HttpPod) -> None:
        pool = pod.pool
        waiting = any(not ticket.done for ticket in pool._waiting)
        if self._sum(pod, "pool", waiting and pool.in_use >= pool.size) >= _OF_IT:
            self._found["connection-pool-exhaustion"].add(pod.service.name)

    def _answered(self, pod: HttpPod) -> tuple[float, float, float]:
        """What it answered since the last look, how much of that with 5xx, and its own calls that failed."""
        codes = pod._statuses.codes
        total = sum(map(sum, pod.requests))
        failed = sum(
            row[column] for row in pod.requests for column in range(len(row)) if codes[column] >= 500
        )
        because = sum(edge.failures + edge.rejected for edge in pod.edges.values())
        if "postgres" in self._hit:
            because += pod.pool.timeouts
        return (
            self._grown(pod, "answers", total),
            self._grown(pod, "failed", failed),
            self._grown(pod, "because", because),
        )

    def _cascade(self, service: str, total: float, failed: float, because: float) -> None:
        total = self._sum(service, "answers", total)
        failed = self._sum(service, "failed", failed)
        because = self._sum(service, "because", because)
        enough = failed >= _FAILURES and failed >= _FAILING * total
        if service not in self._hit and enough and because >= failed / 2:
            self._found["cascading-failure"].add(service)

    def _herd(self, service: str, sent: int) -> None:
        calls = self._sum(service, "calls", sent - self._sent[service], _HERD_WINDOW)
        self._sent[service] = sent
        users = self._sum(service, "users", self.load, _HERD_WINDOW)
        if not self._usual or len(self._recent[service, "calls"]) < _HERD_WINDOW:
            return
        expected = self._usual.get(service, 0.0) * users
        if calls >= _HERD * expected and calls - expected >= _DEVIATIONS * math.sqrt(expected):
            self._found["thundering-herd"].add(service)
