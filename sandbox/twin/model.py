"""Why: from platform.yaml to what runs: services, routes, and who calls whom over which client.

Built once. A service without routes of its own gets one that calls everything it is declared to
call, so that a platform without ``twin`` blocks can be rehearsed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.spec.platform import Platform
from gameday.spec.platform import Service as ServiceSpec
from gameday.spec.twin import Client, Route, Step
from sandbox.prometheus.exposition import Layout
from sandbox.twin.chance import Chance, lognormal
from sandbox.twin.clients import Edge
from sandbox.twin.httppods import HttpPod, Statuses
from sandbox.twin.kernel import Kernel
from sandbox.twin.metrics import http_layout
from sandbox.twin.routes import RouteModel
from sandbox.twin.servers import Server, Service
from sandbox.twin.steps import compiled
from sandbox.twin.stores import Cache, Store
from sandbox.twin.transport import Transport
from sandbox.wiring import PodRef

_CODES = (200, 401, 500, 502, 503, 504)


@dataclass(slots=True)
class _Blueprint:
    """What every pod of one service is made from."""

    service: Service
    routes: tuple[RouteModel, ...]
    callees: tuple[str, ...]
    layout: Layout = ()
    columns: int = 0


class Model:
    """The services of a platform, and what their pods are made from."""

    def __init__(self, platform: Platform, namespace: str, kernel: Kernel, chance: Chance) -> None:
        """Raises ``ValueError`` where the ``twin`` blocks name what is not there."""
        self._kernel = kernel
        self._chance = chance
        self.statuses = Statuses(_CODES)
        self.transport = Transport(kernel, chance)
        self._kinds = {service.name: service.twin.kind for service in platform.services}
        self._blueprints: dict[str, _Blueprint] = {}
        declared: dict[str, tuple[Route, ...]] = {}
        known: dict[tuple[str, str], RouteModel] = {}
        for spec in platform.services:
            service = Service(spec.name, namespace, spec.port, spec.twin, chance)
            declared[spec.name] = self._routes_of(spec)
            routes = tuple(
                RouteModel(index, route, lognormal(route.work, chance.work))
                for index, route in enumerate(declared[spec.name])
            )
            known.update({(spec.name, route.path): route for route in routes})
            self._blueprints[spec.name] = _Blueprint(
                service, routes, self._callees(spec, declared[spec.name])
            )
        for spec in platform.services:
            database, cache = self._first(spec, "database"), self._first(spec, "cache")
            for route, model in zip(declared[spec.name], self._blueprints[spec.name].routes, strict=True):
                model.steps = tuple(
                    compiled(step, routes=known, database=database, cache=cache, traffic=platform.twin)
                    for step in route.steps
                )

    def _routes_of(self, spec: ServiceSpec) -> tuple[Route, ...]:
        if spec.twin.kind != "http" or spec.twin.routes:
            return spec.twin.routes
        steps = [
            Step(call=callee, path="/") if kind == "http" else Step(query="read")
            for callee in spec.calls
            if (kind := self._kinds[callee]) != "cache"
        ]
        return (Route(path="/", share=1, steps=tuple(steps)),)

    def _first(self, spec: ServiceSpec, kind: str) -> str:
        return next((name for name in (*spec.calls, *self._kinds) if self._kinds[name] == kind), "")

    def _callees(self, spec: ServiceSpec, routes: Sequence[Route]) -> tuple[str, ...]:
        found: list[str] = []
        for step in (step for route in routes for step in route.steps):
            if step.call:
                found.append(step.call)
            if step.cached:
                found.append(self._first(spec, "cache"))
            if step.cached or step.query:
                found.append(self._first(spec, "database"))
        unknown = sorted({name for name in found if name not in self._kinds})
        if unknown:
            raise ValueError(f"twin of {spec.name}: there is no service {unknown[0] or 'for its data'}")
        return tuple(dict.fromkeys(found))

    def service(self, name: str) -> Service | None:
        """The service called ``name``, if there is one."""
        blueprint = self._blueprints.get(name)
        return blueprint.service if blueprint else None

    @property
    def complete(self) -> bool:
        """Whether every service has a pod that may be called."""
        return all(blueprint.service.endpoints for blueprint in self._blueprints.values())

    def routes(self, name: str) -> list[tuple[RouteModel, float]]:
        """The routes of a service, with their share of the users' requests."""
        blueprint = self._blueprints[name]
        shares = [route.share for route in blueprint.service.spec.routes] or [1.0]
        return list(zip(blueprint.routes, shares, strict=True))

    def start(self, ref: PodRef) -> Server:
        """A fresh process for the pod ``ref``."""
        blueprint = self._blueprints[ref.service]
        service = blueprint.service
        if service.spec.kind != "http":
            kind = Cache if service.spec.kind == "cache" else Store
            return kind(ref, service, self._kernel, self._chance)
        pod = HttpPod(
            ref,
            service,
            self._kernel,
            self._chance,
            routes=blueprint.routes,
            statuses=self.statuses,
        )
        clients = service.spec.clients
        pod.edges = {
            name: Edge(pod, self._blueprints[name].service, clients.get(name, _DEFAULT), self.transport)
            for name in blueprint.callees
        }
        return pod

    def layout(self, service: str) -> Layout:
        """The series of each pod of an HTTP service."""
        blueprint = self._blueprints[service]
        if blueprint.columns != len(self.statuses.codes):
            blueprint.layout = http_layout(blueprint.routes, self.statuses, blueprint.callees)
            blueprint.columns = len(self.statuses.codes)
        return blueprint.layout

    def connections(self, store: str, servers: Sequence[Server]) -> int:
        """How many connections the pods keep open to ``store``."""
        database = self._kinds[store] == "database"
        pods = [pod for pod in servers if isinstance(pod, HttpPod) and pod.answering and store in pod.edges]
        return sum(pod.pool.size if database else 1 for pod in pods)


_DEFAULT = Client()
