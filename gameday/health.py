"""Why: a run must not start on a platform that is already ill, nor end before it is well again.

Looks at the cluster, Chaos Mesh, the platform's services and Prometheus, and says for each what was
expected, what was found and what to do. Whether that refuses a run is for the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from gameday.clients.answers import Unknown
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus, prometheus_url
from gameday.clients.types import Endpoints, Workload
from gameday.clock import Clock
from gameday.errors import DeclarationError, GamedayError, NotFoundError
from gameday.settings import Settings
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.kinds import API_VERSION
from gameday.spec.platform import Environment, Platform, Service

# As Chaos Mesh's chart labels its parts, whatever the release is called.
_CONTROLLER: Final = {"app.kubernetes.io/component": "controller-manager"}
_DAEMON: Final = {"app.kubernetes.io/component": "chaos-daemon"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    hint: str = ""

    def __post_init__(self) -> None:
        """What is well needs no advice."""
        if self.ok:
            object.__setattr__(self, "hint", "")


async def examine(settings: Settings, catalogue: Catalogue, where: Environment, clock: Clock) -> list[Check]:
    """Every check of one environment, for all that its experiments would do there."""
    async with (
        Cluster.connect(where.context, clock=clock, call_timeout=settings.kubernetes_timeout) as cluster,
        Prometheus(
            prometheus_url(settings, where), clock=clock, timeout=settings.prometheus_timeout
        ) as prometheus,
    ):
        examination = Examination(catalogue.platform, where, cluster, ChaosMesh(cluster.api), prometheus)
        return await examination.all(kinds=_kinds(catalogue, where.name))


def _kinds(catalogue: Catalogue, environment: str) -> list[str]:
    """The kinds of fault that the experiments for ``environment`` use: what a role must allow."""
    found: set[str] = set()
    for path in catalogue.files:
        # One that is not written well could not run; `gameday validate` tells it.
        with suppress(DeclarationError):
            experiment = catalogue.load(path)
            if environment in experiment.environments:
                found |= {fault.kind for stage in experiment.stages for fault in stage.faults}
    return sorted(found)


@dataclass(frozen=True)
class Examination:
    """Looks at one environment through clients that are already open."""

    platform: Platform
    environment: Environment
    cluster: Cluster
    chaos: ChaosMesh
    prometheus: Prometheus

    async def all(self, *, kinds: Sequence[str] = (), own_run: str = "") -> list[Check]:
        """Every check, in a fixed order.

        ``kinds`` are the fault kinds that Chaos Mesh must serve; faults of ``own_run`` are not
        counted as foreign. What could not be found out is not ok.
        """
        looks: dict[str, Callable[[], Awaitable[list[Check]]]] = {
            "Kubernetes": self._cluster,
            "services": self._services,
            "Chaos Mesh": partial(self._chaos_mesh, kinds),
            "faults": partial(self._no_faults, own_run),
            "permissions": partial(self._permissions, kinds),
            "Prometheus": self._prometheus,
        }
        async with asyncio.TaskGroup() as group:
            looking = [group.create_task(_guarded(name, look)) for name, look in looks.items()]
        return [check for one in looking for check in one.result()]

    async def _cluster(self) -> list[Check]:
        version = await self.cluster.version()
        name = self.environment.namespace
        try:
            phase = (await self.cluster.namespace(name)).phase
        except NotFoundError:
            return [
                Check(
                    f"namespace {name}",
                    False,
                    "does not exist",
                    f"Is {self.environment.name} the right environment, and its context the right cluster?",
                )
            ]
        return [
            Check("cluster", True, f"answers, {version}"),
            Check(f"namespace {name}", phase == "Active", phase),
        ]

    async def _services(self) -> list[Check]:
        namespace = self.environment.namespace
        deployments, statefulsets, endpoints = await asyncio.gather(
            self.cluster.deployments(namespace),
            self.cluster.statefulsets(namespace),
            self.cluster.endpoints(namespace),
        )
        workloads = [*deployments, *statefulsets]
        found = await asyncio.gather(
            *(self._service(service, workloads, endpoints) for service in self.platform.services)
        )
        return [check for checks in found for check in checks]

    async def _service(
        self, service: Service, workloads: Sequence[Workload], endpoints: dict[str, Endpoints]
    ) -> list[Check]:
        namespace = self.environment.namespace
        own = [
            one for one in workloads if service.labels.items() <= {**one.labels, **one.match_labels}.items()
        ]
        desired, ready = sum(one.desired for one in own), sum(one.ready for one in own)
        behind = endpoints.get(service.name)
        taking = behind.ready if behind else 0
        checks = [
            Check(
                f"{service.name} pods",
                bool(own) and ready >= desired > 0,
                f"{ready} of {desired} ready" if own else "no Deployment or StatefulSet has its labels",
                _look_at_pods(namespace, service)
                if own
                else "Compare the service's labels in platform.yaml with the cluster.",
            ),
            Check(
                f"{service.name} endpoints",
                taking > 0,
                f"{_pods(taking)} traffic",
                f"Does a Service {service.name} in {namespace} select ready pods? "
                f"`kubectl -n {namespace} get endpoints {service.name}`",
            ),
        ]
        if service.health is not None:
            checks.append(await self._answers(service, service.health))
        return checks

    async def _answers(self, service: Service, path: str) -> Check:
        name = f"{service.name} {path}"
        try:
            answer = await self.cluster.ask_service(
                self.environment.namespace, service.name, service.port, path
            )
        except GamedayError as error:
            return Check(name, False, error.message, error.hint)
        found = f"answers {answer.status}" if answer.status else f"answers nothing: {answer.body}"
        return Check(
            name,
            answer.healthy,
            found,
            f"A healthy one answers 2xx. {_look_at_pods(self.environment.namespace, service)}",
        )

    async def _chaos_mesh(self, kinds: Sequence[str]) -> list[Check]:
        namespace = self.platform.chaos_namespace
        served, controllers, daemons = await asyncio.gather(
            self.cluster.kinds_served(API_VERSION),
            self.cluster.deployments(namespace, _CONTROLLER),
            self.cluster.daemonsets(namespace, _DAEMON),
        )
        missing = sorted(set(kinds) - served) if kinds else ([] if served else ["all"])
        return [
            Check(
                "Chaos Mesh kinds",
                not missing,
                f"missing: {', '.join(missing)}" if missing else f"{len(served)} served",
                "Install Chaos Mesh's custom resources: https://chaos-mesh.org/docs/production-installation-using-helm/",
            ),
            _running("Chaos Mesh controller", controllers, namespace),
            _running("Chaos Mesh daemon", daemons, namespace),
        ]

    async def _no_faults(self, own_run: str) -> list[Check]:
        census = await self.chaos.live()
        foreign = [one for one in census.objects if not own_run or one.meta.run != own_run]
        if census.refused:
            kinds = ", ".join(sorted(census.refused))
            hint = next(iter(census.refused.values())).hint
            return [Check("no other faults", False, f"not known, cannot be listed: {kinds}", hint)]
        found = ", ".join(str(one.ref) for one in foreign[:5]) + (" …" if len(foreign) > 5 else "")
        return [
            Check(
                "no other faults",
                not foreign,
                found or "none live",
                "`gameday status` shows whose they are and when they end; `gameday stop` ends them.",
            )
        ]

    async def _permissions(self, kinds: Sequence[str]) -> list[Check]:
        namespace = self.platform.chaos_namespace
        wanted = [
            (verb, kind.lower(), "chaos-mesh.org")
            for kind in kinds
            for verb in ("create", "get", "delete", "deletecollection")
        ]
        wanted += [(verb, "leases", "coordination.k8s.io") for verb in ("create", "update", "delete")]
        answers = await asyncio.gather(
            *(
                self.cluster.may(verb, resource, group=group, namespace=namespace)
                for verb, resource, group in wanted
            )
        )
        denied = [f"{one.verb} {one.resource}" for one in answers if not one.allowed]
        return [
            Check(
                "permissions",
                not denied,
                f"may not {', '.join(denied)} in {namespace}" if denied else f"all {len(wanted)} granted",
                "Ask for a role that allows it.",
            )
        ]

    async def _prometheus(self) -> list[Check]:
        job = self.platform.prometheus.job
        problem = await self.prometheus.check()
        if problem is not None:
            where = f"Is it up, and is {self.prometheus.url} the right address (GAMEDAY_PROMETHEUS_URL)?"
            return [Check("Prometheus", False, str(problem), where)]
        age, targets = await asyncio.gather(self.prometheus.freshness(job), self.prometheus.targets(job))
        down = sorted(one.labels.get("instance", "?") for one in targets.measurements if one.value != 1)
        count = len(targets.measurements)
        return [
            Check("Prometheus", True, f"answers at {self.prometheus.url}"),
            self._fresh(age),
            Check(
                "Prometheus targets",
                count > 0 and not down,
                f"down: {', '.join(down)}" if down else f"{count} up",
                f'`up{{job="{job}"}}` in Prometheus shows them; `job` of platform.yaml names the job.',
            ),
        ]

    def _fresh(self, age: timedelta | Unknown) -> Check:
        name = "Prometheus data"
        limit = self.platform.prometheus.scrape_interval * 3
        hint = "Does Prometheus still scrape? Nothing could be seen during a run."
        if isinstance(age, Unknown):
            return Check(name, False, str(age), hint)
        fresh = age <= limit
        most = "" if fresh else f", may be {format_duration(limit)}"
        return Check(name, fresh, f"{format_duration(_seconds(age))} old{most}", hint)


def _pods(taking: int) -> str:
    return "1 pod takes" if taking == 1 else f"{taking} pods take"


def _look_at_pods(namespace: str, service: Service) -> str:
    labels = ",".join(f"{key}={value}" for key, value in service.labels.items())
    return f"`kubectl -n {namespace} get pods -l {labels}` shows why."


def _seconds(age: timedelta) -> timedelta:
    return timedelta(seconds=round(age.total_seconds()))


def _running(name: str, workloads: Sequence[Workload], namespace: str) -> Check:
    desired, ready = sum(one.desired for one in workloads), sum(one.ready for one in workloads)
    return Check(
        name,
        bool(workloads) and ready >= desired,
        f"{ready} of {desired} ready" if workloads else f"not found in {namespace}",
        f"`kubectl -n {namespace} get pods` shows why."
        if workloads
        else "Is Chaos Mesh installed in another namespace? platform.yaml's chaosNamespace names it.",
    )


async def _guarded(name: str, look: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
    # Called here, not before: a coroutine whose task is cancelled at once would never be awaited.
    try:
        return await look()
    except GamedayError as error:
        # The system is named once: in front of what it said, or as the check itself.
        return [Check(name, False, error.message.removeprefix(f"{name}: "), error.hint)]
