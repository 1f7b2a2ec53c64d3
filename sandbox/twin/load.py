"""Why: without users nothing fails, so here they are: an open loop that never waits for the platform.

Requests arrive as a Poisson process at the entry service, through an ingress that tries a second
pod where the first refuses the connection, and that counts what users see. What they see is not
what the entry's own pods count: a pod that is killed counts nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

from gameday.spec.twin import Traffic
from sandbox.prometheus.exposition import Exposition
from sandbox.twin.chance import Chance
from sandbox.twin.httppods import BUCKETS
from sandbox.twin.kernel import REFUSED, TIMEOUT, Callback, Kernel, Outcome
from sandbox.twin.metrics import histogram_layout, histogram_values
from sandbox.twin.routes import RouteModel
from sandbox.twin.servers import Exchange, Service
from sandbox.twin.transport import Transport
from sandbox.wiring import ScrapeTarget

_CODES = (200, 401, 500, 502, 503, 504)
_OTHER = "other"

Answered = Callable[[Outcome], None]


def status_of(outcome: Outcome) -> int:
    """The status that the ingress answers with."""
    return outcome if outcome > 0 else 504 if outcome == TIMEOUT else 502


class _Visit(Callback):
    """One user's request, until it is answered."""

    __slots__ = ("answered", "began", "load", "route", "tries")

    def __init__(self, load: Load, route: RouteModel, answered: Answered | None = None) -> None:
        self.load = load
        self.route = route
        self.answered = answered
        self.began = load.kernel.env.now
        self.tries = 2

    def attempt(self) -> None:
        """Send it."""
        self.tries -= 1
        exchange = Exchange(self.route)
        self.load.transport.send(None, self.load.entry, exchange)
        if exchange.done:
            self.step(exchange.value)
        else:
            exchange.waiter = self
            self.load.kernel.expire(exchange, self.load.patience)

    def step(self, value: Outcome) -> None:
        """It was answered, or not."""
        if value == REFUSED and self.tries:
            self.attempt()
        else:
            self.load.count(value, self.load.kernel.env.now - self.began)
            if self.answered is not None:
                self.answered(value)


class Load:
    """The users and the ingress."""

    def __init__(
        self,
        traffic: Traffic,
        entry: Service,
        routes: Sequence[tuple[RouteModel, float]],
        kernel: Kernel,
        chance: Chance,
        transport: Transport,
    ) -> None:
        """Prepare to send requests: to ``entry``, for each of ``routes`` by its weight."""
        self.entry = entry
        self.kernel = kernel
        self.transport = transport
        self.patience = traffic.patience.total_seconds()
        self._rate = traffic.requests_per_second
        self._chance = chance.arrivals
        self._known = [route for route, _ in routes]
        self._routes = [route for route, weight in routes if weight > 0]
        self._bounds = list(accumulate(weight for _, weight in routes if weight > 0))
        self._counts = dict.fromkeys((*map(str, _CODES), _OTHER), 0)
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._layout = (
            *(
                ("nginx_ingress_controller_requests", {"service": entry.name, "status": status})
                for status in self._counts
            ),
            *histogram_layout("nginx_ingress_controller_request_duration_seconds", {"service": entry.name}),
        )
        self._begun = False

    def begin(self) -> None:
        """Let users come, unless they do already."""
        if not self._begun and self._rate > 0 and self._routes:
            self._begun = True
            self._wait()

    def _wait(self) -> None:
        self.kernel.later(self._chance.expovariate(self._rate), self._arrive)

    def _arrive(self) -> None:
        self._wait()
        drawn = self._chance.random() * self._bounds[-1]
        _Visit(self, self._routes[bisect_left(self._bounds, drawn)]).attempt()

    def visit(self, method: str, path: str, answered: Answered) -> bool:
        """Send one more request, whose outcome ``answered`` hears; False where there is no such route."""
        route = next((one for one in self._known if (one.method, one.path) == (method, path)), None)
        if route is not None:
            _Visit(self, route, answered).attempt()
        return route is not None

    def count(self, outcome: Outcome, took: float) -> None:
        """A user was answered ``outcome`` after ``took`` seconds."""
        name = str(status_of(outcome))
        self._counts[name if name in self._counts else _OTHER] += 1
        self._buckets[bisect_left(BUCKETS, took)] += 1
        self._seconds += took

    def target(self) -> ScrapeTarget:
        """The ingress controller, as Prometheus scrapes it."""
        values = [*map(float, self._counts.values()), *histogram_values(self._buckets, self._seconds)]
        return ScrapeTarget(
            job="ingress", instance="ingress-nginx:10254", samples=Exposition(self._layout, values)
        )
