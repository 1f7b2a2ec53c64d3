"""What the twin knows of a failure pattern, every second, from its own counters and states.

No signal and no query takes part. A pattern is there where it is clear, somewhere after the injection and
nowhere before it; where it is only hinted at, nobody could say, and the case counts for no detector (in
brackets, from where on it is a hint). In fifteen seconds:

- connection pool exhaustion: in twelve (five) of them a pod's pool is full while somebody waits for a
  connection.
- resource exhaustion: a container is killed for want of memory, or in twelve (five) of them holds 95 % of its
  limit, or uses 97 % (85 %) of its CPU over all of them, or in twelve (five) of them has no free worker while
  requests wait.
- cascading failure: a service that no fault acts on answers 15 % (5 %) or more with 5xx, at least eight
  (three), and its own calls that failed, or were not made for an open breaker or a full bulkhead, are at
  least half as many.
- thundering herd: in thirty seconds a service is sent twice (1.3 times) the calls that it usually is for so
  many users, and more than chance would send it: six (three) deviations.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.twin.httppods import HttpPod
from sandbox.twin.platform import Twin
from sandbox.twin.servers import Exchange, Server, Service
from sandbox.twin.transport import Transport
from sandbox.wiring import PodRef
from sandbox.world import World

_WINDOW: Final = 15
_NEARLY_ALL: Final = 0.95
_HERD_WINDOW: Final = 30


@dataclass(frozen=True, slots=True)
class _From:
    """From where on a pattern is there."""

    of_window: int
    cpu: float
    failing: float
    failures: int
    herd: float
    deviations: float


_CLEAR: Final = _From(12, 0.97, 0.15, 8, 2.0, 6)
_HINT: Final = _From(5, 0.85, 0.05, 3, 1.3, 3)


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
        self._hinted: dict[str, set[str]] = defaultdict(set)
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
        self._before, self._found, self._hinted = self._hinted, defaultdict(set), defaultdict(set)
        self._usual = {name: count / self._seconds for name, count in self._counting.sent.items()}

    def label(self) -> Mapping[str, tuple[str, ...]]:
        """Each pattern that there was since the injection and not before it, with its services."""
        return {
            name: tuple(sorted(new))
            for name, services in self._found.items()
            if (new := services - self._before.get(name, set()))
        }

    def unclear(self) -> frozenset[str]:
        """The patterns of which the twin itself cannot say whether they are there."""
        return frozenset(name for name, services in self._hinted.items() if services) - set(self.label())

    def _tell(self, name: str, service: str, clear: bool, hinted: bool) -> None:
        if clear:
            self._found[name].add(service)
        if clear or hinted:
            self._hinted[name].add(service)

    def _tap(self) -> None:
        for server in self._twin._servers.values():
            if isinstance(server, HttpPod):
                for edge in server.edges.values():
                    edge.transport = self._counting

    def _died(self, pod: PodRef, reason: str) -> None:
        if reason == "OOMKilled":
            self._tell("resource-exhaustion", pod.service, True, True)

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
        seconds = [self._sum(server, "memory", full)]
        if isinstance(server, HttpPod):
            seconds.append(self._sum(server, "workers", server.queued > 0))
        of_cpu = self._sum(server, "cpu", cpu) / (spec.cpus * _WINDOW)
        clear, hinted = (max(seconds) >= one.of_window or of_cpu >= one.cpu for one in (_CLEAR, _HINT))
        self._tell("resource-exhaustion", server.service.name, clear, hinted)

    def _pool(self, pod: HttpPod) -> None:
        pool = pod.pool
        waiting = any(not ticket.done for ticket in pool._waiting)
        seconds = self._sum(pod, "pool", waiting and pool.in_use >= pool.size)
        clear, hinted = (seconds >= one.of_window for one in (_CLEAR, _HINT))
        self._tell("connection-pool-exhaustion", pod.service.name, clear, hinted)

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
        if service not in self._hit and because >= failed / 2:
            clear, hinted = (
                failed >= one.failures and failed >= one.failing * total for one in (_CLEAR, _HINT)
            )
            self._tell("cascading-failure", service, clear, hinted)

    def _herd(self, service: str, sent: int) -> None:
        calls = self._sum(service, "calls", sent - self._sent[service], _HERD_WINDOW)
        self._sent[service] = sent
        users = self._sum(service, "users", self.load, _HERD_WINDOW)
        if not self._usual or len(self._recent[service, "calls"]) < _HERD_WINDOW:
            return
        expected = self._usual.get(service, 0.0) * users
        more = calls - expected
        clear, hinted = (
            calls >= one.herd * expected and more >= one.deviations * math.sqrt(expected)
            for one in (_CLEAR, _HINT)
        )
        self._tell("thundering-herd", service, clear, hinted)
