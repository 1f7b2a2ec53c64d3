"""Why: Chaos Mesh is installed into the cluster as one thing: definitions, webhook, controllers, levers.

What each part does stands with it; this module only introduces them to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.routing import Route

from sandbox.chaosmesh.controller import Controller, Speed
from sandbox.chaosmesh.effects import Effects
from sandbox.chaosmesh.kinds import FAULT_KINDS, GROUP
from sandbox.chaosmesh.levers import (
    BrokenInjection,
    ChaosLevers,
    ControllerDown,
    DaemonDown,
    HangRule,
    Pace,
)
from sandbox.chaosmesh.schedules import Schedules
from sandbox.chaosmesh.schemas import definitions
from sandbox.chaosmesh.webhook import Webhook
from sandbox.chaosmesh.workflows import Workflows
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.control import posting
from sandbox.kubernetes.deletion import Deleter
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.kubelet import Kubelet
from sandbox.kubernetes.levers import Levers
from sandbox.kubernetes.resources import DEFINITIONS, PODS
from sandbox.wiring import Platform

_MANAGER = {"app.kubernetes.io/component": "controller-manager"}


@dataclass(frozen=True, slots=True)
class ChaosMeshOptions:
    """How this Chaos Mesh is configured.

    ``filter_namespaces``: only namespaces annotated ``chaos-mesh.org/inject: enabled``.
    ``restricted``: who creates a fault must be allowed to in every namespace that it selects.
    """

    speed: Speed = field(default_factory=Speed)
    filter_namespaces: bool = False
    restricted: bool = False


class ChaosMesh:
    """The installed Chaos Mesh."""

    def __init__(
        self,
        api: Api,
        deleter: Deleter,
        kubelet: Kubelet,
        twin: Platform,
        access: Levers,
        *,
        namespace: str,
        options: ChaosMeshOptions,
    ) -> None:
        """Install it into ``namespace``."""
        self._api = api
        self._kubelet = kubelet
        self._namespace = namespace
        self.levers = ChaosLevers()
        for definition in definitions():
            api.create(DEFINITIONS, "", definition)
        api.admissions.append(
            Webhook(self.levers, access, namespace=namespace, restricted=options.restricted)
        )
        effects = Effects(api, deleter, kubelet, twin, self.levers, namespace=namespace)
        self.controllers = {}
        for kind in FAULT_KINDS:
            resource = api.registry.of_kind(GROUP, kind)
            assert resource is not None
            self.controllers[kind] = Controller(
                api,
                resource,
                effects,
                self.levers,
                options.speed,
                filter_namespaces=options.filter_namespaces,
            )
        self.schedules = Schedules(api, deleter, self.levers)
        self.workflows = Workflows(api, deleter, self.levers)

    def state(self) -> Obj:
        """How the levers stand."""
        return self.levers.state()

    def reset(self) -> None:
        """Put every lever back."""
        self.levers.hanging.clear()
        self.levers.broken.clear()
        self.levers.daemons_down.clear()
        self.levers.call_seconds = None
        self.set_controller(ControllerDown(down=False))

    def set_controller(self, lever: ControllerDown) -> None:
        """Take the controller away, or bring it back; its pods show it."""
        self.levers.controller_down = lever.down
        for pod in self._api.store.all(PODS, self._namespace):
            if _MANAGER.items() <= (pod["metadata"].get("labels") or {}).items():
                name = pod["metadata"]["name"]
                if lever.down:
                    self._kubelet.hold(self._namespace, name, "controller down", replaced=False)
                else:
                    self._kubelet.let_go(self._namespace, name, "controller down", replaced=False)
        for controller in self.controllers.values():
            controller.work()

    def _set_pace(self, pace: Pace) -> None:
        self.levers.call_seconds = pace.call_seconds

    def routes(self, settle: Callable[[], None]) -> list[Route]:
        """The routes of the levers, for ``/control/kubernetes``."""
        return [
            Route("/hang", posting(HangRule, self.levers.hang, settle), methods=["POST"]),
            Route(
                "/injection", posting(BrokenInjection, self.levers.break_injection, settle), methods=["POST"]
            ),
            Route("/controller", posting(ControllerDown, self.set_controller, settle), methods=["POST"]),
            Route("/daemon", posting(DaemonDown, self.levers.set_daemon, settle), methods=["POST"]),
            Route("/pace", posting(Pace, self._set_pace, settle), methods=["POST"]),
        ]
