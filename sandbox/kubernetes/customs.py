"""Why: a CustomResourceDefinition adds a resource to the API server for as long as it exists.

It reads what a definition declares (names, scope, schema, printer columns, status subresource) into
a ``Resource``. What its objects do is left to whoever installed the definition.
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.kubernetes import errors
from sandbox.kubernetes.api import Admitted, Api
from sandbox.kubernetes.deletion import Deleter
from sandbox.kubernetes.errors import Cause, Obj
from sandbox.kubernetes.resources import DEFINITIONS, Column, Resource
from sandbox.kubernetes.schema import ANY, Shape, custom_object, from_openapi
from sandbox.kubernetes.store import Change, copy


def _column(declared: Obj) -> Column:
    path = tuple(filter(None, re.split(r"\.|\[\?@.*?\]", declared["jsonPath"])))
    return Column(declared["name"], declared["type"], path, wide=declared.get("priority", 0) > 0)


def _resources(definition: Obj) -> list[Resource]:
    spec = definition["spec"]
    names = spec["names"]
    return [_resource(spec, names, version) for version in spec["versions"] if version.get("served", True)]


def _resource(spec: Obj, names: Obj, version: Obj) -> Resource:
    schema: dict[str, Any] = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    members = {name: from_openapi(value) for name, value in (schema.get("properties") or {}).items()}
    for name in ("apiVersion", "kind", "metadata"):
        members.pop(name, None)
    loose = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not schema
    shape: Shape = ANY if loose else custom_object(members.pop("spec", None), members)
    if not loose:
        shape.required = tuple(name for name in schema.get("required", ()) if name != "metadata")
    subresources = tuple(name for name in ("status", "scale") if name in (version.get("subresources") or {}))
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subresources,
        custom=True,
        unconditional_update=False,
        shape=shape,
        columns=tuple(_column(column) for column in version.get("additionalPrinterColumns") or ()),
    )


class Customs:
    """Follows the CustomResourceDefinitions."""

    def __init__(self, api: Api, deleter: Deleter) -> None:
        """Serve what each definition of ``api`` declares."""
        self._api = api
        self._deleter = deleter
        api.admissions.append(_check)
        api.store.listen(self._on_change, DEFINITIONS)

    def _on_change(self, change: Change) -> None:
        for resource in _resources(change.object):
            served = self._api.registry.find(resource.group, resource.version, resource.plural)
            if change.type == "DELETED" and served is not None:
                for obj in self._api.store.all(served):
                    metadata = obj["metadata"]
                    self._api.store.remove(served, metadata.get("namespace", ""), metadata["name"])
                self._api.registry.remove(served)
            elif change.type == "ADDED":
                self._api.registry.add(resource)
        if change.type == "ADDED":
            self._api.world.call_later(0, lambda: self._establish(change.object["metadata"]["name"]))

    def _establish(self, name: str) -> None:
        definition = self._api.store.get(DEFINITIONS, "", name)
        if definition is None:
            return
        changed = copy(definition)
        changed["status"] = _established(changed, self._api.now())
        self._api.update(DEFINITIONS, "", name, changed)


def _established(definition: Obj, now: str) -> Obj:
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    versions = [version["name"] for version in definition["spec"]["versions"] if version.get("storage")]
    return {
        "conditions": conditions,
        "acceptedNames": definition["spec"]["names"],
        "storedVersions": versions,
    }


def _check(admitted: Admitted) -> None:
    if admitted.resource is not DEFINITIONS:
        return
    spec = admitted.object.get("spec") or {}
    names = spec.get("names") or {}
    causes = [
        Cause.required(f"spec.{path}")
        for path, value in (
            ("group", spec.get("group")),
            ("scope", spec.get("scope")),
            ("versions", spec.get("versions")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
        )
        if not value
    ]
    name = admitted.object["metadata"].get("name", "")
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    if not causes and name != wanted:
        causes.append(Cause.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if causes:
        raise errors.invalid(DEFINITIONS, name, causes)
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
