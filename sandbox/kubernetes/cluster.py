"""Why: one object is the cluster: API server, controllers, kubelet and Chaos Mesh over one world.

It introduces the parts to each other and offers what the sandbox's process mounts. It starts
nothing and lets no time pass but what is due at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.routing import Mount, Router

from gameday.spec.platform import Platform as PlatformSpec
from gameday.spec.platform import Service
from sandbox.chaosmesh.installation import ChaosMesh, ChaosMeshOptions
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.control import Control
from sandbox.kubernetes.customs import Customs
from sandbox.kubernetes.deletion import Deleter, Garbage
from sandbox.kubernetes.deployments import Deployments
from sandbox.kubernetes.endpoints import EndpointsController
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.http import KubernetesApp
from sandbox.kubernetes.kubelet import Kubelet, Timing
from sandbox.kubernetes.levers import Levers
from sandbox.kubernetes.metrics import StateMetrics
from sandbox.kubernetes.policies import Policies
from sandbox.kubernetes.population import populate
from sandbox.kubernetes.resources import Registry
from sandbox.kubernetes.roles import Asked, Roles
from sandbox.kubernetes.store import Store
from sandbox.kubernetes.subresources import Subresources
from sandbox.kubernetes.workloads import PodMakers
from sandbox.wiring import Platform, ScrapeTarget
from sandbox.world import World


class Cluster:
    """A Kubernetes cluster with Chaos Mesh and the platform in it.

    ``app`` is to be mounted at ``/kubernetes``, ``control`` at ``/control/kubernetes``.
    """

    def __init__(
        self,
        world: World,
        platform_spec: PlatformSpec,
        twin: Platform,
        *,
        namespace: str,
        timing: Timing | None = None,
        chaos_mesh: ChaosMeshOptions | None = None,
    ) -> None:
        """Build it, populate it and let it become healthy, at the world's present moment."""
        self.world = world
        self.namespace = namespace
        self._twin = twin
        self._spec = platform_spec
        self.store = Store()
        self.api = Api(world, Registry(), self.store)
        self.deleter = Deleter(self.api)
        self.levers = Levers(world.random("kubernetes levers"))
        self.roles = Roles(self.store)
        self.garbage = Garbage(self.api, self.deleter)
        self.customs = Customs(self.api, self.deleter)
        self.kubelet = Kubelet(self.api, self.deleter, twin, self.service_of, timing or Timing())
        self.pod_makers = PodMakers(self.api, self.deleter)
        self.deployments = Deployments(self.api)
        self.endpoints = EndpointsController(self.api)
        self.metrics = StateMetrics(self.api, self.service_of)
        populate(
            self.api,
            platform_spec.services,
            namespace=namespace,
            chaos_namespace=platform_spec.chaos_namespace,
        )
        self.chaos_mesh = ChaosMesh(
            self.api,
            self.deleter,
            self.kubelet,
            twin,
            self.levers,
            namespace=platform_spec.chaos_namespace,
            options=chaos_mesh or ChaosMeshOptions(),
        )
        # Behind Chaos Mesh's webhook: policies judge what it has filled in.
        self.policies = Policies(self.api, self._may)
        world.settle()
        subresources = Subresources(self.api, self.deleter, self._ask)
        self.server = KubernetesApp(
            self.api, self.deleter, subresources, self.levers, self.roles, world.settle
        )
        self.app = Starlette(routes=[Mount("/", app=self.server)])
        self.control: Router = Control(
            self.api, self.server, self.kubelet, self.levers, self.roles, self.chaos_mesh, world.settle
        ).router()

    def service(self, name: str) -> Service | None:
        """The service of platform.yaml called ``name``, if there is one."""
        return next((service for service in self._spec.services if service.name == name), None)

    def service_of(self, obj: Obj) -> str:
        """The name of the service of platform.yaml to which an object of the environment belongs, or ""."""
        metadata = obj["metadata"]
        if metadata.get("namespace") != self.namespace:
            return ""
        labels = (metadata.get("labels") or {}).items()
        return next((s.name for s in self._spec.services if s.labels.items() <= labels), "")

    def _ask(self, pod: Obj, path: str) -> int:
        """What the pod answers on ``path``: the twin knows of its health path, and of no other."""
        ref = self.kubelet.ref(pod)
        service = self.service(ref.service) if ref is not None else None
        if ref is None or service is None:
            return 0
        status = self._twin.health(ref)
        return status if status == 0 or path == (service.health or "") else 404

    def _may(self, user: str, verb: str, group: str, resource: str, namespace: str) -> bool:
        return self.levers.allowed(user, verb, resource, namespace, group) and self.roles.allow(
            Asked(user, verb, group, resource, namespace, "")
        )

    def scrape(self) -> Iterable[ScrapeTarget]:
        """What kube-state-metrics exposes of this moment."""
        return self.metrics.scrape()

    def calls(self) -> dict[str, object]:
        """How often the API server was called, by verb and resource."""
        return self.levers.counters()

    def close(self) -> None:
        """End every open watch and every stalled call, so that a server can stop."""
        self.levers.release()
        for watch in list(self.server.watches):
            watch.end()
