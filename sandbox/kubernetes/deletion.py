"""Why: deleting is a conversation: grace periods, finalizers, preconditions, dependents.

``Deleter`` is the API server's part of it; ``Garbage`` the garbage collector's and the namespace
controller's, which follow owners. When a pod in its grace period ends is left to ``kubelet``, what
a finalizer waits for to whoever set it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sandbox.kubernetes import errors
from sandbox.kubernetes.api import Api, timestamp
from sandbox.kubernetes.bodies import CONTROLLER
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import NAMESPACES, PODS, Resource
from sandbox.kubernetes.selectors import Predicate, Test
from sandbox.kubernetes.store import Change, copy

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_POLICIES: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": ""}
_COLLECT_AFTER_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete: ``grace`` in seconds (None: the object's own), what must hold, what of dependents."""

    grace: int | None = None
    uid: str = ""
    revision: str = ""
    finalizer: str = ""
    dry_run: bool = False

    @classmethod
    def read(cls, body: Any, query: dict[str, str]) -> DeleteOptions:
        """From the body of a DELETE and its query. Raises 400 or 422 where they make no sense."""
        options = body if isinstance(body, dict) else {}
        conditions = options.get("preconditions") or {}
        policy = options.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
        if policy not in _POLICIES:
            listed = ", ".join(f'"{name}"' for name in ("Foreground", "Background", "Orphan", "nil"))
            message = (
                f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{policy}":'
                f" supported values: {listed}"
            )
            raise errors.ApiError(422, "Invalid", message, details={"kind": "DeleteOptions", "causes": []})
        if options.get("orphanDependents"):
            policy = "Orphan"
        grace = options.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        dry = options.get("dryRun") or ([query["dryRun"]] if "dryRun" in query else [])
        return cls(
            grace=None if grace is None else int(grace),
            uid=conditions.get("uid") or "",
            revision=conditions.get("resourceVersion") or "",
            finalizer=_POLICIES[policy],
            dry_run="All" in dry,
        )


class Deleter:
    """The operations that end objects."""

    def __init__(self, api: Api) -> None:
        """Delete what ``api`` keeps."""
        self._api = api
        self._store = api.store

    def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions | None = None
    ) -> tuple[Obj, bool]:
        """Delete an object: its last version, and whether it is gone already. Raises 404, 409."""
        options = options or DeleteOptions()
        obj = self._api.get(resource, namespace, name)
        self._check(resource, obj, options)
        metadata = obj["metadata"]
        if options.dry_run:
            return obj, False
        grace = _grace(obj, options) if resource is PODS else 0
        finalizers = [*(metadata.get("finalizers") or ())]
        if options.finalizer and options.finalizer not in finalizers and "deletionTimestamp" not in metadata:
            finalizers.append(options.finalizer)
        if not finalizers and grace == 0 and resource is not NAMESPACES:
            return self._store.remove(resource, namespace, name), True
        if "deletionTimestamp" in metadata and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return obj, False
        return self._mark(resource, obj, grace, finalizers), False

    def _check(self, resource: Resource, obj: Obj, options: DeleteOptions) -> None:
        metadata = obj["metadata"]
        for word, wanted, actual in (
            ("UID", options.uid, metadata["uid"]),
            ("ResourceVersion", options.revision, metadata["resourceVersion"]),
        ):
            if wanted and wanted != actual:
                why = (
                    f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {actual}"
                )
                raise errors.conflict(resource, metadata["name"], why)

    def _mark(self, resource: Resource, obj: Obj, grace: int, finalizers: list[str]) -> Obj:
        marked = copy(obj)
        metadata = marked["metadata"]
        end = self._api.world.now() + timedelta(seconds=grace)
        metadata.setdefault("deletionTimestamp", timestamp(end))
        metadata["deletionGracePeriodSeconds"] = grace
        metadata["generation"] = metadata.get("generation", 1) + 1
        if finalizers:
            metadata["finalizers"] = finalizers
        if resource is NAMESPACES:
            marked["status"] = {"phase": "Terminating"}
        return self._store.put(resource, marked)

    def delete_collection(
        self,
        resource: Resource,
        namespace: str,
        *,
        labels: Predicate | None,
        test: Test | None,
        options: DeleteOptions,
    ) -> list[Obj]:
        """Delete what matches; what was there is returned."""
        found = self._api.list(resource, namespace, labels=labels, test=test).items
        for obj in found:
            metadata = obj["metadata"]
            if self._store.get(resource, metadata.get("namespace", ""), metadata["name"]) is not None:
                self.delete(resource, metadata.get("namespace", ""), metadata["name"], options)
        return found


def _grace(pod: Obj, options: DeleteOptions) -> int:
    if not pod["spec"].get("nodeName") or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return (
        options.grace if options.grace is not None else pod["spec"].get("terminationGracePeriodSeconds", 30)
    )


_Place = tuple[Resource, str, str]


class Garbage:
    """The garbage collector, and the controller that empties a namespace that is being deleted."""

    def __init__(self, api: Api, deleter: Deleter) -> None:
        """Follow every change of what ``api`` keeps."""
        self._api = api
        self._store = api.store
        self._deleter = deleter
        self._dependents: dict[str, dict[_Place, None]] = {}
        self._alive: dict[str, _Place] = {}
        api.store.listen(self._on_change)

    def _on_change(self, change: Change) -> None:
        metadata = change.object["metadata"]
        uid, place = metadata["uid"], (change.resource, metadata.get("namespace", ""), metadata["name"])
        owners = [reference["uid"] for reference in metadata.get("ownerReferences") or ()]
        if change.type == "DELETED":
            self._alive.pop(uid, None)
            for owner in owners:
                self._dependents.get(owner, {}).pop(place, None)
                self._later(owner)
            if uid in self._dependents:
                self._later(uid)
            if place[1]:
                self._look_at_namespace(place[1])
            return
        self._alive[uid] = place
        for owner in owners:
            self._dependents.setdefault(owner, {})[place] = None
            if owner not in self._alive:
                self._later(owner)
        if "deletionTimestamp" in metadata:
            if change.resource is NAMESPACES:
                self._look_at_namespace(metadata["name"])
            elif {FOREGROUND, ORPHAN} & set(metadata.get("finalizers") or ()):
                self._api.world.call_later(self._api.delay(_COLLECT_AFTER_S), lambda: self._finalize(place))

    def _later(self, owner: str) -> None:
        if self._dependents.get(owner) or owner in self._alive:
            self._api.world.call_later(self._api.delay(_COLLECT_AFTER_S), lambda: self._collect(owner))

    def _collect(self, owner: str) -> None:
        """Delete what the gone ``owner`` leaves behind; go on with one that waits for its dependents."""
        places = list(self._dependents.get(owner, ()))
        if owner in self._alive:
            self._finalize(self._alive[owner])
            return
        self._dependents.pop(owner, None)
        for resource, namespace, name in places:
            obj = self._store.get(resource, namespace, name)
            if obj is None:
                continue
            others = [r for r in obj["metadata"]["ownerReferences"] if r["uid"] in self._alive]
            if others:
                self._own(resource, obj, others)
            else:
                self._deleter.delete(resource, namespace, name)

    def _own(self, resource: Resource, obj: Obj, owners: list[Obj]) -> None:
        changed = copy(obj)
        changed["metadata"]["ownerReferences"] = owners
        metadata = obj["metadata"]
        self._api.update(resource, metadata.get("namespace", ""), metadata["name"], changed)

    def _finalize(self, place: _Place) -> None:
        """Do what the finalizer of a foreground or an orphaning delete waits for."""
        owner = self._store.get(*place)
        finalizers = (owner["metadata"].get("finalizers") or []) if owner else []
        if owner is None or "deletionTimestamp" not in owner["metadata"]:
            return
        if not {FOREGROUND, ORPHAN} & set(finalizers):
            return
        uid = owner["metadata"]["uid"]
        for resource, namespace, name in list(self._dependents.get(uid, ())):
            obj = self._store.get(resource, namespace, name)
            if obj is None:
                continue
            if ORPHAN in finalizers:
                self._own(resource, obj, [r for r in obj["metadata"]["ownerReferences"] if r["uid"] != uid])
            elif "deletionTimestamp" not in obj["metadata"]:
                self._deleter.delete(resource, namespace, name, DeleteOptions(finalizer=FOREGROUND))
        if ORPHAN in finalizers:
            self._dependents.pop(uid, None)
        if not self._dependents.get(uid):
            changed = copy(owner)
            changed["metadata"]["finalizers"] = [f for f in finalizers if f not in (FOREGROUND, ORPHAN)]
            self._api.update(*place, changed, CONTROLLER)

    def _look_at_namespace(self, name: str) -> None:
        space = self._store.get(NAMESPACES, "", name)
        if space is not None and "deletionTimestamp" in space["metadata"]:
            self._api.world.call_later(self._api.delay(_COLLECT_AFTER_S), lambda: self._empty(name))

    def _empty(self, name: str) -> None:
        space = self._store.get(NAMESPACES, "", name)
        if space is None or "deletionTimestamp" not in space["metadata"]:
            return
        left = 0
        for resource in self._api.registry.all():
            for obj in self._store.all(resource, name) if resource.namespaced else ():
                if "deletionTimestamp" not in obj["metadata"]:
                    self._deleter.delete(resource, name, obj["metadata"]["name"])
                left += self._store.get(resource, name, obj["metadata"]["name"]) is not None
        if not left and not space["metadata"].get("finalizers"):
            self._store.remove(NAMESPACES, "", name)
