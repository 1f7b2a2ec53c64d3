"""Why: a service's pod has so many workers, a queue of such a length, and then it says no.

Takes requests, runs the steps of their route, counts and times what it answered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sandbox.twin.chance import Chance
from sandbox.twin.clients import ConnectionPool, Edge
from sandbox.twin.kernel import REFUSED, RESET, Kernel, Outcome, Process, Task
from sandbox.twin.routes import RouteModel
from sandbox.twin.servers import Exchange, Server, Service
from sandbox.wiring import PodRef

BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Statuses:
    """The HTTP statuses that can occur, in the order of their columns; it only grows."""

    __slots__ = ("codes", "index")

    def __init__(self, codes: Sequence[int]) -> None:
        self.codes = list(codes)
        self.index = {code: column for column, code in enumerate(codes)}

    def add(self, code: int) -> None:
        """Make room for ``code``."""
        if code not in self.index:
            self.index[code] = len(self.codes)
            self.codes.append(code)


class HttpPod(Server):
    """A pod of a service that answers HTTP."""

    def __init__(
        self,
        ref: PodRef,
        service: Service,
        kernel: Kernel,
        chance: Chance,
        *,
        routes: Sequence[RouteModel],
        statuses: Statuses,
    ) -> None:
        super().__init__(ref, service, kernel, chance)
        self._routes = routes
        self._statuses = statuses
        self._workers = service.spec.workers
        self._room = service.spec.queue
        self._serving: dict[Exchange, Task | None] = {}
        self._queue: deque[Exchange] = deque()
        self.edges: Mapping[str, Edge] = {}
        self.pool = ConnectionPool(self, service.spec.pool)
        self.requests: list[list[int]] = [[0] * len(statuses.codes) for _ in routes]
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.answered = 0
        self.cache_hits = self.cache_misses = 0

    @property
    def in_flight(self) -> int:
        """Requests that are being answered or wait for a worker."""
        return len(self._serving) + len(self._queue)

    @property
    def queued(self) -> int:
        """Requests that wait for a worker."""
        return len(self._queue)

    def accept(self, exchange: Exchange) -> None:
        """Take a request, as far as the faults on the port let it through."""
        if not self.answering:
            exchange.resolve(REFUSED)
        elif self.effects.http:
            self._intercept(exchange)
        else:
            self._admit(exchange)

    def _intercept(self, exchange: Exchange) -> None:
        route = exchange.wanted
        assert isinstance(route, RouteModel)
        faults = [fault for fault in self.effects.http if fault.concerns(route.method, route.path)]
        exchange.tampered = [fault for fault in faults if fault.on_response]
        on_request = [fault for fault in faults if not fault.on_response]
        if any(fault.abort for fault in on_request):
            exchange.tampered = None
            self.respond(exchange, RESET)
        elif delay := sum(fault.delay for fault in on_request):
            self.kernel.later(delay, lambda: self._admit(exchange))
        else:
            self._admit(exchange)

    def _admit(self, exchange: Exchange) -> None:
        if not self.answering:
            exchange.resolve(REFUSED)
            return
        exchange.since = self.env.now
        if len(self._serving) < self._workers:
            self._start(exchange)
        elif len(self._queue) < self._room:
            self._queue.append(exchange)
        else:
            self._count(exchange, 503)
            self.respond(exchange, 503)

    def _start(self, exchange: Exchange) -> None:
        self._serving[exchange] = None
        self._serving[exchange] = self.kernel.spawn(self._serve(exchange))

    def _serve(self, exchange: Exchange) -> Process:
        route = exchange.wanted
        assert isinstance(route, RouteModel)
        work = route.work()
        self.cpu_seconds += work
        yield work * self.pace
        status: Outcome = 200
        for step in route.steps:
            if self.throttled:
                yield self.stall()
            status = yield from step(self)
            if status != 200:
                break
        del self._serving[exchange]
        if self._queue:
            self._start(self._queue.popleft())
        self._count(exchange, status)
        self.respond(exchange, status)

    def _count(self, exchange: Exchange, status: int) -> None:
        took = self.env.now - exchange.since
        route = exchange.wanted
        assert isinstance(route, RouteModel)
        column = self._statuses.index[status]
        row = self.requests[route.index]
        while len(row) <= column:
            row.append(0)
        row[column] += 1
        self.buckets[bisect_left(BUCKETS, took)] += 1
        self.seconds += took
        self.answered += 1

    def abandon(self) -> Iterator[Exchange]:
        """Kill every task; yield what it was answering, and what was queued."""
        serving, queue = self._serving, self._queue
        self._serving, self._queue = {}, deque()
        for task in serving.values():
            if task is not None:
                task.kill()
        yield from serving
        yield from queue
