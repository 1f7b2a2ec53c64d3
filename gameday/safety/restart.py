"""Why: after a stop some services are still ill, and a rolling restart of just those often mends them.

Finds the workloads behind the pods that faults were in, restarts each as ``kubectl rollout restart``
does, and waits until the rollout is through. Whether to restart at all is a person's decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import PodName
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Workload
from gameday.clock import Clock, Deadline
from gameday.errors import GamedayError, NotFoundError
from gameday.safety.stop_report import Scope

WITHIN: Final = timedelta(minutes=5)
KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet")

_POLL_S: Final = 1.0
_LOOK: Final = timedelta(seconds=5)
_REPLICA_SET: Final = "ReplicaSet"


@dataclass(frozen=True, slots=True)
class Restarted:
    """What became of one workload; ``seconds`` until its rollout was through, None where it is not."""

    workload: str
    seconds: float | None
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether it runs anew."""
        return self.seconds is not None

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.workload} restarted, rolled out after {self.seconds:.1f} s"
        return f"{self.workload} is not proved to be restarted: {self.why}"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        seconds = round(self.seconds, 3) if self.seconds is not None else None
        return {"workload": self.workload, "ok": self.ok, "seconds": seconds, "why": self.why}


async def pods_hit(cluster: Cluster, scope: Scope) -> frozenset[PodName]:
    """The pods that live faults of ``scope`` are in, by Chaos Mesh's records; to be asked before a stop.

    Takes a few seconds at most, and tells only what it could see by then.
    """
    brisk = ChaosMesh(cluster.api.within(timeout=_LOOK, attempts=1))
    try:
        async with asyncio.timeout(_LOOK.total_seconds()):
            census = await brisk.live(scope.labels)
    except (TimeoutError, GamedayError):
        return frozenset()
    return frozenset(pod for state in census.objects for pod in state.selected_pods)


async def restart_hit(
    cluster: Cluster, pods: Collection[PodName], *, clock: Clock, within: timedelta = WITHIN
) -> tuple[Restarted, ...]:
    """Restart the workload of each of ``pods``, all at once, and wait ``within`` for the rollouts.

    Raises nothing that the cluster does: what failed stands in the answer.
    """
    found, failed = await _workloads(cluster, pods)
    deadline = Deadline(clock, within)
    done = await asyncio.gather(*(_restart(cluster, one, clock, deadline) for one in found))
    return (*done, *failed)


async def _workloads(cluster: Cluster, pods: Collection[PodName]) -> tuple[list[Workload], list[Restarted]]:
    answers = await asyncio.gather(*(_of_pod(cluster, pod) for pod in sorted(pods, key=str)))
    found = {str(one): one for one in answers if isinstance(one, Workload)}
    failed = {one.workload: one for one in answers if isinstance(one, Restarted)}
    return [found[name] for name in sorted(found)], [failed[name] for name in sorted(failed)]


async def _of_pod(cluster: Cluster, pod: PodName) -> Workload | Restarted:
    """What keeps ``pod`` alive, or why that is not known."""
    try:
        owner = (await cluster.pod(pod.namespace, pod.name)).owner
    except NotFoundError:
        return await _of_gone(cluster, pod)
    except GamedayError as error:
        return Restarted(f"pod {pod}", None, error.message)
    try:
        kind, _, name = owner.partition("/")
        if kind == _REPLICA_SET:
            kind, _, name = (await cluster.owner_of_replica_set(pod.namespace, name)).partition("/")
        if kind not in KINDS:
            return Restarted(
                f"pod {pod}", None, f"nothing that rolls out controls it ({owner or 'no owner'})"
            )
        return await cluster.workload(kind, pod.namespace, name)
    except GamedayError as error:
        return Restarted(f"pod {pod}", None, error.message)


async def _of_gone(cluster: Cluster, pod: PodName) -> Workload | Restarted:
    """A pod that was killed is gone, with its owner references: its name still begins as its owner's."""
    try:
        there = [
            *await cluster.deployments(pod.namespace),
            *await cluster.statefulsets(pod.namespace),
            *await cluster.daemonsets(pod.namespace),
        ]
    except GamedayError as error:
        return Restarted(f"pod {pod}", None, error.message)
    parts = {"Deployment": 2, "StatefulSet": 1, "DaemonSet": 1}
    named = [one for one in there if pod.name.rsplit("-", parts[one.kind])[0] == one.name]
    if len(named) == 1:
        return named[0]
    return Restarted(f"pod {pod}", None, "it is gone, and what it belonged to cannot be told from its name")


async def _restart(cluster: Cluster, workload: Workload, clock: Clock, deadline: Deadline) -> Restarted:
    if workload.paused:
        return Restarted(
            str(workload), None, "its rollout is paused; resume it with `kubectl rollout resume`"
        )
    began = clock.now()
    try:
        now = await cluster.restart(workload, began)
        while not now.rolled_out:
            if deadline.passed:
                have = f"{now.updated} of {now.desired} pods are new, {now.available} available"
                return Restarted(str(workload), None, f"the rollout takes longer: {have}")
            await deadline.rest(_POLL_S)
            now = await cluster.workload(workload.kind, workload.namespace, workload.name)
    except GamedayError as error:
        return Restarted(str(workload), None, error.message)
    return Restarted(str(workload), (clock.now() - began).total_seconds())
