"""Why: a fault in one service reaches users through the clients of the others.

``Edge`` is how one pod calls one service: bulkhead, breaker, timeout, retries with jittered
backoff, name resolution. ``ConnectionPool`` is what a pod keeps open to the database.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from gameday.spec.twin import Client, Pool
from sandbox.twin.kernel import GRANTED, OPEN, REFUSED, REJECTED, RESET, TIMEOUT, Outcome, Reply, Steps
from sandbox.twin.resilience import CLOSED, CircuitBreaker, RetryBudget
from sandbox.twin.routes import Command, RouteModel
from sandbox.twin.servers import Exchange, Server, Service
from sandbox.twin.transport import Transport

_SAFE_TO_REPEAT = frozenset({REFUSED, 503})
_WORTH_REPEATING = frozenset({REFUSED, RESET, TIMEOUT, 502, 503, 504})


class Edge:
    """How one pod calls one service; the breaker judges calls, not the tries within them."""

    __slots__ = (
        "_backoff",
        "_budget",
        "_concurrent",
        "_in_flight",
        "_retries",
        "_timeout",
        "breaker",
        "callee",
        "failures",
        "fallbacks",
        "pod",
        "rejected",
        "resolved_until",
        "retries",
        "timeouts",
        "transport",
    )

    def __init__(self, pod: Server, callee: Service, policy: Client, transport: Transport) -> None:
        self.pod = pod
        self.callee = callee
        self.transport = transport
        self.breaker = CircuitBreaker(policy.breaker) if policy.breaker else None
        self._budget = RetryBudget(policy.retry_budget)
        self._timeout = policy.timeout.total_seconds()
        self._retries = policy.retries
        self._backoff = policy.backoff.total_seconds()
        self._concurrent = policy.concurrent
        self._in_flight = 0
        self.resolved_until = 0.0
        self.retries = self.failures = self.timeouts = self.rejected = self.fallbacks = 0

    @property
    def breaker_state(self) -> int:
        """0 closed, 1 half-open, 2 open."""
        return self.breaker.state if self.breaker else CLOSED

    def call(self, wanted: RouteModel | Command) -> Steps:
        """Ask for ``wanted`` and answer how that ended, after all tries."""
        if self._in_flight >= self._concurrent:
            self.rejected += 1
            return REJECTED
        breaker = self.breaker
        if breaker is not None and not breaker.allows(self.pod.env.now):
            self.rejected += 1
            return OPEN
        self._in_flight += 1
        self._budget.earn()
        try:
            outcome = yield from self._tries(wanted)
        finally:
            self._in_flight -= 1
        if breaker is not None:
            breaker.note(self.pod.env.now, failed=_failed(outcome))
        return outcome

    def _tries(self, wanted: RouteModel | Command) -> Steps:
        left = self._retries
        wait = self._backoff
        while True:
            outcome = yield from self._attempt(wanted)
            if not _failed(outcome):
                return outcome
            self.failures += 1
            if outcome == TIMEOUT:
                self.timeouts += 1
            if left == 0 or not _worth_repeating(wanted, outcome) or not self._budget.spend():
                return outcome
            left -= 1
            self.retries += 1
            yield wait * (0.5 + self.pod.chance.faults.random())
            wait *= 2.0

    def _attempt(self, wanted: RouteModel | Command) -> Steps:
        if self.pod.effects.names and not self._resolves(self.pod.env.now):
            return REFUSED
        exchange = Exchange(wanted)
        self.transport.send(self.pod, self.callee, exchange)
        if exchange.done:
            return exchange.value
        self.pod.kernel.expire(exchange, self._timeout)
        return (yield exchange)

    def _resolves(self, now: float) -> bool:
        callee = self.callee
        return now < self.resolved_until or not self.pod.effects.misresolves(callee.name, callee.namespace)


def _failed(outcome: Outcome) -> bool:
    return outcome < 0 or outcome >= 500


def _worth_repeating(wanted: RouteModel | Command, outcome: Outcome) -> bool:
    if isinstance(wanted, RouteModel) and not wanted.idempotent:
        return outcome in _SAFE_TO_REPEAT
    return outcome in _WORTH_REPEATING


class ConnectionPool:
    """The connections of one pod to the database: a query takes one, or waits for one."""

    __slots__ = ("_patience", "_pod", "_waiting", "in_use", "size", "timeouts", "waited", "waits")

    def __init__(self, pod: Server, spec: Pool) -> None:
        self._pod = pod
        self._waiting: deque[Reply] = deque()
        self._patience = spec.wait.total_seconds()
        self.size = spec.size
        self.in_use = 0
        self.waits = self.timeouts = 0
        self.waited = 0.0

    def take(self) -> Steps:
        """Wait for a connection; answers ``GRANTED``, or ``TIMEOUT`` where none came free in time."""
        if self.in_use < self.size:
            self.in_use += 1
            return GRANTED
        ticket = Reply()
        self._waiting.append(ticket)
        self._pod.kernel.expire(ticket, self._patience)
        since = self._pod.env.now
        outcome = yield ticket
        self.waits += 1
        self.waited += self._pod.env.now - since
        if outcome == TIMEOUT:
            self.timeouts += 1
        return outcome

    def give_back(self) -> None:
        """Hand the connection to whoever has waited longest."""
        while self._waiting:
            ticket = self._waiting.popleft()
            if not ticket.done:
                # By way of the event queue: a row of waiters must not become a tower of calls.
                self._pod.kernel.later(0.0, partial(self._grant, ticket))
                return
        self.in_use -= 1

    def _grant(self, ticket: Reply) -> None:
        if ticket.done:
            self.give_back()
        else:
            ticket.resolve(GRANTED)
