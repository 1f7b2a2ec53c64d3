"""Why: clients ask first what is served; kubectl and the dynamic client cannot do without it.

It answers the discovery of 1.32, the aggregated one included, and as much OpenAPI as kubectl needs:
that every kind is known and that PATCH takes ``fieldValidation``. The fields of kinds are checked by
the server (``schema``), as kubectl has let it since 1.27.
"""

from __future__ import annotations

from typing import Any, Final

from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import Registry, Resource

VERSION: Final[Obj] = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4+sandbox",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2025-04-22T16:00:00Z",
    "goVersion": "go1.23.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_SUB_VERBS: Final = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "log": ("get",),
    "eviction": ("create",),
    "proxy": ("get",),
    "finalize": ("update",),
}
_SUB_KINDS: Final = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction")}


def core_versions() -> Obj:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    }


def group(name: str, versions: list[str]) -> Obj:
    """``/apis/GROUP``."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def groups(registry: Registry) -> Obj:
    """``/apis``."""
    found = []
    for name, versions in registry.groups().items():
        entry = group(name, versions)
        del entry["kind"], entry["apiVersion"]
        found.append(entry)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def resources(registry: Registry, group_name: str, version: str) -> Obj | None:
    """``/api/v1`` or ``/apis/GROUP/VERSION``; None where that is not served."""
    served = [r for r in registry.all() if r.group == group_name and r.version == version]
    if not served:
        return None
    listed: list[Obj] = []
    for resource in served:
        listed.append(_entry(resource))
        listed.extend(_sub_entry(resource, name) for name in resource.subresources)
    group_version = f"{group_name}/{version}" if group_name else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }


def _entry(resource: Resource) -> Obj:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _sub_entry(resource: Resource, name: str) -> Obj:
    entry: Obj = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(_SUB_VERBS[name]),
    }
    if name in _SUB_KINDS:
        entry["group"], entry["version"], entry["kind"] = _SUB_KINDS[name]
    return entry


def aggregated(registry: Registry, *, core: bool) -> Obj:
    """``/api`` or ``/apis`` for a client that takes ``as=APIGroupDiscoveryList``."""
    wanted = {"": ["v1"]} if core else registry.groups()
    items = []
    for name, versions in wanted.items():
        listed = [
            {
                "version": version,
                "freshness": "Current",
                "resources": [
                    _aggregated_entry(r) for r in registry.all() if r.group == name and r.version == version
                ],
            }
            for version in versions
        ]
        items.append({"metadata": {"name": name, "creationTimestamp": None}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_entry(resource: Resource) -> Obj:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": dict(
                    zip(("group", "version", "kind"), _SUB_KINDS[name], strict=True)
                    if name in _SUB_KINDS
                    else kind
                ),
                "verbs": list(_SUB_VERBS[name]),
            }
            for name in resource.subresources
        ]
    return entry


def openapi_paths(registry: Registry) -> Obj:
    """``/openapi/v3``: where the document of each group version is."""
    paths = {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=1"}}
    for name, versions in registry.groups().items():
        for version in versions:
            key = f"apis/{name}/{version}"
            paths[key] = {"serverRelativeURL": f"/openapi/v3/{key}?hash=1"}
    return {"paths": paths}


def openapi_document(registry: Registry, group_name: str, version: str) -> Obj:
    """The OpenAPI document of one group version, as far as kubectl reads it."""
    root = f"/apis/{group_name}/{version}" if group_name else f"/api/{version}"
    paths: Obj = {}
    schemas: Obj = {}
    for resource in registry.all():
        if resource.group != group_name or resource.version != version:
            continue
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        space = "/namespaces/{namespace}" if resource.namespaced else ""
        options = [
            {"name": name, "in": "query", "schema": {"type": "string"}}
            for name in ("dryRun", "fieldValidation")
        ]
        patch: dict[str, Any] = {
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": kind,
            "parameters": options,
            "responses": {"200": {"description": "OK"}},
        }
        paths[f"{root}{space}/{resource.plural}/{{name}}"] = {"patch": patch}
        schemas[f"{group_name or 'core'}.{version}.{resource.kind}"] = {
            "type": "object",
            "x-kubernetes-group-version-kind": [kind],
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def openapi_v2() -> Obj:
    """``/openapi/v2`` for those who read JSON: no definitions, so clients check nothing."""
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": {},
        "definitions": {},
    }
