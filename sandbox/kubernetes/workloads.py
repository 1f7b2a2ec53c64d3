"""Why: replica sets, stateful sets and daemon sets keep the pods there that should be there.

A pod that is killed comes back because these notice. How a pod lives is left to ``kubelet``, how a
Deployment goes from one ReplicaSet to the next to ``deployments``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.deletion import Deleter
from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.queue import WorkQueue
from sandbox.kubernetes.recorder import Recorder
from sandbox.kubernetes.resources import DAEMON_SETS, NODES, PODS, REPLICA_SETS, STATEFUL_SETS, Resource
from sandbox.kubernetes.store import Change, copy

REACTION_S: Final = 0.02
Key = tuple[str, str]


class Owned:
    """Which objects of a resource a controller owns, by the owner's uid."""

    def __init__(self, api: Api, resource: Resource, on_change: Callable[[str], None]) -> None:
        """Follow ``resource``; ``on_change`` is told the owner of whatever changed."""
        self._store = api.store
        self._resource = resource
        self._on_change = on_change
        self._members: dict[str, dict[Key, None]] = {}
        api.store.listen(self._follow, resource)

    def _follow(self, change: Change) -> None:
        uid = pods.owner_of(change.object)
        if not uid:
            return
        members = self._members.setdefault(uid, {})
        if change.type == "DELETED":
            members.pop(pods.key_of(change.object), None)
        else:
            members[pods.key_of(change.object)] = None
        self._on_change(uid)

    def of(self, owner: Obj) -> list[Obj]:
        """What ``owner`` owns, oldest first."""
        found = (
            self._store.get(self._resource, *key) for key in self._members.get(owner["metadata"]["uid"], ())
        )
        return [obj for obj in found if obj is not None]


def write_status(api: Api, resource: Resource, obj: Obj, status: Obj) -> None:
    """Store ``status`` where it differs from what is there."""
    if (obj.get("status") or {}) != status:
        api.update(resource, *pods.key_of(obj), {**obj, "metadata": {**obj["metadata"]}, "status": status})


class PodMakers:
    """The controllers whose business is pods."""

    def __init__(self, api: Api, deleter: Deleter) -> None:
        """Look after the workloads of ``api``."""
        self._api = api
        self._deleter = deleter
        self._keys: dict[str, tuple[Resource, Key]] = {}
        self._queue = WorkQueue(api, self._reconcile, delay=REACTION_S)
        self.owned = Owned(api, PODS, self._wake)
        self._handlers: dict[Resource, Callable[[Obj], None]] = {
            REPLICA_SETS: self._replica_set,
            STATEFUL_SETS: self._stateful_set,
            DAEMON_SETS: self._daemon_set,
        }
        self._events = {r: Recorder(api, f"{r.singular}-controller") for r in self._handlers}
        api.store.listen(self._on_change, *self._handlers)
        api.store.listen(self._on_node, NODES)

    def _on_change(self, change: Change) -> None:
        uid = change.object["metadata"]["uid"]
        if change.type == "DELETED":
            self._keys.pop(uid, None)
            return
        self._keys[uid] = change.resource, pods.key_of(change.object)
        self._queue.add(uid)

    def _on_node(self, change: Change) -> None:
        if change.type != "MODIFIED":
            for uid, (resource, _) in self._keys.items():
                if resource is DAEMON_SETS:
                    self._queue.add(uid)

    def _wake(self, uid: str) -> None:
        if uid in self._keys:
            self._queue.add(uid)

    def _reconcile(self, uid: str) -> None:
        if uid not in self._keys:
            return
        resource, key = self._keys[uid]
        owner = self._api.store.get(resource, *key)
        if owner is not None and "deletionTimestamp" not in owner["metadata"]:
            self._handlers[resource](owner)

    def _make(self, owner: Obj, resource: Resource, *, name: str = "", node: str = "") -> None:
        template = copy(owner["spec"]["template"])
        metadata = template.get("metadata") or {}
        metadata["ownerReferences"] = pods.controlled_by(owner)
        metadata["name"] = name or f"{owner['metadata']['name']}-{self._api.suffix()}"
        metadata["generateName"] = f"{owner['metadata']['name']}-"
        spec = template["spec"]
        if node:
            spec["nodeName"] = node
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec}
        try:
            self._api.create(PODS, owner["metadata"]["namespace"], pod)
        except ApiError as error:
            self._events[resource].record(
                owner, "FailedCreate", f"Error creating: {error.message}", "Warning"
            )
            return
        self._events[resource].record(owner, "SuccessfulCreate", f"Created pod: {metadata['name']}")

    def _drop(self, owner: Obj, resource: Resource, pod: Obj) -> None:
        name = pod["metadata"]["name"]
        self._deleter.delete(PODS, *pods.key_of(pod))
        self._events[resource].record(owner, "SuccessfulDelete", f"Deleted pod: {name}")

    def _replica_set(self, owner: Obj) -> None:
        mine = self.owned.of(owner)
        active = [pod for pod in mine if pods.is_active(pod)]
        wanted = owner["spec"].get("replicas", 1)
        for _ in range(wanted - len(active)):
            self._make(owner, REPLICA_SETS)
        # Those that are not ready go first, then the youngest, as with the real controller.
        surplus = sorted(active, key=pods.is_ready)[: max(0, len(active) - wanted)]
        for pod in surplus:
            self._drop(owner, REPLICA_SETS, pod)
        active = [pod for pod in self.owned.of(owner) if pods.is_active(pod)]
        ready = sum(map(pods.is_ready, active))
        status: Obj = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(active),
            "observedGeneration": owner["metadata"].get("generation", 1),
        }
        if ready:
            status |= {"readyReplicas": ready, "availableReplicas": ready}
        write_status(self._api, REPLICA_SETS, owner, status)

    def _stateful_set(self, owner: Obj) -> None:
        name, wanted = owner["metadata"]["name"], owner["spec"].get("replicas", 1)
        mine = {pod["metadata"]["name"]: pod for pod in self.owned.of(owner)}
        for index in range(wanted):
            pod = mine.get(f"{name}-{index}")
            if pod is None:
                self._make(owner, STATEFUL_SETS, name=f"{name}-{index}")
            # In order: the next one waits until this one is ready.
            if pod is None or not pods.is_ready(pod):
                break
        surplus = [pod for index, pod in _numbered(mine) if index >= wanted and pods.is_active(pod)]
        if surplus:
            self._drop(owner, STATEFUL_SETS, surplus[-1])
        current = self.owned.of(owner)
        ready = sum(map(pods.is_ready, current))
        revision = f"{name}-{owner['metadata']['uid'][:8]}"
        status = {
            "observedGeneration": owner["metadata"].get("generation", 1),
            "replicas": len(current),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": len(current),
            "updatedReplicas": len(current),
            "currentRevision": revision,
            "updateRevision": revision,
            "collisionCount": 0,
        }
        write_status(self._api, STATEFUL_SETS, owner, status)

    def _daemon_set(self, owner: Obj) -> None:
        nodes = [node["metadata"]["name"] for node in self._api.store.all(NODES)]
        mine = {pod["spec"].get("nodeName", ""): pod for pod in self.owned.of(owner) if pods.is_active(pod)}
        for node in nodes:
            if node not in mine:
                self._make(owner, DAEMON_SETS, node=node)
        current = [pod for pod in self.owned.of(owner) if pods.is_active(pod)]
        ready = sum(map(pods.is_ready, current))
        status = {
            "observedGeneration": owner["metadata"].get("generation", 1),
            "desiredNumberScheduled": len(nodes),
            "currentNumberScheduled": len(current),
            "updatedNumberScheduled": len(current),
            "numberReady": ready,
            "numberAvailable": ready,
            "numberMisscheduled": 0,
        }
        write_status(self._api, DAEMON_SETS, owner, status)


def _numbered(members: dict[str, Obj]) -> list[tuple[int, Obj]]:
    found = [(name.rpartition("-")[2], pod) for name, pod in members.items()]
    return sorted(
        ((int(number), pod) for number, pod in found if number.isdigit()), key=lambda entry: entry[0]
    )
