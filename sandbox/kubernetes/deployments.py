"""Why: a Deployment goes from one ReplicaSet to the next, and says how far it has come.

Rolling updates keep to maxSurge and maxUnavailable, ``kubectl rollout`` reads the status and the
revisions. The pods are left to ``workloads``.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final

import orjson

from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.queue import WorkQueue
from sandbox.kubernetes.recorder import Recorder
from sandbox.kubernetes.resources import DEPLOYMENTS, REPLICA_SETS
from sandbox.kubernetes.store import Change, copy
from sandbox.kubernetes.workloads import REACTION_S, Owned, write_status

REVISION: Final = "deployment.kubernetes.io/revision"
_HASH: Final = "pod-template-hash"
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


class Deployments:
    """The deployment controller."""

    def __init__(self, api: Api) -> None:
        """Look after the Deployments of ``api``."""
        self._api = api
        self._keys: dict[str, tuple[str, str]] = {}
        self._events = Recorder(api, "deployment-controller")
        self._queue = WorkQueue(api, self._reconcile, delay=REACTION_S)
        self._sets = Owned(api, REPLICA_SETS, self._wake)
        api.store.listen(self._on_change, DEPLOYMENTS)

    def _on_change(self, change: Change) -> None:
        uid = change.object["metadata"]["uid"]
        if change.type == "DELETED":
            self._keys.pop(uid, None)
            return
        self._keys[uid] = pods.key_of(change.object)
        self._queue.add(uid)

    def _wake(self, uid: str) -> None:
        if uid in self._keys:
            self._queue.add(uid)

    def _reconcile(self, uid: str) -> None:
        key = self._keys.get(uid)
        deployment = self._api.store.get(DEPLOYMENTS, *key) if key else None
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        sets = self._sets.of(deployment)
        wanted = _template_hash(deployment)
        newest = next((s for s in sets if s["metadata"]["labels"].get(_HASH) == wanted), None)
        older = [s for s in sets if s is not newest]
        if not deployment["spec"].get("paused"):
            if newest is None:
                newest = self._create(deployment, wanted, sets)
            elif older:
                newest = self._renumber(newest, older)
            self._scale(deployment, newest, older)
        sets = self._sets.of(deployment)
        newest = next((s for s in sets if s["metadata"]["labels"].get(_HASH) == wanted), None)
        self._report(deployment, newest, sets)

    def _create(self, deployment: Obj, digest: str, sets: list[Obj]) -> Obj:
        metadata = deployment["metadata"]
        template = copy(deployment["spec"]["template"])
        labels = {**(template["metadata"].get("labels") or {}), _HASH: digest}
        template["metadata"]["labels"] = labels
        selector = copy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[_HASH] = digest
        replica_set = {
            "kind": "ReplicaSet",
            "apiVersion": "apps/v1",
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "labels": labels,
                "annotations": {REVISION: str(_revision(sets) + 1)},
                "ownerReferences": pods.controlled_by(deployment),
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        return self._api.create(REPLICA_SETS, metadata["namespace"], replica_set)

    def _renumber(self, newest: Obj, older: list[Obj]) -> Obj:
        """A rolled-back template is the newest revision again."""
        number = _revision(older)
        if int(newest["metadata"]["annotations"].get(REVISION, "0")) > number:
            return newest
        changed = copy(newest)
        changed["metadata"]["annotations"][REVISION] = str(number + 1)
        return self._api.update(REPLICA_SETS, *pods.key_of(newest), changed)

    def _scale(self, deployment: Obj, newest: Obj, older: list[Obj]) -> None:
        wanted = deployment["spec"].get("replicas", 1)
        strategy = deployment["spec"].get("strategy") or {}
        surge, unavailable = _bounds(strategy, wanted)
        existing = sum(_status(s, "replicas") for s in older)
        if strategy.get("type") == "Recreate":
            self._set(deployment, newest, 0 if existing else wanted)
            for replica_set in older:
                self._set(deployment, replica_set, 0)
            return
        declared = sum(s["spec"]["replicas"] for s in older)
        room = max(newest["spec"]["replicas"], wanted + surge - max(existing, declared))
        self._set(deployment, newest, min(wanted, room))
        ready = sum(_status(s, "availableReplicas") for s in (newest, *older))
        spare = ready - (wanted - unavailable)
        for replica_set in older:
            # What is not ready can go at once; what is ready goes as the new ones take over.
            idle = replica_set["spec"]["replicas"] - _status(replica_set, "availableReplicas")
            drop = min(replica_set["spec"]["replicas"], max(0, idle) + max(0, spare))
            spare -= max(0, drop - max(0, idle))
            self._set(deployment, replica_set, replica_set["spec"]["replicas"] - drop)

    def _set(self, deployment: Obj, replica_set: Obj, replicas: int) -> None:
        before = replica_set["spec"]["replicas"]
        if before == replicas:
            return
        changed = copy(replica_set)
        changed["spec"]["replicas"] = replicas
        self._api.update(REPLICA_SETS, *pods.key_of(replica_set), changed)
        name, direction = replica_set["metadata"]["name"], "up" if replicas > before else "down"
        told = f"Scaled {direction} replica set {name} from {before} to {replicas}"
        self._events.record(deployment, "ScalingReplicaSet", told)

    def _report(self, deployment: Obj, newest: Obj | None, sets: list[Obj]) -> None:
        wanted = deployment["spec"].get("replicas", 1)
        ready = sum(_status(s, "readyReplicas") for s in sets)
        updated = _status(newest, "replicas") if newest else 0
        total = sum(_status(s, "replicas") for s in sets)
        _, unavailable = _bounds(deployment["spec"].get("strategy") or {}, wanted)
        enough = ready >= wanted - unavailable
        complete = updated == wanted and total == wanted and ready >= wanted
        status: Obj = {
            "observedGeneration": deployment["metadata"].get("generation", 1),
            "conditions": self._conditions(deployment, newest, enough=enough, complete=complete),
        }
        counts = {
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, wanted - ready),
        }
        status |= {key: number for key, number in counts.items() if number}
        if newest is not None:
            number = newest["metadata"]["annotations"].get(REVISION, "1")
            deployment = self._annotate(deployment, number)
        write_status(self._api, DEPLOYMENTS, deployment, status)

    def _annotate(self, deployment: Obj, number: str) -> Obj:
        if (deployment["metadata"].get("annotations") or {}).get(REVISION) == number:
            return deployment
        changed = copy(deployment)
        changed["metadata"].setdefault("annotations", {})[REVISION] = number
        return self._api.update(DEPLOYMENTS, *pods.key_of(deployment), changed)

    def _conditions(self, deployment: Obj, newest: Obj | None, *, enough: bool, complete: bool) -> list[Obj]:
        name = newest["metadata"]["name"] if newest else ""
        available = (
            ("MinimumReplicasAvailable", "Deployment has minimum availability.")
            if enough
            else ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        )
        progress = (
            ("NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
            if complete
            else ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        )
        known = {entry["type"]: entry for entry in (deployment.get("status") or {}).get("conditions") or ()}
        return [
            self._condition(known, "Available", "True" if enough else "False", *available),
            self._condition(known, "Progressing", "True", *progress),
        ]

    def _condition(self, known: dict[str, Obj], kind: str, status: str, reason: str, message: str) -> Obj:
        before = known.get(kind)
        entry = {"type": kind, "status": status, "reason": reason, "message": message}
        if before is not None and all(before[key] == value for key, value in entry.items()):
            return before
        now = self._api.now()
        since = before["lastTransitionTime"] if before and before["status"] == status else now
        return {**entry, "lastUpdateTime": now, "lastTransitionTime": since}


def _status(replica_set: Obj, key: str) -> int:
    return int((replica_set.get("status") or {}).get(key, 0))


def _revision(sets: list[Obj]) -> int:
    numbers = [int((s["metadata"].get("annotations") or {}).get(REVISION, "0")) for s in sets]
    return max(numbers, default=0)


def _template_hash(deployment: Obj) -> str:
    content = orjson.dumps(deployment["spec"]["template"], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(content).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])


def _bounds(strategy: Obj, wanted: int) -> tuple[int, int]:
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _share(bound: int | str, wanted: int, *, up: bool) -> int:
    if isinstance(bound, int):
        return bound
    part = wanted * float(bound.rstrip("%")) / 100
    return math.ceil(part) if up else math.floor(part)
