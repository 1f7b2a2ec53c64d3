"""Why: a route is declared as steps; each becomes a function here that a pod's worker runs.

Calls to other services, look-ups in the cache with the database behind it, queries, files, tokens.
A step answers 200 to go on, or the status that ends the request.
"""

from __future__ import annotations

from gameday.spec.twin import Step, Traffic
from sandbox.twin.httppods import HttpPod
from sandbox.twin.kernel import GRANTED, OPEN, REJECTED, TIMEOUT, Outcome, Steps
from sandbox.twin.routes import Command, RouteModel, StepFunction
from sandbox.twin.stores import HIT, MISS, Cache


def _status_for(outcome: Outcome) -> int:
    """What a gateway answers where a call ended in ``outcome``."""
    if outcome >= 300:
        return outcome
    if outcome == TIMEOUT:
        return 504
    return 503 if outcome in {OPEN, REJECTED} else 502


def calling(callee: str, route: RouteModel, *, fallback: bool) -> StepFunction:
    """Ask ``callee``; with ``fallback``, do without where it cannot."""

    def step(pod: HttpPod) -> Steps:
        edge = pod.edges[callee]
        outcome = yield from edge.call(route)
        if 200 <= outcome < 300:
            return 200
        if fallback and (outcome < 0 or outcome >= 500):
            edge.fallbacks += 1
            return 200
        return _status_for(outcome)

    return step


def querying(database: str, *, write: bool, cost: float) -> StepFunction:
    """Ask ``database`` over a connection of the pod's pool; ``cost`` times as much as a plain query."""
    command = Command(write=write, cost=cost)

    def step(pod: HttpPod) -> Steps:
        pool = pod.pool
        granted = yield from pool.take()
        if granted != GRANTED:
            return 503
        try:
            outcome = yield from pod.edges[database].call(command)
        finally:
            pool.give_back()
        return 200 if outcome == 200 else 500

    return step


def looking_up(cache: str, database: str, *, hit_ratio: float, cost: float) -> StepFunction:
    """Ask ``cache``; where it misses or does not answer, ask ``database`` and fill the cache."""
    command = Command(hit_ratio=hit_ratio)
    query = querying(database, write=False, cost=cost)

    def step(pod: HttpPod) -> Steps:
        edge = pod.edges[cache]
        found = yield from edge.call(command)
        if found == HIT:
            pod.cache_hits += 1
            return 200
        pod.cache_misses += 1
        status = yield from query(pod)
        if status == 200 and found == MISS:
            for server in edge.callee.endpoints:
                if isinstance(server, Cache):
                    server.fill()
        return status

    return step


def using_file(*, write: bool) -> StepFunction:
    """Read or write a file on the pod's own disk."""

    def step(pod: HttpPod) -> Steps:
        if not pod.effects.disk:
            return 200
        delay, fails = pod.touch_disk(write=write)
        if delay:
            yield delay
        return 500 if fails else 200

    return step


def validating(traffic: Traffic) -> StepFunction:
    """Judge a token by the pod's clock: one that is off finds some expired, or not yet valid."""
    leeway = traffic.clock_leeway.total_seconds()
    lifetime = traffic.token_lifetime.total_seconds()

    def step(pod: HttpPod) -> Steps:
        skew = abs(pod.effects.skew)
        if skew > leeway and pod.chance.faults.random() < (skew - leeway) / lifetime:
            return 401
        return 200
        yield

    return step


def compiled(
    step: Step, *, routes: dict[tuple[str, str], RouteModel], database: str, cache: str, traffic: Traffic
) -> StepFunction:
    """The function for ``step``. Raises ``ValueError`` where it names a route that nobody has."""
    if step.call:
        route = routes.get((step.call, step.path))
        if route is None:
            raise ValueError(f"twin: {step.call} has no route {step.path}")
        return calling(step.call, route, fallback=step.fallback)
    if step.cached:
        return looking_up(cache, database, hit_ratio=step.hit_ratio, cost=step.cost)
    if step.query:
        return querying(database, write=step.query == "write", cost=step.cost)
    if step.file:
        return using_file(write=step.file == "write")
    return validating(traffic)
