"""Why: the one thing that the sandbox's other parts see of the twin.

``Twin`` is the ``Platform`` of ``sandbox.wiring``: told which pods come and go and which faults act,
it lets users' requests run over them, and shows what came of it. A pod that is gone is still called
for a moment, until endpoints notice; a container that starts again begins with empty counters and
keeps only the faults that belong to its pod (network) or object (pod-failure).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gameday.spec.platform import Platform as PlatformSpec
from sandbox.prometheus.exposition import Layout
from sandbox.twin.chance import Chance
from sandbox.twin.front import Front
from sandbox.twin.httppods import HttpPod
from sandbox.twin.kernel import Kernel
from sandbox.twin.load import Load
from sandbox.twin.metrics import container_layout, container_samples, http_samples, store_samples
from sandbox.twin.model import Model
from sandbox.twin.network import PodKey
from sandbox.twin.servers import Server
from sandbox.twin.stores import Cache, Store
from sandbox.wiring import Injection, PodRef, ScrapeTarget
from sandbox.world import World

_PROBE_TIMEOUT_S: Final = 1.0
_MEMORY_CHECK_S: Final = 1.0
# Until then the platform is being set up: a cache that starts is as full as if it had always run.
_OPENING_S: Final = 60.0
_EXPORTER_PORTS: Final = {"database": 9187, "cache": 9121}

Death = Callable[[PodRef, str], None]


class Twin:
    """PyAirtable, or whatever ``platform`` declares, running in one namespace of ``world``."""

    def __init__(self, world: World, platform: PlatformSpec, *, namespace: str) -> None:
        """Begin with no pods; users come once every service has one, or after a minute.

        Raises ``ValueError`` for a wrong ``twin`` block.
        """
        self._world = world
        self._namespace = namespace
        self._job = platform.prometheus.job
        self._scrape_timeout = platform.prometheus.scrape_interval.total_seconds()
        self._lag = platform.twin.endpoint_lag.total_seconds()
        self._dns_cache = platform.twin.dns_cache.total_seconds()
        self._kernel = Kernel(world)
        self._chance = Chance(world)
        self._model = Model(platform, namespace, self._kernel, self._chance)
        self._servers: dict[PodKey, Server] = {}
        self._lingering: dict[Server, None] = {}
        self._deaths: list[Death] = []
        self._lost: set[str] = set()  # databases whose data went with a pod
        self._containers: tuple[tuple[Server, ...], Layout] = ((), ())
        name = platform.twin.entry or platform.services[0].name
        entry = self._model.service(name)
        if entry is None:
            raise ValueError(f"twin: entry: there is no service {name}")
        self.load = Load(
            platform.twin, entry, self._model.routes(name), self._kernel, self._chance, self._model.transport
        )
        health = next(one.health for one in platform.services if one.name == name)
        self.front = Front(world, self.load, health=health, healthy=self._entry_health).app()
        self._kernel.later(_OPENING_S, self.load.begin)
        world.every(_MEMORY_CHECK_S, self._check_memory)

    def _server(self, pod: PodRef) -> Server | None:
        return self._servers.get((pod.namespace, pod.name))

    def pod_started(self, pod: PodRef) -> None:
        """Run a fresh process in the pod; a container that starts again loses its counters."""
        if pod.namespace != self._namespace or self._model.service(pod.service) is None:
            return
        before = self._server(pod)
        server = self._model.start(pod)
        self._servers[server.key] = server
        if isinstance(server, Cache) and self._world.elapsed < _OPENING_S:
            server.warm_up()
        if isinstance(server, Store):
            server.empty = pod.service in self._lost
        if before is None:
            return
        self._unlist(before)
        if before.alive:
            before.die()
        server.faults = {key: fault for key, fault in before.faults.items() if fault.survives_restart}
        server.reckon()

    def pod_ready(self, pod: PodRef) -> None:
        """Give the pod its share of the traffic."""
        server = self._server(pod)
        if server is not None:
            server.listening = server.ready = True
            if server not in server.service.endpoints:
                server.service.endpoints.append(server)
            if self._model.complete:
                self.load.begin()

    def pod_unready(self, pod: PodRef) -> None:
        """Take the pod out of the traffic, once the others notice."""
        server = self._server(pod)
        if server is not None:
            server.ready = False
            self._kernel.later(self._lag, lambda: self._notice_unready(server))

    def _notice_unready(self, server: Server) -> None:
        if not server.ready:
            self._unlist(server)

    def pod_gone(self, pod: PodRef) -> None:
        """End the pod's process; connections to it fail until the others notice."""
        server = self._servers.pop((pod.namespace, pod.name), None)
        if server is None:
            return
        server.die()
        if server.service.spec.kind == "database" and not server.service.spec.keeps_data:
            self._lost.add(server.service.name)
        self._lingering[server] = None
        self._kernel.later(self._lag, lambda: self._forget(server))

    def pod_crashed(self, pod: PodRef) -> None:
        """End the pod's process, while the pod stays: nothing answers until ``pod_started``."""
        server = self._server(pod)
        if server is not None:
            server.die()
            self.pod_unready(pod)

    def _forget(self, server: Server) -> None:
        self._lingering.pop(server, None)
        self._unlist(server)

    def _unlist(self, server: Server) -> None:
        if server in server.service.endpoints:
            server.service.endpoints.remove(server)

    def inject(self, injection: Injection) -> None:
        """Let the fault act on its pod from now on. A kill is not injected: it is a pod that is gone."""
        server = self._server(injection.pod)
        if server is None:
            return
        server.add_fault(injection, self._chance.faults)
        for fault in server.effects.http:
            if fault.code:
                self._model.statuses.add(fault.code)
        if server.effects.names and isinstance(server, HttpPod):
            for edge in server.edges.values():
                kept_for = self._chance.faults.random() * self._dns_cache
                edge.resolved_until = self._world.elapsed + kept_for
        if injection.kind != "PodChaos":
            return
        if injection.spec.get("action") == "container-kill":
            self._kill(server, "Error")
        elif not server.answering:
            server.die()

    def recover(self, injection_id: str) -> None:
        """End the fault, wherever it acts. A pod whose image was broken starts anew."""
        for server in list(self._servers.values()):
            injection = server.drop_fault(injection_id)
            if injection is not None and injection.kind == "PodChaos" and server.effects.answering:
                self._restart(server)

    def _restart(self, server: Server) -> None:
        listed = server in server.service.endpoints
        self.pod_started(server.ref)
        fresh = self._servers[server.key]
        fresh.listening = server.listening
        if listed:
            fresh.service.endpoints.append(fresh)

    def health(self, pod: PodRef) -> int:
        """200, what HTTPChaos makes of it, or 0 where nothing answers within a probe's second."""
        server = self._server(pod)
        if server is None or not server.reachable(_PROBE_TIMEOUT_S):
            return 0
        status = 200
        for fault in server.effects.http:
            if fault.concerns("GET", "/health"):
                if fault.abort or fault.delay >= _PROBE_TIMEOUT_S:
                    return 0
                status = fault.code or status
        return status

    def _entry_health(self) -> int:
        """What the ingress would answer who asks the entry service for its health."""
        server = self.load.entry.pick()
        return (self.health(server.ref) if server is not None else 0) or 502

    def on_container_death(self, callback: Death) -> None:
        """Have ``callback(pod, reason)`` called when a container dies by itself."""
        self._deaths.append(callback)

    def _check_memory(self) -> None:
        for server in list(self._servers.values()):
            if server.alive and server.working_set_mib > server.service.spec.memory_limit_mib:
                self._kill(server, "OOMKilled")

    def _kill(self, server: Server, reason: str) -> None:
        server.die()
        for callback in self._deaths:
            callback(server.ref, reason)

    def scrape(self) -> Iterator[ScrapeTarget]:
        """Each pod, the exporters beside the stores, cAdvisor, and the ingress."""
        servers = list(self._servers.values())
        for server in servers:
            yield self._target(server, servers)
        for server in self._lingering:
            yield self._target(server, servers)
        yield self._cadvisor(tuple(servers))
        yield self.load.target()

    def _target(self, server: Server, servers: list[Server]) -> ScrapeTarget:
        spec = server.service.spec
        port = _EXPORTER_PORTS.get(spec.kind, server.service.port)
        healthy = server.listening and server.reachable(self._scrape_timeout)
        labels = {
            "namespace": server.ref.namespace,
            "pod": server.ref.name,
            "service": server.service.name,
        }
        instance = f"{server.ref.ip or server.ref.name}:{port}"
        if not healthy:
            return ScrapeTarget(self._job, instance, labels, healthy=False)
        if isinstance(server, HttpPod):
            layout = self._model.layout(server.service.name)
            samples = http_samples(server, layout, self._model.statuses)
        else:
            assert isinstance(server, Store)
            samples = store_samples(server, self._model.connections(server.service.name, servers))
        return ScrapeTarget(self._job, instance, labels, healthy=True, samples=samples)

    def _cadvisor(self, servers: tuple[Server, ...]) -> ScrapeTarget:
        running = tuple(server for server in servers if server.alive)
        if self._containers[0] != running:
            self._containers = (running, container_layout(running))
        samples = container_samples(running, self._containers[1])
        return ScrapeTarget(job="cadvisor", instance="node-1:10250", samples=samples)
