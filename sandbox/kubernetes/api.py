"""Why: what create, read, update, patch and list mean, for clients and controllers alike.

An ``Api`` carries an operation out on the store by the rules of a real API server: metadata, names,
optimistic concurrency, subresources, admission. Deleting has rules enough for a module of its own
(``deletion``); HTTP is left to ``http``, and who may do what to ``levers``.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson

from sandbox.kubernetes import defaults, errors, patching
from sandbox.kubernetes.bodies import CONTROLLER, Call, read
from sandbox.kubernetes.errors import Cause, Obj
from sandbox.kubernetes.resources import NAMESPACES, Registry, Resource
from sandbox.kubernetes.selectors import Predicate, Test
from sandbox.kubernetes.store import Store, copy
from sandbox.kubernetes.validation import change_causes, metadata_causes, object_causes
from sandbox.world import World

_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_KEPT_METADATA: Final = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


@dataclass(slots=True)
class Admitted:
    """What an admission step is asked about; it may change ``object`` in place, or raise."""

    operation: Literal["CREATE", "UPDATE"]
    resource: Resource
    object: Obj
    old: Obj | None
    user: str
    dry_run: bool


Admission = Callable[[Admitted], None]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of objects, as of one revision."""

    items: list[Obj]
    revision: int
    token: str = ""
    remaining: int | None = None


def timestamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it: whole seconds, UTC."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


class Api:
    """The operations on what exists."""

    def __init__(self, world: World, registry: Registry, store: Store) -> None:
        """Work on ``store``; times and names come from ``world``."""
        self.world = world
        self.registry = registry
        self.store = store
        self.admissions: list[Admission] = []
        # While the sandbox is populated, everything happens at once and this long ago.
        self.backdate = timedelta(0)
        self._chance = world.random("kubernetes names")

    def now(self) -> str:
        """The virtual time, as Kubernetes writes it."""
        return timestamp(self.world.now() - self.backdate)

    def delay(self, seconds: float) -> float:
        """How long something that takes ``seconds`` takes now: nothing while the sandbox is populated."""
        return 0.0 if self.backdate else seconds

    def suffix(self, length: int = 5) -> str:
        """A random end of a name, of the letters that Kubernetes uses."""
        return "".join(self._chance.choices(_SUFFIX_LETTERS, k=length))

    def uid(self) -> str:
        """A new uid, by the seed."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The object. Raises 404."""
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise errors.not_found(resource, name)
        return found

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: Predicate | None = None,
        test: Test | None = None,
        limit: int = 0,
        token: str = "",
    ) -> Listing:
        """The objects that match, in the order of their names, a page of ``limit`` at most."""
        revision, after = (self.store.revision, None) if not token else _read_token(token)
        found = [
            obj
            for obj in self.store.all(resource, namespace)
            if (labels is None or labels(obj["metadata"].get("labels") or {})) and (test is None or test(obj))
        ]
        found.sort(key=_key)
        if after is not None:
            found = [obj for obj in found if _key(obj) > after]
        if not limit or len(found) <= limit:
            return Listing(found, revision)
        token = _write_token(revision, _key(found[limit - 1]))
        unfiltered = labels is None and test is None
        return Listing(found[:limit], revision, token, len(found) - limit if unfiltered else None)

    def create(self, resource: Resource, namespace: str, body: Any, call: Call = CONTROLLER) -> Obj:
        """Create an object. Raises 400, 404 (namespace), 409, 422, or what an admission step says."""
        obj = body if call.trusted else read(resource, body, call)
        metadata = obj["metadata"]
        if metadata.get("resourceVersion") and not call.trusted:
            raise errors.ApiError(
                500, "Unknown", "resourceVersion should not be set on objects to be created"
            )
        self._place(resource, namespace, metadata)
        if not metadata.get("name") and (prefix := metadata.get("generateName")):
            metadata["name"] = prefix[:58] + self.suffix()
        if not call.trusted:
            for name in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"):
                metadata.pop(name, None)
            if "status" in resource.subresources:
                obj.pop("status", None)
        metadata["uid"] = self.uid()
        if not call.trusted or "creationTimestamp" not in metadata:
            metadata["creationTimestamp"] = self.now()
        metadata["generation"] = 1
        if not resource.custom:
            defaults.fill_in(obj)
        self._admit(Admitted("CREATE", resource, obj, None, call.user, call.dry_run))
        if not call.trusted:
            self._validate(resource, obj)
        self._check_namespace(resource, metadata)
        if self.store.get(resource, metadata.get("namespace", ""), metadata["name"]) is not None:
            raise errors.already_exists(resource, metadata["name"])
        return obj if call.dry_run else self.store.put(resource, obj)

    def _place(self, resource: Resource, namespace: str, metadata: Obj) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        declared = metadata.setdefault("namespace", namespace)
        if namespace and declared != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _check_namespace(self, resource: Resource, metadata: Obj) -> None:
        if not resource.namespaced:
            return
        name = metadata["namespace"]
        space = self.get(NAMESPACES, "", name)
        if "deletionTimestamp" in space["metadata"]:
            why = f"unable to create new content in namespace {name} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated"}
            details = {"name": metadata["name"], "kind": resource.plural, "causes": [cause]}
            raise errors.forbidden(resource, metadata["name"], why, details)

    def _admit(self, admitted: Admitted) -> None:
        for admission in self.admissions:
            admission(admitted)

    def _validate(self, resource: Resource, obj: Obj) -> None:
        causes = metadata_causes(obj["metadata"], resource.name_rule)
        if not resource.custom:
            causes += object_causes(resource.kind, obj)
        if causes:
            raise errors.invalid(resource, obj["metadata"].get("name", ""), causes)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        call: Call = CONTROLLER,
        *,
        subresource: str = "",
    ) -> Obj:
        """Replace an object, or its status. Raises 400, 404, 409, 422, or what an admission step says."""
        obj = body if call.trusted else read(resource, body, call)
        metadata = obj["metadata"]
        if not call.trusted:
            if metadata.get("name", name) != name:
                shown = metadata["name"]
                raise errors.bad_request(
                    f"the name of the object ({shown}) does not match the name on the URL ({name})"
                )
            metadata["name"] = name
            self._place(resource, namespace, metadata)
        old = self.store.get(resource, namespace, name)
        if (
            old is None
            and resource.create_on_update
            and not subresource
            and not metadata.get("resourceVersion")
        ):
            return self.create(resource, namespace, obj, call)
        if old is None:
            raise errors.not_found(resource, name)
        return self._replace(resource, old, obj, call, subresource, patched=False)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str,
        call: Call = CONTROLLER,
        *,
        subresource: str = "",
    ) -> tuple[Obj, bool]:
        """Patch an object; the second value tells whether an apply created it. Raises as ``update``."""
        old = self.store.get(resource, namespace, name)
        if content_type == patching.APPLY_PATCH:
            return self._apply(resource, namespace, name, patch, call, subresource)
        if old is None:
            raise errors.not_found(resource, name)
        if content_type == patching.JSON_PATCH:
            changed = patching.json_patch(old, patch)
        elif not isinstance(patch, dict):
            raise errors.bad_request("error decoding patch: the body is no JSON object")
        elif content_type == patching.MERGE_PATCH:
            changed = patching.merge_patch(old, patch)
        elif content_type == patching.STRATEGIC_PATCH and not resource.custom:
            changed = patching.strategic_merge(old, patch)
        else:
            raise errors.unsupported_media_type(_accepted(resource))
        # Patched parts are new, the rest is shared with the stored version: nothing may be changed in place.
        changed = copy(changed) if call.trusted else read(resource, changed, call)
        return self._replace(resource, old, changed, call, subresource, patched=True), False

    def _apply(
        self, resource: Resource, namespace: str, name: str, patch: Obj, call: Call, subresource: str
    ) -> tuple[Obj, bool]:
        if not call.manager:
            raise errors.ApiError(
                422,
                "Invalid",
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for'
                " apply patch",
                details={"kind": "PatchOptions", "causes": []},
            )
        applied = read(resource, patch, call)
        if applied["metadata"].setdefault("name", name) != name:
            raise errors.bad_request("the name of the object does not match the name on the URL")
        old = self.store.get(resource, namespace, name)
        entry = {
            "manager": call.manager,
            "operation": "Apply",
            "apiVersion": resource.api_version,
            "time": self.now(),
            "fieldsType": "FieldsV1",
            "fieldsV1": patching.fields_of(applied),
        }
        if old is None:
            applied["metadata"]["managedFields"] = [entry]
            return self.create(resource, namespace, applied, call), True
        managed = old["metadata"].get("managedFields") or []
        mine = next((e for e in managed if e["manager"] == call.manager and e["operation"] == "Apply"), None)
        before = mine["fieldsV1"] if mine else {}
        changed = copy(patching.apply(old, applied, before, custom=resource.custom))
        if mine is None or before != entry["fieldsV1"]:
            changed["metadata"]["managedFields"] = [*(e for e in managed if e is not mine), entry]
        return self._replace(resource, old, changed, call, subresource, patched=True), False

    def _replace(
        self, resource: Resource, old: Obj, new: Obj, call: Call, subresource: str, *, patched: bool
    ) -> Obj:
        metadata, before = new["metadata"], old["metadata"]
        name = before["name"]
        self._check_concurrency(resource, before, metadata, call, patched=patched)
        for key in _KEPT_METADATA:
            if key in before:
                metadata[key] = before[key]
            else:
                metadata.pop(key, None)
        if metadata.get("name") != name or metadata.get("namespace") != before.get("namespace"):
            raise errors.bad_request("the name and the namespace of an object cannot be changed")
        new = _only_part(resource, old, new, subresource) if not call.trusted else new
        if not resource.custom and not call.trusted:
            defaults.fill_in(new)
        new["metadata"]["resourceVersion"] = before["resourceVersion"]
        self._admit(Admitted("UPDATE", resource, new, old, call.user, call.dry_run))
        if not call.trusted:
            self._validate(resource, new)
            self._check_change(resource, old, new)
        if new == old:
            return old
        if _changes_generation(resource, old, new):
            new["metadata"]["generation"] = before.get("generation", 1) + 1
        if call.dry_run:
            return new
        stored = self.store.put(resource, new)
        if "deletionTimestamp" in before and not stored["metadata"].get("finalizers"):
            self._let_go(resource, stored)
        return stored

    def _let_go(self, resource: Resource, obj: Obj) -> None:
        metadata = obj["metadata"]
        # A pod in its grace period, and a namespace with content, go when their controller says so.
        if metadata.get("deletionGracePeriodSeconds", 0) == 0 and resource is not NAMESPACES:
            self.store.remove(resource, metadata.get("namespace", ""), metadata["name"])

    def _check_concurrency(
        self, resource: Resource, before: Obj, metadata: Obj, call: Call, *, patched: bool
    ) -> None:
        name, revision = before["name"], metadata.get("resourceVersion")
        if metadata.get("uid") and metadata["uid"] != before["uid"]:
            told = f"UID in precondition: {metadata['uid']}, UID in object meta: {before['uid']}"
            raise errors.conflict(resource, name, f"Precondition failed: {told}")
        if revision and revision != before["resourceVersion"]:
            raise errors.conflict(resource, name)
        if not revision and not patched and not resource.unconditional_update and not call.trusted:
            cause = Cause.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(
                resource, name, [cause._replace(message=cause.message.replace("0", "0x0", 1))]
            )

    def _check_change(self, resource: Resource, old: Obj, new: Obj) -> None:
        causes = [] if resource.custom else change_causes(resource.kind, old, new)
        if "deletionTimestamp" in old["metadata"]:
            kept = old["metadata"].get("finalizers") or ()
            added = [f for f in new["metadata"].get("finalizers") or () if f not in kept]
            if added:
                listed = ", ".join(f'"{finalizer}"' for finalizer in added)
                why = (
                    "no new finalizers can be added if the object is being deleted,"
                    f" found new finalizers []string{{{listed}}}"
                )
                causes.append(Cause.forbidden("metadata.finalizers", why))
        if causes:
            raise errors.invalid(resource, new["metadata"]["name"], causes)


def _accepted(resource: Resource) -> tuple[str, ...]:
    every = (patching.JSON_PATCH, patching.MERGE_PATCH, patching.STRATEGIC_PATCH, patching.APPLY_PATCH)
    return tuple(kind for kind in every if not (resource.custom and kind == patching.STRATEGIC_PATCH))


def _only_part(resource: Resource, old: Obj, new: Obj, subresource: str) -> Obj:
    """What the endpoint lets through: the status by ``/status``, everything else by the main path."""
    if subresource == "status":
        return {**old, "metadata": dict(old["metadata"]), "status": new.get("status") or {}}
    if "status" in resource.subresources:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _changes_generation(resource: Resource, old: Obj, new: Obj) -> bool:
    if resource.custom and "status" not in resource.subresources:
        return any(old.get(key) != new.get(key) for key in {*old, *new} - {"metadata"})
    return old.get("spec") != new.get("spec")


def _key(obj: Obj) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _write_token(revision: int, after: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"rv": revision, "start": after})).decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token))
        namespace, name = content["start"]
        return int(content["rv"]), (namespace, name)
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise errors.bad_request("continue key is not valid: the token cannot be read") from error
